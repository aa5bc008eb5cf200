#include "snapshotter/storage/history_segment.h"

#include <array>
#include <charconv>
#include <utility>
#include <variant>

#include "common/limits.h"
#include "common/verify.h"
#include "snapshotter/storage/packing.h"

// Theory. Integers of SQLite have 64 bits and a sign; an epoch is one of ours, bit for bit. A seal
// is the hash of the row's other values, so a row that was damaged, or changed by hand, shows. The
// counts in `segment` are renewed in the transaction that adds rows, so rows that a damaged page
// hides show too. Rows of `records` have no seal: their frames are what the chain is made of, and
// the other columns repeat what the frames say.

namespace snapshotter {

using common::Bytes;
using common::Epoch;
using common::ErrorKind;
using common::fail;
using common::Hash128;
using common::Lineage;
using common::Mutation;
using common::Position;
using common::Result;
using common::Seq;
using common::WallTime;

// ---- What people see ---------------------------------------------------------------------------

const char* kind_name(const Mutation& mutation) {
    static constexpr std::array kNames = {"EpochStarted", "PutNode",    "PatchNode",   "DeleteNode",
                                          "SetOwner",     "Cleared",    "Initialised", "UserJoined",
                                          "UserLeft",     "SetMetadata"};
    static_assert(kNames.size() == std::variant_size_v<Mutation>);
    return kNames[mutation.index()];
}

std::string node_id_of(const Mutation& mutation) {
    if (const auto* put = std::get_if<common::PutNode>(&mutation)) {
        return put->node.id;
    }
    if (const auto* patch = std::get_if<common::PatchNode>(&mutation)) {
        return patch->id;
    }
    if (const auto* gone = std::get_if<common::DeleteNode>(&mutation)) {
        return gone->id;
    }
    if (const auto* owner = std::get_if<common::SetOwner>(&mutation)) {
        return owner->ids.size() == 1 ? owner->ids.front() : std::string();
    }
    return {};
}

namespace {

constexpr std::int64_t kApplicationId = 0x486f6c64;  // "Hold", for file(1)

constexpr const char* kSegmentTable =
    "CREATE TABLE segment (number INTEGER PRIMARY KEY, created INTEGER, version TEXT, "
    "records INTEGER, runs INTEGER, saves INTEGER, first_time INTEGER, last_time INTEGER, "
    "seal BLOB)";
constexpr const char* kRunsTable =
    "CREATE TABLE runs (run INTEGER PRIMARY KEY, first INTEGER, epoch INTEGER, seq INTEGER, "
    "chain BLOB, lineage TEXT, seal BLOB)";
constexpr const char* kRecordsTable =
    "CREATE TABLE records (record INTEGER PRIMARY KEY, epoch INTEGER, seq INTEGER, chain BLOB, "
    "time INTEGER, kind TEXT, user TEXT, node TEXT, packing INTEGER, bytes INTEGER, frames BLOB)";
constexpr const char* kSavesTable =
    "CREATE TABLE saves (save INTEGER PRIMARY KEY, digest BLOB, epoch INTEGER, seq INTEGER, "
    "chain BLOB, saved INTEGER, modified_ns INTEGER, placed INTEGER, seal BLOB)";
constexpr const char* kHistoryView =
    "CREATE VIEW history AS SELECT datetime(time / 1000, 'unixepoch', 'localtime') AS time, "
    "printf('%016x', epoch) AS epoch, seq, user, kind, node, bytes FROM records";
constexpr std::array kSchema = {kSegmentTable, kRunsTable, kRecordsTable, kSavesTable,
                                kHistoryView};

std::int64_t stored(std::uint64_t value) {
    return static_cast<std::int64_t>(value);
}

std::uint64_t restored(std::int64_t value) {
    return static_cast<std::uint64_t>(value);
}

constexpr std::size_t kHashBytes = 16;

std::string hash_bytes(const Hash128& hash) {
    std::string bytes;
    for (const std::uint64_t half : {hash.high, hash.low}) {
        for (int shift = 56; shift >= 0; shift -= 8) {
            bytes.push_back(static_cast<char>((half >> shift) & 0xff));
        }
    }
    return bytes;
}

Result<Hash128> hash_of(std::string_view bytes) {
    if (bytes.size() != kHashBytes) {
        return common::bad_input("a hash has not 16 bytes");
    }
    Hash128 hash;
    for (std::size_t i = 0; i < kHashBytes; ++i) {
        std::uint64_t& half = i < 8 ? hash.high : hash.low;
        half = (half << 8) | static_cast<unsigned char>(bytes[i]);
    }
    return hash;
}

// The values of a row as text, and the hash of that.
class Seal {
public:
    explicit Seal(const char* table) : text_(table) {}
    Seal& add(std::int64_t value) { return add(std::to_string(value)); }
    Seal& add(std::string_view value) {
        text_ += ' ' + std::to_string(value.size()) + ':';
        text_ += value;
        return *this;
    }
    Seal& add(const Position& position) {
        return add(stored(number(position.epoch)))
            .add(stored(number(position.seq)))
            .add(hash_bytes(position.chain));
    }
    std::string bytes() const {
        return hash_bytes(common::feed::chain_after(Hash128{}, {Bytes::copy_of(text_)}));
    }

private:
    std::string text_;
};

std::string seal_of(const HistorySegment& segment) {
    return Seal("segment")
        .add(stored(segment.number))
        .add(number(segment.created))
        .add(segment.version)
        .add(stored(segment.records))
        .add(stored(segment.runs.size()))
        .add(stored(segment.saves.size()))
        .add(number(segment.first_time))
        .add(number(segment.last_time))
        .bytes();
}

std::string seal_of(std::uint64_t number, const HistoryRun& run, std::string_view lineage) {
    return Seal("run")
        .add(stored(number))
        .add(stored(run.first))
        .add(run.base.position)
        .add(lineage)
        .bytes();
}

std::string seal_of(std::uint64_t row, const HistorySave& save) {
    return Seal("save")
        .add(stored(row))
        .add(hash_bytes(save.digest))
        .add(save.position)
        .add(number(save.saved))
        .add(save.modified_ns)
        .add(save.placed ? 1 : 0)
        .bytes();
}

// ---- A lineage as text: lines "EPOCH PARENT_EPOCH PARENT_SEQ PARENT_CHAIN" in hex ---------------

std::string hex16(std::uint64_t value) {
    return hex(Hash128{value, 0}).substr(0, 16);
}

std::string write_lineage(const Lineage& lineage) {
    std::string text;
    for (const common::LineageEntry& entry : lineage) {
        text += hex16(number(entry.epoch)) + ' ' + hex16(number(entry.parent.epoch)) + ' ' +
                hex16(number(entry.parent.seq)) + ' ' + hex(entry.parent.chain) + '\n';
    }
    return text;
}

Result<std::uint64_t> read_hex(std::string_view digits) {
    std::uint64_t value = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (error != std::errc() || end != digits.data() + digits.size()) {
        return common::bad_input("a lineage cannot be read");
    }
    return value;
}

Result<Lineage> read_lineage(std::string_view text) {
    constexpr std::size_t kLine = 3 * 17 + 32 + 1;
    if (text.size() % kLine != 0 || text.size() / kLine > common::limits::kLineageMax) {
        return common::bad_input("a lineage cannot be read");
    }
    Lineage lineage;
    for (; !text.empty(); text.remove_prefix(kLine)) {
        common::LineageEntry entry;
        entry.epoch = Epoch{TRY(read_hex(text.substr(0, 16)))};
        entry.parent.epoch = Epoch{TRY(read_hex(text.substr(17, 16)))};
        entry.parent.seq = Seq{TRY(read_hex(text.substr(34, 16)))};
        entry.parent.chain.high = TRY(read_hex(text.substr(51, 16)));
        entry.parent.chain.low = TRY(read_hex(text.substr(67, 16)));
        lineage.push_back(entry);
    }
    return lineage;
}

// ---- Rows --------------------------------------------------------------------------------------

Result<Position> read_position(const sqlite::Statement& row, int column) {
    Position position;
    position.epoch = Epoch{restored(TRY(row.integer(column)))};
    position.seq = Seq{restored(TRY(row.integer(column + 1)))};
    const Bytes chain = TRY(row.blob(column + 2));
    position.chain = TRY(hash_of(chain.view()));
    return position;
}

Result<void> check_seal(const sqlite::Statement& row, int column, const std::string& expected) {
    if (TRY(row.blob(column)).view() != expected) {
        return common::bad_input("a row has another seal than its values");
    }
    return {};
}

Result<void> read_segment_row(sqlite::Database& database, HistorySegment& segment,
                              std::size_t& runs, std::size_t& saves) {
    auto row = TRY(database.prepare(
        "SELECT number, created, version, records, runs, saves, first_time, last_time, seal "
        "FROM segment"));
    if (!TRY(row.step())) {
        return common::bad_input("the row of the segment is missing");
    }
    if (restored(TRY(row.integer(0))) != segment.number) {
        return common::bad_input("it belongs to a file with another number");
    }
    segment.created = WallTime{TRY(row.integer(1))};
    segment.version = TRY(row.text(2));
    segment.records = restored(TRY(row.integer(3)));
    runs = restored(TRY(row.integer(4)));
    saves = restored(TRY(row.integer(5)));
    segment.first_time = WallTime{TRY(row.integer(6))};
    segment.last_time = WallTime{TRY(row.integer(7))};
    const std::string seal = Seal("segment")
                                 .add(stored(segment.number))
                                 .add(number(segment.created))
                                 .add(segment.version)
                                 .add(stored(segment.records))
                                 .add(stored(runs))
                                 .add(stored(saves))
                                 .add(number(segment.first_time))
                                 .add(number(segment.last_time))
                                 .bytes();
    return check_seal(row, 8, seal);
}

Result<void> read_runs(sqlite::Database& database, HistorySegment& segment) {
    auto row =
        TRY(database.prepare("SELECT run, first, epoch, seq, chain, lineage, seal FROM runs "
                             "ORDER BY run"));
    while (TRY(row.step())) {
        HistoryRun run;
        const std::uint64_t number = restored(TRY(row.integer(0)));
        run.first = restored(TRY(row.integer(1)));
        run.base.position = TRY(read_position(row, 2));
        const std::string lineage = TRY(row.text(5));
        TRY(check_seal(row, 6, seal_of(number, run, lineage)));
        run.base.lineage = TRY(read_lineage(lineage));
        if (number != segment.runs.size() + 1) {
            return common::bad_input("a run is missing");
        }
        segment.runs.push_back(std::move(run));
    }
    return {};
}

Result<void> read_saves(sqlite::Database& database, HistorySegment& segment) {
    auto row =
        TRY(database.prepare("SELECT save, digest, epoch, seq, chain, saved, modified_ns, placed, "
                             "seal FROM saves ORDER BY save"));
    while (TRY(row.step())) {
        HistorySave save;
        const std::uint64_t number = restored(TRY(row.integer(0)));
        const Bytes digest = TRY(row.blob(1));
        save.digest = TRY(hash_of(digest.view()));
        save.position = TRY(read_position(row, 2));
        save.saved = WallTime{TRY(row.integer(5))};
        save.modified_ns = TRY(row.integer(6));
        save.placed = TRY(row.integer(7)) != 0;
        TRY(check_seal(row, 8, seal_of(number, save)));
        if (number != segment.saves.size() + 1) {
            return common::bad_input("a save is missing");
        }
        segment.saves.push_back(save);
    }
    return {};
}

// Where each run ends: before the next one begins, or with the last record.
Result<void> measure_runs(sqlite::Database& database, HistorySegment& segment) {
    for (std::size_t i = 0; i < segment.runs.size(); ++i) {
        HistoryRun& run = segment.runs[i];
        const std::uint64_t end =
            i + 1 < segment.runs.size() ? segment.runs[i + 1].first : segment.records + 1;
        if (run.first == 0 || run.first > end || (i == 0 && run.first != 1)) {
            return common::bad_input("the runs are not in order");
        }
        run.records = end - run.first;
        run.last = run.records == 0 ? run.base.position
                                    : TRY(history_segment::position_of(database, end - 1));
        if (number(run.last.seq) != number(run.base.position.seq) + run.records) {
            return common::bad_input("a run has not as many records as it should");
        }
    }
    if (segment.runs.empty() && segment.records != 0) {
        return common::bad_input("its records belong to no run");
    }
    return {};
}

Result<void> check_schema(sqlite::Database& database) {
    if (TRY(database.integer("PRAGMA application_id")) != kApplicationId) {
        return common::bad_input("it is no file of the history");
    }
    const std::int64_t format = TRY(database.integer("PRAGMA user_version"));
    if (format != history_segment::kFormat) {
        return fail(ErrorKind::Unsupported,
                    "it has format " + std::to_string(format) + ", of a later Holdfast");
    }
    auto row = TRY(database.prepare("SELECT sql FROM sqlite_schema ORDER BY rowid"));
    for (const char* expected : kSchema) {
        if (!TRY(row.step()) || row.is_null(0) || TRY(row.text(0)) != expected) {
            return common::bad_input("its tables are not those of the history");
        }
    }
    return TRY(row.step()) ? common::bad_input("it has a table too many") : Result<void>();
}

// What the row's other columns say must be what its frames say.
Result<void> check_row(const sqlite::Statement& row, const HistoryRow& read, Position before) {
    const common::feed::Record& record = read.record;
    const auto* start = std::get_if<common::EpochStarted>(&record.mutation);
    const bool goes_on = start != nullptr ? start->parent == before : record.epoch == before.epoch;
    if (!goes_on || record.seq != next(before.seq)) {
        return common::bad_input("it does not go on from the record before it");
    }
    if (TRY(read_position(row, 1)) != read.position) {
        return common::bad_input("its chain is not that of its frames");
    }
    if (TRY(row.integer(4)) != number(record.time) ||
        TRY(row.text(5)) != kind_name(record.mutation) || TRY(row.text(6)) != record.user ||
        TRY(row.text(7)) != node_id_of(record.mutation)) {
        return common::bad_input("its columns are not what its frames say");
    }
    return {};
}

Result<HistoryRow> read_record(const sqlite::Statement& row, Packer& packer, Position before) {
    HistoryRow read;
    const Bytes blob = TRY(row.blob(10));
    const std::int64_t packing = TRY(row.integer(8));
    const std::uint64_t bytes = restored(TRY(row.integer(9)));
    read.frames = TRY(packer.unpack(packing, bytes, blob.view()));
    read.record = TRY(common::feed::decode_record(read.frames));
    read.position = {read.record.epoch, read.record.seq,
                     common::feed::chain_after(before.chain, read.frames)};
    TRY(check_row(row, read, before));
    return read;
}

// Names the file once: SQLite's own errors do already.
common::Error in_file(const std::string& file, common::Error error) {
    if (!error.what.starts_with(file)) {
        error.what = file + ": " + error.what;
    }
    return error;
}

Result<void> read_tables(sqlite::Database& database, HistorySegment& segment) {
    std::size_t runs = 0;
    std::size_t saves = 0;
    TRY(check_schema(database));
    TRY(read_segment_row(database, segment, runs, saves));
    TRY(read_runs(database, segment));
    TRY(read_saves(database, segment));
    if (segment.runs.size() != runs || segment.saves.size() != saves) {
        return common::bad_input("runs or saves are missing");
    }
    return measure_runs(database, segment);
}

}  // namespace

namespace history_segment {

Result<void> create(sqlite::Database& database, const HistorySegment& segment) {
    // Nobody knows the file before it is complete, so it needs no journal on the disk: two syncs in
    // the place of sixteen, while changes wait.
    std::string sql = "PRAGMA journal_mode = MEMORY; BEGIN; PRAGMA application_id = " +
                      std::to_string(kApplicationId) +
                      "; PRAGMA user_version = " + std::to_string(kFormat) + ";";
    for (const char* table : kSchema) {
        sql += std::string(table) + ';';
    }
    TRY(database.execute(sql));
    auto row =
        TRY(database.prepare("INSERT INTO segment VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"));
    const std::string seal = seal_of(segment);
    row.bind(1, stored(segment.number));
    row.bind(2, number(segment.created));
    row.bind_text(3, segment.version);
    row.bind(4, stored(segment.records));
    row.bind(5, stored(segment.runs.size()));
    row.bind(6, stored(segment.saves.size()));
    row.bind(7, number(segment.first_time));
    row.bind(8, number(segment.last_time));
    row.bind_blob(9, seal);
    TRY(row.run());
    return database.execute("COMMIT");
}

Result<void> read(sqlite::Database& database, HistorySegment& segment) {
    // One view of all tables, also while somebody writes.
    Result<void> outcome = database.execute("BEGIN");
    if (outcome) {
        outcome = read_tables(database, segment);
        static_cast<void>(database.execute("COMMIT"));
    }
    if (!outcome) {
        return tl::unexpected(in_file(segment.file, outcome.error()));
    }
    return {};
}

Result<void> read_records(sqlite::Database& database, const std::string& file, std::uint64_t first,
                          std::uint64_t last, Position before, const Take& take) {
    auto row = TRY(database.prepare(
        "SELECT record, epoch, seq, chain, time, kind, user, node, packing, bytes, frames "
        "FROM records WHERE record BETWEEN ?1 AND ?2 ORDER BY record"));
    row.bind(1, stored(first));
    row.bind(2, stored(last));
    Packer packer;
    for (std::uint64_t number = first; number <= last; ++number) {
        const auto damaged = [&](common::Error error) {
            error.what = "record " + std::to_string(number) + ": " + error.what;
            return tl::unexpected(in_file(file, std::move(error)));
        };
        const Result<bool> there = row.step();
        if (!there) {
            return damaged(there.error());
        }
        if (!*there || TRY(row.integer(0)) != stored(number)) {
            return damaged(common::Error{ErrorKind::BadInput, "it is missing"});
        }
        Result<HistoryRow> read = read_record(row, packer, before);
        if (!read) {
            return damaged(read.error());
        }
        before = read->position;
        if (!TRY(take(std::move(*read)))) {
            return {};
        }
    }
    return {};
}

Result<Position> position_of(sqlite::Database& database, std::uint64_t number) {
    auto row = TRY(database.prepare("SELECT epoch, seq, chain FROM records WHERE record = ?1"));
    row.bind(1, stored(number));
    if (!TRY(row.step())) {
        return common::bad_input("record " + std::to_string(number) + " is missing");
    }
    return read_position(row, 0);
}

// ---- Writer ------------------------------------------------------------------------------------

struct Writer::Statements {
    sqlite::Statement run;
    sqlite::Statement record;
    sqlite::Statement save;
    sqlite::Statement totals;
};

Result<std::unique_ptr<Writer>> Writer::open(sqlite::Database& database) {
    std::unique_ptr<Writer> writer(new Writer(database));
    writer->statements_ = std::make_shared<Statements>(Statements{
        TRY(database.prepare("INSERT INTO runs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")),
        TRY(database.prepare(
            "INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")),
        TRY(database.prepare(
            "INSERT OR REPLACE INTO saves VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")),
        TRY(database.prepare("UPDATE segment SET records = ?1, runs = ?2, saves = ?3, "
                             "first_time = ?4, last_time = ?5, seal = ?6"))});
    return writer;
}

Result<void> Writer::add_run(std::uint64_t number_of_run, const HistoryRun& run) {
    sqlite::Statement& row = statements_->run;
    const std::string chain = hash_bytes(run.base.position.chain);
    const std::string lineage = write_lineage(run.base.lineage);
    const std::string seal = seal_of(number_of_run, run, lineage);
    row.bind(1, stored(number_of_run));
    row.bind(2, stored(run.first));
    row.bind(3, stored(number(run.base.position.epoch)));
    row.bind(4, stored(number(run.base.position.seq)));
    row.bind_blob(5, chain);
    row.bind_text(6, lineage);
    row.bind_blob(7, seal);
    return row.run();
}

Result<void> Writer::add_record(std::uint64_t number_of_record, const HistoryRow& record) {
    sqlite::Statement& row = statements_->record;
    const std::string chain = hash_bytes(record.position.chain);
    const std::string node = node_id_of(record.record.mutation);
    const Packed packed = packer_.pack(record.frames);
    row.bind(1, stored(number_of_record));
    row.bind(2, stored(number(record.position.epoch)));
    row.bind(3, stored(number(record.position.seq)));
    row.bind_blob(4, chain);
    row.bind(5, number(record.record.time));
    row.bind_text(6, kind_name(record.record.mutation));
    row.bind_text(7, record.record.user);
    row.bind_text(8, node);
    row.bind(9, packed.packing);
    row.bind(10, stored(packed.unpacked_bytes));
    row.bind_blob(11, packed.blob);
    return row.run();
}

Result<void> Writer::put_save(std::uint64_t number_of_save, const HistorySave& save) {
    sqlite::Statement& row = statements_->save;
    const std::string digest = hash_bytes(save.digest);
    const std::string chain = hash_bytes(save.position.chain);
    const std::string seal = seal_of(number_of_save, save);
    row.bind(1, stored(number_of_save));
    row.bind_blob(2, digest);
    row.bind(3, stored(number(save.position.epoch)));
    row.bind(4, stored(number(save.position.seq)));
    row.bind_blob(5, chain);
    row.bind(6, number(save.saved));
    row.bind(7, save.modified_ns);
    row.bind(8, save.placed ? 1 : 0);
    row.bind_blob(9, seal);
    return row.run();
}

Result<void> Writer::set_totals(const HistorySegment& segment) {
    sqlite::Statement& row = statements_->totals;
    const std::string seal = seal_of(segment);
    row.bind(1, stored(segment.records));
    row.bind(2, stored(segment.runs.size()));
    row.bind(3, stored(segment.saves.size()));
    row.bind(4, number(segment.first_time));
    row.bind(5, number(segment.last_time));
    row.bind_blob(6, seal);
    return row.run();
}

}  // namespace history_segment

}  // namespace snapshotter
