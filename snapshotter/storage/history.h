#pragma once
// Writes the history: every record that the mirror applied, in groups, each a transaction that is
// synced when append() returns. Segments are files of their own, history/NNNNNN.sqlite: a new one
// at the start of each process, at a backup once there is something in it, and at a size; a
// finished one never changes, and goes as a whole when it is too old or all are too big.
//
// After an error the segment it happened in is finished too, for nobody knows what it holds, and
// the same rows may be given again: they go into a new one. Calls from several threads wait for one
// another. Grammar: docs/FORMATS.md, what is in a segment: history_segment.h.
//
// A file that somebody removes can still be written to, and all of it is lost in the end. So after
// each commit it is made sure that what was written can be found by its name. If not, what history
// went on from is gone as well: append() is NotFound until renew() was called and rows come with a
// base again. No directory is made but by open() and renew().

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/result.h"
#include "snapshotter/storage/file_system.h"
#include "snapshotter/storage/history_reader.h"
#include "snapshotter/storage/history_segment.h"
#include "snapshotter/storage/sqlite.h"

namespace snapshotter {

struct HistoryOptions {
    HistoryPlace place;
    std::string version;  // of Holdfast
    common::Millis age_max = std::chrono::hours(7 * 24);
    std::uint64_t bytes_max = 4ULL << 30;
    std::uint64_t segment_bytes_max = 256ULL << 20;
    // At a backup a new segment is begun if the present one has so much, or is so old: history that
    // begins at a backup can go when that does, but many small files help nobody.
    std::uint64_t segment_bytes_min = 8ULL << 20;
    common::Millis segment_age = std::chrono::hours(1);
};

// What of it there is, for those who watch.
struct HistorySize {
    std::size_t segments = 0;
    std::uint64_t bytes = 0;
    common::WallTime first_time{};  // of the oldest record; zero if there is none
};

// What must go by age and size, oldest first; never one from `needed` on (pure). Age is time with
// work in it: from one segment to the next, and from the last one to now, passes a day at most. So
// neither a break of a month nor a clock that is suddenly a year ahead makes everything old, and a
// clock that was set back does not make what it left in the future young for ever.
struct SegmentSize {
    std::uint64_t number = 0;
    std::uint64_t bytes = 0;
    common::WallTime last_time{};  // of its records
};
std::vector<std::uint64_t> segments_to_remove(const std::vector<SegmentSize>& segments,
                                              std::uint64_t needed, common::WallTime now,
                                              const HistoryOptions& options);

class History {
public:
    // Makes the directory. What a process that was killed has left is brought in order: files that
    // never became segments are removed, and what lies in logs of SQLite is put into their files.
    // Only one at a time may write to a directory: the caller holds its lock.
    static common::Result<std::unique_ptr<History>> open(FileSystem& files, HistoryOptions options);
    ~History();
    History(const History&) = delete;
    History& operator=(const History&) = delete;

    // Synced when it returns. With `begin` a new run begins there; without, the rows go on from the
    // last one. On an error none of them counts. NotFound: somebody has removed what they go on
    // from; see above.
    common::Result<void> append(const std::optional<HistoryBase>& begin,
                                const std::vector<HistoryRow>& rows, common::WallTime now);

    // Before a session file is put in place, and after it was. Synced when they return.
    common::Result<void> save_begins(const HistorySave& save, common::WallTime now);
    common::Result<void> save_placed(const HistorySave& save, common::WallTime now);

    // Before each save, when the data directory is known to be the one that the session belongs
    // in: makes the directory again if it is missing. If anything was removed, what is there now is
    // what there is, and what comes goes into a new segment.
    common::Result<void> renew();

    // What follows on append() and need not be waited for: moves what is in the log of SQLite to
    // its file once there is much of it, and ends a segment that is full. An error ends the segment
    // too; what is in it stays good.
    common::Result<void> tidy_up();

    // A good moment to begin a new segment.
    void backup_made(common::WallTime now);

    // Removes what is too old or too much, but nothing that leads from the last save to now.
    // Returns the names. What somebody else has removed is noticed here too.
    common::Result<std::vector<std::string>> prune(common::WallTime now);

    // What prune() will take as soon as saves no longer need it, oldest first: more than one or two
    // if a setting was lowered.
    std::vector<std::string> to_be_removed(common::WallTime now) const;

    // Whether the history knows that this one is in place.
    bool is_placed(const HistorySave& save) const;

    HistorySize size() const;

private:
    History(FileSystem& files, HistoryOptions options);

    struct Open;
    common::Result<void> read_directory();
    common::Result<void> check_in_place(const std::string& path, std::optional<FileInfo>& known);
    common::Result<void> check_written();
    std::uint64_t first_needed() const;
    std::vector<std::uint64_t> over_bounds(std::uint64_t needed, common::WallTime now) const;
    void forget_removed(std::uint64_t needed);
    common::Result<void> begin_segment(common::WallTime now);
    common::Result<void> create_segment(const std::string& file, const HistorySegment& segment);
    void finish_segment();
    void abandon_segment();
    common::Result<void> append_rows(const std::optional<HistoryBase>& begin,
                                     const std::vector<HistoryRow>& rows);
    common::Result<void> write_save(std::size_t index, const HistorySave& save,
                                    common::WallTime now);
    std::string path(std::uint64_t number) const;

    FileSystem& files_;
    HistoryOptions options_;
    mutable std::mutex mutex_;              // for all below
    std::vector<HistorySegment> finished_;  // oldest first
    std::unique_ptr<Open> open_;            // the one that is written to
    std::optional<FileInfo> directory_;     // as it was found or made
    bool lost_ = false;                     // see NotFound of append()
    std::uint64_t next_number_ = 1;
    HistoryBase here_;                // where the last row stands
    std::vector<HistorySave> saves_;  // that session_snapshot.db may be
};

// Brings in order what a killed process has left, as History::open does.
common::Result<void> settle_history(FileSystem& files, const HistoryPlace& place);

}  // namespace snapshotter
