#pragma once
// The states that a data directory can give back: the present one, those of backups, and every
// moment in between. Only reads, so it may look at a directory that a snapshotter is writing to.

#include <optional>
#include <string>
#include <vector>

#include "common/graph.h"
#include "common/ids.h"
#include "common/result.h"
#include "common/session_file.h"
#include "snapshotter/storage/file_system.h"

namespace snapshotter::commands {

// A session file whose name we gave.
struct StoredSave {
    enum class Kind { Session, Backup, Pinned };
    Kind kind{};
    std::string name;  // without its directory
    std::string path;
    FileInfo info;
};

// A state that can be given back.
struct Moment {
    common::GraphCopy graph;
    std::optional<common::SessionStamp> stamp;  // none: a file that is not ours
    std::string source;                         // where it comes from, in words
    std::vector<std::string> notes;             // what people must be told, each a sentence
};

class Moments {
public:
    // NotFound: there is no such directory.
    static common::Result<Moments> open(FileSystem& files, const std::string& data_dir);

    // session_snapshot.db if it is there, then backups, then pinned ones, each newest first.
    const std::vector<StoredSave>& saves() const { return saves_; }

    // All below: NotFound if there is nothing of that name or time; damage is BadInput.

    // What the next start would go on from.
    common::Result<Moment> present() const;
    // "snapshot_20261123_101500.db", also without .db or with backups/ before it.
    common::Result<StoredSave> find_save(const std::string& name) const;
    // A save's name, or else the path of a session file anywhere.
    common::Result<Moment> named(const std::string& name) const;
    common::Result<Moment> at(common::WallTime time) const;
    common::Result<Moment> numbered(std::uint64_t position) const;

private:
    Moments(FileSystem& files, std::string data_dir, std::vector<StoredSave> saves);
    common::Result<Moment> load(const std::string& path, std::string source) const;

    FileSystem* files_;
    std::string data_dir_;
    std::vector<StoredSave> saves_;
};

}  // namespace snapshotter::commands
