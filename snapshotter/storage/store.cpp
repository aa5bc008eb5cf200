#include "snapshotter/storage/store.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "common/verify.h"
#include "snapshotter/retention.h"
#include "snapshotter/storage/atomic_file.h"
#include "snapshotter/storage/file_names.h"

namespace snapshotter {

using common::Bytes;
using common::Epoch;
using common::Error;
using common::ErrorKind;
using common::fail;
using common::GraphCopy;
using common::Hash128;
using common::Lineage;
using common::Position;
using common::Result;
using common::Seq;
using common::SessionFile;
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

// Whether what stands at `position` goes on from `recorded`, or is it.
bool continues(const Position& position, const Lineage& lineage, const Position& recorded) {
    const auto reaches = [&recorded](const Position& later) {
        return later == recorded ||
               (later.epoch == recorded.epoch && number(later.seq) > number(recorded.seq));
    };
    return recorded == Position{} || reaches(position) ||
           std::any_of(lineage.begin(), lineage.end(),
                       [&](const common::LineageEntry& entry) { return reaches(entry.parent); });
}

// A file that the addon wrote knows nothing of positions: it begins a history of its own.
SessionStamp begin_history(SessionFile& session, WallTime now, Epoch fresh_epoch) {
    session.graph.timeline = Timeline{number(fresh_epoch)};
    SessionStamp stamp;
    stamp.digest = session.graph.digest();
    stamp.position = {fresh_epoch, Seq{1}, stamp.digest};
    stamp.lineage = {{fresh_epoch, Position{}}};
    stamp.last_mutation = now;
    stamp.saved = now;
    return stamp;
}

// Somebody went back to an older save. That is a decision, newer than all that came after that
// save, so it gets an epoch of its own and cannot be taken for something that was overtaken.
void branch_off(SessionStamp& stamp, WallTime now, Epoch fresh_epoch) {
    stamp.lineage.push_back({fresh_epoch, stamp.position});
    stamp.position.epoch = fresh_epoch;
    stamp.last_mutation = now;
}

bool is_damage(const Error& error) {
    return error.kind == ErrorKind::BadInput || error.kind == ErrorKind::Limit;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

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

// session_snapshot.db as we have written or read it.
struct CurrentFile {
    FileInfo info;
    Hash128 digest;
    Position position;
    Timeline timeline{};
    WallTime verified{};
    bool lasting = true;  // its name has been synced
};

struct Store::State {
    std::optional<CurrentFile> current;
    std::string backup;  // the newest one, as far as we know what it holds
    Hash128 backup_digest;
    std::set<std::string> verified;  // names of backups
    Hash128 pinned;                  // the digest of the last one that pin() kept
};

// A session file under its temporary name, synced, read back and found right.
struct Store::Written {
    std::unique_ptr<AtomicFile> file;
    Bytes bytes;
    FileInfo info;
};

Store::Store(FileSystem& files, StoreOptions options, std::unique_ptr<FileLock> lock)
    : files_(files),
      options_(std::move(options)),
      lock_(std::move(lock)),
      state_(std::make_unique<State>()) {}

Store::~Store() = default;

std::string Store::path(const std::string& name) const {
    return join(options_.directory, name);
}

Result<std::unique_ptr<Store>> Store::open(FileSystem& files, StoreOptions options) {
    TRY(files.make_directories(join(options.directory, file_names::kBackups)));
    auto lock = files.lock(join(options.directory, file_names::kLock));
    if (!lock && lock.error().kind == ErrorKind::Busy) {
        return fail(ErrorKind::Busy,
                    "the data directory " + options.directory +
                        " is in use by another snapshotter (" + lock.error().what +
                        "); stop that one, or give this one a directory of its own");
    }
    if (!lock) {
        return tl::unexpected(lock.error());
    }
    return std::unique_ptr<Store>(new Store(files, std::move(options), std::move(*lock)));
}

// ---- recover -----------------------------------------------------------------------------------

Result<void> Store::recover_leftovers() {
    for (const std::string& directory : {options_.directory, path(file_names::kBackups)}) {
        for (const std::string& name : TRY(files_.list(directory))) {
            if (file_names::is_temporary(name)) {
                TRY(files_.remove(join(directory, name)));
            }
        }
    }
    return {};
}

Result<std::optional<Metadata>> Store::recover_metadata(std::vector<std::string>& notes) {
    const std::string file = path(file_names::kMetadata);
    const Result<Bytes> bytes = files_.read(file);
    if (!bytes) {
        return bytes.error().kind == ErrorKind::NotFound
                   ? Result<std::optional<Metadata>>(std::nullopt)
                   : Result<std::optional<Metadata>>(tl::unexpected(bytes.error()));
    }
    Result<Metadata> metadata = read_metadata(bytes->view());
    if (!metadata) {
        notes.push_back(file + " cannot be understood: " + metadata.error().what +
                        ". It is written anew with the next save");
        return std::optional<Metadata>();
    }
    return std::optional<Metadata>(std::move(*metadata));
}

Result<SessionFile> Store::load(const std::string& file) {
    const Bytes bytes = TRY(files_.read(file));
    Result<SessionFile> session = common::read_session_file(bytes);
    if (!session) {
        return fail(session.error().kind, file + ": " + session.error().what);
    }
    return session;
}

// The newest backup that can be read. The damaged ones before it are added to `damaged`.
Result<std::optional<std::pair<std::string, SessionFile>>> Store::recover_backup(
    const std::vector<std::string>& names, std::vector<Error>& damage,
    std::vector<std::string>& damaged) {
    std::vector<Backup> backups;
    for (const std::string& name : names) {
        const std::optional<Backup> backup = file_names::parse_backup(name);
        if (backup && !backup->pinned) {
            backups.push_back(*backup);
        }
    }
    std::sort(backups.begin(), backups.end(), std::greater<>());
    for (const Backup& backup : backups) {
        const std::string name = name_of(backup);
        Result<SessionFile> session = load(join(path(file_names::kBackups), name));
        if (session) {
            return std::pair(name, std::move(*session));
        }
        if (!is_damage(session.error())) {
            return tl::unexpected(session.error());
        }
        damage.push_back(session.error());
        damaged.push_back(name);
    }
    return std::nullopt;
}

Result<std::string> Store::quarantine(const std::string& directory, const std::string& name,
                                      WallTime now) {
    const std::string quarantine = path(file_names::kQuarantine);
    TRY(files_.make_directories(quarantine));
    const std::vector<std::string> taken = TRY(files_.list(quarantine));
    const std::string stem = name.substr(0, name.rfind('.'));
    const std::string when = name_of(Backup{file_names::local_time(now), 1, false});
    std::string target = stem + ".damaged_" + when.substr(when.find('_') + 1);
    for (int number = 2; contains(taken, target); ++number) {
        target =
            stem + ".damaged_" + std::to_string(number) + "_" + when.substr(when.find('_') + 1);
    }
    TRY(files_.rename(join(directory, name), join(quarantine, target)));
    TRY(files_.sync_directory(quarantine));
    TRY(files_.sync_directory(directory));
    return join(quarantine, target);
}

Result<Recovered> Store::recover(WallTime now, Epoch fresh_epoch) {
    VERIFY(number(fresh_epoch) != 0);
    TRY(recover_leftovers());
    Recovered recovered;
    recovered.metadata = TRY(recover_metadata(recovered.notes));

    const std::string file = path(file_names::kSession);
    const Result<FileInfo> info = files_.stat(file);
    if (!info && info.error().kind != ErrorKind::NotFound) {
        return tl::unexpected(info.error());
    }
    std::vector<Error> damage;
    if (info) {
        Result<SessionFile> session = load(file);
        if (session) {
            recover_current(std::move(*session), *info, now, fresh_epoch, recovered);
            return recovered;
        }
        if (!is_damage(session.error())) {
            return tl::unexpected(session.error());
        }
        damage.push_back(session.error());
    }
    TRY(recover_older(now, fresh_epoch, damage, recovered));
    return recovered;
}

// session_snapshot.db is good.
void Store::recover_current(SessionFile session, const FileInfo& info, WallTime now,
                            Epoch fresh_epoch, Recovered& recovered) {
    recovered.file = path(file_names::kSession);
    if (!session.stamp) {
        recovered.restored_by_hand = true;
        recovered.stamp = begin_history(session, now, fresh_epoch);
    } else {
        recovered.stamp = *session.stamp;
    }
    const Position stands_at = recovered.stamp.position;
    if (session.stamp && recovered.metadata &&
        !continues(stands_at, session.stamp->lineage, recovered.metadata->position)) {
        recovered.restored_by_hand = true;
        branch_off(recovered.stamp, now, fresh_epoch);
    }
    state_->current = CurrentFile{.info = info,
                                  .digest = recovered.stamp.digest,
                                  // Without a stamp the file holds no position: to be rewritten.
                                  .position = session.stamp ? stands_at : Position{},
                                  .timeline = session.graph.timeline,
                                  .verified = now};
    if (recovered.metadata) {
        state_->backup = recovered.metadata->backup;
        state_->backup_digest = recovered.metadata->backup_digest;
    }
    recovered.session = std::move(session);
}

// session_snapshot.db is damaged or not there.
Result<void> Store::recover_older(WallTime now, Epoch fresh_epoch, std::vector<Error>& damage,
                                  Recovered& recovered) {
    const bool has_session = !damage.empty();
    const std::string file = path(file_names::kSession);
    const std::string backups = path(file_names::kBackups);
    const std::vector<std::string> names = TRY(files_.list(backups));
    std::vector<std::string> damaged;
    auto found = TRY(recover_backup(names, damage, damaged));
    if (!found) {
        return recover_nothing(names, damage, recovered);
    }
    // Only now, when something good is at hand, is anything moved: otherwise the next start would
    // find an empty directory.
    if (has_session) {
        const std::string moved = TRY(quarantine(options_.directory, file_names::kSession, now));
        recovered.notes.push_back("The session file is damaged and was moved to " + moved + " (" +
                                  damage.front().what + ")");
    } else {
        recovered.notes.push_back(file +
                                  " is missing, though there are backups. To start a fresh "
                                  "session instead, clear the whole directory " +
                                  options_.directory);
    }
    for (const std::string& name : damaged) {
        const std::string moved = TRY(quarantine(backups, name, now));
        recovered.notes.push_back("The backup " + name + " is damaged and was moved to " + moved);
    }
    auto& [name, session] = *found;
    recovered.file = join(backups, name);
    recovered.from_backup = true;
    recovered.notes.push_back("The session is taken from the newest good backup, " +
                              recovered.file);
    recovered.stamp = session.stamp ? *session.stamp : begin_history(session, now, fresh_epoch);
    state_->verified.insert(name);
    state_->backup = name;
    state_->backup_digest = recovered.stamp.digest;
    recovered.session = std::move(session);
    return {};
}

// No session file and no backup that can be read: fresh only if there never was any.
Result<void> Store::recover_nothing(const std::vector<std::string>& backups,
                                    const std::vector<Error>& damage, const Recovered& recovered) {
    const std::string next_step =
        ". Copy a good session file to " + path(file_names::kSession) +
        ", or clear the whole directory to start a fresh session, then start again";
    if (!damage.empty()) {
        return fail(damage.front().kind, "there is a session in " + options_.directory +
                                             ", but neither it nor any backup can be read (" +
                                             damage.front().what + ")" + next_step);
    }
    for (const std::string& name : backups) {
        if (file_names::parse_backup(name)) {
            return fail(ErrorKind::NotFound, "there is no session file in " + options_.directory +
                                                 ", only pinned backups such as " + name +
                                                 next_step);
        }
    }
    if (recovered.metadata && recovered.metadata->initialised) {
        return fail(ErrorKind::NotFound,
                    path(file_names::kMetadata) + " tells of a session of " +
                        std::to_string(recovered.metadata->node_count) +
                        " nodes, but there is neither a session file nor a backup" + next_step);
    }
    const Result<std::vector<std::string>> quarantined = files_.list(path(file_names::kQuarantine));
    if (quarantined && !quarantined->empty()) {
        return fail(ErrorKind::NotFound, "all that is left of a session in " + options_.directory +
                                             " is damaged, in quarantine" + next_step);
    }
    if (!quarantined && quarantined.error().kind != ErrorKind::NotFound) {
        return tl::unexpected(quarantined.error());
    }
    return {};
}

// ---- save --------------------------------------------------------------------------------------

Result<Store::Written> Store::write_session(const std::string& directory, const std::string& name,
                                            const GraphCopy& graph, const SessionStamp& stamp,
                                            SaveReport::Times& took) {
    Written written;
    const Stopwatch write;
    written.file = TRY(AtomicFile::open(files_, directory, name));
    TRY(common::write_session_file(
        graph, stamp, options_.gzip_level,
        [&file = *written.file](std::string_view piece) { return file.write(piece); }));
    took.write = write.milliseconds();

    const Stopwatch sync;
    TRY(written.file->sync());
    took.sync = sync.milliseconds();

    const Stopwatch verify;
    const std::string& temporary = written.file->temporary_path();
    written.bytes = TRY(files_.read(temporary));
    written.info = TRY(files_.stat(temporary));
    const Result<std::optional<SessionStamp>> back = common::check_session_file(written.bytes);
    if (!back) {
        return fail(ErrorKind::Io, "what was written to " + temporary +
                                       " cannot be read back: " + back.error().what);
    }
    if (!*back || (*back)->digest != stamp.digest || (*back)->position != stamp.position) {
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
    const Bytes bytes = TRY(files_.read(path(file_names::kSession)));
    TRY(replace_file(files_, backups, name, bytes.view()));
    return join(backups, name);
}

// What must be kept before a save of `timeline` takes the place of session_snapshot.db.
Result<void> Store::save_what_is_replaced(const Result<FileInfo>& present, Timeline timeline,
                                          WallTime now, std::vector<std::string>& warnings) {
    if (!present) {
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
    }
    return {};
}

Result<void> Store::save_session(const SaveRequest& request, const SessionStamp& stamp,
                                 SaveReport& report, Bytes& bytes) {
    Written written = TRY(
        write_session(options_.directory, file_names::kSession, request.graph, stamp, report.took));
    const Stopwatch sync;
    const Result<void> committed = written.file->commit();
    // Renamed or not: what is there now is known.
    const Result<FileInfo> now_there = files_.stat(path(file_names::kSession));
    if (now_there && *now_there == written.info) {
        state_->current = CurrentFile{.info = written.info,
                                      .digest = stamp.digest,
                                      .position = stamp.position,
                                      .timeline = request.graph.timeline,
                                      .verified = request.now,
                                      .lasting = committed.has_value()};
    }
    TRY(committed);
    report.took.sync += sync.milliseconds();
    bytes = written.bytes;
    return {};
}

Result<void> Store::save_backup(const SessionStamp& stamp, const Bytes& bytes, SaveReport& report) {
    const std::string backups = path(file_names::kBackups);
    TRY(files_.make_directories(backups));
    const std::vector<std::string> names = TRY(files_.list(backups));
    if (state_->backup_digest == stamp.digest && contains(names, state_->backup)) {
        return {};  // a save without changes takes no slot
    }
    const std::string name = unused_backup_name(names, stamp.saved, false);
    TRY(replace_file(files_, backups, name, bytes.view()));
    state_->backup = name;
    state_->backup_digest = stamp.digest;
    state_->verified.insert(name);
    report.backup = name;
    return {};
}

Result<void> Store::save_metadata(const SaveRequest& request, const SessionStamp& stamp,
                                  const SaveReport& report) {
    Metadata metadata;
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
    metadata.version = options_.version;
    return replace_file(files_, options_.directory, file_names::kMetadata,
                        write_metadata(metadata));
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
    Bytes bytes;
    if (is_saved(present, stamp)) {
        report.kind = SaveReport::Kind::Unchanged;
    } else {
        report.kind = SaveReport::Kind::Written;
        TRY(save_what_is_replaced(present, request.graph.timeline, request.now, report.warnings));
        TRY(save_session(request, stamp, report, bytes));
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
        warn("no backup was made", save_backup(stamp, bytes, report));
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
