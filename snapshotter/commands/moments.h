#pragma once
// The states that a data directory can give back: the present one, those of backups, and every
// moment that the history leads to. Only reads, so it may look at a directory that a snapshotter is
// writing to.
//
// A moment is the newest save at or before it from which the history leads there, and the records
// in between. Where the history does not reach, or is damaged, it is the newest save before; the
// notes say so.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/graph.h"
#include "common/ids.h"
#include "common/progress.h"
#include "common/result.h"
#include "common/session_file.h"
#include "snapshotter/storage/file_system.h"
#include "snapshotter/storage/history_reader.h"

namespace snapshotter::commands {

// A session file whose name we gave.
struct StoredSave {
    enum class Kind { Session, Backup, Pinned };
    Kind kind{};
    std::string name;  // without its directory
    std::string path;
    FileInfo info;
    std::optional<common::SessionStamp> stamp;  // as its beginning says; none: not ours, or damaged
    std::string damage;                         // of its beginning; empty: that can be read
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
    // NotFound: there is no such directory. `vfs`: SQLite's, empty for the system's. `tell`: how
    // far it is with reading, here and in all that follows.
    static common::Result<Moments> open(FileSystem& files, const std::string& data_dir,
                                        const std::string& vfs = {},
                                        common::TellProgress tell = {});

    // session_snapshot.db if it is there, then backups, then pinned ones, each newest first. Only
    // the beginning of each was read.
    const std::vector<StoredSave>& saves() const { return saves_; }
    const HistoryReader& history() const { return *history_; }

    // All below: NotFound if there is nothing of that name or time; damage is BadInput.

    // What the next start would go on from.
    common::Result<Moment> present() const;
    // "snapshot_20261123_101500.db", also without .db or with backups/ before it.
    common::Result<StoredSave> find_save(const std::string& name) const;
    // A save's name, or else the path of a session file anywhere.
    common::Result<Moment> named(const std::string& name) const;
    common::Result<Moment> at(common::WallTime time) const;
    // In the past of the present state.
    common::Result<Moment> numbered(std::uint64_t position) const;

    // The records that lead to `to`, from as far back as the history reaches, oldest first.
    common::Result<Replayed> records_until(const common::Position& to,
                                           const history_segment::Take& take) const;

private:
    Moments(FileSystem& files, std::string data_dir, std::vector<StoredSave> saves,
            std::unique_ptr<HistoryReader> history, common::TellProgress tell);

    struct Reached;
    common::Result<Moment> load(const std::string& path, std::string source) const;
    common::Result<std::optional<Moment>> load_if_good(const StoredSave& save,
                                                       std::vector<std::string>& notes) const;
    common::Result<Reached> go_on(Moment from, const std::optional<common::Position>& to) const;
    common::Result<bool> is_last_save(const StoredSave& save, const Moment& session) const;
    common::Result<Moment> state_at(const common::Position& position) const;
    std::vector<StoredSave> newest_first() const;

    FileSystem* files_;
    std::string data_dir_;
    std::vector<StoredSave> saves_;
    std::unique_ptr<HistoryReader> history_;
    common::TellProgress tell_;
};

// The epoch in which a session with this lineage, now at `present`, had position `seq`. None: it
// never had, or that was before the lineage begins. Pure.
std::optional<common::Epoch> epoch_of(const common::Lineage& lineage,
                                      const common::Position& present, common::Seq seq);

}  // namespace snapshotter::commands
