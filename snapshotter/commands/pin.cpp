#include <algorithm>

#include "snapshotter/commands/commands.h"
#include "snapshotter/storage/file_names.h"

namespace snapshotter::commands {

using common::fail;
using common::Result;
using file_names::join;

namespace {

Result<Renamed> rename_backup(const Surroundings& around, const std::string& name, bool pinned) {
    const Moments moments = TRY(open_moments(around));
    const StoredSave save = TRY(moments.find_save(name));
    auto backup = file_names::parse_backup(save.name);
    if (!backup) {
        return fail(common::ErrorKind::BadInput,
                    save.name +
                        " is the session itself; name a backup, or make one with "
                        "holdfast-snapshotter --save-now");
    }
    if (backup->pinned == pinned) {
        return Renamed{save.name, save.name};
    }
    const auto taken = [&](const std::string& other) {
        return std::any_of(moments.saves().begin(), moments.saves().end(),
                           [&](const StoredSave& one) { return one.name == other; });
    };
    backup->pinned = pinned;
    while (taken(name_of(*backup))) {
        ++backup->number;
    }
    const std::string backups = join(around.data_dir, file_names::kBackups);
    TRY(around.files.rename(save.path, join(backups, name_of(*backup))));
    TRY(around.files.sync_directory(backups));
    return Renamed{save.name, name_of(*backup)};
}

}  // namespace

Result<Renamed> pin(const Surroundings& around, const CommandLine& line) {
    return rename_backup(around, line.target, true);
}

Result<Renamed> unpin(const Surroundings& around, const CommandLine& line) {
    return rename_backup(around, line.target, false);
}

}  // namespace snapshotter::commands
