#pragma once
// One run of the joins simulation: see tests/simulation/joins_simulation_test.cpp.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "broker/channel.h"

namespace support {

struct JoinsOptions {
    broker::Generation generation{};
    std::size_t users = 4;
    bool resets = true;   // of connections, which are made again
    bool freezes = true;  // of a client's main thread, for less than 10 s
    bool slow = true;     // times in which a connection takes up to 1.5 s
    bool deaths = true;   // of clients, also while they upload
    bool leaves = true;
    bool kicks = true;
    bool deletes = true;
    bool rights = true;
    bool conflicts = true;  // two edit one node at the same time
    bool big = true;        // framed: nodes that a client reads in several ticks
    bool trace = false;

    static constexpr std::array<bool JoinsOptions::*, 10> kKinds = {
        &JoinsOptions::resets,  &JoinsOptions::freezes, &JoinsOptions::slow,
        &JoinsOptions::deaths,  &JoinsOptions::leaves,  &JoinsOptions::kicks,
        &JoinsOptions::deletes, &JoinsOptions::rights,  &JoinsOptions::conflicts,
        &JoinsOptions::big};
};

// So that a run in which nothing happens does not count as one that passed.
struct JoinsCounts {
    std::uint64_t runs = 0;
    std::uint64_t joins = 0;
    std::uint64_t uploads = 0;
    std::uint64_t edits = 0;
    std::uint64_t deletes = 0;
    std::uint64_t resets = 0;
    std::uint64_t freezes = 0;
    std::uint64_t replaced = 0;    // framed: connections, by a second one of the same client
    std::uint64_t pending = 0;     // framed: logins that waited for the data connection
    std::uint64_t big = 0;         // framed: nodes that are read in several ticks
    std::uint64_t told_to_go = 0;  // Disconnects other than kicks
    std::uint64_t compared = 0;    // graphs, at quiet

    JoinsCounts& operator+=(const JoinsCounts& other);
    std::string text() const;
};

struct JoinsOutcome {
    std::optional<std::string> failure;
    std::uint64_t trace_hash = 0;
    std::string trace;
    JoinsCounts counts;
};

JoinsOutcome run_joins(std::uint64_t seed, const JoinsOptions& options);

}  // namespace support
