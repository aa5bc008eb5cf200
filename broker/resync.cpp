#include "broker/resync.h"

#include <algorithm>
#include <utility>

#include "common/limits.h"

// Theory. Each peer has at most one stream under way; a new Hello replaces it. A tail is cut from
// the ring when there is credit and goes on until it has caught up with the publisher; a whole
// graph is a copy of pointers, taken together with the position, so what is published meanwhile
// follows on the feed and, if that dropped it, in a tail.

namespace broker {

using common::Graph;
using common::Instant;
using common::Millis;
using common::Position;
using common::Seq;
using common::feed::BrokerState;
using common::feed::Holding;
using common::feed::LinkMessage;
using common::feed::Piece;
using common::feed::Pull;
using common::feed::Verdict;
namespace limits = common::limits;

namespace {

constexpr Millis kStreamSilenceMax{10'000};
constexpr Millis kSaveAnswerMax{120'000};

using Level = LinkLog::Level;

Holding holding_of(const Publisher& publisher, const Graph& graph) {
    Holding holding;
    holding.position = publisher.position();
    holding.lineage = publisher.lineage();
    holding.timeline = graph.timeline();
    holding.initialised = graph.initialised();
    holding.node_count = graph.size();
    holding.last_mutation = publisher.last_mutation();
    return holding;
}

bool may_restore(BrokerState state) {
    return state == BrokerState::Restoring || state == BrokerState::Waiting;
}

std::string named(const std::string& name) {
    return name.empty() ? "a snapshotter" : "snapshotter " + name;
}

}  // namespace

struct Resync::Stream {
    std::uint64_t number = 0;
    Instant last_pull{};
    std::optional<common::WholeSender> whole;
    common::ProgressLog log;
    // A tail, if it is not a whole graph.
    Seq next{};
    std::uint32_t next_piece = 0;
    std::uint64_t credit = 0;
};

struct Resync::Peer {
    std::string name;
    Position durable;
    common::WallTime saved{};
    Instant last_heard{};
    std::optional<Stream> stream;
};

struct Resync::Save {
    PeerId asker;
    std::uint64_t request = 0;  // the asker's
    std::size_t unanswered = 0;
    Instant asked{};
    std::string last_failure;
};

struct Resync::Turn {
    BrokerState state;
    Graph& graph;
    Instant now;
    LinkEffects& effects;

    void send(const PeerId& to, LinkMessage message) {
        effects.emplace_back(LinkSend{to, std::move(message)});
    }
    void log(Level level, std::string text) {
        effects.emplace_back(LinkLog{level, std::move(text)});
    }
};

Resync::Resync(const Publisher& publisher, std::size_t offers_wanted, std::uint64_t run)
    : publisher_(publisher), run_(run), restore_(offers_wanted) {}

Resync::~Resync() = default;

void Resync::on_link(const PeerId& from, LinkMessage message, BrokerState state, Graph& graph,
                     Instant now, LinkEffects& effects) {
    Turn turn{state, graph, now, effects};
    if (!may_restore(state)) {
        restore_.reset();
    }
    std::visit([&](auto& one) { on(from, one, turn); }, message);
}

// ---- Hello and verdict ---------------------------------------------------------------------

Resync::Peer& Resync::peer_of(const PeerId& id, Instant now) {
    Peer& peer = peers_[id];
    peer.last_heard = now;
    return peer;
}

void Resync::on(const PeerId& from, common::feed::Hello& hello, Turn& turn) {
    // The same data directory under another routing id: the snapshotter was started again.
    std::erase_if(peers_, [&](const auto& one) {
        return one.first != from && !hello.name.empty() && one.second.name == hello.name;
    });
    const bool is_new = !peers_.contains(from);
    Peer& peer = peer_of(from, turn.now);
    peer.name = hello.name;
    peer.stream.reset();
    if (is_new) {
        turn.log(Level::Info, "Snapshotter found: " + hello.name);
    }
    const bool has_session = hello.holding && hello.holding->initialised;
    if (turn.state == BrokerState::Restoring ||
        (turn.state == BrokerState::Waiting && has_session)) {
        if (hello.run == run_) {
            offer(from, hello, turn);
        }
        return;
    }
    judge(from, hello.holding, turn);
}

void Resync::offer(const PeerId& from, const common::feed::Hello& hello, Turn& turn) {
    restore_.on_offer({from, hello.name, hello.holding}, turn.now);
    Verdict verdict;
    verdict.kind = Verdict::Kind::Wait;
    verdict.reason = "the broker chooses what to restore";
    turn.send(from, std::move(verdict));
    drive_restore(turn);
}

void Resync::drive_restore(Turn& turn) {
    const RestoreClient::Step step = restore_.on_tick(turn.now);
    if (const auto* ask = std::get_if<RestoreClient::Ask>(&step)) {
        turn.log(Level::Info, "Restoring the session from " + named(ask->name));
        restore_forked_ = ask->forked;
        Verdict verdict;
        verdict.kind = Verdict::Kind::Restore;
        verdict.stream = ask->stream;
        verdict.reason = "the broker has no session";
        turn.send(ask->peer, std::move(verdict));
        turn.send(ask->peer, Pull{ask->stream, limits::kWholeCredit});
    } else if (std::holds_alternative<RestoreClient::Fresh>(step)) {
        restore_.reset();
        if (turn.state == BrokerState::Restoring) {
            turn.effects.emplace_back(StartFresh{});
        }
    }
}

void Resync::judge(const PeerId& from, const std::optional<Holding>& holding, Turn& turn) {
    const Position position = holding ? holding->position : Position{};
    if (position == publisher_.position()) {
        Verdict verdict;
        verdict.kind = Verdict::Kind::UpToDate;
        verdict.lineage = publisher_.lineage();
        verdict.reason = "nothing is missing";
        turn.send(from, std::move(verdict));
        return;
    }
    const bool in_lineage = contains(publisher_.lineage(), publisher_.position(), position);
    const auto chain = publisher_.chain_at(position.seq);
    if (in_lineage && chain == position.chain) {
        begin_tail(from, position, turn);
        return;
    }
    const bool has_session = holding && holding->initialised;
    if (in_lineage && !chain) {
        begin_whole(from, false, has_session ? "too far behind" : "nothing here yet", turn);
        return;
    }
    begin_whole(from, has_session,
                has_session && holding->timeline != turn.graph.timeline()
                    ? "it holds another session"
                    : "its history is not that of this session",
                turn);
}

void Resync::begin_tail(const PeerId& to, const Position& from, Turn& turn) {
    Stream stream;
    stream.number = next_stream_++;
    stream.last_pull = turn.now;
    stream.next = next(from.seq);
    Verdict verdict;
    verdict.kind = Verdict::Kind::Tail;
    verdict.stream = stream.number;
    verdict.lineage = publisher_.lineage();
    verdict.reason =
        std::to_string(number(publisher_.position().seq) - number(from.seq)) + " records behind";
    peers_[to].stream = std::move(stream);
    turn.send(to, std::move(verdict));
}

void Resync::begin_whole(const PeerId& to, bool pin_first, std::string reason, Turn& turn) {
    if (pin_first) {
        turn.log(Level::Warning, named(peers_[to].name) + ": " + reason +
                                     "; it keeps that as a backup and takes this session");
    } else {
        turn.log(Level::Info, named(peers_[to].name) + ": " + reason +
                                  "; it gets the whole session, " +
                                  std::to_string(turn.graph.size()) + " nodes");
    }
    Stream stream;
    stream.number = next_stream_++;
    stream.last_pull = turn.now;
    stream.whole.emplace(stream.number, turn.graph.copy(), holding_of(publisher_, turn.graph));
    Verdict verdict;
    verdict.kind = Verdict::Kind::Whole;
    verdict.pin_first = pin_first;
    verdict.stream = stream.number;
    verdict.lineage = publisher_.lineage();
    verdict.reason = std::move(reason);
    peers_[to].stream = std::move(stream);
    turn.send(to, std::move(verdict));
}

void Resync::on(const PeerId& from, const Verdict&, Turn& turn) {
    turn.log(Level::Warning, "A verdict from " + named(peers_[from].name) + ": passed over");
}

// ---- Streams -------------------------------------------------------------------------------

void Resync::on(const PeerId& from, const Pull& pull, Turn& turn) {
    const auto peer = peers_.find(from);
    if (peer == peers_.end() || !peer->second.stream ||
        peer->second.stream->number != pull.stream) {
        turn.send(from, common::feed::StreamBroken{pull.stream, "no such stream"});
        return;
    }
    peer->second.last_heard = turn.now;
    Stream& stream = *peer->second.stream;
    stream.last_pull = turn.now;
    if (stream.whole) {
        stream.whole->grant(pull.credit);
    } else {
        stream.credit += pull.credit;
    }
    pump(from, turn);
}

void Resync::pump(const PeerId& to, Turn& turn) {
    std::optional<Stream>& stream = peers_[to].stream;
    while (stream) {
        std::optional<Piece> piece;
        if (stream->whole) {
            piece = stream->whole->next();
        } else if (stream->credit > 0) {
            --stream->credit;
            piece = tail_piece(*stream);
            if (!piece) {
                turn.send(to, common::feed::StreamBroken{stream->number,
                                                         "the tail was overtaken by new records"});
                stream.reset();
                return;
            }
        }
        if (!piece) {
            return;  // no credit
        }
        const bool last = piece->last;
        turn.send(to, std::move(*piece));
        if (last) {
            stream.reset();
            turn.effects.emplace_back(PublishMark{});
        }
    }
}

std::optional<Piece> Resync::tail_piece(Stream& stream) const {
    Piece piece;
    piece.stream = stream.number;
    piece.number = stream.next_piece++;
    std::size_t bytes = 0;
    while (stream.next <= publisher_.position().seq && bytes < limits::kWholePieceBytes &&
           piece.records.size() < limits::kPieceItemsMax) {
        const common::feed::Frames* record = publisher_.record_at(stream.next);
        if (record == nullptr) {
            return std::nullopt;
        }
        bytes += common::total_size(*record);
        piece.records.push_back(*record);
        stream.next = next(stream.next);
    }
    piece.last = stream.next > publisher_.position().seq;
    return piece;
}

void Resync::on(const PeerId& from, Piece& piece, Turn& turn) {
    if (!may_restore(turn.state)) {
        return;
    }
    const std::string name = peers_[from].name;
    const std::uint64_t number = piece.stream;
    const bool was_fetching = restore_.fetching();
    auto whole = restore_.on_piece(from, std::move(piece), turn.now);
    if (!whole) {
        turn.log(Level::Error, "Restoring from " + named(name) + ": " + whole.error().what);
        turn.send(from, common::feed::StreamBroken{number, whole.error().what});
        return;
    }
    if (*whole) {
        turn.effects.emplace_back(RestoredGraph{std::move(**whole), name, restore_forked_});
    } else if (was_fetching) {
        turn.send(from, Pull{number, 1});
    }
}

void Resync::on(const PeerId& from, const common::feed::StreamBroken& broken, Turn& turn) {
    turn.log(Level::Warning, named(peers_[from].name) + " ended a stream: " + broken.reason);
    auto& stream = peers_[from].stream;
    if (stream && stream->number == broken.stream) {
        stream.reset();
    } else {
        restore_.on_lost(from);
    }
}

void Resync::on_tick(BrokerState state, Graph& graph, Instant now, LinkEffects& effects) {
    Turn turn{state, graph, now, effects};
    if (may_restore(state)) {
        drive_restore(turn);
    } else {
        restore_.reset();
    }
    for (auto& [id, peer] : peers_) {
        if (peer.stream && now - peer.stream->last_pull > kStreamSilenceMax) {
            turn.send(id, common::feed::StreamBroken{peer.stream->number, "nobody asked for more"});
            peer.stream.reset();
        }
    }
    log_progress(turn);
    std::erase_if(saves_, [&](const auto& one) {
        const Save& save = one.second;
        if (now - save.asked < kSaveAnswerMax) {
            return false;
        }
        turn.send(save.asker, common::feed::Saved{save.request, false, "no snapshotter answered"});
        return true;
    });
}

void Resync::log_progress(Turn& turn) {
    const auto say = [&](common::ProgressLog& log,
                         const std::optional<common::Progress>& progress) {
        if (const auto line = log.at(progress, turn.now)) {
            turn.log(Level::Info, *line);
        }
    };
    for (auto& [id, peer] : peers_) {
        if (peer.stream && peer.stream->whole) {
            const common::WholeSender& whole = *peer.stream->whole;
            say(peer.stream->log, common::Progress{"Giving the session to " + named(peer.name),
                                                   whole.nodes_sent(), whole.nodes()});
        }
    }
    say(restore_log_, restore_.progress());
}

// ---- Saves ---------------------------------------------------------------------------------

void Resync::on(const PeerId& from, const common::feed::Durable& durable, Turn& turn) {
    Peer& peer = peer_of(from, turn.now);
    const bool is_new = peer.saved != durable.saved;  // it is said again and again
    peer.durable = durable.position;
    peer.saved = durable.saved;
    const auto best = this->durable();
    if (contains(publisher_.lineage(), publisher_.position(), durable.position) &&
        (!best || best->seq < durable.position.seq)) {
        durable_ = durable.position;
    }
    if (is_new && publisher_.started()) {
        turn.effects.emplace_back(PublishMark{});
    }
}

std::optional<Position> Resync::durable() const {
    if (durable_ && !contains(publisher_.lineage(), publisher_.position(), *durable_)) {
        return std::nullopt;
    }
    return durable_;
}

void Resync::on(const PeerId& from, const common::feed::SaveNow& save, Turn& turn) {
    Save asked;
    asked.asker = from;
    asked.request = save.request;
    asked.asked = turn.now;
    const std::uint64_t request = next_save_++;
    for (const auto& [id, peer] : peers_) {
        if (id != from) {
            ++asked.unanswered;
            turn.send(id, common::feed::SaveNow{request, save.reason});
        }
    }
    if (asked.unanswered == 0) {
        turn.send(from, common::feed::Saved{save.request, false, "no snapshotter is connected"});
        return;
    }
    saves_.emplace(request, std::move(asked));
}

void Resync::on(const PeerId& from, const common::feed::Saved& saved, Turn& turn) {
    const auto found = saves_.find(saved.request);
    if (found == saves_.end()) {
        return;
    }
    Save& save = found->second;
    --save.unanswered;
    if (!saved.ok) {
        save.last_failure = named(peers_[from].name) + ": " + saved.text;
    }
    if (!saved.ok && save.unanswered > 0) {
        return;
    }
    turn.send(save.asker, common::feed::Saved{save.request, saved.ok,
                                              saved.ok ? saved.text : save.last_failure});
    saves_.erase(found);
}

// ---- Who is there --------------------------------------------------------------------------

void Resync::on(const PeerId& from, const common::feed::Bye&, Turn& turn) {
    const auto peer = peers_.find(from);
    if (peer != peers_.end()) {
        turn.log(Level::Info, "Snapshotter left: " + peer->second.name);
    }
    forget(from);
}

void Resync::on_unreachable(const PeerId& peer) {
    forget(peer);
}

void Resync::forget(const PeerId& peer) {
    peers_.erase(peer);
    restore_.on_lost(peer);
}

std::vector<SnapshotterStatus> Resync::snapshotters() const {
    std::vector<SnapshotterStatus> all;
    for (const auto& [id, peer] : peers_) {
        all.push_back({peer.name, peer.durable, peer.saved, peer.last_heard});
    }
    return all;
}

}  // namespace broker
