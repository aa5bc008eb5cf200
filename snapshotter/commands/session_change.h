#pragma once
// Changes what the next start will find, while no snapshotter uses the data directory. First what
// is there is kept, then something else takes its place; a crash in between has changed nothing.

#include <memory>
#include <string>

#include "common/graph.h"
#include "common/ids.h"
#include "common/progress.h"
#include "common/result.h"
#include "common/session_file.h"
#include "snapshotter/storage/file_system.h"

namespace snapshotter::commands {

// What takes the place of the session is a decision, newer than all that is there: it gets an epoch
// of its own, so that neither the history after its position nor another snapshotter's newer state
// is put on top of it. A file without a stamp begins a timeline as well. `fresh` is random. Pure.
void make_it_the_next_state(common::GraphCopy& graph, std::optional<common::SessionStamp>& stamp,
                            common::WallTime now, common::Epoch fresh);

// Part of a graph, or one that was never ours: a session with a timeline of its own. Pure.
common::SessionStamp begin_history(common::GraphCopy& graph, common::WallTime now,
                                   common::Epoch fresh);

// A session file under a name of its own, read back and compared before it takes that name.
common::Result<void> write_session(FileSystem& files, const std::string& directory,
                                   const std::string& name, const common::GraphCopy& graph,
                                   common::SessionStamp stamp, common::WallTime now,
                                   const common::TellProgress& tell = {});

class SessionChange {
public:
    // Busy: a snapshotter has the directory; the error says what to do. Held until it goes.
    static common::Result<std::unique_ptr<SessionChange>> begin(FileSystem& files,
                                                                const std::string& data_dir,
                                                                common::TellProgress tell = {});

    // Keeps a state as a pinned backup. Returns its name.
    common::Result<std::string> keep(const common::GraphCopy& graph,
                                     const std::optional<common::SessionStamp>& stamp,
                                     common::WallTime now, common::Epoch fresh);

    // Keeps session_snapshot.db as it is, in quarantine/, for it cannot be read. Returns its name
    // with that directory; NotFound if there is none.
    common::Result<std::string> set_aside(common::WallTime now);

    common::Result<void> replace(const common::GraphCopy& graph, const common::SessionStamp& stamp,
                                 common::WallTime now);

private:
    SessionChange(FileSystem& files, std::string data_dir, std::unique_ptr<FileLock> lock,
                  common::TellProgress tell);

    FileSystem& files_;
    std::string data_dir_;
    std::unique_ptr<FileLock> lock_;
    common::TellProgress tell_;
};

}  // namespace snapshotter::commands
