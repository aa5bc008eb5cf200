#pragma once
// One file of the history, history/NNNNNN.sqlite: what lies in it and how it is read and checked.
// Grammar: docs/FORMATS.md. Written by History (history.h), read as a whole by HistoryReader.
//
//   segment   one row: number, and how many rows and up to where the others are complete
//   runs      a run is a stretch of records each of which goes on from the one before it; its row
//             says from which position, with the lineage, so that the file can be understood alone
//   records   one row for each record of the feed, its frames as they were, its position behind it
//   saves     a row for each session file that was to be put in place, written before it was
//
// Nothing is believed: frames by the chain, all else by a seal, a hash in the row itself.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/feed.h"
#include "common/ids.h"
#include "common/result.h"
#include "snapshotter/storage/packing.h"
#include "snapshotter/storage/sqlite.h"

namespace snapshotter {

// What a run goes on from.
struct HistoryBase {
    common::Position position;  // zero: from nothing, an empty graph
    common::Lineage lineage;    // whose last epoch is the position's
    friend bool operator==(const HistoryBase&, const HistoryBase&) = default;
};

struct HistoryRun {
    HistoryBase base;
    std::uint64_t first = 0;    // the number of its first record within the segment, from 1
    std::uint64_t records = 0;  // each has the seq after the one before it
    common::Position last;      // after its last record; the base's if there is none
};

// A session file that was to be put in place.
struct HistorySave {
    common::Hash128 digest;
    common::Position position;
    common::WallTime saved{};
    std::int64_t modified_ns = 0;  // of the file, as FileInfo has it
    bool placed = false;           // it was: false until that is known
    friend bool operator==(const HistorySave&, const HistorySave&) = default;
};

struct HistorySegment {
    std::uint64_t number = 0;
    std::string file;         // with its directory
    std::uint64_t bytes = 0;  // on disk
    common::WallTime created{};
    std::string version;  // of the Holdfast that made it
    std::uint64_t records = 0;
    common::WallTime first_time{};  // of its first and last record; zero if there is none
    common::WallTime last_time{};
    std::vector<HistoryRun> runs;    // oldest first
    std::vector<HistorySave> saves;  // oldest first
    // What is wrong with the file: then all else but number, file and bytes is empty.
    std::optional<common::Error> damage;
};

// One record of the history.
struct HistoryRow {
    common::Position position;  // after it
    common::feed::Record record;
    common::feed::Frames frames;
};

// What rows hold besides, for people who look with SQLite's own shell.
const char* kind_name(const common::Mutation& mutation);   // "PatchNode"
std::string node_id_of(const common::Mutation& mutation);  // empty: it is not about one node

namespace history_segment {

inline constexpr int kFormat = 1;

// The tables of a new file, and the row of the segment. In one transaction.
common::Result<void> create(sqlite::Database& database, const HistorySegment& segment);

// Reads all but the records. Unsupported: a later format. BadInput: damage.
common::Result<void> read(sqlite::Database& database, HistorySegment& segment);

// Writes into the transaction of the caller.
class Writer {
public:
    static common::Result<std::unique_ptr<Writer>> open(sqlite::Database& database);

    common::Result<void> add_run(std::uint64_t number, const HistoryRun& run);
    common::Result<void> add_record(std::uint64_t number, const HistoryRow& row);
    // A new one, or in place of the one with this number.
    common::Result<void> put_save(std::uint64_t number, const HistorySave& save);
    // What was added becomes part of the segment.
    common::Result<void> set_totals(const HistorySegment& segment);

private:
    explicit Writer(sqlite::Database& database) : database_(database) {}
    struct Statements;
    sqlite::Database& database_;
    std::shared_ptr<Statements> statements_;
    Packer packer_;
};

// Calls `take` with records `first` to `last` of a run, in order, until it says false. `before` is
// the position before `first`. BadInput: a row is not what was written; all before it were given.
using Take = std::function<common::Result<bool>(HistoryRow&&)>;
common::Result<void> read_records(sqlite::Database& database, const std::string& file,
                                  std::uint64_t first, std::uint64_t last, common::Position before,
                                  const Take& take);

// The position after record `number`, unchecked but for its shape.
common::Result<common::Position> position_of(sqlite::Database& database, std::uint64_t number);

}  // namespace history_segment

}  // namespace snapshotter
