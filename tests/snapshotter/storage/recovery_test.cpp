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

Metadata metadata(std::uint64_t seq) {
    Metadata result;
    result.position = stamp(seq).position;
    result.digest = stamp(seq).digest;
    return result;
}

}  // namespace

TEST_CASE("the last save is the one of the last row, or the one before if that never came to be") {
    const std::vector rows{row(5, true, 50), row(9, false, 90)};
    CHECK(is_last_save(stamp(9), {1, 90, 1}, std::nullopt, rows));
    CHECK(is_last_save(stamp(9), {1, 91, 1}, metadata(5), rows));  // moved to another disk
    CHECK(is_last_save(stamp(5), {1, 50, 1}, metadata(5), rows));
    CHECK_FALSE(is_last_save(stamp(5), {1, 95, 1}, metadata(5), rows));  // copied over it
    CHECK_FALSE(is_last_save(stamp(3), {1, 30, 1}, metadata(9), rows));
    CHECK_FALSE(is_last_save(stamp(9, 2), {1, 90, 1}, std::nullopt, rows));
}

TEST_CASE("without a row the metadata tell") {
    const std::vector rows{row(5, true)};
    CHECK(is_last_save(stamp(9), {}, metadata(9), rows));
    CHECK_FALSE(is_last_save(stamp(9), {}, metadata(12), rows));
    CHECK_FALSE(is_last_save(stamp(9, 2), {}, metadata(9), rows));
    CHECK_FALSE(is_last_save(stamp(4), {}, metadata(5), rows));
    // Killed before the metadata were written: then it is later than all that is known.
    CHECK(is_last_save(stamp(9), {}, metadata(5), rows));
    CHECK(is_last_save(stamp(9), {}, std::nullopt, rows));
    // No history at all.
    CHECK(is_last_save(stamp(9), {}, std::nullopt, {}));
    CHECK(is_last_save(stamp(9), {}, metadata(9), {}));
    CHECK(is_last_save(stamp(9), {}, metadata(5), {}));
    CHECK_FALSE(is_last_save(stamp(5), {}, metadata(9), {}));
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
