#pragma once
// The numbers and names of the system, each a type of its own.

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>
#include <vector>

namespace common {

// The uuid of a node, as the client wrote it: non-empty UTF-8, at most limits::kNodeIdBytesMax.
using NodeId = std::string;

// A user's name, as typed in Blender.
using UserName = std::string;

inline constexpr const char* kOwnerCommon = "COMMON";
inline constexpr const char* kOwnerServer = "server";

// Monotonic time, for intervals; zero is arbitrary.
using Instant = std::chrono::time_point<std::chrono::steady_clock, std::chrono::milliseconds>;
using Millis = std::chrono::milliseconds;

// Milliseconds since 1970 UTC, for people and files.
enum class WallTime : std::int64_t {};

// A random id, new at every start of a broker. Zero is none.
enum class Epoch : std::uint64_t {};

// The epoch in which the session was initialised: tells sessions apart. Zero: never initialised.
enum class Timeline : std::uint64_t {};

// The number of a record. It goes on counting over the epochs of a lineage. Zero: before the first.
enum class Seq : std::uint64_t {};
// clang-format off
constexpr std::uint64_t number(Epoch value) { return static_cast<std::uint64_t>(value); }
constexpr std::uint64_t number(Timeline value) { return static_cast<std::uint64_t>(value); }
constexpr std::uint64_t number(Seq value) { return static_cast<std::uint64_t>(value); }
constexpr std::int64_t number(WallTime value) { return static_cast<std::int64_t>(value); }
constexpr Seq next(Seq value) { return Seq{number(value) + 1}; }
// clang-format on
// 128 bits of XXH3: guards against accidents, not against enemies (feed and link are ours).
struct Hash128 {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    friend auto operator<=>(const Hash128&, const Hash128&) = default;
};
std::string hex(std::uint64_t number);  // 16 digits
std::string hex(const Hash128& hash);   // 32 digits

// Where a history stands. `chain` = hash(chain before, record bytes): equal positions mean equal
// histories.
struct Position {
    Epoch epoch{};
    Seq seq{};
    Hash128 chain;
    friend auto operator<=>(const Position&, const Position&) = default;
};
std::string to_string(const Position& position);  // "epoch:seq:chain", short, for log lines

// One broker start: where it went on from. The parent of a fresh session is the zero Position.
struct LineageEntry {
    Epoch epoch{};
    Position parent;
    friend auto operator<=>(const LineageEntry&, const LineageEntry&) = default;
};
// Oldest first; the last entry is the epoch that is being written.
using Lineage = std::vector<LineageEntry>;

}  // namespace common
