#pragma once
// Every bound of the system, with how they relate. Sizes in bytes unless the name says otherwise.

#include <cstddef>
#include <cstdint>

namespace common::limits {
// clang-format off
constexpr std::size_t operator""_KiB(unsigned long long n) { return n << 10; }
constexpr std::size_t operator""_MiB(unsigned long long n) { return n << 20; }
constexpr std::size_t operator""_GiB(unsigned long long n) { return n << 30; }
// clang-format on
// Client messages. The largest chunk the framed reference server takes is 512 MiB.
inline constexpr std::size_t kMessageBytesMax = 512_MiB;
inline constexpr std::size_t kMessageChunksMax = 16;                // a Node has 5, the most of all
inline constexpr std::size_t kMessageBytesMaxBeforeLogin = 16_KiB;  // a login is some 300 bytes
inline constexpr std::size_t kIdentityBytesMax = 255;               // RFC 23
inline constexpr std::size_t kFramedIdentityBytesMax = 256;
inline constexpr std::size_t kCommandBytesMax = 8_KiB;  // of ZMTP itself: READY, PING
inline constexpr std::size_t kNodeIdBytesMax = 255;
inline constexpr std::size_t kUserNameBytesMax = 255;
inline constexpr std::size_t kUserMetadataBytesMax = 1_MiB;  // all of one user's, pickled
inline constexpr std::size_t kMessagesPerTurnMax = 1000;

// Connections.
inline constexpr std::size_t kClientQueueBytesMax = 256_MiB;  // default of a setting
inline constexpr std::int64_t kClientStallMsMax = 120'000;    // no progress for so long: too slow
inline constexpr std::int64_t kHandshakeMsMax = 10'000;
inline constexpr std::int64_t kFramedHandshakeMsMax = 5'000;  // as the reference server
inline constexpr std::size_t kConnectionsMax = 20'000;

// Pickles.
// Also bounds recursion over a Value. Clients copy one before each edit, with up to five of the
// thousand frames that Python has for each level.
inline constexpr std::size_t kPickleDepthMax = 128;
inline constexpr std::size_t kPickleMemoMax = 4'000'000;
// One int has less than 4,300 digits: Python raises when it writes a longer one into a log line.
inline constexpr std::size_t kPickleIntBytesMax = 1785;
inline constexpr std::size_t kPickleExpandedMax = 16'000'000;  // values as expanded

// The graph.
inline constexpr std::size_t kNodesMax = 1'000'000;
inline constexpr std::size_t kParsedNodesBytesMax = 256_MiB;  // nodes under edit that stay parsed
inline constexpr std::size_t kTombstonesMax = 100'000;

// Session files. One that Holdfast has not written is read as a whole, twice its size in memory.
inline constexpr std::size_t kSessionFileInflatedBytesMax = 32_GiB;
// What a file says of itself, where only that is wanted: a long lineage and many users' metadata.
inline constexpr std::size_t kSessionHeadBytesMax = 16_MiB;

// History, on its way to the disk. More than so much waiting: the disk cannot follow.
inline constexpr std::size_t kHistoryWaitingBytesMax = 128_MiB;
// One transaction: long enough that its sync does not count, short enough that the next one is not
// late. 4 MiB take a slow disk (80 MB/s) 50 ms.
inline constexpr std::size_t kHistoryGroupBytesMax = 4_MiB;
inline constexpr std::size_t kHistoryGroupRecordsMax = 5'000;

// Feed and link.
inline constexpr std::size_t kRingBytesMax = 256_MiB;  // recent records a TAIL can be cut from
// PUB counts messages, not bytes. So many packets may wait for one snapshotter, what is over it is
// dropped: together they bound in bytes what is held for one that is frozen.
inline constexpr std::size_t kFeedPacketBytesMax = 64_KiB;
inline constexpr std::size_t kFeedPacketsMax = 4'096;
inline constexpr std::size_t kRecordBytesMax = 1_GiB;  // a client's message, and its envelope
inline constexpr std::size_t kRecordFramesMax = kMessageChunksMax;
inline constexpr std::size_t kEarlyRecordsBytesMax = 64_MiB;  // live records kept during a resync
inline constexpr std::size_t kWholePieceBytes = 1_MiB;  // about; a piece holds at least a node
inline constexpr std::size_t kPieceItemsMax = 2'000;    // nodes or records of a piece
inline constexpr std::size_t kWholeCredit = 16;         // pieces under way
inline constexpr std::int64_t kBeatMs = 250;
inline constexpr std::int64_t kBrokerLostMs = 2'000;
inline constexpr std::size_t kLineageMax = 10'000;

// Log and health.
inline constexpr std::size_t kLogLineBytesMax = 4_KiB;
inline constexpr std::size_t kLogFileBytesMax = 10_MiB;
inline constexpr std::size_t kLogFilesMax = 5;  // old ones beside the present one
inline constexpr std::size_t kHttpRequestBytesMax = 16_KiB;
inline constexpr std::int64_t kHttpRequestMsMax = 2'000;  // from connecting to the answer
inline constexpr std::size_t kHttpThreads = 4;

static_assert(kHistoryGroupBytesMax < kHistoryWaitingBytesMax);
static_assert(kMessageBytesMaxBeforeLogin < kMessageBytesMax);
static_assert(kMessageBytesMax < kRecordBytesMax);
static_assert(kFeedPacketBytesMax * kFeedPacketsMax <= kRingBytesMax,
              "what the feed drops can come as a tail");
static_assert(kBrokerLostMs >= 4 * kBeatMs, "a beat or two may be late");

}  // namespace common::limits
