#pragma once
// The commands, each in a file of its own name: what they find or do comes back as plain data,
// which report.h turns into text or JSON. Those that change the session take the directory's lock,
// and fail with Busy while a snapshotter has it; the others may run beside one. Whatever grows with
// the session or its history tells how far it is.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "common/progress.h"
#include "common/result.h"
#include "common/session_file.h"
#include "snapshotter/commands/command_line.h"
#include "snapshotter/commands/graph_view.h"
#include "snapshotter/commands/moments.h"
#include "snapshotter/storage/disk_use.h"
#include "snapshotter/storage/file_system.h"

namespace snapshotter::commands {

// Where a command works, and what it may not find out by itself.
struct Surroundings {
    FileSystem& files;
    std::string data_dir;
    common::WallTime now{};
    common::Epoch fresh{};  // random: an epoch for what needs one of its own
    std::string vfs = {};   // SQLite's; empty: the system's
    common::TellProgress tell = {};
};

// ---- list --------------------------------------------------------------------------------------

struct Listing {
    std::vector<StoredSave> saves;
    struct History {
        std::size_t segments = 0;
        std::uint64_t records = 0;
        common::WallTime first{};  // of the oldest and the newest record
        common::WallTime last{};
        std::vector<std::string> damage;  // a sentence each
    };
    History history;
    DiskUse disk;
};
common::Result<Listing> list(const Surroundings& around);

// ---- verify ------------------------------------------------------------------------------------

struct Verification {
    struct Line {
        StoredSave save;
        std::size_t nodes = 0;
        std::optional<common::SessionStamp> stamp;
        std::string damage;  // empty: it is good
    };
    std::vector<Line> saves;
    struct Segment {
        std::string file;
        std::uint64_t records = 0;
        std::string damage;
    };
    std::vector<Segment> segments;  // of the history, each record checked
    // Saves to which the history leads from an older one, with the same graph as they hold.
    std::size_t proved = 0;
    std::string metadata_damage;  // empty: session_metadata.json is good, or there is none
    std::string note;             // about the whole
    bool good = true;
};
common::Result<Verification> verify(const Surroundings& around);

// ---- inspect -----------------------------------------------------------------------------------

struct Inspection {
    Moment moment;
    std::vector<NodeView> nodes;
    struct Detail {
        NodeView node;
        std::vector<common::NodeId> needed_by;
        std::string data;  // as Python would show it, cut
    };
    std::vector<Detail> details;  // of the nodes that were asked for

    // With --changes: what the history tells, oldest first, of the nodes asked for or of all.
    struct Change {
        common::WallTime time{};
        common::UserName user;  // empty: the server
        common::NodeId node;    // empty: it is about the session
        std::string what;
        std::uint64_t position = 0;
    };
    std::vector<Change> changes;
    std::uint64_t changes_left_out = 0;  // the oldest, if there are too many
    std::map<common::NodeId, Change> last_changes;
};
// NotFound: a node that was asked for is not there.
common::Result<Inspection> inspect(const Surroundings& around, const CommandLine& line);

// ---- export ------------------------------------------------------------------------------------

struct Exported {
    std::string file;
    std::size_t nodes = 0;
    bool whole = true;
    Moment moment;
};
common::Result<Exported> export_session(const Surroundings& around, const CommandLine& line);

// ---- import, restore, remove-node --------------------------------------------------------------

struct Replacement {
    Moment moment;          // what takes the place of the session
    GraphChange change;     // from the present one; all is new if there is none
    std::string kept;       // the present one, as a pinned backup; empty: there was none
    std::string set_aside;  // where the damaged session file went; empty: it was not damaged
    bool dry_run = false;
    std::vector<std::string> notes;
};
common::Result<Replacement> import_session(const Surroundings& around, const CommandLine& line);
common::Result<Replacement> restore(const Surroundings& around, const CommandLine& line);
common::Result<Replacement> remove_node(const Surroundings& around, const CommandLine& line);

// ---- pin, unpin --------------------------------------------------------------------------------

// In one step, so also beside a running snapshotter: nobody but retention cares for these names.
struct Renamed {
    std::string from;
    std::string to;
};
common::Result<Renamed> pin(const Surroundings& around, const CommandLine& line);
common::Result<Renamed> unpin(const Surroundings& around, const CommandLine& line);

// ---- what several of them do -------------------------------------------------------------------

common::Result<Moments> open_moments(const Surroundings& around);

// The state that --at, --position or a name mean; the present one if there is none of these.
common::Result<Moment> moment_of(const Moments& moments, const Surroundings& around,
                                 const CommandLine& line);

// Puts what `make` gives in the place of the session, or with --dry-run says what that would
// change. What `make` is given does not change any more, unless it is a dry run.
using MakeMoment = std::function<common::Result<Moment>(const Moments&)>;
common::Result<Replacement> replace_session(const Surroundings& around, const CommandLine& line,
                                            const MakeMoment& make);

}  // namespace snapshotter::commands
