#pragma once
// The mirror: follows the feed, applies exactly the next record, asks through the link for what it
// missed, and gives what it has to a broker that has nothing. Pure.
//
// Rules. A record is applied only if its seq is the next one and its epoch is the present one, or
// if it is EpochStarted and its parent is exactly our position. At every beat the position with its
// chain is compared, at every mark the digest. Anything else is a gap: Hello, and the broker's
// verdict decides (Tail, Whole, Restore). Live records that come during a resync are kept (bounded
// by limits::kEarlyRecordsBytesMax) and applied after it if they connect, else it asks again. A
// whole graph is built beside the old one and swapped in when complete; until then `graph()` and
// `holding()` are the last consistent state. One that is older than what records have led to
// meanwhile is passed over, or what was called durable would be given up for it. Hello is said
// again every second while something is wanted, and at once for a new epoch, another broker or one
// that comes back.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/feed.h"
#include "common/graph.h"
#include "common/ids.h"
#include "common/progress.h"
#include "common/whole.h"
#include "snapshotter/restore_server.h"

namespace snapshotter {

struct SendLink {
    common::feed::LinkMessage message;
};
// A record was applied: log it, schedule by it, keep it.
struct AppliedRecord {
    common::feed::Record record;
    common::feed::Frames frames;
    common::Position position;  // after it
};
// The graph is another one than what the records so far have led to; it stands at this position.
struct GraphReplaced {
    common::Position position;
};
// Before the next effect: keep what the mirror holds now as a pinned backup (it is ahead of the
// broker's session or another one). Its copy and holding are given along.
struct PinBackup {
    common::GraphCopy graph;
    common::feed::Holding holding;
    std::string reason;
};
struct WantSave {
    std::string reason;  // "after_resync", "mirror_error", "broker_lost", "manual:...", "shutdown"
    std::uint64_t request = 0;  // of a SaveNow that wants an answer, else 0
};
struct BrokerLost {};      // no beat for limits::kBrokerLostMs; once
struct BrokerBack {};      // after BrokerLost, or the first beat of all
struct BrokerStopping {};  // it says so: its final position will follow
struct BrokerStopped {};   // its final position is reached: nothing comes any more
struct Resynced {
    std::string how;  // "tail of 12 records", "whole graph of 300 nodes"
};
struct MirrorLog {
    enum class Level { Debug, Info, Warning, Error } level;
    std::string text;
};
using MirrorEffect =
    std::variant<SendLink, AppliedRecord, GraphReplaced, PinBackup, WantSave, BrokerLost,
                 BrokerBack, BrokerStopping, BrokerStopped, Resynced, MirrorLog>;
using MirrorEffects = std::vector<MirrorEffect>;

class Mirror {
public:
    // `stored`: what the data directory held, if anything.
    Mirror(std::uint64_t snapshotter, std::string name, std::optional<common::Whole> stored);

    // What comes on the feed: beats, and records as encode_record made them.
    void on_beat(const common::feed::Beat& beat, common::Instant now, MirrorEffects& effects);
    void on_record(common::feed::Frames frames, common::Instant now, MirrorEffects& effects);
    void on_link(common::feed::LinkMessage message, common::Instant now, MirrorEffects& effects);
    void on_tick(common::Instant now, MirrorEffects& effects);
    // The history is on disk up to `position`, or a save of it is. It is called durable unless our
    // own state is in doubt; of two in one lineage the later one counts.
    void on_durable(const common::Position& position, MirrorEffects& effects);
    void on_saved(const common::Position& position, common::WallTime saved, MirrorEffects& effects);
    // The answer to a WantSave with a request.
    void on_save_answered(std::uint64_t request, bool ok, std::string text, MirrorEffects& effects);
    // We are leaving: says Bye.
    void on_shutdown(MirrorEffects& effects);

    // The last consistent state; `holding()` none: nothing yet (a fresh start).
    common::Graph& graph() { return state_.graph; }
    std::optional<common::feed::Holding> holding() const;
    bool following() const;  // in step with the broker, nothing missing
    std::optional<common::feed::BrokerState> broker_state() const;
    // What the broker has said of its graph at our position; none: nothing, or of an older one.
    std::optional<common::Hash128> broker_digest() const;
    // What was called durable last, and where the last save stands.
    const std::optional<common::feed::Durable>& durable() const { return durable_; }
    // Records behind the last beat, 0 when in step.
    std::uint64_t lag() const;

private:
    // A consistent state: a graph and where in which history it stands.
    struct State {
        common::Graph graph;
        common::Position position;
        common::Lineage lineage;
        common::WallTime last_mutation{};

        common::feed::Holding holding() const;
        bool includes(const common::Position& earlier) const;
    };
    // What a record is to a state.
    enum class Fit { Applied, Known, Gap, Failed };

    void say_hello(common::Instant now, MirrorEffects& effects);
    void on_verdict(common::feed::Verdict verdict, common::Instant now, MirrorEffects& effects);
    void on_piece(common::feed::Piece piece, common::Instant now, MirrorEffects& effects);
    void on_tail_piece(common::feed::Piece piece, common::Instant now, MirrorEffects& effects);
    void on_whole_piece(common::feed::Piece piece, common::Instant now, MirrorEffects& effects);
    // Applied, it has gone into the effect, else `frames` are as they were.
    Fit take_record(State& state, common::feed::Frames& frames, MirrorEffects& effects);
    void keep_early(common::feed::Frames frames);
    void drain_early(common::Instant now, MirrorEffects& effects);
    // Something is missing: no longer in step, and no stream is believed any more.
    void lose_step(common::Instant now, MirrorEffects& effects);
    // Our own state cannot be right: it is saved, and the broker's whole graph asked for.
    void distrust_self(const std::string& why, common::Instant now, MirrorEffects& effects);
    void catch_up_with_beat(common::Instant now, MirrorEffects& effects);
    std::optional<common::Progress> taking() const;
    void log_progress(common::Instant now, MirrorEffects& effects);
    bool streaming() const { return tail_.has_value() || whole_.has_value(); }

    std::uint64_t snapshotter_;
    std::string name_;
    State state_;
    bool distrusted_ = false;  // state_ is not to be gone on from
    bool apart_ = false;       // it is no moment of the broker's history

    // The broker, as far as its beats tell.
    std::optional<common::feed::Beat> beat_;
    common::Instant heard_{};
    bool lost_ = true;
    std::optional<std::pair<common::Position, common::Hash128>> mark_;  // the last one
    bool stopping_said_ = false;
    bool stopped_said_ = false;

    // Being in step, and getting there again.
    bool in_step_ = false;
    std::optional<common::Instant> spoke_;  // when we last said anything on the link
    std::optional<std::uint64_t> greeted_;  // the run to which Hello was said last
    struct Tail {
        std::uint64_t stream = 0;
        std::uint32_t next_piece = 0;
        std::size_t records = 0;
        std::optional<State> beside;  // from nothing, while state_ is distrusted
    };
    std::optional<Tail> tail_;
    std::optional<common::WholeReceiver> whole_;
    common::Instant stream_heard_{};
    std::deque<common::feed::Frames> early_;
    std::size_t early_bytes_ = 0;

    RestoreServer restore_;
    common::ProgressLog taking_log_;
    common::ProgressLog giving_log_;
    void say_durable(const common::Position& position, common::WallTime saved,
                     MirrorEffects& effects);

    std::uint64_t restore_stream_ = 0;
    std::optional<common::feed::Durable> durable_;
};

}  // namespace snapshotter
