#include "snapshotter/mirror.h"

#include <algorithm>
#include <utility>

#include "common/limits.h"
#include "snapshotter/schedule.h"

namespace snapshotter {
namespace {

using common::Instant;
using common::Millis;
using common::Position;
namespace feed = common::feed;

// On the link we say something at least this often: Hello while something is wanted, else what is
// durable. The broker shows how long it has heard nothing.
constexpr Millis kSpeakEvery{1'000};
// A stream whose next piece does not come for so long is given up, and asked for anew.
constexpr Millis kStreamSilence{5'000};
constexpr Millis kBrokerLost{common::limits::kBrokerLostMs};

MirrorLog log_line(MirrorLog::Level level, std::string text) {
    return MirrorLog{level, std::move(text)};
}

}  // namespace

feed::Holding Mirror::State::holding() const {
    return feed::Holding{position,     lineage,      graph.timeline(), graph.initialised(),
                         graph.size(), last_mutation};
}

// Whether the history of this state passes through `earlier`.
bool Mirror::State::includes(const Position& earlier) const {
    const auto reaches = [&earlier](const Position& later) {
        return later.epoch == earlier.epoch && later.seq >= earlier.seq;
    };
    return reaches(position) ||
           std::any_of(lineage.begin(), lineage.end(),
                       [&](const common::LineageEntry& entry) { return reaches(entry.parent); });
}

Mirror::Mirror(std::uint64_t snapshotter, std::string name, std::optional<common::Whole> stored)
    : snapshotter_(snapshotter), name_(std::move(name)) {
    if (stored) {
        state_ = State{common::Graph(std::move(stored->graph)), stored->holding.position,
                       std::move(stored->holding.lineage), stored->holding.last_mutation};
    }
}

std::optional<feed::Holding> Mirror::holding() const {
    if (state_.position == Position{}) {
        return std::nullopt;
    }
    return state_.holding();
}

bool Mirror::following() const {
    return in_step_ && !lost_;
}

std::optional<common::Hash128> Mirror::broker_digest() const {
    return mark_ && mark_->first == state_.position ? std::optional(mark_->second) : std::nullopt;
}

std::optional<feed::BrokerState> Mirror::broker_state() const {
    return beat_ ? std::optional(beat_->state) : std::nullopt;
}

std::uint64_t Mirror::lag() const {
    if (!beat_) {
        return 0;
    }
    const std::uint64_t theirs = number(beat_->position.seq);
    const std::uint64_t ours = number(state_.position.seq);
    return theirs > ours ? theirs - ours : 0;
}

// ---- The feed ----------------------------------------------------------------------------------

void Mirror::on_record(feed::Frames frames, Instant now, MirrorEffects& effects) {
    if (distrusted_) {
        keep_early(std::move(frames));
        return;
    }
    switch (take_record(state_, frames, effects)) {
        case Fit::Applied:
            catch_up_with_beat(now, effects);
            break;
        case Fit::Known:
            break;
        case Fit::Gap:
            keep_early(std::move(frames));
            if (!streaming()) {
                lose_step(now, effects);
            }
            break;
        case Fit::Failed:
            distrust_self("a record of the broker cannot be applied", now, effects);
            break;
    }
}

Mirror::Fit Mirror::take_record(State& state, feed::Frames& frames, MirrorEffects& effects) {
    const auto record = feed::decode_record(frames);
    if (!record) {
        effects.emplace_back(
            log_line(MirrorLog::Level::Error, "A record cannot be read: " + record.error().what));
        return Fit::Failed;
    }
    if (const auto* start = std::get_if<common::EpochStarted>(&record->mutation)) {
        if (start->parent != state.position) {
            const bool from_nothing = start->parent == Position{} && !state.graph.initialised();
            if (!from_nothing) {
                return record->epoch == state.position.epoch ? Fit::Known : Fit::Gap;
            }
            state = State{};  // nothing that we hold is lost by that
        }
        state.lineage.push_back(common::LineageEntry{record->epoch, start->parent});
    } else if (record->epoch != state.position.epoch) {
        return Fit::Gap;
    } else if (record->seq <= state.position.seq) {
        return Fit::Known;
    } else if (record->seq != common::next(state.position.seq)) {
        return Fit::Gap;
    }
    if (const auto applied = state.graph.apply(record->mutation); !applied) {
        effects.emplace_back(
            log_line(MirrorLog::Level::Error, "Record " + std::to_string(number(record->seq)) +
                                                  " cannot be applied: " + applied.error().what));
        return Fit::Failed;
    }
    state.position =
        Position{record->epoch, record->seq, feed::chain_after(state.position.chain, frames)};
    if (common::is_work(record->mutation)) {
        state.last_mutation = record->time;
    }
    effects.emplace_back(AppliedRecord{std::move(*record), std::move(frames), state.position});
    return Fit::Applied;
}

void Mirror::on_beat(const feed::Beat& beat, Instant now, MirrorEffects& effects) {
    heard_ = now;
    if (lost_) {
        lost_ = false;
        effects.emplace_back(BrokerBack{});
    }
    const bool another = beat_ && beat_->position.epoch != beat.position.epoch;
    beat_ = beat;
    if (another ||
        (beat.state != feed::BrokerState::Stopping && beat.state != feed::BrokerState::Stopped)) {
        stopping_said_ = false;
        stopped_said_ = false;
    }
    if (beat.state == feed::BrokerState::Stopping || beat.state == feed::BrokerState::Stopped) {
        if (!std::exchange(stopping_said_, true)) {
            effects.emplace_back(BrokerStopping{});
        }
    }
    if (beat.state == feed::BrokerState::Restoring) {
        // It has nothing yet: what we hold is offered.
        if (std::exchange(in_step_, false) || greeted_ != beat.run) {
            say_hello(now, effects);
        }
        return;
    }
    catch_up_with_beat(now, effects);
}

// Compares where we are with the last beat.
void Mirror::catch_up_with_beat(Instant now, MirrorEffects& effects) {
    if (!beat_ || distrusted_ || streaming() || beat_->state == feed::BrokerState::Restoring) {
        return;
    }
    const Position& theirs = beat_->position;
    const Position& ours = state_.position;
    if (theirs.epoch == ours.epoch && theirs.seq < ours.seq) {
        return;  // the link was faster than the feed
    }
    if (theirs.epoch != ours.epoch || theirs.seq > ours.seq) {
        lose_step(now, effects);
        return;
    }
    if (theirs.chain != ours.chain) {
        effects.emplace_back(
            log_line(MirrorLog::Level::Error,
                     "The mirror's history is not the broker's at " + common::to_string(ours)));
        effects.emplace_back(WantSave{reasons::kMirrorError});
        apart_ = true;
        lose_step(now, effects);
        return;
    }
    if (beat_->digest) {
        mark_ = {ours, *beat_->digest};
    }
    if (beat_->digest && *std::exchange(beat_->digest, std::nullopt) != state_.graph.digest()) {
        distrust_self("the mirror's graph is not the broker's at " + common::to_string(ours), now,
                      effects);
        return;
    }
    in_step_ = true;
    apart_ = false;
    if (beat_->state == feed::BrokerState::Stopped && !std::exchange(stopped_said_, true)) {
        effects.emplace_back(BrokerStopped{});
    }
}

// ---- Getting in step ---------------------------------------------------------------------------

void Mirror::say_hello(Instant now, MirrorEffects& effects) {
    spoke_ = now;
    // To a broker that has a graph, what is not trusted is nothing. To one that has none it is the
    // best there is: said to be nothing, the session would be lost.
    const bool offered = state_.graph.initialised() && beat_ &&
                         (beat_->state == feed::BrokerState::Restoring ||
                          beat_->state == feed::BrokerState::Waiting);
    greeted_ = beat_ ? beat_->run : 0;
    effects.emplace_back(SendLink{feed::Hello{
        snapshotter_, name_, distrusted_ && !offered ? std::nullopt : holding(), *greeted_}});
}

void Mirror::lose_step(Instant now, MirrorEffects& effects) {
    tail_.reset();
    whole_.reset();
    if (std::exchange(in_step_, false) || !spoke_) {
        say_hello(now, effects);  // the first time at once, then every second
    }
}

void Mirror::distrust_self(const std::string& why, Instant now, MirrorEffects& effects) {
    effects.emplace_back(
        log_line(MirrorLog::Level::Error, "Mirror error: " + why +
                                              ". Its last good state is saved, and "
                                              "the broker's whole graph asked for"));
    effects.emplace_back(WantSave{reasons::kMirrorError});
    distrusted_ = true;
    tail_.reset();
    whole_.reset();
    in_step_ = false;
    say_hello(now, effects);
}

void Mirror::keep_early(feed::Frames frames) {
    early_bytes_ += common::total_size(frames);
    early_.push_back(std::move(frames));
    while (early_bytes_ > common::limits::kEarlyRecordsBytesMax) {
        early_bytes_ -= common::total_size(early_.front());
        early_.pop_front();
    }
}

void Mirror::drain_early(Instant now, MirrorEffects& effects) {
    for (feed::Frames& frames : std::exchange(early_, {})) {
        if (take_record(state_, frames, effects) == Fit::Failed) {
            early_bytes_ = 0;
            distrust_self("a record of the broker cannot be applied", now, effects);
            return;
        }
    }
    early_bytes_ = 0;
    catch_up_with_beat(now, effects);
}

void Mirror::on_link(feed::LinkMessage message, Instant now, MirrorEffects& effects) {
    if (auto* verdict = std::get_if<feed::Verdict>(&message)) {
        on_verdict(std::move(*verdict), now, effects);
    } else if (auto* piece = std::get_if<feed::Piece>(&message)) {
        on_piece(std::move(*piece), now, effects);
    } else if (const auto* pull = std::get_if<feed::Pull>(&message)) {
        for (feed::Piece& next : restore_.on_pull(*pull)) {
            effects.emplace_back(SendLink{std::move(next)});
        }
    } else if (const auto* broken = std::get_if<feed::StreamBroken>(&message)) {
        const bool ours = (tail_ && tail_->stream == broken->stream) ||
                          (whole_ && whole_->stream() == broken->stream);
        if (ours) {
            tail_.reset();
            whole_.reset();
            say_hello(now, effects);
        } else if (restore_.giving() && restore_stream_ == broken->stream) {
            restore_.cancel();
        }
    } else if (const auto* save = std::get_if<feed::SaveNow>(&message)) {
        effects.emplace_back(WantSave{reasons::manual(save->reason), save->request});
    }
}

void Mirror::on_verdict(feed::Verdict verdict, Instant now, MirrorEffects& effects) {
    stream_heard_ = now;
    switch (verdict.kind) {
        case feed::Verdict::Kind::Wait:
            return;
        case feed::Verdict::Kind::UpToDate:
            tail_.reset();
            whole_.reset();
            drain_early(now, effects);
            return;
        case feed::Verdict::Kind::Tail:
            whole_.reset();
            tail_.emplace();
            tail_->stream = verdict.stream;
            if (distrusted_) {
                tail_->beside.emplace();
            }
            break;
        case feed::Verdict::Kind::Whole:
            if (verdict.pin_first && state_.graph.initialised()) {
                effects.emplace_back(
                    PinBackup{state_.graph.copy(), state_.holding(), verdict.reason});
            }
            apart_ = apart_ || verdict.pin_first;
            tail_.reset();
            whole_.emplace(verdict.stream);
            break;
        case feed::Verdict::Kind::Restore:
            if (const auto holds = holding()) {
                restore_stream_ = verdict.stream;
                restore_.begin(verdict.stream, state_.graph.copy(), *holds);
                effects.emplace_back(log_line(MirrorLog::Level::Info,
                                              "Giving the session to the broker: " +
                                                  std::to_string(holds->node_count) + " nodes"));
            }
            return;
    }
    effects.emplace_back(SendLink{
        feed::Pull{verdict.stream, static_cast<std::uint32_t>(common::limits::kWholeCredit)}});
}

void Mirror::on_piece(feed::Piece piece, Instant now, MirrorEffects& effects) {
    stream_heard_ = now;
    if (whole_ && whole_->stream() == piece.stream) {
        on_whole_piece(std::move(piece), now, effects);
    } else if (tail_ && tail_->stream == piece.stream) {
        on_tail_piece(std::move(piece), now, effects);
    }
}

void Mirror::on_tail_piece(feed::Piece piece, Instant now, MirrorEffects& effects) {
    if (piece.number != tail_->next_piece++) {
        tail_.reset();
        say_hello(now, effects);
        return;
    }
    State& state = tail_->beside ? *tail_->beside : state_;
    for (feed::Frames& frames : piece.records) {
        const Fit fit = take_record(state, frames, effects);
        if (fit == Fit::Failed && !tail_->beside) {
            distrust_self("a record of the broker cannot be applied", now, effects);
            return;
        }
        if (fit == Fit::Failed || fit == Fit::Gap) {
            effects.emplace_back(log_line(
                MirrorLog::Level::Warning,
                "The broker's tail does not go on from " + common::to_string(state.position)));
            tail_.reset();
            return;  // Hello again within a second
        }
        tail_->records += fit == Fit::Applied ? 1 : 0;
    }
    if (!piece.last) {
        effects.emplace_back(SendLink{feed::Pull{piece.stream, 1}});
        return;
    }
    if (tail_->beside) {
        state_ = std::move(*tail_->beside);
        distrusted_ = false;
        effects.emplace_back(GraphReplaced{state_.position});
        effects.emplace_back(WantSave{reasons::kAfterResync});
    }
    if (tail_->records > 0) {
        effects.emplace_back(Resynced{"a tail of " + std::to_string(tail_->records) + " records"});
    }
    tail_.reset();
    drain_early(now, effects);
}

void Mirror::on_whole_piece(feed::Piece piece, Instant now, MirrorEffects& effects) {
    const std::uint64_t stream = piece.stream;
    auto whole = whole_->on_piece(std::move(piece));
    if (!whole) {
        effects.emplace_back(
            log_line(MirrorLog::Level::Warning,
                     "The broker's whole graph is broken off: " + whole.error().what));
        whole_.reset();
        return;  // Hello again within a second
    }
    if (!*whole) {
        effects.emplace_back(SendLink{feed::Pull{stream, 1}});
        return;
    }
    common::Whole complete = std::move(**whole);
    whole_.reset();
    const Position& theirs = complete.holding.position;
    if (!distrusted_ && !apart_ && theirs.epoch == state_.position.epoch &&
        theirs.seq < state_.position.seq) {
        drain_early(now, effects);
        return;
    }
    state_ = State{common::Graph(std::move(complete.graph)), complete.holding.position,
                   std::move(complete.holding.lineage), complete.holding.last_mutation};
    distrusted_ = false;
    apart_ = false;
    effects.emplace_back(
        Resynced{"the whole graph, " + std::to_string(state_.graph.size()) + " nodes"});
    effects.emplace_back(GraphReplaced{state_.position});
    effects.emplace_back(WantSave{reasons::kAfterResync});
    drain_early(now, effects);
}

// ---- Time, saves, the end ----------------------------------------------------------------------

// What the broker gives us of its session, or of the records that we miss.
std::optional<common::Progress> Mirror::taking() const {
    if (whole_) {
        return common::Progress{"Taking the session from the broker", whole_->nodes_received(),
                                whole_->nodes()};
    }
    if (tail_) {
        return common::Progress{"Catching up with the broker", tail_->records,
                                tail_->records + lag()};
    }
    return std::nullopt;
}

void Mirror::log_progress(Instant now, MirrorEffects& effects) {
    if (const auto line = taking_log_.at(taking(), now)) {
        effects.emplace_back(log_line(MirrorLog::Level::Info, *line));
    }
    if (const auto line = giving_log_.at(restore_.progress(), now)) {
        effects.emplace_back(log_line(MirrorLog::Level::Info, *line));
    }
}

void Mirror::on_tick(Instant now, MirrorEffects& effects) {
    log_progress(now, effects);
    if (lost_) {
        return;
    }
    if (now - heard_ > kBrokerLost) {
        lost_ = true;
        in_step_ = false;
        tail_.reset();
        whole_.reset();
        restore_.cancel();
        spoke_.reset();
        effects.emplace_back(BrokerLost{});
        effects.emplace_back(WantSave{reasons::kBrokerLost});
        return;
    }
    if (streaming() && now - stream_heard_ > kStreamSilence) {
        tail_.reset();
        whole_.reset();
    }
    if (streaming() || (spoke_ && now - *spoke_ < kSpeakEvery)) {
        return;
    }
    if (in_step_ && durable_) {
        spoke_ = now;
        effects.emplace_back(SendLink{*durable_});
    } else {
        say_hello(now, effects);
    }
}

void Mirror::on_durable(const Position& position, MirrorEffects& effects) {
    say_durable(position, durable_ ? durable_->saved : common::WallTime{}, effects);
}

void Mirror::on_saved(const Position& position, common::WallTime saved, MirrorEffects& effects) {
    say_durable(position, saved, effects);
}

void Mirror::say_durable(const Position& position, common::WallTime saved, MirrorEffects& effects) {
    if (distrusted_) {
        return;  // kept, but not to be relied on
    }
    const bool goes_back =
        durable_ && state_.includes(durable_->position) && durable_->position.seq > position.seq;
    durable_ = feed::Durable{goes_back ? durable_->position : position, saved};
    if (!lost_) {
        effects.emplace_back(SendLink{*durable_});
    }
}

void Mirror::on_save_answered(std::uint64_t request, bool ok, std::string text,
                              MirrorEffects& effects) {
    effects.emplace_back(SendLink{feed::Saved{request, ok, std::move(text)}});
}

void Mirror::on_shutdown(MirrorEffects& effects) {
    effects.emplace_back(SendLink{feed::Bye{snapshotter_}});
}

}  // namespace snapshotter
