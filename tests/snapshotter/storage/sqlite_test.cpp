#include "snapshotter/storage/sqlite.h"

#include <doctest/doctest.h>

#include <cerrno>

#include "tests/support/sim_vfs.h"

using namespace snapshotter;
using common::ErrorKind;

namespace {

struct Disk {
    support::SimFileSystem files;
    support::SimVfs vfs{files};
    std::unique_ptr<sqlite::Database> open(const std::string& file, sqlite::Mode mode) {
        auto database = sqlite::Database::open(file, mode, vfs.name());
        REQUIRE(database.has_value());
        return std::move(*database);
    }
};

}  // namespace

TEST_CASE_FIXTURE(Disk, "rows are written and read") {
    const auto database = open("/a.sqlite", sqlite::Mode::Create);
    REQUIRE(
        database->execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c BLOB)").has_value());
    auto insert = database->prepare("INSERT INTO t VALUES (?1, ?2, ?3)");
    REQUIRE(insert.has_value());
    for (int i = 1; i <= 3; ++i) {
        insert->bind(1, i);
        insert->bind_text(2, "text");
        insert->bind_blob(3, std::string_view("\0x", 2));
        REQUIRE(insert->run().has_value());
    }
    insert->bind(1, 3);
    CHECK(insert->run().error().kind == ErrorKind::BadInput);

    auto select = database->prepare("SELECT a, b, c, NULL FROM t ORDER BY a");
    REQUIRE(select.has_value());
    REQUIRE(select->step().value());
    CHECK(select->integer(0).value() == 1);
    CHECK(select->text(1).value() == "text");
    CHECK(select->blob(2)->view() == std::string_view("\0x", 2));
    CHECK(select->is_null(3));
    CHECK(select->integer(1).error().kind == ErrorKind::BadInput);
    CHECK(select->text(2).error().kind == ErrorKind::BadInput);
    CHECK(select->blob(0).error().kind == ErrorKind::BadInput);
    CHECK(select->step().value());
    CHECK(select->step().value());
    CHECK_FALSE(select->step().value());
    CHECK(database->integer("SELECT count(*) FROM t").value() == 3);
    CHECK(database->text("SELECT b FROM t").value() == "text");
    CHECK(database->integer("SELECT a FROM t WHERE a = 9").error().kind == ErrorKind::BadInput);
    CHECK(database->prepare("SELECT nothing").error().kind == ErrorKind::BadInput);
}

TEST_CASE_FIXTURE(Disk, "errors of the disk say what people can do") {
    const auto database = open("/a.sqlite", sqlite::Mode::Create);
    REQUIRE(database->execute("CREATE TABLE t (a BLOB)").has_value());
    REQUIRE(database->execute("BEGIN").has_value());
    REQUIRE(database->execute("INSERT INTO t VALUES (1)").has_value());
    files.set_trouble(EIO);
    const auto broken = database->execute("COMMIT");
    REQUIRE_FALSE(broken.has_value());
    CHECK(broken.error().what.find("; the disk does not do what it is asked") != std::string::npos);
    files.set_trouble(0);
    static_cast<void>(database->execute("ROLLBACK"));
    REQUIRE(database->execute("PRAGMA max_page_count = 2").has_value());
    const auto full = database->execute("INSERT INTO t VALUES (zeroblob(100000))");
    REQUIRE_FALSE(full.has_value());
    CHECK(full.error().what ==
          "/a.sqlite: SQLite: database or disk is full; free some space on "
          "that disk");
}

TEST_CASE_FIXTURE(Disk, "errors say what the caller can do") {
    CHECK(sqlite::Database::open("/none.sqlite", sqlite::Mode::Read, vfs.name()).error().kind ==
          ErrorKind::Io);
    files.put("/text.sqlite", std::string(2000, 'x'));
    const auto text = open("/text.sqlite", sqlite::Mode::Read);
    CHECK(text->integer("SELECT count(*) FROM sqlite_schema").error().kind == ErrorKind::BadInput);

    const auto one = open("/a.sqlite", sqlite::Mode::Create);
    REQUIRE(one->execute("CREATE TABLE t (a); BEGIN IMMEDIATE").has_value());
    const auto other = open("/a.sqlite", sqlite::Mode::Write);
    other->set_patience(0);
    CHECK(other->execute("BEGIN IMMEDIATE").error().kind == ErrorKind::Busy);
    REQUIRE(one->execute("INSERT INTO t VALUES (1)").has_value());
    files.set_full(true);
    CHECK(one->execute("COMMIT").error().kind == ErrorKind::Io);
}

TEST_CASE_FIXTURE(Disk, "a log grows until it is asked to be moved, then it begins anew") {
    const auto writer = open("/a.sqlite", sqlite::Mode::Create);
    REQUIRE(writer->execute("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").has_value());
    const std::uint64_t little = writer->log_pages();
    CHECK(little > 0);
    REQUIRE(writer->execute("INSERT INTO t VALUES (zeroblob(20000000))").has_value());
    CHECK(writer->log_pages() > 20'000'000 / 4096);
    CHECK(files.contents("/a.sqlite")->size() < 20'000'000);
    REQUIRE(writer->execute("PRAGMA wal_checkpoint(PASSIVE)").has_value());
    CHECK(files.contents("/a.sqlite")->size() > 20'000'000);
    REQUIRE(writer->execute("INSERT INTO t VALUES (1)").has_value());
    CHECK(writer->log_pages() < 10);
}

TEST_CASE_FIXTURE(Disk, "what was committed in a log is there for a second reader") {
    const auto writer = open("/a.sqlite", sqlite::Mode::Create);
    REQUIRE(writer->execute("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").has_value());
    const auto reader = open("/a.sqlite", sqlite::Mode::Read);
    REQUIRE(writer->execute("INSERT INTO t VALUES (7)").has_value());
    CHECK(reader->integer("SELECT a FROM t").value() == 7);
    REQUIRE(reader->execute("BEGIN").has_value());
    CHECK(reader->integer("SELECT count(*) FROM t").value() == 1);
    REQUIRE(writer->execute("INSERT INTO t VALUES (8)").has_value());
    CHECK(reader->integer("SELECT count(*) FROM t").value() == 1);
    REQUIRE(reader->execute("COMMIT").has_value());
    CHECK(reader->integer("SELECT count(*) FROM t").value() == 2);
}
