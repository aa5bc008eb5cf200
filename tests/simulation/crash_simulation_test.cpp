// Everything that keeps a session, with everything around it under our control: a broker, its feed
// and link, which lose and delay, one or two snapshotters with mirror, schedule, history and store,
// each on a simulated disk. Both sides are killed and started at any time, also in the middle of an
// operation of the disk; the power fails, and the disk loses what was not synced; it is full, slow,
// or does nothing for a while; clocks jump. From a seed; the same seed gives the same trace.
//
// What must hold: what was called durable is in all that is recovered later (or, where histories
// went apart, in a pinned backup). What is recovered is, node by node, what a broker had at that
// position. Where a session is durable nobody starts with an empty one, and nothing is taken for
// damaged or for put there by hand. When it is quiet, the mirrors and the broker agree, everything
// is durable, and after a power cut exactly that is recovered.
//
// A failure is made as simple as leaving out kinds of trouble can, and printed with all that
// happened. HOLDFAST_SEED=n runs that seed alone; HOLDFAST_LONG=1 many more, HOLDFAST_FIRST_SEED=n
// from there on.

#include <doctest/doctest.h>

#include <csignal>
#include <cstdlib>
#include <iostream>

#include "tests/support/crash_world.h"

using support::CrashOptions;
using support::CrashOutcome;

namespace {

std::uint64_t number_of(const char* variable, std::uint64_t otherwise) {
    const char* const text = std::getenv(variable);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// The simplest options under which the seed still fails.
CrashOptions simplest(std::uint64_t seed) {
    CrashOptions options;
    for (bool CrashOptions::*kind : CrashOptions::kKinds) {
        CrashOptions without = options;
        without.*kind = false;
        if (support::run_crashes(seed, without).failure) {
            options = without;
        }
    }
    return options;
}

// For a run that ends in an abort.
std::uint64_t running = 0;
void name_seed(int signal) {
    std::cerr << "HOLDFAST_SEED=" << running << "\n";
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

void explain(std::uint64_t seed) {
    CrashOptions traced = simplest(seed);
    traced.trace = true;
    const CrashOutcome outcome = support::run_crashes(seed, traced);
    std::cerr << outcome.trace << "HOLDFAST_SEED=" << seed << ": "
              << outcome.failure.value_or("passes when it is traced") << "\n";
}

}  // namespace

TEST_CASE("crashes of everything") {
    const bool one = std::getenv("HOLDFAST_SEED") != nullptr;
    const bool many = std::getenv("HOLDFAST_LONG") != nullptr;
    const std::uint64_t first =
        one ? number_of("HOLDFAST_SEED", 1) : number_of("HOLDFAST_FIRST_SEED", 1);
    const std::uint64_t last = first + (one ? 1 : many ? 20'000 : 40) - 1;
    const auto before = std::signal(SIGABRT, name_seed);
    support::CrashCounts counts;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        running = seed;
        const CrashOutcome outcome = support::run_crashes(seed, CrashOptions());
        if (outcome.failure) {
            explain(seed);
            FAIL("seed " << seed << ": " << *outcome.failure);
        }
        counts += outcome.counts;
        if (seed % 1'000 == 0) {
            std::cerr << "seed " << seed << " passed\n";
        }
    }
    std::signal(SIGABRT, before);
    MESSAGE(counts.text());
    if (!one) {
        CHECK(counts.recovered > counts.runs);
        CHECK(counts.mid_operation > counts.runs);
        CHECK(counts.durable > 10 * counts.runs);
    }
}

TEST_CASE("the same seed gives the same trace") {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        CHECK(support::run_crashes(seed, CrashOptions()).trace_hash ==
              support::run_crashes(seed, CrashOptions()).trace_hash);
    }
}
