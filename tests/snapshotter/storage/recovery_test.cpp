#include "snapshotter/storage/recovery.h"

#include <doctest/doctest.h>

#include "snapshotter/storage/history.h"
#include "tests/support/graph_gen.h"
#include "tests/support/sample_history.h"
#include "tests/support/sim_vfs.h"

using namespace snapshotter;
using namespace common;
using support::make_patch;
using support::SampleHistory;

namespace {

SessionStamp stamp(std::uint64_t seq, std::uint64_t digest = 1) {
    SessionStamp result;
    result.position = {Epoch{7}, Seq{seq}, Hash128{7, seq}};
    result.lineage = {{Epoch{7}, Position{}}};
    result.digest = {digest, seq};
    return result;
}

HistorySave row(std::uint64_t seq, bool placed, std::int64_t modified = 0) {
    return {stamp(seq).digest, stamp(seq).position, WallTime{}, modified, placed};
}

SessionClues clues(std::int64_t modified, std::optional<Metadata> metadata,
                   std::vector<HistorySave> saves) {
    return {{1, modified, 1}, std::move(metadata), std::nullopt, std::move(saves)};
}

Metadata metadata(std::uint64_t seq) {
    Metadata result;
    result.initialised = true;
    result.position = stamp(seq).position;
    result.digest = stamp(seq).digest;
    return result;
}

}  // namespace

TEST_CASE("the last save is the one of the last row, or the one before if that never came to be") {
    const std::vector rows{row(5, true, 50), row(9, false, 90)};
    CHECK(is_last_save(stamp(9), clues(90, std::nullopt, rows)));
    CHECK(is_last_save(stamp(9), clues(91, metadata(5), rows)));  // moved to another disk
    CHECK(is_last_save(stamp(5), clues(50, metadata(5), rows)));
    CHECK_FALSE(is_last_save(stamp(5), clues(95, metadata(5), rows)));  // copied over it
    CHECK_FALSE(is_last_save(stamp(3), clues(30, metadata(9), rows)));
    CHECK_FALSE(is_last_save(stamp(9, 2), clues(90, std::nullopt, rows)));
}

TEST_CASE("a state that was saved twice is the last save by either row") {
    const HistorySave first = row(9, true, 90);
    const std::vector rows{first, row(9, false, 95)};
    CHECK(is_last_save(stamp(9), clues(95, metadata(9), rows)));  // killed before it was noted
    CHECK(is_last_save(stamp(9), clues(90, metadata(9), rows)));  // it never came to its name
    // The backup of the first one, copied over either.
    Metadata last = metadata(9);
    last.backup_digest = last.digest;
    last.backup_modified_ns = 92;
    SessionClues found = clues(99, last, rows);
    found.backup = FileInfo{1, 92, 2};
    CHECK_FALSE(is_last_save(stamp(9), found));
    found.file.modified_ns = 90;
    CHECK(is_last_save(stamp(9), found));
}

TEST_CASE("metadata of an upload that was broken off say nothing about the first save") {
    Metadata earlier = metadata(12);
    earlier.initialised = false;
    earlier.position.epoch = Epoch{6};
    CHECK(is_last_save(stamp(9), clues(0, earlier, {})));
    earlier.initialised = true;
    CHECK_FALSE(is_last_save(stamp(9), clues(0, earlier, {})));
}

TEST_CASE("a backup of the last save that was copied over it is told from a directory that moved") {
    const std::vector rows{row(5, true, 50), row(9, true, 90)};
    Metadata last = metadata(9);
    last.backup_digest = last.digest;
    last.backup_modified_ns = 92;
    SessionClues found = clues(90, last, rows);
    found.backup = FileInfo{1, 92, 2};
    CHECK(is_last_save(stamp(9), found));  // nobody has done anything
    found.file.modified_ns = 92;           // cp -p
    CHECK_FALSE(is_last_save(stamp(9), found));
    found.file.modified_ns = 500;
    CHECK_FALSE(is_last_save(stamp(9), found));
    found.backup->modified_ns = 501;  // the directory was copied, without the times
    CHECK(is_last_save(stamp(9), found));
    found.backup.reset();
    CHECK(is_last_save(stamp(9), found));
    // Where the metadata are not those of this save they say nothing about its backup.
    found.backup = FileInfo{1, 92, 2};
    found.metadata->position = stamp(5).position;
    CHECK(is_last_save(stamp(9), found));
}

TEST_CASE("backups in order: by their names, but what goes on from another one is newer") {
    const auto named = [](int hour, std::optional<SessionStamp> stamp) {
        return BackupHead{{{2026, 11, 23, hour, 0, 0}, 1, false}, std::move(stamp)};
    };
    const auto hours = [](std::vector<BackupHead> backups) {
        sort_newest_first(backups);
        std::vector<int> order;
        for (const BackupHead& one : backups) {
            order.push_back(one.backup.time.hour);
        }
        return order;
    };
    CHECK(hours({named(1, stamp(10)), named(3, stamp(30)), named(2, stamp(20))}) ==
          std::vector{3, 2, 1});
    // One was made while the clock was wrong.
    CHECK(hours({named(1, stamp(10)), named(23, stamp(20)), named(3, stamp(30)),
                 named(4, stamp(40))}) == std::vector{4, 3, 23, 1});
    // What is known of no position stays where its name puts it.
    CHECK(hours({named(1, stamp(10)), named(23, stamp(20)), named(3, stamp(30)),
                 named(4, std::nullopt)}) == std::vector{3, 23, 4, 1});
    // After a way back from 30 to 10 the number is smaller, but neither goes on from the other.
    SessionStamp back = stamp(15);
    back.position.epoch = Epoch{8};
    back.lineage.push_back({Epoch{8}, stamp(10).position});
    CHECK(hours({named(1, stamp(10)), named(3, stamp(30)), named(4, back)}) ==
          std::vector{4, 3, 1});
    CHECK(hours({named(23, stamp(10)), named(3, stamp(30)), named(4, back)}) ==
          std::vector{4, 3, 23});
}

TEST_CASE("without a row the metadata tell") {
    const std::vector rows{row(5, true)};
    CHECK(is_last_save(stamp(9), clues(0, metadata(9), rows)));
    CHECK_FALSE(is_last_save(stamp(9), clues(0, metadata(12), rows)));
    CHECK_FALSE(is_last_save(stamp(9, 2), clues(0, metadata(9), rows)));
    CHECK_FALSE(is_last_save(stamp(4), clues(0, metadata(5), rows)));
    // Killed before the metadata were written: then it is later than all that is known.
    CHECK(is_last_save(stamp(9), clues(0, metadata(5), rows)));
    CHECK(is_last_save(stamp(9), clues(0, std::nullopt, rows)));
    // A later one has a row, but never came to its name.
    const std::vector begun{row(5, true), row(12, false)};
    CHECK(is_last_save(stamp(9), clues(0, metadata(5), begun)));
    CHECK_FALSE(is_last_save(stamp(4), clues(0, metadata(5), begun)));
    CHECK_FALSE(is_last_save(stamp(12, 2), clues(0, metadata(5), begun)));
    // No history at all.
    CHECK(is_last_save(stamp(9), clues(0, std::nullopt, {})));
    CHECK(is_last_save(stamp(9), clues(0, metadata(9), {})));
    CHECK(is_last_save(stamp(9), clues(0, metadata(5), {})));
    CHECK_FALSE(is_last_save(stamp(5), clues(0, metadata(9), {})));
}

TEST_CASE("a state goes on with the history after it") {
    support::SimFileSystem files;
    const support::SimVfs vfs(files);
    const HistoryPlace place{"/data/history", vfs.name()};
    SampleHistory broker;
    const auto history = History::open(files, {.place = place, .version = "1"});
    REQUIRE((*history)->append(HistoryBase{}, broker.begin(7, 3), WallTime{}).has_value());
    const StoredState early{broker.copy(), broker.position(), broker.base().lineage, WallTime{}};
    std::vector<HistoryRow> rows = broker.work(5, 1);
    const Position middle = broker.position();
    const Hash128 digest_middle = broker.digest();
    const WallTime last_work = rows.back().record.time;
    rows.push_back(broker.start(8));
    REQUIRE((*history)->append({}, rows, WallTime{}).has_value());

    const auto reader = HistoryReader::open(files, place);
    auto gone = go_on(**reader, early);
    REQUIRE(gone.has_value());
    CHECK(gone->records == 6);
    CHECK(gone->state.position == broker.position());
    CHECK(gone->state.lineage == broker.base().lineage);
    CHECK(gone->state.last_mutation == last_work);
    CHECK(gone->state.graph.digest() == broker.digest());
    gone = go_on(**reader, {}, middle);
    REQUIRE(gone.has_value());
    CHECK(gone->reached);
    CHECK(gone->state.graph.digest() == digest_middle);
    CHECK_FALSE(go_on(**reader, gone->state, early.position)->reached);

    // A record that does not fit is damage, not a crash.
    REQUIRE((*history)
                ->append({}, {broker.add(make_patch("node-1", {}, 2.0))}, WallTime{})
                .has_value());
    const auto again = HistoryReader::open(files, place);
    StoredState wrong{{}, rows.back().position, {}, WallTime{}};
    const auto refused = go_on(**again, wrong);
    REQUIRE(refused.has_value());
    CHECK(refused->records == 0);
    REQUIRE(refused->damage.has_value());
    CHECK(refused->damage->after == rows.back().position);
    CHECK(go_on(**again, early)->state.graph.digest() == broker.digest());
}
