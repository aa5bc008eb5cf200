#include "snapshotter/storage/disk_use.h"

#include <doctest/doctest.h>

#include "tests/support/sim_file_system.h"

using namespace snapshotter;

TEST_CASE("only our own files are counted, each kind for itself") {
    support::SimFileSystem files;
    REQUIRE(files.make_directories("/data/backups").has_value());
    REQUIRE(files.make_directories("/data/quarantine").has_value());
    REQUIRE(files.make_directories("/data/history").has_value());
    files.put("/data/session_snapshot.db", "12345");
    files.put("/data/thesis.doc", "not ours");
    files.put("/data/backups/snapshot_20261123_101500.db", "1234567");
    files.put("/data/backups/snapshot_20261123_101500_2.db", "123");
    files.put("/data/backups/pinned_20261123_101500.db", "1");
    files.put("/data/backups/before the big change.db", "not ours");
    files.put("/data/history/000001.sqlite", "1234");
    files.put("/data/history/000001.sqlite-wal", "12");
    files.put("/data/quarantine/session_snapshot.damaged_20261123_101500.db", "12345678");
    const auto use = disk_use(files, "/data");
    REQUIRE(use.has_value());
    CHECK(use->session.bytes == 5);
    CHECK(use->backups.files == 2);
    CHECK(use->backups.bytes == 10);
    CHECK(use->pinned.files == 1);
    CHECK(use->history.files == 2);
    CHECK(use->history.bytes == 6);
    CHECK(use->quarantine.bytes == 8);
    CHECK(use->all().bytes == 30);
    CHECK(to_string(*use) ==
          "30 bytes: session 5 bytes, 2 backups 10 bytes, 1 pinned 1 bytes, history 6 bytes, "
          "1 in quarantine 8 bytes");
}

TEST_CASE("an empty directory takes nothing") {
    support::SimFileSystem files;
    REQUIRE(files.make_directories("/data").has_value());
    const auto use = disk_use(files, "/data");
    REQUIRE(use.has_value());
    CHECK(use->all().files == 0);
    CHECK(to_string(*use) == "0 bytes: session 0 bytes");
}

TEST_CASE("bytes as people read them") {
    CHECK(readable_bytes(17) == "17 bytes");
    CHECK(readable_bytes(860'000) == "840 KiB");
    CHECK(readable_bytes(12'700'000) == "12.1 MiB");
}
