#pragma once
// Reads the history: which stretches of which positions there are, and the records that lead from
// one position on. Changes nothing, so it may look at a directory that a snapshotter is writing to;
// it sees what was there when it was opened.
//
// Order. What was written later, stands later: segments by number, runs within one, records within
// one. A run begins where the last one ended, or at the position of a save: after a whole graph
// came from the broker, after somebody restored by hand. So history is a tree of which this is the
// log, and of several continuations of one position the one written last is the present one; the
// others stay, and are reached by naming where to go.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/result.h"
#include "snapshotter/storage/file_system.h"
#include "snapshotter/storage/history_segment.h"

namespace snapshotter {

struct HistoryPlace {
    std::string directory;  // the data directory's history/
    std::string vfs;        // the SQLite VFS; empty: the system's
};

// Damage: a stretch that cannot be read. From `after` on there should be more.
struct HistoryDamage {
    std::string file;
    common::Position after;                  // the last good position before it
    std::optional<common::Position> before;  // where good history begins again, if it does
    std::string what;
};
std::string to_string(const HistoryDamage& damage);  // a sentence: file, range and reason

struct Replayed {
    common::Position position;            // after the last record given
    std::uint64_t records = 0;            // given
    bool reached = true;                  // `to`, if one was named
    std::optional<HistoryDamage> damage;  // why it ended before its time
};

class HistoryReader {
public:
    // No directory, or nothing in it: no segments. A segment that cannot be read is listed with its
    // damage. An error: the directory cannot be read, or a segment is of a later format.
    static common::Result<std::unique_ptr<HistoryReader>> open(FileSystem& files,
                                                               HistoryPlace place);

    const std::vector<HistorySegment>& segments() const { return segments_; }  // oldest first

    // Gives the records that follow `from`, oldest first, each checked against the chain, until
    // `take` says false. With `to` along the way that leads there, and no further. Without, along
    // the present one, to its end. A `from` that the history does not know has nothing after it.
    // Damage is no error: what is given is good. An error is one of `take`, or of the disk.
    common::Result<Replayed> replay(const common::Position& from,
                                    const std::optional<common::Position>& to,
                                    const history_segment::Take& take) const;

    // The last position written at or before `time`, in the order of writing. None: there is none.
    // (Where the clock was set back, the later of two.)
    common::Result<std::optional<common::Position>> at(common::WallTime time) const;

    // The position that has this epoch and seq. None: there is none.
    common::Result<std::optional<common::Position>> find(common::Epoch epoch,
                                                         common::Seq seq) const;

    // The saves that session_snapshot.db may be: the last one that was put in place, and those
    // begun after it. Empty: nothing is known.
    std::vector<HistorySave> current_saves() const;

private:
    HistoryReader(HistoryPlace place, std::vector<HistorySegment> segments);

    struct Leg;
    struct Spot;
    HistoryPlace place_;
    std::vector<HistorySegment> segments_;
};

}  // namespace snapshotter
