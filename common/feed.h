#pragma once
// The contract between broker and snapshotter: what travels on the feed (PUB/SUB) and on the link
// (ROUTER/DEALER). Every message is a list of frames; frame 0 is a msgpack array that begins with
// the message's number, further frames are a record's or node's chunks, never re-encoded.
// Grammar and numbers: docs/FEED.md. `decode_*` gives a struct or an error, `encode` cannot fail.

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/bytes.h"
#include "common/graph.h"
#include "common/ids.h"
#include "common/mutation.h"
#include "common/result.h"

namespace common::feed {

inline constexpr int kVersion = 3;        // of feed and link
inline constexpr int kRecordVersion = 1;  // of records, which are kept in histories

// ---- Records -------------------------------------------------------------------------------

struct Record {
    Epoch epoch{};
    Seq seq{};
    WallTime time{};
    UserName user;  // who caused it, empty for the server
    Mutation mutation;
};

// A record as it is hashed, sent and kept.
using Frames = std::vector<Bytes>;
Frames encode_record(const Record& record);
Result<Record> decode_record(const Frames& frames);

// hash(chain before, number and lengths of the frames, their bytes).
Hash128 chain_after(const Hash128& before, const Frames& record);

// ---- The feed ------------------------------------------------------------------------------

enum class BrokerState : int { Restoring, Waiting, Uploading, Active, Stopping, Stopped };
const char* name(BrokerState state);  // "active", as health pages say it

// Four a second, after a resync, and at saves. In the state Restoring the position has no seq.
// Stopped: nothing comes after this position.
struct Beat {
    Position position;
    BrokerState state{};
    std::optional<Hash128> digest;  // a mark: Graph::digest() at this position
    std::uint64_t run = 0;          // of the broker: random, new at each start
};

// Records, packed: common/feed_stream.h.
struct Packet {
    std::uint64_t number = 0;     // one more than that of the packet before
    std::uint64_t continued = 0;  // so many bytes of `payload` end a record begun in earlier ones
    Bytes payload;
};

using FeedMessage = std::variant<Beat, Packet>;
Frames encode(const FeedMessage& message);
Result<FeedMessage> decode_feed(const Frames& frames);

// ---- The link ------------------------------------------------------------------------------

// A consistent state that somebody holds.
struct Holding {
    Position position;
    Lineage lineage;
    Timeline timeline{};
    bool initialised = false;
    std::size_t node_count = 0;
    WallTime last_mutation{};
};

// Snapshotter to broker, whenever it needs something: at start, at a gap, at a new epoch.
struct Hello {
    std::uint64_t snapshotter = 0;   // random, new at each start
    std::string name;                // for people: host and data directory
    std::optional<Holding> holding;  // none: empty, fresh
    std::uint64_t run = 0;           // of the broker to which it is said, from its beats
};

// The broker's answer: what happens next on this link.
struct Verdict {
    enum class Kind : int {
        Wait,     // nothing yet (the broker is still choosing): say Hello again later
        Tail,     // records from your position on come as a stream
        Whole,    // the whole graph comes as a stream
        Restore,  // send me your graph as a stream (I send the first Pull)
        UpToDate  // you have all there is
    };
    Kind kind{};
    bool pin_first =
        false;  // Whole: what you hold is ahead of, or beside, this session: back it up
    std::uint64_t stream = 0;
    Lineage lineage;     // the broker's
    std::string reason;  // for the log
};

// Receiver of a stream to its sender: `credit` more pieces may come.
struct Pull {
    std::uint64_t stream = 0;
    std::uint32_t credit = 0;
};

// Opens a Whole or Restore stream; piece 0.
struct WholeHead {
    Holding holding;
    std::map<UserName, Bytes> metadata;
};

// A piece of a stream, in order from 0. Whole and Restore: `head` in piece 0, then nodes; the last
// one has the digest of the complete copy. Tail: records.
struct Piece {
    std::uint64_t stream = 0;
    std::uint32_t number = 0;
    bool last = false;
    std::optional<WholeHead> head;
    std::vector<NodePtr> nodes;
    std::vector<Frames> records;
    std::optional<Hash128> digest;
};

// The sender of a stream cannot go on (the ring was overtaken, the receiver is stale).
struct StreamBroken {
    std::uint64_t stream = 0;
    std::string reason;
};

// Snapshotter to broker: everything up to here survives a crash of everything.
struct Durable {
    Position position;
    WallTime saved{};
};

// Anybody on the link to the broker, and the broker to its snapshotters.
struct SaveNow {
    std::uint64_t request = 0;
    std::string reason;
};

struct Saved {
    std::uint64_t request = 0;
    bool ok = false;
    std::string text;
};

// A snapshotter leaves.
struct Bye {
    std::uint64_t snapshotter = 0;
};

using LinkMessage =
    std::variant<Hello, Verdict, Pull, Piece, StreamBroken, Durable, SaveNow, Saved, Bye>;
Frames encode(const LinkMessage& message);
Result<LinkMessage> decode_link(const Frames& frames);

}  // namespace common::feed
