// What the store makes sure of: that the directory is ours still, that there is room, and that what
// was saved can still be read.

#include <utility>

#include "snapshotter/storage/atomic_file.h"
#include "snapshotter/storage/file_names.h"
#include "snapshotter/storage/store.h"
#include "snapshotter/storage/store_state.h"

namespace snapshotter {

using common::ErrorKind;
using common::fail;
using common::Hash128;
using common::Result;
using common::WallTime;
using file_names::join;

namespace {

// What a probe writes: more than a file system keeps in its own structures.
constexpr std::size_t kProbeBytes = 16 * 1024;

std::string mebibytes(std::uint64_t bytes) {
    return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB";
}

}  // namespace

Result<bool> Store::check_directory() {
    const Result<FileInfo> there = files_.stat(options_.directory);
    if (!there && there.error().kind == ErrorKind::NotFound) {
        return fail(ErrorKind::Io, "the data directory " + options_.directory +
                                       " is gone; mount its disk again, or make the directory "
                                       "again: what is in memory is then saved into it");
    }
    if (!there) {
        return tl::unexpected(there.error());
    }
    if (there->device != device_) {
        return fail(ErrorKind::Io,
                    "the data directory " + options_.directory +
                        " is on another disk than at the start, as when its volume is not mounted "
                        "any more; mount it again, or restart the snapshotter to begin in the "
                        "directory that is there now");
    }
    if (lock_->is_in_place()) {
        return false;
    }
    lock_ = TRY(lock_directory(files_, options_.directory));
    TRY(files_.make_directories(path(file_names::kBackups)));
    return true;
}

// Not more than a look: what fills the disk to the last byte would stop others that write there.
Result<void> Store::check_room(std::uint64_t bytes) {
    const std::uint64_t free_bytes = TRY(files_.free_bytes(options_.directory));
    if (free_bytes < bytes) {
        return fail(ErrorKind::Io, "a save takes about " + mebibytes(bytes) + ", and the disk of " +
                                       options_.directory + " has " + mebibytes(free_bytes) +
                                       " left; free some space on that disk");
    }
    return {};
}

Result<void> Store::probe() {
    TRY(check_directory());
    TRY(check_room(state_->current ? state_->current->info.bytes : 0));
    const auto file = TRY(AtomicFile::open(files_, options_.directory, file_names::kMetadata));
    TRY(file->write(std::string(kProbeBytes, ' ')));
    return file->sync();
}

Result<CheckReport> Store::check(WallTime now) {
    TRY(check_directory());
    CheckReport report;
    TRY(check_session(now, report));
    TRY(check_backup(now, report));
    if (state_->metadata && state_->current && !report.good.empty()) {
        state_->metadata->verified = state_->current->verified;
        TRY(write_metadata_file());
    }
    return report;
}

Result<void> Store::check_session(WallTime now, CheckReport& report) {
    const std::string file = path(file_names::kSession);
    const Result<FileInfo> present = files_.stat(file);
    if (!state_->current || !present || *present != state_->current->info) {
        return {};  // missing, or somebody else's: the next save sees to that
    }
    Hash128 bytes_hash;
    const auto back = read_again(file, "Reading again what was saved", bytes_hash);
    const bool has_stamp = state_->current->position != common::Position{};
    if (back && back->has_value() == has_stamp &&
        (!has_stamp || (*back)->digest == state_->current->digest)) {
        state_->current->verified = now;
        report.good.push_back(file);
        return {};
    }
    state_->current.reset();
    const std::string why = back ? "it holds another session" : back.error().what;
    if (!back && back.error().kind == ErrorKind::Io) {
        report.damage.push_back("The session file cannot be read any more: " + why);
        return {};
    }
    report.damage.push_back("The session file has been damaged on the disk (" + why +
                            ") and was moved to " +
                            TRY(quarantine(options_.directory, file_names::kSession, now)));
    return {};
}

Result<void> Store::check_backup(WallTime now, CheckReport& report) {
    const std::string backups = path(file_names::kBackups);
    const std::string name = state_->backup;
    if (name.empty() || !files_.stat(join(backups, name))) {
        return {};
    }
    Hash128 bytes_hash;
    const auto back = read_again(join(backups, name), "Reading again what was saved", bytes_hash);
    if (back && (!*back || (*back)->digest == state_->backup_digest)) {
        state_->verified.insert(name);
        report.good.push_back(join(backups, name));
        return {};
    }
    state_->backup.clear();
    state_->backup_digest = {};
    state_->backup_modified_ns = 0;
    state_->verified.erase(name);
    const std::string why = back ? "it holds another session" : back.error().what;
    if (!back && back.error().kind == ErrorKind::Io) {
        report.damage.push_back("The backup " + name + " cannot be read any more: " + why);
        return {};
    }
    report.damage.push_back("The backup " + name + " has been damaged on the disk (" + why +
                            ") and was moved to " + TRY(quarantine(backups, name, now)));
    return {};
}

}  // namespace snapshotter
