#include "snapshotter/retention.h"

#include <doctest/doctest.h>

using namespace snapshotter;
using Names = std::vector<std::string>;

namespace {

const file_names::LocalTime kNow{2026, 11, 23, 12, 0, 0};

std::string backup(int minute) {
    return name_of(file_names::Backup{{2026, 11, 23, 11, minute, 0}, 1, false});
}

}  // namespace

TEST_CASE("the newest stay, the others go, oldest first") {
    const std::vector<BackupFile> files = {
        {backup(5), false}, {backup(1), false}, {backup(9), true}, {backup(3), false}};
    CHECK(backups_to_remove(files, {2}, kNow) == Names{backup(1), backup(3)});
    CHECK(backups_to_remove(files, {4}, kNow).empty());
    CHECK(backups_to_remove(files, {1}, kNow) == Names{backup(1), backup(3), backup(5)});
}

TEST_CASE("zero is taken as one") {
    CHECK(backups_to_remove({{backup(1), true}, {backup(2), true}}, {0}, kNow) == Names{backup(1)});
}

TEST_CASE("the last one that verifies stays, whatever its age") {
    CHECK(backups_to_remove({{backup(1), true}, {backup(2), false}, {backup(3), false}}, {1},
                            kNow) == Names{backup(2)});
    CHECK(backups_to_remove({{backup(1), false}, {backup(2), false}}, {1}, kNow).empty());
}

TEST_CASE("pinned backups and other people's files are never named") {
    const std::vector<BackupFile> files = {{"pinned_20200101_000000.db", true},
                                           {"before the big change.db", true},
                                           {"snapshot_old.db", true},
                                           {backup(1), true},
                                           {backup(2), true}};
    CHECK(backups_to_remove(files, {1}, kNow) == Names{backup(1)});
}

TEST_CASE("backups from the future neither count nor go") {
    const std::vector<BackupFile> files = {{"snapshot_20270101_000000.db", true},
                                           {"snapshot_20270102_000000.db", true},
                                           {backup(1), true},
                                           {backup(2), true}};
    CHECK(backups_to_remove(files, {1}, kNow) == Names{backup(1)});
}

TEST_CASE("the second one within a second is newer than the first") {
    CHECK(backups_to_remove({{"snapshot_20261123_110000_2.db", true},
                             {"snapshot_20261123_110000.db", true},
                             {"snapshot_20261123_110000_10.db", true}},
                            {1}, kNow) ==
          Names{"snapshot_20261123_110000.db", "snapshot_20261123_110000_2.db"});
}
