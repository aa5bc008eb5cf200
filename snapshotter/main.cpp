// holdfast-snapshotter: builds the parts, connects them, runs the loop. Wiring only.

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>

#include "common/config.h"
#include "common/io/clock.h"
#include "common/io/http_server.h"
#include "common/io/random.h"
#include "common/io/signals.h"
#include "common/io/zmq_socket.h"
#include "common/log.h"
#include "common/pickle_classes.h"
#include "common/progress.h"
#include "snapshotter/commands/command_line.h"
#include "snapshotter/commands/run.h"
#include "snapshotter/commands/save_now.h"
#include "snapshotter/handover.h"
#include "snapshotter/loop.h"
#include "snapshotter/mirror.h"
#include "snapshotter/save_worker.h"
#include "snapshotter/schedule.h"
#include "snapshotter/storage/file_names.h"
#include "snapshotter/storage/posix_file_system.h"
#include "snapshotter/storage/store.h"

namespace {

using common::Error;
using common::Log;
using common::log_text;
using common::Result;
using common::Settings;
using namespace snapshotter;

// A burst that the mirror has not taken yet; what is over it is lost on the feed and comes by the
// link.
constexpr int kFeedMessagesMax = static_cast<int>(common::limits::kFeedPacketsMax);
// For the last words to the broker.
constexpr common::Millis kLinkLinger{1'000};

int failed(Log& log, const Error& error, int exit_code) {
    log.error("Cannot start: " + log_text(error.what, 1000));
    return exit_code;
}

std::string absolute_path(const std::string& path) {
    std::error_code error;
    const auto absolute = std::filesystem::absolute(path, error);
    return error ? path : absolute.lexically_normal().string();
}

std::string host_name() {
    char name[256] = "";
    return gethostname(name, sizeof name - 1) == 0 ? name : "unknown host";
}

void log_banner(Log& log, const Settings& settings, const std::string& data_dir) {
    log.info(std::string("Holdfast snapshotter ") + common::version());
    log.info("Data directory: " + log_text(data_dir, 1000));
    log.info("Auto-save interval: " + std::to_string(settings.save_interval.count()) + " seconds");
    log.info("Backups kept: the newest " + std::to_string(settings.backups_max) +
             ", and the last one of each of " + std::to_string(settings.keep_hourly) + " hours, " +
             std::to_string(settings.keep_daily) + " days and " +
             std::to_string(settings.keep_weekly) + " weeks; pinned ones always");
    log.info("History kept: " + std::to_string(settings.history_days) + " days, at most " +
             std::to_string(settings.history_bytes_max >> 20) + " MiB; on disk within " +
             std::to_string(settings.history_sync.count()) + " ms");
    log.info("Feed: " + settings.feed + ", link: " + settings.link +
             ", health: " + to_string(settings.health));
}

// Loud, because a volume that was not mounted looks like a fresh directory.
void log_recovered(Log& log, const Recovered& recovered, const std::string& data_dir) {
    for (const std::string& note : recovered.notes) {
        log.warning(log_text(note, 1000));
    }
    if (!recovered.session) {
        log.warning("FRESH data directory, there is no session in " + log_text(data_dir, 1000));
        log.warning(
            "If you expected one: stop, and check that this is the right directory or "
            "volume. Else the first admin to press Init starts a new session");
        return;
    }
    const bool initialised = recovered.session->graph.initialised;
    const auto& metadata = recovered.metadata;
    log.info("Previous session found: " + log_text(recovered.file, 1000));
    log.info("  Timestamp: " + file_names::iso_local(recovered.stamp.saved));
    log.info(std::string("  Initialized: ") + (initialised ? "yes" : "no"));
    if (recovered.changes > 0) {
        log.info("  Changes after that, from the history: " + std::to_string(recovered.changes) +
                 ", the last one at " + file_names::iso_local(recovered.stamp.last_mutation));
    }
    log.info("  Nodes: " + std::to_string(recovered.session->graph.nodes.size()));
    log.info("  Reason: " + (recovered.restored_by_hand ? "put there by hand"
                             : recovered.from_backup    ? "from a backup"
                             : metadata                 ? log_text(metadata->reason, 500)
                                                        : "unknown"));
}

// Nothing goes without having been named: whoever lowered a setting by mistake has until the next
// save of a change, and can pin.
std::optional<DiskUse> log_disk(Log& log, PosixFileSystem& files, Store& store) {
    const auto tell = [&](const char* one, const char* several,
                          const std::vector<std::string>& names) {
        if (names.empty()) {
            return;
        }
        std::string list;
        for (const std::string& name : names) {
            list += " " + name;
        }
        log.warning(std::to_string(names.size()) + " " + (names.size() == 1 ? one : several) +
                    " more than the settings keep, and will be removed with the next save of a "
                    "change:" +
                    log_text(list, 3000));
    };
    const common::WallTime now = common::io::wall_now();
    tell("backup is", "backups are", store.to_be_removed(now).value_or(std::vector<std::string>()));
    tell("file of the history is", "files of the history are", store.history()->to_be_removed(now));
    const Result<DiskUse> use = disk_use(files, store.directory());
    if (!use) {
        log.warning(log_text(use.error().what, 1000));
        return std::nullopt;
    }
    log.info("On disk: " + to_string(*use));
    return *use;
}

int run(const Settings& settings, common::io::Signals& signals, Log& log) {
    const std::string data_dir = absolute_path(settings.data_dir);
    log_banner(log, settings, data_dir);

    PosixFileSystem files;
    HistoryOptions history_options;
    history_options.age_max = std::chrono::hours(24) * settings.history_days;
    history_options.bytes_max = settings.history_bytes_max;
    auto store = Store::open(files, {.directory = data_dir,
                                     .backups_max = settings.backups_max,
                                     .version = common::version(),
                                     .keep_hourly = settings.keep_hourly,
                                     .keep_daily = settings.keep_daily,
                                     .keep_weekly = settings.keep_weekly,
                                     .history = history_options});
    if (!store) {
        const bool locked = store.error().kind == common::ErrorKind::Busy;
        return failed(log, store.error(), locked ? kExitLocked : kExitFailed);
    }
    common::ProgressLog progress_log;
    (*store)->tell_progress([&](const common::Progress& progress) {
        if (const auto line = progress_log.at(progress, common::io::instant_now())) {
            log.info(*line);
        }
    });
    auto recovered =
        (*store)->recover(common::io::wall_now(), common::Epoch{common::io::random_id()});
    if (!recovered) {
        return failed(log, recovered.error(), kExitFailed);
    }
    log_recovered(log, *recovered, data_dir);
    const std::optional<DiskUse> disk = log_disk(log, files, **store);

    std::unique_ptr<common::io::HttpServer> health;
    if (!settings.health.off()) {
        auto opened = common::io::HttpServer::open(settings.health);
        if (!opened) {
            return failed(log, opened.error(), kExitFailed);
        }
        health = std::move(*opened);
    }

    common::io::ZmqContext context;
    const auto connected =
        [&](common::io::ZmqKind kind, const common::io::ZmqOptions& options,
            const std::string& endpoint) -> Result<std::unique_ptr<common::io::ZmqSocket>> {
        auto socket = TRY(common::io::ZmqSocket::open(context, kind, options));
        TRY(socket->connect(endpoint));
        return socket;
    };
    const std::uint64_t id = common::io::random_id();
    const auto feed = connected(common::io::ZmqKind::Sub,
                                {.receive_messages_max = kFeedMessagesMax}, settings.feed);
    const auto link = connected(
        common::io::ZmqKind::Dealer,
        {.linger = kLinkLinger, .routing_id = "snapshotter-" + std::to_string(id)}, settings.link);
    if (!feed || !link) {
        return failed(log, feed ? link.error() : feed.error(), kExitFailed);
    }

    const bool save_soon = wants_save(*recovered);
    // Of what is promised, half is for gathering changes and half for the disk.
    HistoryQueue queue({.delay = settings.history_sync / 2}, recovered->history_base);
    Mirror mirror(id, host_name() + ":" + data_dir, stored_whole(std::move(*recovered)));
    Schedule schedule(settings.save_interval, common::io::instant_now());
    if (save_soon) {
        schedule.request(reasons::kRecovered);
    }
    History& past = *(*store)->history();
    SaveWorker worker(std::move(*store));
    HistoryWorker history(past, std::move(queue));
    Loop loop(
        {mirror, schedule, worker, **feed, **link, signals, health.get(), log, disk, &history},
        data_dir);
    const int exit_code = loop.run();
    log.info(exit_code == kExitOk ? "Stopped, everything is saved" : "Stopped");
    return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
    const Settings settings = common::settings_or_exit(common::Program::Snapshotter, argc, argv,
                                                       commands::commands_help());
    common::allow_classes(settings.classes);
    if (settings.action == common::Action::Health) {
        return common::io::print_health(settings.health);
    }
    if (settings.action == common::Action::SaveNow) {
        return commands::save_now(settings);
    }
    if (settings.action == common::Action::Command) {
        return commands::run(settings);
    }
    // Before the log, which has threads.
    const auto signals = common::io::Signals::open();
    if (!signals) {
        std::fprintf(stderr, "holdfast-snapshotter: %s\n", signals.error().what.c_str());
        return kExitFailed;
    }
    const auto log = Log::open({.level = settings.log_level, .file = settings.log_file});
    if (!log) {
        std::fprintf(stderr, "holdfast-snapshotter: LOG_FILE: %s\n", log.error().what.c_str());
        return 2;
    }
    return run(settings, **signals, **log);
}
