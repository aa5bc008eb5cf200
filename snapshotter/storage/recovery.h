#pragma once
// A save and the history after it are one history: how a state is made of the two. Only reads.

#include <optional>
#include <string>
#include <vector>

#include "common/graph.h"
#include "common/ids.h"
#include "common/progress.h"
#include "common/result.h"
#include "common/session_file.h"
#include "snapshotter/storage/file_names.h"
#include "snapshotter/storage/file_system.h"
#include "snapshotter/storage/history_reader.h"
#include "snapshotter/storage/metadata.h"

namespace snapshotter {

// A graph, and where in which history it stands.
struct StoredState {
    common::GraphCopy graph;
    common::Position position;  // zero: from nothing
    common::Lineage lineage;
    common::WallTime last_mutation{};
};

struct GoneOn {
    StoredState state;
    std::uint64_t records = 0;            // applied
    common::WallTime last{};              // of the last of them; zero if there was none
    bool reached = true;                  // `to`, if one was named
    std::optional<HistoryDamage> damage;  // why it ended before its time
};

// Applies the records that follow `from`; see HistoryReader::replay. One that cannot be applied is
// damage. `tell`: how many were applied, of how many at most.
common::Result<GoneOn> go_on(const HistoryReader& history, StoredState from,
                             const std::optional<common::Position>& to = std::nullopt,
                             const common::TellDone& tell = {});

// What is known about session_snapshot.db beside what it says itself.
struct SessionClues {
    FileInfo file;
    std::optional<Metadata> metadata;
    std::optional<FileInfo> backup;  // the one that the metadata name, if it is there, or pinned
    std::vector<HistorySave> saves;  // HistoryReader::current_saves()
};
SessionClues find_clues(FileSystem& files, const std::string& data_dir, const FileInfo& file,
                        std::optional<Metadata> metadata, std::vector<HistorySave> saves);

// Whether session_snapshot.db, with this stamp, is what we put there last. If it is not, somebody
// restored it by hand, and what came after it must not be applied to it again. Decided by the rows
// of saves in the history and by the metadata, either of which may not have been written.
//
// The backup of the last save has the same bytes. One that was copied over it by hand shows by the
// time of the file, if the backup still has its own; where both have other times, somebody has
// moved the whole directory. See docs/decisions/0009-a-backup-of-the-last-save.md.
bool is_last_save(const common::SessionStamp& stamp, const SessionClues& clues);

// A backup as far as its name and its head tell.
struct BackupHead {
    file_names::Backup backup;
    std::optional<common::SessionStamp> stamp;
};
// Newest first: by the names, but for those that go on from another one. A clock that was wrong for
// a day gives names that are wrong for ever; what goes on from what does not depend on it.
void sort_newest_first(std::vector<BackupHead>& backups);

}  // namespace snapshotter
