#include "snapshotter/loop.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <utility>
#include <variant>

#include "common/config.h"
#include "common/io/clock.h"
#include "common/limits.h"
#include "snapshotter/handover.h"

namespace snapshotter {

using common::Instant;
using common::log_text;
using common::LogLevel;
using common::Millis;
using common::io::Sent;

namespace {

// The mirror's clock: well under limits::kBrokerLostMs.
constexpr Millis kTickMax{100};
constexpr Millis kHealthEvery{200};
// About 2 MiB of records, or beats.
constexpr std::size_t kPacketsPerTurn = 32;
constexpr Millis kOutboxKeeps{1'000};
constexpr Millis kErrorEvery{60'000};
// A reason may hold the names of many users.
constexpr std::size_t kReasonBytesMax = 500;

std::string in_mebibytes(std::uint64_t bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
    return text;
}

const char* result_of(SaveReport::Kind kind) {
    switch (kind) {
        case SaveReport::Kind::Written:
            return "written";
        case SaveReport::Kind::Unchanged:
            return "unchanged";
        case SaveReport::Kind::NotInitialised:
            return "not initialized";
    }
    return "";
}

// One goes with about every save; more than that, somebody has lowered a setting.
void log_removed(common::Log& log, const std::string& what, const std::vector<std::string>& names) {
    for (const std::string& name : names) {
        log.debug("Old " + what + " removed: " + name);
    }
    if (names.size() > 1) {
        log.info("Old " + what + " removed: " + std::to_string(names.size()) + ", from " +
                 names.front() + " to " + names.back());
    }
}

}  // namespace

Loop::Loop(LoopParts parts, const std::string& data_dir)
    : parts_(parts), started_(common::io::instant_now()) {
    status_.version = common::version();
    status_.data_dir = data_dir;
    status_.disk = parts.disk;
}

int Loop::run() {
    while (turn()) {
    }
    MirrorEffects effects;
    parts_.mirror.on_shutdown(effects);
    perform_all(effects, common::io::instant_now());
    return exit_code_;
}

bool Loop::turn() {
    if (!wait()) {
        exit_code_ = kExitFailed;
        return false;
    }
    const Instant now = common::io::instant_now();
    while (const auto signal = parts_.signals.take()) {
        if (!stopping_.asked()) {
            parts_.log.info("Stopping (" + *signal +
                            "): hearing the broker out, then saving. Ctrl-C ends at once, without "
                            "a save");
        }
        stopping_.ask(now);
    }
    receive_feed(now);
    receive_link(now);
    receive_done(now);
    receive_history(now);
    MirrorEffects effects;
    parts_.mirror.on_tick(now, effects);
    perform_all(effects, now);
    tidying_.on_turn(parts_.mirror.graph(), now);

    if (stopping_.start_save(now)) {
        parts_.schedule.request(reasons::kShutdown);
        parts_.schedule.hurry();
    }
    start_due_save(now);
    look_after_saves(now);
    send_link(now);
    publish_health(now);

    if (stopping_.give_up(now) && !parts_.schedule.running()) {
        parts_.log.error("Stopped without being able to save: " + log_text(status_.save_error));
        exit_code_ = kExitUnsaved;
        return false;
    }
    return !(stopping_.saving() && parts_.schedule.quiet() && parts_.worker.pending() == 0);
}

bool Loop::wait() {
    common::io::PollItem items[] = {
        {.socket = &parts_.feed},
        {.socket = &parts_.link, .want_write = !outbox_.empty()},
        {.descriptor = parts_.worker.descriptor()},
        {.descriptor = parts_.history ? parts_.history->descriptor() : parts_.worker.descriptor()},
        {.descriptor = parts_.signals.descriptor()}};
    Millis timeout = kTickMax;
    if (const auto due = parts_.schedule.next_due()) {
        timeout = std::clamp(*due - common::io::instant_now(), Millis(0), kTickMax);
    }
    const common::Result<int> ready = common::io::poll(items, timeout);
    if (!ready) {
        parts_.log.error("The loop cannot go on: " + ready.error().what);
    }
    return ready.has_value();
}

void Loop::receive_feed(Instant now) {
    for (std::size_t i = 0; i < kPacketsPerTurn; ++i) {
        auto received = parts_.feed.receive();
        if (!received) {
            count_malformed("feed: " + received.error().what);
            continue;
        }
        if (!*received) {
            return;
        }
        const auto message = common::feed::decode_feed(**received);
        if (!message) {
            count_malformed("feed: " + message.error().what);
        } else if (const auto* packet = std::get_if<common::feed::Packet>(&*message)) {
            receive_records(*packet, now);
        } else {
            MirrorEffects effects;
            parts_.mirror.on_beat(std::get<common::feed::Beat>(*message), now, effects);
            perform_all(effects, now);
        }
    }
}

void Loop::receive_records(const common::feed::Packet& packet, Instant now) {
    std::vector<common::feed::Frames> records;
    if (const auto read = packets_.read(packet, records); !read) {
        count_malformed("feed: " + read.error().what);
    }
    MirrorEffects effects;
    for (common::feed::Frames& record : records) {
        parts_.mirror.on_record(std::move(record), now, effects);
        perform_all(effects, now);
    }
}

void Loop::receive_link(Instant now) {
    for (std::size_t i = 0; i < common::limits::kMessagesPerTurnMax; ++i) {
        auto received = parts_.link.receive();
        if (!received) {
            count_malformed("link: " + received.error().what);
            continue;
        }
        if (!*received) {
            return;
        }
        auto message = common::feed::decode_link(**received);
        if (!message) {
            count_malformed("link: " + message.error().what);
            continue;
        }
        MirrorEffects effects;
        parts_.mirror.on_link(std::move(*message), now, effects);
        perform_all(effects, now);
    }
}

// A broker of another version, or a stranger. The mirror sees a gap and asks; people see this line,
// the 1st, 2nd, 4th, 8th .. time.
void Loop::count_malformed(const std::string& what) {
    if (std::has_single_bit(++status_.malformed_messages)) {
        parts_.log.error("Message " + std::to_string(status_.malformed_messages) +
                         " that cannot be read, on the " + log_text(what));
    }
}

void Loop::receive_done(Instant now) {
    for (const WorkerDone& done : parts_.worker.take_done()) {
        if (const auto* save = std::get_if<SaveDone>(&done)) {
            on_save_done(*save, now);
        } else if (const auto* pin = std::get_if<PinDone>(&done)) {
            on_pin_done(*pin);
        } else if (const auto* check = std::get_if<CheckDone>(&done)) {
            on_check_done(*check);
        } else if (trouble_.on_probe(std::get<ProbeDone>(done).outcome.has_value())) {
            parts_.schedule.hurry();
        }
    }
}

// How far everything is on disk, and what stands in the way.
void Loop::receive_history(Instant now) {
    if (parts_.history == nullptr) {
        return;
    }
    const HistoryReport report = parts_.history->take_report();
    if (report.durable) {
        MirrorEffects effects;
        parts_.mirror.on_durable(*report.durable, effects);
        perform_all(effects, now);
    }
    if (report.wants_save) {
        const bool removed = *report.wants_save == HistoryStop::Removed;
        parts_.log.error(std::string(removed ? "The history was removed from the disk"
                                             : "The disk does not follow: the history of the last "
                                               "changes is given up") +
                         "; a save of the whole session takes its place");
        parts_.schedule.request(removed ? reasons::kHistoryRemoved : reasons::kHistoryBehind);
    }
    if (report.error && now - history_error_said_ >= kErrorEvery) {
        history_error_said_ = now;
        parts_.log.error("The history is NOT written: " + log_text(*report.error, kReasonBytesMax) +
                         "; trying again");
    }
    log_removed(parts_.log, "history", report.removed);
    const HistoryStatus status = history_status(now);
    switch (durability_.on_age(status.age, now)) {
        case common::StallWatch::Says::Nothing:
            break;
        case common::StallWatch::Says::Stalled:
            parts_.log.error(
                "Changes of the last " + std::to_string(status.age->count() / 1000) +
                " s are NOT on disk yet: they would be lost if this machine failed now");
            break;
        case common::StallWatch::Says::Recovered:
            parts_.log.info("All changes are on disk again");
            break;
    }
}

HistoryStatus Loop::history_status(Instant now) const {
    HistoryStatus status = parts_.history->status(now);
    if (!parts_.mirror.graph().initialised()) {
        status.age.reset();  // there is no session that could be lost
    }
    return status;
}

void Loop::on_save_done(const SaveDone& done, Instant now) {
    if (parts_.history != nullptr) {
        parts_.history->save_ended(done.outcome && done.outcome->in_history);
    }
    if (done.outcome) {
        on_saved(*done.outcome, now);
        return;
    }
    status_.save_error = done.outcome.error().what;
    const std::string reason = log_text(done.reason, kReasonBytesMax);
    const std::string cause = log_text(status_.save_error, kReasonBytesMax);
    if (const auto line = trouble_.on_failed(cause, now)) {
        parts_.log.error("Session NOT saved (reason: " + reason + "): " + *line);
    } else {
        parts_.log.debug("Session not saved (reason: " + reason + "): " + cause);
    }
    MirrorEffects effects;
    for (const std::uint64_t answer : parts_.schedule.on_failed(now)) {
        parts_.mirror.on_save_answered(answer, false, status_.save_error, effects);
    }
    status_.save_failures = parts_.schedule.failures();
    ++status_.saves_failed;
    stopping_.on_save_failed(now);
    perform_all(effects, now);
}

void Loop::on_saved(const SaveReport& report, Instant now) {
    const std::string reason = log_text(report.reason, kReasonBytesMax);
    std::string line = "Session saved to disk (reason: " + reason + "): ";
    if (report.kind == SaveReport::Kind::NotInitialised) {
        line += "there is nothing in it yet, nobody has initialized it";
    } else {
        line += std::to_string(report.nodes) + " nodes, ";
        line += report.kind == SaveReport::Kind::Unchanged
                    ? "unchanged"
                    : in_mebibytes(report.file_bytes) + ", " + std::to_string(report.took.total) +
                          " ms";
        line += report.backup.empty() ? "" : ", backup " + report.backup;
        line += report.as_the_broker ? ", as the broker has it" : "";
    }
    parts_.log.info(line);
    if (const auto over = trouble_.on_saved(now)) {
        parts_.log.info(*over);
    }
    log_removed(parts_.log, "backups", report.removed);
    for (const std::string& warning : report.warnings) {
        parts_.log.warning(log_text(warning, kReasonBytesMax));
    }

    MirrorEffects effects;
    // Where there is no session, nothing can be lost: the broker need not wait for it either.
    const bool nothing_there = report.kind == SaveReport::Kind::NotInitialised;
    const common::Position& position = nothing_there ? saving_ : report.position;
    if (position != common::Position{}) {
        parts_.mirror.on_saved(position, report.saved, effects);
    }
    for (const std::uint64_t answer : parts_.schedule.on_saved()) {
        parts_.mirror.on_save_answered(answer, true, line, effects);
    }
    status_.save_failures = 0;
    ++status_.saves;
    status_.save_error.clear();
    if (report.disk) {
        status_.disk = report.disk;
    }
    if (report.kind == SaveReport::Kind::Written) {
        status_.verified = report.saved;
    }
    status_.last_save = Status::Save{.time = report.saved,
                                     .reason = report.reason,
                                     .result = result_of(report.kind),
                                     .file = report.file,
                                     .file_bytes = report.file_bytes,
                                     .took_ms = report.took.total,
                                     .position = report.position};
    perform_all(effects, now);
}

void Loop::on_check_done(const CheckDone& done) {
    if (!done.outcome) {
        parts_.log.error("What was saved could not be read again: " +
                         log_text(done.outcome.error().what, kReasonBytesMax));
        return;
    }
    for (const std::string& file : done.outcome->good) {
        parts_.log.info("Read again and found right: " + log_text(file, kReasonBytesMax));
    }
    for (const std::string& damage : done.outcome->damage) {
        parts_.log.error(log_text(damage, kReasonBytesMax));
    }
    if (!done.outcome->damage.empty()) {
        parts_.schedule.request(reasons::kDamaged);
    } else if (!done.outcome->good.empty()) {
        status_.verified = common::io::wall_now();
    }
}

void Loop::on_pin_done(const PinDone& done) {
    const std::string reason = log_text(done.reason, kReasonBytesMax);
    if (done.outcome) {
        parts_.log.warning("What was here before is kept as " + *done.outcome + " (" + reason +
                           "); it is never removed by us");
    } else if (done.outcome.error().kind != common::ErrorKind::NotFound) {
        parts_.log.error("What was here before could NOT be kept (" + reason +
                         "): " + log_text(done.outcome.error().what, kReasonBytesMax));
    }
}

void Loop::start_due_save(Instant now) {
    if (const auto due = parts_.schedule.due(now)) {
        SaveRequest request = save_request(parts_.mirror, due->reason, common::io::wall_now());
        saving_ = request.stamp.position;
        if (parts_.history != nullptr) {
            parts_.history->save_begins({request.stamp.position, request.stamp.lineage});
        }
        parts_.worker.submit(std::move(request));
    }
}

// What goes on beside the saves themselves.
void Loop::look_after_saves(Instant now) {
    if (trouble_.wants_probe(now)) {
        parts_.worker.probe();
    }
    if (parts_.schedule.check_due(now)) {
        parts_.worker.check(common::io::wall_now());
    }
    const std::optional<common::Progress> progress = parts_.worker.progress();
    status_.progress_percent = progress ? std::optional(percent(*progress)) : std::nullopt;
    if (const auto line = progress_log_.at(progress, now)) {
        parts_.log.info(*line);
    }
}

void Loop::perform_all(MirrorEffects& effects, Instant now) {
    for (MirrorEffect& effect : effects) {
        std::visit([&](auto& one) { perform(std::move(one), now); }, effect);
    }
    effects.clear();
}

void Loop::perform(SendLink effect, Instant now) {
    outbox_.push_back({common::feed::encode(effect.message), now + kOutboxKeeps});
    send_link(now);
}

void Loop::send_link(Instant now) {
    while (!outbox_.empty()) {
        if (outbox_.front().expires < now) {
            outbox_.pop_front();
            continue;
        }
        const common::Result<Sent> sent = parts_.link.send(outbox_.front().frames);
        if (!sent) {
            parts_.log.error("The link to the broker: " + sent.error().what);
        } else if (*sent != Sent::Done) {
            return;
        }
        outbox_.pop_front();
    }
}

void Loop::perform(AppliedRecord effect, Instant now) {
    const auto& mutation = effect.record.mutation;
    if (const auto* joined = std::get_if<common::UserJoined>(&mutation)) {
        parts_.log.info("User joined: " + log_text(joined->name));
    } else if (const auto* left = std::get_if<common::UserLeft>(&mutation)) {
        parts_.log.info("User disconnected: " + log_text(left->name));
        parts_.schedule.request(reasons::user_disconnect(left->name));
    } else if (std::holds_alternative<common::Initialised>(mutation)) {
        parts_.log.info("Session initialized by " + log_text(effect.record.user) + ": " +
                        std::to_string(parts_.mirror.graph().size()) + " nodes");
        // A new session is on disk at once, not at the next auto-save.
        parts_.schedule.request(reasons::kInitialised);
    } else if (std::holds_alternative<common::Cleared>(mutation)) {
        parts_.log.info("An upload was broken off: the session is not initialized");
    }
    if (parts_.history != nullptr) {
        parts_.history->add(std::move(effect), now);
    }
}

void Loop::perform(GraphReplaced effect, Instant) {
    if (parts_.history != nullptr) {
        parts_.history->on_replaced(effect.position);
    }
}

void Loop::perform(PinBackup effect, Instant) {
    parts_.worker.pin(pin_request(std::move(effect), common::io::wall_now()));
}

void Loop::perform(WantSave effect, Instant) {
    parts_.schedule.request(effect.reason, effect.request);
    if (effect.request != 0) {
        parts_.schedule.hurry();
    }
}

void Loop::perform(BrokerLost, Instant) {
    const bool it_said_so = parts_.mirror.broker_state() == common::feed::BrokerState::Stopped;
    stopping_.on_broker_lost();
    status_.broker_lost = true;
    if (it_said_so) {
        parts_.log.info("The broker is gone; waiting for the next one");
    } else {
        parts_.log.warning("Broker lost: nothing heard of it for " +
                           std::to_string(common::limits::kBrokerLostMs / 1000) +
                           " s; waiting for it to come back");
    }
}

void Loop::perform(BrokerBack, Instant) {
    stopping_.on_broker_back();
    status_.broker_lost = false;
    parts_.log.info("Broker found");
}

void Loop::perform(BrokerStopping, Instant) {
    stopping_.on_broker_stopping();
    parts_.log.info("The broker is stopping: waiting for its last changes");
}

void Loop::perform(BrokerStopped, Instant) {
    stopping_.on_broker_stopped();
    parts_.log.info("The broker has stopped: all its changes are here");
    // The broker waits to hear that they are on disk. If we are stopping too, that save follows.
    if (!stopping_.asked()) {
        parts_.schedule.request(reasons::kBrokerStopped);
        parts_.schedule.hurry();
    }
}

void Loop::perform(Resynced effect, Instant) {
    parts_.log.info("In step with the broker again: " + log_text(effect.how));
}

void Loop::perform(MirrorLog effect, Instant) {
    const auto level = [&] {
        switch (effect.level) {
            case MirrorLog::Level::Debug:
                return LogLevel::Debug;
            case MirrorLog::Level::Info:
                return LogLevel::Info;
            case MirrorLog::Level::Warning:
                return LogLevel::Warning;
            case MirrorLog::Level::Error:
                return LogLevel::Error;
        }
        return LogLevel::Error;
    }();
    parts_.log.write(level, effect.text);
}

void Loop::publish_health(Instant now) {
    if (parts_.health == nullptr || now - health_published_ < kHealthEvery) {
        return;
    }
    health_published_ = now;
    status_.uptime_seconds = (now - started_).count() / 1000;
    status_.broker = parts_.mirror.broker_state();
    status_.following = parts_.mirror.following();
    status_.lag = parts_.mirror.lag();
    status_.stopping = stopping_.asked();
    status_.holding = parts_.mirror.holding();
    status_.nodes = parts_.mirror.graph().size();
    status_.saving = parts_.schedule.running();
    status_.durable = parts_.mirror.durable();
    if (parts_.history != nullptr) {
        status_.history = history_status(now);
    }
    status_.log_lines_lost = parts_.log.lost();
    parts_.health->publish(summary(status_) == "ok", to_json(status_), to_metrics(status_));
}

}  // namespace snapshotter
