// The save path of the store: what is written, in which order, and what a failure leaves behind.

#include <chrono>
#include <utility>

#include "common/verify.h"
#include "snapshotter/retention.h"
#include "snapshotter/storage/atomic_file.h"
#include "snapshotter/storage/file_names.h"
#include "snapshotter/storage/store.h"
#include "snapshotter/storage/store_state.h"

namespace snapshotter {

using common::ErrorKind;
using common::fail;
using common::GraphCopy;
using common::Hash128;
using common::Result;
using common::SessionStamp;
using common::Timeline;
using common::WallTime;
using file_names::Backup;
using file_names::join;

namespace {

class Stopwatch {
public:
    std::int64_t milliseconds() const {
        return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start_).count();
    }

private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point start_ = Clock::now();
};

RetentionPolicy policy_of(const StoreOptions& options) {
    return {options.backups_max, options.keep_hourly, options.keep_daily, options.keep_weekly};
}

std::string unused_backup_name(const std::vector<std::string>& taken, WallTime now, bool pinned) {
    Backup backup{file_names::local_time(now), 1, pinned};
    while (contains(taken, name_of(backup))) {
        ++backup.number;
    }
    return name_of(backup);
}

}  // namespace

// A session file under its temporary name, synced, read back and found right.
struct Store::Written {
    std::unique_ptr<AtomicFile> file;
    FileInfo info;
};

void Store::progress(const char* what, std::uint64_t done, std::uint64_t total) const {
    if (progress_) {
        progress_({what, done, total});
    }
}

Result<std::optional<SessionStamp>> Store::read_again(const std::string& file, const char* what,
                                                      Hash128& bytes_hash) {
    const std::uint64_t total = TRY(files_.stat(file)).bytes;
    const auto reader = TRY(HashedReader::open(files_, file));
    const auto stamp = TRY(common::check_session_file([&] {
        progress(what, reader->bytes(), total);
        return reader->read();
    }));
    TRY(reader->read_rest());
    bytes_hash = reader->hash();
    return stamp;
}

Result<Store::Written> Store::write_session(const std::string& directory, const std::string& name,
                                            const GraphCopy& graph, const SessionStamp& stamp,
                                            SaveReport::Times& took) {
    Written written;
    const Stopwatch write;
    const std::uint64_t total = common::session_bytes(graph);
    written.file = TRY(AtomicFile::open(files_, directory, name));
    TRY(common::write_session_file(
        graph, stamp, options_.gzip_level,
        [&file = *written.file](std::string_view piece) { return file.write(piece); },
        [&](std::uint64_t done) { progress("Saving", done, total); }));
    took.write = write.milliseconds();

    const Stopwatch sync;
    TRY(written.file->sync());
    took.sync = sync.milliseconds();

    const Stopwatch verify;
    const std::string& temporary = written.file->temporary_path();
    written.info = TRY(files_.stat(temporary));
    Hash128 bytes_hash;
    const auto back = read_again(temporary, "Saving, reading back", bytes_hash);
    if (!back) {
        return fail(ErrorKind::Io, "what was written to " + temporary +
                                       " cannot be read back: " + back.error().what);
    }
    if (!*back || (*back)->digest != stamp.digest || (*back)->position != stamp.position ||
        bytes_hash != written.file->hash()) {
        return fail(ErrorKind::Io,
                    "what was written to " + temporary + " came back as another save");
    }
    took.verify = verify.milliseconds();
    return written;
}

// Keeps session_snapshot.db, whatever it holds, from being overwritten by what comes next.
Result<std::string> Store::pin_current(WallTime now) {
    const std::string backups = path(file_names::kBackups);
    const std::string name = unused_backup_name(TRY(files_.list(backups)), now, true);
    const std::string file = path(file_names::kSession);
    const std::uint64_t total = TRY(files_.stat(file)).bytes;
    TRY(check_room(total));
    TRY(copy_file(files_, file, backups, name, std::nullopt, [&](std::uint64_t done) {
        progress("Saving, writing the backup", done, total);
    }));
    return join(backups, name);
}

// What must be kept before a save of `timeline` takes the place of session_snapshot.db.
Result<void> Store::save_what_is_replaced(const Result<FileInfo>& present, Timeline timeline,
                                          WallTime now, std::vector<std::string>& warnings) {
    if (!present && present.error().kind != ErrorKind::NotFound) {
        return tl::unexpected(present.error());
    }
    if (!present || state_->kept == *present) {
        return {};
    }
    const std::string file = path(file_names::kSession);
    const bool ours = state_->current && state_->current->info == *present;
    if (!ours) {
        warnings.push_back(file + " was put there while the session is running; it is kept as " +
                           TRY(pin_current(now)) +
                           ". To restore it: stop broker and snapshotter, copy it over " + file +
                           ", start them");
    } else if (state_->current->timeline != timeline && state_->current->digest != state_->pinned) {
        warnings.push_back("another session takes the place of the one in " + file +
                           "; that one is kept as " + TRY(pin_current(now)));
    } else {
        return {};
    }
    state_->kept = *present;  // once, however often the save is tried
    return {};
}

Result<void> Store::save_session(const SaveRequest& request, const SessionStamp& stamp,
                                 SaveReport& report) {
    TRY(check_room(state_->current ? state_->current->info.bytes : 0));
    Written written = TRY(
        write_session(options_.directory, file_names::kSession, request.graph, stamp, report.took));
    // As late as can be: writing takes long enough for somebody to put a file there.
    TRY(save_what_is_replaced(files_.stat(report.file), request.graph.timeline, request.now,
                              report.warnings));
    const HistorySave row{stamp.digest, stamp.position, stamp.saved, written.info.modified_ns};
    report.in_history = history_begins(row, report);
    if (history_ && !report.in_history) {
        TRY(withdraw_backup_time(stamp));
    }
    const Stopwatch sync;
    const Result<void> committed = written.file->commit();
    // Renamed or not: what is there now is known.
    const Result<FileInfo> now_there = files_.stat(path(file_names::kSession));
    if (committed || (now_there && *now_there == written.info)) {
        state_->current = CurrentFile{.info = written.info,
                                      .bytes_hash = written.file->hash(),
                                      .digest = stamp.digest,
                                      .position = stamp.position,
                                      .timeline = request.graph.timeline,
                                      .verified = request.now,
                                      .lasting = committed.has_value()};
    }
    TRY(committed);
    history_placed(row, report);
    report.took.sync += sync.milliseconds();
    return {};
}

// A session file that has no row, though an earlier one of the same state has, would be taken for a
// copy of the backup: its time is in the history no more than that of a copy is.
Result<void> Store::withdraw_backup_time(const SessionStamp& stamp) {
    std::vector<std::string> notes;
    std::optional<Metadata> metadata = TRY(recover_metadata(notes));
    if (!metadata || metadata->position != stamp.position || metadata->backup_modified_ns == 0) {
        return {};
    }
    metadata->backup_modified_ns = 0;
    return replace_file(files_, options_.directory, file_names::kMetadata,
                        write_metadata(*metadata));
}

Result<void> Store::save_backup(const SessionStamp& stamp, SaveReport& report) {
    const std::string backups = path(file_names::kBackups);
    TRY(files_.make_directories(backups));
    const std::vector<std::string> names = TRY(files_.list(backups));
    if (state_->backup_digest == stamp.digest && contains(names, state_->backup)) {
        return {};  // a save without changes takes no slot
    }
    const std::string name = unused_backup_name(names, stamp.saved, false);
    TRY(check_room(report.file_bytes));
    TRY(copy_file(files_, report.file, backups, name, state_->current->bytes_hash,
                  [&](std::uint64_t done) {
                      progress("Saving, writing the backup", done, report.file_bytes);
                  }));
    state_->backup = name;
    state_->backup_digest = stamp.digest;
    state_->backup_modified_ns = TRY(files_.stat(join(backups, name))).modified_ns;
    state_->verified.insert(name);
    report.backup = name;
    return {};
}

Result<void> Store::save_metadata(const SaveRequest& request, const SessionStamp& stamp,
                                  const SaveReport& report) {
    Metadata& metadata = state_->metadata.emplace();
    metadata.time = stamp.saved;
    metadata.reason = request.reason;
    metadata.initialised = request.graph.initialised;
    metadata.node_count = report.nodes;
    metadata.file_bytes = report.file_bytes;
    metadata.digest = stamp.digest;
    metadata.position = stamp.position;
    metadata.timeline = request.graph.timeline;
    metadata.last_change = stamp.last_mutation;
    metadata.verified = state_->current ? state_->current->verified : WallTime{};
    for (const auto& [name, ignored] : request.graph.metadata) {
        metadata.users.push_back(name);
    }
    metadata.backup = state_->backup;
    metadata.backup_digest = state_->backup_digest;
    // Without a row of this file, the row of the same save written earlier has another time.
    metadata.backup_modified_ns = report.in_history ? state_->backup_modified_ns : 0;
    metadata.version = options_.version;
    return write_metadata_file();
}

Result<void> Store::write_metadata_file() {
    return replace_file(files_, options_.directory, file_names::kMetadata,
                        write_metadata(*state_->metadata));
}

Result<void> Store::save_retention(WallTime now, SaveReport& report) {
    const std::string backups = path(file_names::kBackups);
    std::vector<BackupFile> present;
    for (std::string& name : TRY(files_.list(backups))) {
        const bool verified = state_->verified.contains(name);
        present.push_back({std::move(name), verified});
    }
    for (const std::string& name :
         backups_to_remove(present, policy_of(options_), file_names::local_time(now))) {
        TRY(files_.remove(join(backups, name)));
        state_->verified.erase(name);
        report.removed.push_back(name);
    }
    return report.removed.empty() ? Result<void>() : files_.sync_directory(backups);
}

Result<std::vector<std::string>> Store::to_be_removed(WallTime now) const {
    std::vector<BackupFile> present;
    for (std::string& name : TRY(files_.list(path(file_names::kBackups)))) {
        present.push_back({std::move(name), true});
    }
    return backups_to_remove(present, policy_of(options_), file_names::local_time(now));
}

Result<SaveReport> Store::save(const SaveRequest& request) {
    const Stopwatch total;
    SaveReport report;
    report.file = path(file_names::kSession);
    report.reason = request.reason;
    report.saved = request.now;
    report.position = request.stamp.position;
    SessionStamp stamp = request.stamp;
    stamp.saved = request.now;

    if (TRY(check_directory())) {
        report.warnings.push_back("the data directory " + options_.directory +
                                  " was made anew by somebody; it is locked and used again");
    }
    if (const auto renewed = history_ ? history_->renew() : Result<void>(); !renewed) {
        report.warnings.push_back("the history cannot be written: " + renewed.error().what);
    }
    const Result<FileInfo> present = files_.stat(report.file);
    if (!present && present.error().kind != ErrorKind::NotFound) {
        return tl::unexpected(present.error());
    }
    if (!request.graph.initialised) {
        report.kind = SaveReport::Kind::NotInitialised;
        if (!present) {
            TRY(save_metadata(request, stamp, report));
        }
        return report;
    }

    report.nodes = request.graph.nodes.size();
    stamp.digest = request.graph.digest();
    report.as_the_broker = request.broker_digest == stamp.digest;
    if (request.broker_digest && !report.as_the_broker) {
        report.warnings.push_back(
            "the broker holds something else at this position than what is saved here");
    }
    if (is_saved(present, stamp)) {
        report.kind = SaveReport::Kind::Unchanged;
        history_unchanged({stamp.digest, stamp.position, stamp.saved, present->modified_ns},
                          report);
    } else {
        report.kind = SaveReport::Kind::Written;
        TRY(save_session(request, stamp, report));
    }
    report.file_bytes = state_->current->info.bytes;

    // The session is safe. What goes wrong from here on is made good by the next save.
    const Stopwatch backup;
    const auto warn = [&report](const char* what, const Result<void>& outcome) {
        if (!outcome) {
            report.warnings.push_back(std::string(what) + ": " + outcome.error().what);
        }
    };
    if (report.kind == SaveReport::Kind::Written) {
        warn("no backup was made", save_backup(stamp, report));
        warn("damaged history was not moved away", save_damaged_history(request.now, report));
    }
    warn("the metadata were not renewed", save_metadata(request, stamp, report));
    warn("old backups were not removed", save_retention(request.now, report));
    const Result<DiskUse> disk = disk_use(files_, options_.directory);
    warn("the disk use was not measured", disk ? Result<void>() : tl::unexpected(disk.error()));
    report.disk = disk ? std::optional(*disk) : std::nullopt;
    report.took.backup = backup.milliseconds();
    report.took.total = total.milliseconds();
    return report;
}

// Whether the session file, and a backup of it, hold exactly this already.
bool Store::is_saved(const Result<FileInfo>& present, const SessionStamp& stamp) {
    const std::optional<CurrentFile>& current = state_->current;
    if (!present || !current || current->info != *present || !current->lasting ||
        current->digest != stamp.digest || current->position != stamp.position) {
        return false;
    }
    return state_->backup_digest == stamp.digest &&
           files_.stat(join(path(file_names::kBackups), state_->backup)).has_value();
}

Result<std::string> Store::pin(const SaveRequest& request) {
    if (!request.graph.initialised) {
        return fail(ErrorKind::NotFound, "there is no session to keep");
    }
    SessionStamp stamp = request.stamp;
    stamp.saved = request.now;
    stamp.digest = request.graph.digest();
    TRY(check_directory());
    const std::string backups = path(file_names::kBackups);
    TRY(files_.make_directories(backups));
    const std::string name = unused_backup_name(TRY(files_.list(backups)), request.now, true);
    SaveReport::Times took;
    const Written written = TRY(write_session(backups, name, request.graph, stamp, took));
    TRY(written.file->commit());
    state_->pinned = stamp.digest;
    return join(backups, name);
}

}  // namespace snapshotter
