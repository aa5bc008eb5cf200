#pragma once
// What the parts of the store (store.cpp, store_save.cpp, ...) share, and nobody else.

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "snapshotter/storage/store.h"

namespace snapshotter {

// session_snapshot.db as we have written or read it.
struct CurrentFile {
    FileInfo info;
    common::Hash128 bytes_hash;  // of the file; zero if we have not written it
    common::Hash128 digest;      // of the graph
    common::Position position;
    common::Timeline timeline{};
    common::WallTime verified{};
    bool lasting = true;  // its name has been synced
};

struct Store::State {
    std::optional<CurrentFile> current;
    std::string backup;  // the newest one, as far as we know what it holds
    common::Hash128 backup_digest;
    std::int64_t backup_modified_ns = 0;
    std::set<std::string> verified;    // names of backups
    common::Hash128 pinned;            // the digest of the last one that pin() kept
    std::optional<FileInfo> kept;      // a session file of somebody else's, pinned already
    std::optional<Metadata> metadata;  // as they were written last
    // Segments that must be moved away once what they still hold is saved. Names.
    std::set<std::string> damaged_history;
};

// "the data directory DIRECTORY is in use by another ...", or the lock.
common::Result<std::unique_ptr<FileLock>> lock_directory(FileSystem& files,
                                                         const std::string& directory);

inline bool contains(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace snapshotter
