#include "snapshotter/storage/history_segment.h"

#include <doctest/doctest.h>

#include "tests/support/sample_history.h"
#include "tests/support/sim_vfs.h"

using namespace snapshotter;
using namespace common;
using support::SampleHistory;

namespace {

constexpr const char* kFile = "/000004.sqlite";

struct Segment {
    support::SimFileSystem files;
    support::SimVfs vfs{files};
    std::unique_ptr<sqlite::Database> database =
        std::move(*sqlite::Database::open(kFile, sqlite::Mode::Create, vfs.name()));
    HistorySegment written;
    SampleHistory broker;

    Segment() {
        written.number = 4;
        written.file = kFile;
        written.created = WallTime{5};
        written.version = "0.1.0";
        REQUIRE(history_segment::create(*database, written).has_value());
        const auto writer = history_segment::Writer::open(*database);
        REQUIRE(writer.has_value());
        written.runs.push_back({.base = {}, .first = 1, .last = {}});
        REQUIRE((*writer)->add_run(1, written.runs[0]).has_value());
        for (const HistoryRow& row : broker.begin(7, 3)) {
            REQUIRE((*writer)->add_record(++written.records, row).has_value());
        }
        written.first_time = WallTime{10};
        written.last_time = WallTime{20};
        written.runs[0].records = written.records;
        written.runs[0].last = broker.position();
        written.saves.push_back({Hash128{1, 2}, broker.position(), WallTime{6}, -7, true});
        REQUIRE((*writer)->put_save(1, written.saves[0]).has_value());
        REQUIRE((*writer)->set_totals(written).has_value());
    }
    Result<void> read(HistorySegment& segment) {
        segment.number = 4;
        segment.file = kFile;
        return history_segment::read(*database, segment);
    }
    // What a change by `sql` is called.
    std::string error_after(const std::string& sql) {
        REQUIRE(database->execute("SAVEPOINT before; " + sql).has_value());
        REQUIRE(database->execute("RELEASE before").has_value());
        HistorySegment segment;
        const auto outcome = read(segment);
        return outcome ? "" : outcome.error().what;
    }
    std::size_t readable_records() {
        std::size_t count = 0;
        static_cast<void>(history_segment::read_records(*database, kFile, 1, written.records,
                                                        Position{}, [&](HistoryRow&&) {
                                                            ++count;
                                                            return true;
                                                        }));
        return count;
    }
};

}  // namespace

TEST_CASE_FIXTURE(Segment, "what was written is read") {
    HistorySegment segment;
    REQUIRE(read(segment).has_value());
    CHECK(segment.created == written.created);
    CHECK(segment.version == written.version);
    CHECK(segment.records == written.records);
    CHECK(segment.first_time == written.first_time);
    CHECK(segment.last_time == written.last_time);
    CHECK(segment.saves == written.saves);
    REQUIRE(segment.runs.size() == 1);
    CHECK(segment.runs[0].base == written.runs[0].base);
    CHECK(segment.runs[0].last == broker.position());
    CHECK(readable_records() == written.records);
    CHECK(history_segment::position_of(*database, written.records).value() == broker.position());
}

TEST_CASE_FIXTURE(Segment, "people see times, users, kinds and nodes") {
    CHECK(database->integer("SELECT count(*) FROM history WHERE kind = 'PutNode'").value() == 3);
    CHECK(database->text("SELECT epoch FROM history").value() == "0000000000000007");
    CHECK(database->text("SELECT user FROM history WHERE kind = 'PutNode'").value() == "ada");
    CHECK_FALSE(database->text("SELECT node FROM history WHERE kind = 'PutNode'").value().empty());
}

TEST_CASE_FIXTURE(Segment, "a row that was changed, hidden or added shows") {
    SUBCASE("a changed run") {
        CHECK(error_after("UPDATE runs SET seq = 1") != "");
    }
    SUBCASE("a changed lineage") {
        CHECK(error_after("UPDATE runs SET lineage = 'x'") != "");
    }
    SUBCASE("a missing run") {
        CHECK(error_after("DELETE FROM runs") != "");
    }
    SUBCASE("a changed save") {
        CHECK(error_after("UPDATE saves SET placed = 0") != "");
    }
    SUBCASE("a missing save") {
        CHECK(error_after("DELETE FROM saves") != "");
    }
    SUBCASE("the segment's row") {
        CHECK(error_after("UPDATE segment SET records = 3") != "");
    }
    SUBCASE("no row") {
        CHECK(error_after("DELETE FROM segment") != "");
    }
    SUBCASE("the last record") {
        CHECK(error_after("DELETE FROM records WHERE record = 5") != "");
    }
    SUBCASE("a table") {
        CHECK(error_after("CREATE TABLE more (a)") != "");
    }
    SUBCASE("another table") {
        CHECK(error_after("ALTER TABLE records ADD COLUMN more INTEGER") != "");
    }
    SUBCASE("another number") {
        HistorySegment segment;
        segment.number = 5;
        segment.file = kFile;
        CHECK(history_segment::read(*database, segment).error().kind == ErrorKind::BadInput);
    }
}

TEST_CASE_FIXTURE(Segment, "a later format is refused in words") {
    REQUIRE(database->execute("PRAGMA user_version = 2").has_value());
    HistorySegment segment;
    const auto outcome = read(segment);
    REQUIRE_FALSE(outcome.has_value());
    CHECK(outcome.error().kind == ErrorKind::Unsupported);
    CHECK(outcome.error().what.find("later Holdfast") != std::string::npos);
    CHECK(outcome.error().what.starts_with(kFile));
}

TEST_CASE_FIXTURE(Segment, "no column of a record may say another thing than its frames") {
    for (const char* change :
         {"epoch = 8", "seq = 9", "chain = x'00'", "time = 1", "kind = 'PatchNode'", "user = 'x'",
          "node = 'x'", "packing = 1", "bytes = 1", "frames = x'00'", "frames = NULL"}) {
        CAPTURE(change);
        const std::string sql = std::string("UPDATE records SET ") + change + " WHERE record = 3";
        REQUIRE(database->execute("SAVEPOINT before; " + sql).has_value());
        CHECK(readable_records() == 2);
        REQUIRE(database->execute("ROLLBACK TO before; RELEASE before").has_value());
    }
    REQUIRE(database->execute("DELETE FROM records WHERE record = 4").has_value());
    CHECK(readable_records() == 3);
}
