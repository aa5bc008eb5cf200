// Joins under fire: the session (with its outboxes and roster) and model clients, with everything
// between them under our control: each of a client's connections is an order of its own with any
// delay, connections are reset and made again, clients freeze, die, come back, break off uploads,
// delete what others edit. From a seed; the same seed gives the same trace.
//
// What must hold: no client gets what would raise in it (see model_client.h); and when it is quiet,
// every client that is in the session has the broker's graph, owners included, but for dependencies
// that name no node, and nobody is stuck half-way.
//
// A failure is made as simple as leaving out kinds of trouble can, and printed as a transcript.
// HOLDFAST_SEED=n runs that seed alone, HOLDFAST_SEEDS=n so many, from HOLDFAST_FIRST_SEED=n on;
// HOLDFAST_LONG=1 ten times as many as else.

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "tests/support/joins_world.h"

using support::JoinsOptions;
using support::JoinsOutcome;

namespace {

// The simplest options under which the seed still fails.
JoinsOptions simplest(std::uint64_t seed, JoinsOptions options) {
    for (bool JoinsOptions::*kind : JoinsOptions::kKinds) {
        JoinsOptions without = options;
        without.*kind = false;
        if (support::run_joins(seed, without).failure) {
            options = without;
        }
    }
    for (std::size_t users = 2; users < options.users; ++users) {
        JoinsOptions fewer = options;
        fewer.users = users;
        if (support::run_joins(seed, fewer).failure) {
            return fewer;
        }
    }
    return options;
}

void explain(std::uint64_t seed, const JoinsOptions& options) {
    JoinsOptions traced = simplest(seed, options);
    traced.trace = true;
    const JoinsOutcome outcome = support::run_joins(seed, traced);
    std::cerr << outcome.trace << "HOLDFAST_SEED=" << seed << ": "
              << outcome.failure.value_or("passes when it is traced") << "\n";
}

std::uint64_t number_of(const char* variable, std::uint64_t otherwise) {
    const char* const text = std::getenv(variable);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

void run_seeds(broker::Generation generation) {
    JoinsOptions options;
    options.generation = generation;
    const bool one = std::getenv("HOLDFAST_SEED") != nullptr;
    const std::uint64_t first = number_of("HOLDFAST_SEED", number_of("HOLDFAST_FIRST_SEED", 1));
    const std::uint64_t usual =
        std::getenv("HOLDFAST_LONG") != nullptr ? 10 * HOLDFAST_JOINS_SEEDS : HOLDFAST_JOINS_SEEDS;
    const std::uint64_t many = one ? 1 : number_of("HOLDFAST_SEEDS", usual);
    support::JoinsCounts counts;
    for (std::uint64_t seed = first; seed < first + many; ++seed) {
        const JoinsOutcome outcome = support::run_joins(seed, options);
        if (outcome.failure) {
            explain(seed, options);
            FAIL_CHECK("seed " << seed << ": " << *outcome.failure);
            break;
        }
        counts += outcome.counts;
    }
    MESSAGE(counts.text());
}

}  // namespace

TEST_CASE("joins under fire, ZMTP") {
    run_seeds(broker::Generation::Zmtp);
}

TEST_CASE("joins under fire, framed") {
    run_seeds(broker::Generation::Framed);
}

TEST_CASE("the same seed gives the same trace") {
    for (const auto generation : {broker::Generation::Zmtp, broker::Generation::Framed}) {
        JoinsOptions options;
        options.generation = generation;
        for (std::uint64_t seed = 1; seed <= 10; ++seed) {
            CHECK(support::run_joins(seed, options).trace_hash ==
                  support::run_joins(seed, options).trace_hash);
        }
    }
}
