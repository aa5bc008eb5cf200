#pragma once
// The broker's side of the link: answers hellos with a verdict, serves tails and whole graphs,
// restores at start, passes on "save now", knows what is durable. How far a whole graph is on its
// way, either way, is said as ProgressLog says it. Pure.
//
//   hello with | broker Restoring | Waiting      | Uploading, Active
//   nothing    | an empty offer   | Tail         | Whole (Tail if the ring has all)
//   state      | an offer         | Restore, now | in lineage and ring: Tail
//              |                  |              | in lineage, not ring: Whole
//              |                  |              | ahead, forked, other: pin, Whole
// "state" = an initialised holding; one that is not initialised counts as nothing.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "broker/publisher.h"
#include "broker/restore_client.h"
#include "common/feed.h"
#include "common/graph.h"
#include "common/ids.h"
#include "common/progress.h"
#include "common/whole.h"

namespace broker {

struct LinkSend {
    PeerId to;
    common::feed::LinkMessage message;
};
// The session goes on from this graph: give it to Session::restore, then Publisher::start.
struct RestoredGraph {
    common::Whole whole;
    std::string from;  // the snapshotter's name
    bool forked = false;
};
// Everybody who has something to offer has nothing: the first client initialises.
struct StartFresh {};
// Publish a beat with the graph's digest now.
struct PublishMark {};
struct LinkLog {
    enum class Level { Debug, Info, Warning, Error } level;
    std::string text;
};
using LinkEffect = std::variant<LinkSend, RestoredGraph, StartFresh, PublishMark, LinkLog>;
using LinkEffects = std::vector<LinkEffect>;

// What status shows of a snapshotter.
struct SnapshotterStatus {
    std::string name;
    common::Position durable;
    common::WallTime saved{};
    common::Instant last_heard{};
};

class Resync {
public:
    // `publisher` must outlive this. `offers_wanted`: how many snapshotters are expected. `run`:
    // what our beats say; what was offered to an earlier broker is not counted.
    Resync(const Publisher& publisher, std::size_t offers_wanted, std::uint64_t run);
    Resync(const Resync&) = delete;
    Resync& operator=(const Resync&) = delete;
    ~Resync();

    void on_link(const PeerId& from, common::feed::LinkMessage message,
                 common::feed::BrokerState state, common::Graph& graph, common::Instant now,
                 LinkEffects& effects);
    // Ends silent streams, drives the restore (state Restoring), feeds streams that have credit.
    void on_tick(common::feed::BrokerState state, common::Graph& graph, common::Instant now,
                 LinkEffects& effects);

    // A peer that cannot be reached any more (EHOSTUNREACH).
    void on_unreachable(const PeerId& peer);

    // The newest position any snapshotter called durable in the present lineage.
    std::optional<common::Position> durable() const;
    std::vector<SnapshotterStatus> snapshotters() const;

private:
    struct Stream;
    struct Peer;
    struct Save;
    struct Turn;  // one call, with what it may use

    void on(const PeerId& from, common::feed::Hello& hello, Turn& turn);
    void on(const PeerId& from, const common::feed::Pull& pull, Turn& turn);
    void on(const PeerId& from, common::feed::Piece& piece, Turn& turn);
    void on(const PeerId& from, const common::feed::StreamBroken& broken, Turn& turn);
    void on(const PeerId& from, const common::feed::Durable& durable, Turn& turn);
    void on(const PeerId& from, const common::feed::SaveNow& save, Turn& turn);
    void on(const PeerId& from, const common::feed::Saved& saved, Turn& turn);
    void on(const PeerId& from, const common::feed::Bye& bye, Turn& turn);
    void on(const PeerId& from, const common::feed::Verdict& verdict, Turn& turn);

    Peer& peer_of(const PeerId& id, common::Instant now);
    void offer(const PeerId& from, const common::feed::Hello& hello, Turn& turn);
    void drive_restore(Turn& turn);
    void log_progress(Turn& turn);
    void judge(const PeerId& from, const std::optional<common::feed::Holding>& holding, Turn& turn);
    void begin_tail(const PeerId& to, const common::Position& from, Turn& turn);
    void begin_whole(const PeerId& to, bool pin_first, std::string reason, Turn& turn);
    void pump(const PeerId& to, Turn& turn);
    // The next piece of a tail; none: the ring was overtaken.
    std::optional<common::feed::Piece> tail_piece(Stream& stream) const;
    void forget(const PeerId& peer);

    const Publisher& publisher_;
    const std::uint64_t run_;
    RestoreClient restore_;
    bool restore_forked_ = false;  // of the offer asked for
    common::ProgressLog restore_log_;
    std::map<PeerId, Peer> peers_;
    std::map<std::uint64_t, Save> saves_;  // asked for, by our own request number
    std::optional<common::Position> durable_;
    std::uint64_t next_stream_ = 1;
    std::uint64_t next_save_ = 1;
};

}  // namespace broker
