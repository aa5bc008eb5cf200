#include "snapshotter/commands/moments.h"

#include <algorithm>
#include <utility>

#include "snapshotter/commands/time_text.h"
#include "snapshotter/storage/file_names.h"

namespace snapshotter::commands {

using common::ErrorKind;
using common::fail;
using common::Result;
using common::SessionFile;
using common::WallTime;
using file_names::Backup;
using file_names::join;
using Kind = StoredSave::Kind;

namespace {

Result<void> add_save(FileSystem& files, Kind kind, const std::string& directory,
                      const std::string& name, std::vector<StoredSave>& saves) {
    StoredSave save{kind, name, join(directory, name), {}};
    const Result<FileInfo> info = files.stat(save.path);
    if (info) {
        save.info = *info;
        saves.push_back(std::move(save));
        return {};
    }
    // It may have gone since it was listed.
    return info.error().kind == ErrorKind::NotFound ? Result<void>() : tl::unexpected(info.error());
}

Result<void> add_backups(FileSystem& files, const std::string& directory,
                         std::vector<StoredSave>& saves) {
    const Result<std::vector<std::string>> names = files.list(directory);
    if (!names) {
        return names.error().kind == ErrorKind::NotFound ? Result<void>()
                                                         : tl::unexpected(names.error());
    }
    std::vector<Backup> backups;
    for (const std::string& name : *names) {
        if (const auto backup = file_names::parse_backup(name)) {
            backups.push_back(*backup);
        }
    }
    std::sort(backups.begin(), backups.end(), [](const Backup& a, const Backup& b) {
        return a.pinned != b.pinned ? b.pinned : a > b;
    });
    for (const Backup& backup : backups) {
        TRY(add_save(files, backup.pinned ? Kind::Pinned : Kind::Backup, directory, name_of(backup),
                     saves));
    }
    return {};
}

std::string without_directory(std::string name) {
    const std::string backups = std::string(file_names::kBackups) + "/";
    return name.starts_with(backups) ? name.substr(backups.size()) : name;
}

}  // namespace

Moments::Moments(FileSystem& files, std::string data_dir, std::vector<StoredSave> saves)
    : files_(&files), data_dir_(std::move(data_dir)), saves_(std::move(saves)) {}

Result<Moments> Moments::open(FileSystem& files, const std::string& data_dir) {
    const Result<std::vector<std::string>> names = files.list(data_dir);
    if (!names && names.error().kind == ErrorKind::NotFound) {
        return fail(ErrorKind::NotFound, "there is no data directory " + data_dir +
                                             "; name the right one with --data-dir or DATA_DIR");
    }
    if (!names) {
        return tl::unexpected(names.error());
    }
    std::vector<StoredSave> saves;
    if (std::find(names->begin(), names->end(), file_names::kSession) != names->end()) {
        TRY(add_save(files, Kind::Session, data_dir, file_names::kSession, saves));
    }
    TRY(add_backups(files, join(data_dir, file_names::kBackups), saves));
    return Moments(files, data_dir, std::move(saves));
}

Result<Moment> Moments::load(const std::string& path, std::string source) const {
    const common::Bytes bytes = TRY(files_->read(path));
    Result<SessionFile> session = common::read_session_file(bytes);
    if (!session) {
        return fail(session.error().kind, path + ": " + session.error().what);
    }
    return Moment{std::move(session->graph), std::move(session->stamp), std::move(source), {}};
}

Result<Moment> Moments::present() const {
    std::vector<std::string> notes;
    for (const StoredSave& save : saves_) {
        if (save.kind == Kind::Pinned) {
            break;
        }
        Result<Moment> moment = load(save.path, save.name);
        if (moment) {
            moment->notes = std::move(notes);
            return moment;
        }
        if (moment.error().kind != ErrorKind::BadInput && moment.error().kind != ErrorKind::Limit) {
            return moment;
        }
        notes.push_back("damaged: " + moment.error().what);
    }
    return fail(ErrorKind::NotFound,
                "there is no session in " + data_dir_ +
                    (notes.empty() ? std::string() : " that can be read (" + notes.front() + ")"));
}

Result<StoredSave> Moments::find_save(const std::string& name) const {
    const std::string wanted = without_directory(name);
    const auto found = std::find_if(saves_.begin(), saves_.end(), [&](const StoredSave& save) {
        return save.name == wanted || save.name == wanted + ".db";
    });
    if (found == saves_.end()) {
        return fail(ErrorKind::NotFound, "there is no backup '" + name + "' in " + data_dir_ +
                                             "; holdfast-snapshotter list shows them all");
    }
    return *found;
}

Result<Moment> Moments::named(const std::string& name) const {
    const Result<StoredSave> save = find_save(name);
    if (save) {
        return load(save->path, save->name);
    }
    if (!files_->stat(name)) {
        return fail(ErrorKind::NotFound, "'" + name + "' is neither a backup in " + data_dir_ +
                                             " nor a file; holdfast-snapshotter list shows the "
                                             "backups");
    }
    return load(name, name);
}

// The newest save made at that time or before it.
Result<Moment> Moments::at(WallTime time) const {
    std::optional<Moment> best;
    for (const StoredSave& save : saves_) {
        Result<Moment> moment = load(save.path, save.name);
        if (moment && moment->stamp && moment->stamp->saved <= time &&
            (!best || moment->stamp->saved > best->stamp->saved)) {
            best = std::move(*moment);
        }
    }
    if (!best) {
        return fail(ErrorKind::NotFound, "nothing that is kept is as old as " + show_time(time));
    }
    return std::move(*best);
}

Result<Moment> Moments::numbered(std::uint64_t position) const {
    for (const StoredSave& save : saves_) {
        Result<Moment> moment = load(save.path, save.name);
        if (moment && moment->stamp && number(moment->stamp->position.seq) == position) {
            return moment;
        }
    }
    return fail(ErrorKind::NotFound,
                "position " + std::to_string(position) + " is not kept; see list");
}

}  // namespace snapshotter::commands
