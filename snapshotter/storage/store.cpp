#include "snapshotter/storage/store.h"

#include <algorithm>
#include <utility>

#include "common/verify.h"
#include "snapshotter/storage/atomic_file.h"
#include "snapshotter/storage/file_names.h"
#include "snapshotter/storage/recovery.h"
#include "snapshotter/storage/session_reader.h"
#include "snapshotter/storage/store_state.h"

namespace snapshotter {

using common::Bytes;
using common::Epoch;
using common::Error;
using common::ErrorKind;
using common::fail;
using common::Hash128;
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

}  // namespace

Store::Store(FileSystem& files, StoreOptions options, std::unique_ptr<FileLock> lock,
             std::uint64_t device)
    : files_(files),
      options_(std::move(options)),
      lock_(std::move(lock)),
      device_(device),
      state_(std::make_unique<State>()) {}

Store::~Store() = default;

std::string Store::path(const std::string& name) const {
    return join(options_.directory, name);
}

void Store::tell_progress(common::TellProgress progress) {
    progress_ = std::move(progress);
}

Result<std::unique_ptr<FileLock>> lock_directory(FileSystem& files, const std::string& directory) {
    auto lock = files.lock(join(directory, file_names::kLock));
    if (!lock && lock.error().kind == ErrorKind::Busy) {
        return fail(ErrorKind::Busy,
                    "the data directory " + directory + " is in use by another snapshotter (" +
                        lock.error().what +
                        "); stop that one, or give this one a directory of its own");
    }
    return lock;
}

Result<std::unique_ptr<Store>> Store::open(FileSystem& files, StoreOptions options) {
    TRY(files.make_directories(join(options.directory, file_names::kBackups)));
    auto lock = TRY(lock_directory(files, options.directory));
    const std::uint64_t device = TRY(files.stat(options.directory)).device;
    return std::unique_ptr<Store>(new Store(files, std::move(options), std::move(lock), device));
}

// ---- recover -----------------------------------------------------------------------------------

Result<void> Store::recover_leftovers() {
    for (const std::string& directory : {options_.directory, path(file_names::kBackups)}) {
        for (const std::string& name : TRY(files_.list(directory))) {
            if (file_names::is_temporary(name)) {
                TRY(files_.remove(join(directory, name)));
            }
        }
        // What is found is gone on from, even where the save that gave it its name was killed
        // before that was synced.
        TRY(files_.sync_directory(directory));
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
    Result<SessionFile> session =
        load_session(files_, file, common::telling(progress_, "Loading the session"));
    if (!session) {
        // The file may be good where the disk only does not give it.
        return fail(session.error().kind, file + ": " + session.error().what);
    }
    return session;
}

// The newest backup that can be read. The damaged ones before it are added to `damaged`.
Result<std::optional<std::pair<std::string, SessionFile>>> Store::recover_backup(
    const std::vector<std::string>& names, std::vector<Error>& damage,
    std::vector<std::string>& damaged) {
    std::vector<BackupHead> backups;
    for (const std::string& name : names) {
        const std::optional<Backup> backup = file_names::parse_backup(name);
        if (backup && !backup->pinned) {
            const auto head = peek_session(files_, join(path(file_names::kBackups), name));
            backups.push_back({*backup, head ? head->stamp : std::nullopt});
        }
    }
    sort_newest_first(backups);
    for (const BackupHead& backup : backups) {
        const std::string name = name_of(backup.backup);
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
    const std::size_t dot = name.rfind('.');
    const std::string stem = name.substr(0, dot);
    std::string when = name_of(Backup{file_names::local_time(now), 1, false});
    when = when.substr(when.find('_') + 1);
    when = when.substr(0, when.rfind('.')) + name.substr(dot);
    std::string target = stem + ".damaged_" + when;
    for (int number = 2; contains(taken, target); ++number) {
        target = stem + ".damaged_" + std::to_string(number) + "_" + when;
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
    past_ = TRY(recover_reader());

    const std::string file = path(file_names::kSession);
    const Result<FileInfo> info = files_.stat(file);
    if (!info && info.error().kind != ErrorKind::NotFound) {
        return tl::unexpected(info.error());
    }
    std::vector<Error> damage;
    if (info) {
        Result<SessionFile> session = load(file);
        if (session) {
            TRY(recover_current(std::move(*session), *info, now, fresh_epoch, recovered));
            TRY(recover_damaged_history(recovered));
            return recovered;
        }
        if (!is_damage(session.error())) {
            return tl::unexpected(session.error());
        }
        damage.push_back(session.error());
    }
    TRY(recover_older(now, fresh_epoch, damage, recovered));
    TRY(recover_damaged_history(recovered));
    return recovered;
}

// session_snapshot.db is good.
Result<void> Store::recover_current(SessionFile session, const FileInfo& info, WallTime now,
                                    Epoch fresh_epoch, Recovered& recovered) {
    recovered.file = path(file_names::kSession);
    if (!session.stamp) {
        recovered.restored_by_hand = true;
        recovered.stamp = begin_history(session, now, fresh_epoch);
    } else {
        recovered.stamp = *session.stamp;
    }
    const Position stands_at = recovered.stamp.position;
    const SessionClues clues =
        find_clues(files_, options_.directory, info, recovered.metadata,
                   past_ ? past_->current_saves() : std::vector<HistorySave>());
    if (session.stamp && !is_last_save(*session.stamp, clues)) {
        recovered.restored_by_hand = true;
        branch_off(recovered.stamp, now, fresh_epoch);
    }
    state_->current = CurrentFile{.info = info,
                                  .bytes_hash = {},
                                  .digest = recovered.stamp.digest,
                                  // Without a stamp the file holds no position: to be rewritten.
                                  .position = session.stamp ? stands_at : Position{},
                                  .timeline = session.graph.timeline,
                                  .verified = now};
    if (recovered.metadata) {
        state_->backup = recovered.metadata->backup;
        state_->backup_digest = recovered.metadata->backup_digest;
        state_->backup_modified_ns = recovered.metadata->backup_modified_ns;
        if (!recovered.restored_by_hand) {
            state_->metadata = recovered.metadata;
        }
    }
    recovered.session = std::move(session);
    return recovered.restored_by_hand ? Result<void>() : recover_history(recovered);
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
    if (!found && !TRY(recover_from_nothing(recovered))) {
        return recover_nothing(names, damage, recovered);
    }
    // Only now, when something good is at hand, is anything moved: otherwise the next start would
    // find an empty directory.
    if (has_session) {
        const std::string moved = TRY(quarantine(options_.directory, file_names::kSession, now));
        recovered.notes.push_back("The session file is damaged and was moved to " + moved + " (" +
                                  damage.front().what + ")");
    } else if (found) {
        recovered.notes.push_back(file +
                                  " is missing, though there are backups. To start a fresh "
                                  "session instead, clear the whole directory " +
                                  options_.directory);
    }
    for (const std::string& name : damaged) {
        const std::string moved = TRY(quarantine(backups, name, now));
        recovered.notes.push_back("The backup " + name + " is damaged and was moved to " + moved);
    }
    recovered.from_backup = true;
    if (!found) {
        return {};
    }
    auto& [name, session] = *found;
    recovered.file = join(backups, name);
    recovered.notes.push_back("The session is taken from the newest good backup, " +
                              recovered.file);
    const bool has_stamp = session.stamp.has_value();
    recovered.stamp = has_stamp ? *session.stamp : begin_history(session, now, fresh_epoch);
    state_->verified.insert(name);
    state_->backup = name;
    state_->backup_digest = recovered.stamp.digest;
    state_->backup_modified_ns = 0;
    recovered.session = std::move(session);
    return has_stamp ? recover_history(recovered) : Result<void>();
}

std::string Store::next_step() const {
    return ". Copy a good session file to " + path(file_names::kSession) +
           ", or clear the whole directory to start a fresh session, then start again";
}

// No session file and no backup that can be read: fresh only if there never was any.
Result<void> Store::recover_nothing(const std::vector<std::string>& backups,
                                    const std::vector<Error>& damage, const Recovered& recovered) {
    if (!damage.empty()) {
        return fail(damage.front().kind, "there is a session in " + options_.directory +
                                             ", but neither it nor any backup can be read (" +
                                             damage.front().what + ")" + next_step());
    }
    for (const std::string& name : backups) {
        if (file_names::parse_backup(name)) {
            return fail(ErrorKind::NotFound, "there is no session file in " + options_.directory +
                                                 ", only pinned backups such as " + name +
                                                 next_step());
        }
    }
    if (recovered.metadata && recovered.metadata->initialised) {
        return fail(ErrorKind::NotFound,
                    path(file_names::kMetadata) + " tells of a session of " +
                        std::to_string(recovered.metadata->node_count) +
                        " nodes, but there is neither a session file nor a backup" + next_step());
    }
    const Result<std::vector<std::string>> quarantined = files_.list(path(file_names::kQuarantine));
    if (quarantined && !quarantined->empty()) {
        return fail(ErrorKind::NotFound, "all that is left of a session in " + options_.directory +
                                             " is damaged, in quarantine" + next_step());
    }
    if (!quarantined && quarantined.error().kind != ErrorKind::NotFound) {
        return tl::unexpected(quarantined.error());
    }
    return {};
}

}  // namespace snapshotter
