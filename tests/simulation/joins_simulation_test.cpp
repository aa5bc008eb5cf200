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
// HOLDFAST_SEED=n runs that seed alone, HOLDFAST_LONG=1 many more of them.

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

}  // namespace

TEST_CASE("joins under fire") {
    const char* const one = std::getenv("HOLDFAST_SEED");
    const bool many = std::getenv("HOLDFAST_LONG") != nullptr;
    const std::uint64_t first = one != nullptr ? std::strtoull(one, nullptr, 10) : 1;
    const std::uint64_t last = one != nullptr ? first : many ? 1'000'000 : 400;
    support::JoinsCounts counts;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        const JoinsOutcome outcome = support::run_joins(seed, JoinsOptions());
        if (outcome.failure) {
            explain(seed, JoinsOptions());
            FAIL("seed " << seed << ": " << *outcome.failure);
        }
        counts += outcome.counts;
    }
    MESSAGE(counts.text());
}

TEST_CASE("the same seed gives the same trace") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        CHECK(support::run_joins(seed, JoinsOptions()).trace_hash ==
              support::run_joins(seed, JoinsOptions()).trace_hash);
    }
}
