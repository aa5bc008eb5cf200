#pragma once
// One run of the crash simulation: see tests/simulation/crash_simulation_test.cpp.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace support {

struct CrashOptions {
    bool two = true;           // snapshotters, in a quarter of the runs
    bool broker_kills = true;  // the process
    bool kills = true;         // of a snapshotter: its disk keeps what was written
    bool power_cuts = true;    // its disk loses what was not synced; often the broker goes too
    bool stops = true;         // SIGTERM for either
    bool lossy_feed = true;
    bool lossy_link = true;
    bool full_disk = true;
    bool io_errors = true;
    bool slow_disk = true;
    bool clock_jumps = true;
    bool trace = false;

    static constexpr std::array<bool CrashOptions::*, 11> kKinds = {
        &CrashOptions::two,        &CrashOptions::broker_kills, &CrashOptions::kills,
        &CrashOptions::power_cuts, &CrashOptions::stops,        &CrashOptions::lossy_feed,
        &CrashOptions::lossy_link, &CrashOptions::full_disk,    &CrashOptions::io_errors,
        &CrashOptions::slow_disk,  &CrashOptions::clock_jumps};
};

// So that a run in which nothing happens does not count as one that passed.
struct CrashCounts {
    std::uint64_t runs = 0;
    std::uint64_t records = 0;
    std::uint64_t broker_ends = 0;
    std::uint64_t kills = 0;
    std::uint64_t power_cuts = 0;
    std::uint64_t mid_operation = 0;  // of these two: while the disk was at work
    std::uint64_t stops = 0;
    std::uint64_t troubles = 0;   // of disks
    std::uint64_t recovered = 0;  // a session was found at start
    std::uint64_t restored = 0;   // by the broker
    std::uint64_t durable = 0;    // reported to the broker
    std::uint64_t saves = 0;      // that worked
    std::uint64_t pins = 0;       // of what had forked
    std::uint64_t given_up = 0;   // histories, because the disk did not follow
    std::uint64_t compared = 0;   // mirrors with brokers, at quiet

    CrashCounts& operator+=(const CrashCounts& other);
    std::string text() const;
};

struct CrashOutcome {
    std::optional<std::string> failure;
    std::uint64_t trace_hash = 0;
    std::string trace;
    CrashCounts counts;
};

CrashOutcome run_crashes(std::uint64_t seed, const CrashOptions& options);

}  // namespace support
