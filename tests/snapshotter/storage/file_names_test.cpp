#include "snapshotter/storage/file_names.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <ctime>

using namespace snapshotter::file_names;
using common::WallTime;

TEST_CASE("backups' names are built and parsed") {
    const LocalTime time{2026, 11, 23, 9, 5, 7};
    for (const Backup& backup :
         {Backup{time, 1, false}, Backup{time, 2, false}, Backup{time, 12, true}}) {
        CHECK(parse_backup(name_of(backup)) == backup);
    }
    CHECK(name_of(Backup{time, 1, false}) == "snapshot_20261123_090507.db");
    CHECK(name_of(Backup{time, 2, false}) == "snapshot_20261123_090507_2.db");
    CHECK(name_of(Backup{time, 1, true}) == "pinned_20261123_090507.db");
}

TEST_CASE("names that we do not give are not ours") {
    for (const char* name :
         {"", "snapshot_.db", "snapshot_20261123_090507", "snapshot_20261123_090507.db.bak",
          "my_snapshot_20261123_090507.db", "snapshot_20261123_090507_1.db",
          "snapshot_20261123_090507_02.db", "snapshot_20261123_090507_-2.db",
          "snapshot_20261123_090507_.db", "snapshot_2026112_0905070.db",
          "snapshot_20261323_090507.db", "snapshot_20260230_090507.db",
          "snapshot_20261123_240507.db", "snapshot_20261123-090507.db",
          "snapshot_20261123_090507_99999999999999999999.db", "before the big change.db"}) {
        CAPTURE(name);
        CHECK_FALSE(parse_backup(name).has_value());
    }
}

TEST_CASE("backups are ordered by time, then by number") {
    const Backup first{{2026, 1, 31, 23, 59, 59}, 1, false};
    const Backup second{{2026, 1, 31, 23, 59, 59}, 2, false};
    const Backup tenth{{2026, 1, 31, 23, 59, 59}, 10, false};
    const Backup later{{2026, 2, 1, 0, 0, 0}, 1, false};
    CHECK(first < second);
    CHECK(second < tenth);
    CHECK(tenth < later);
}

TEST_CASE("temporary names are ours only if their targets are") {
    CHECK(is_temporary(temporary(kSession)));
    CHECK(is_temporary(temporary(kMetadata)));
    CHECK(is_temporary(temporary("snapshot_20261123_090507_2.db")));
    CHECK_FALSE(is_temporary(temporary("thesis.doc")));
    CHECK_FALSE(is_temporary(kSession));
    CHECK_FALSE(is_temporary(".holdfast-tmp"));
    CHECK_FALSE(is_temporary(".lock"));
}

TEST_CASE("times are local") {
    setenv("TZ", "EST+5EDT", 1);
    tzset();
    CHECK(iso_local(WallTime{0}) == "1969-12-31T19:00:00-05:00");
    CHECK(local_time(WallTime{1'000}) == LocalTime{1969, 12, 31, 19, 0, 1});
    CHECK(local_time(WallTime{-1}) == LocalTime{1969, 12, 31, 18, 59, 59});
    setenv("TZ", "UTC0", 1);
    tzset();
    CHECK(iso_local(WallTime{1'763'894'520'999}) == "2025-11-23T10:42:00+00:00");
}

TEST_CASE("segments of the history have six digits or more") {
    CHECK(segment_name(1) == "000001.sqlite");
    CHECK(segment_name(1'234'567) == "1234567.sqlite");
    CHECK(parse_segment("000012.sqlite") == 12);
    CHECK(parse_segment("1234567.sqlite") == 1'234'567);
    for (const char* name : {"12.sqlite", "0000012.sqlite", "000012.sqlite-wal", "000012.db",
                             "00000x.sqlite", "", "-00012.sqlite"}) {
        CAPTURE(name);
        CHECK_FALSE(parse_segment(name).has_value());
    }
    CHECK(is_temporary(temporary(segment_name(3))));
}
