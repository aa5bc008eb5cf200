#include "snapshotter/storage/history_reader.h"

#include <doctest/doctest.h>

#include "snapshotter/storage/history.h"
#include "tests/support/sample_history.h"
#include "tests/support/sim_vfs.h"

using namespace snapshotter;
using namespace common;
using support::SampleHistory;

namespace {

constexpr const char* kDirectory = "/data/history";

struct Disk {
    support::SimFileSystem files;
    support::SimVfs vfs{files};
    SampleHistory broker;
    WallTime now{1'763'894'520'000};

    // `records` records from where the broker is.
    void work(std::size_t records, std::uint64_t seed) {
        const HistoryBase base = broker.base();
        write(base, broker.work(records, seed));
    }
    void write(const std::optional<HistoryBase>& begin, const std::vector<HistoryRow>& rows) {
        const auto history = History::open(files, {.place = place(), .version = "0.1.0"});
        REQUIRE(history.has_value());
        REQUIRE((*history)->append(begin, rows, now).has_value());
    }
    HistoryPlace place() { return {kDirectory, vfs.name()}; }
    std::unique_ptr<HistoryReader> reader() {
        auto reader = HistoryReader::open(files, place());
        REQUIRE(reader.has_value());
        return std::move(*reader);
    }
    // Replays onto `graph`.
    Replayed replay(GraphCopy& graph, const Position& from,
                    const std::optional<Position>& to = {}) {
        Graph all(graph);
        const auto done = reader()->replay(from, to, [&](HistoryRow&& row) -> Result<bool> {
            TRY(all.apply(row.record.mutation));
            return true;
        });
        REQUIRE(done.has_value());
        graph = all.copy();
        return *done;
    }
};

}  // namespace

TEST_CASE_FIXTURE(Disk, "no history is none") {
    CHECK(reader()->segments().empty());
    CHECK(reader()->current_saves().empty());
    GraphCopy graph;
    CHECK(replay(graph, Position{}).records == 0);
    CHECK_FALSE(reader()->at(now)->has_value());
    CHECK_FALSE(reader()->find(Epoch{1}, Seq{1})->has_value());
}

TEST_CASE_FIXTURE(Disk,
                  "the records that lead from one position to another, over segments and epochs") {
    std::vector<std::pair<Position, Hash128>> states;
    const auto note = [&] { states.emplace_back(broker.position(), broker.digest()); };
    write(HistoryBase{}, broker.begin(7, 5));
    note();
    for (std::uint64_t i = 0; i < 3; ++i) {
        const HistoryBase base = broker.base();
        auto rows = broker.work(10, i);
        rows.push_back(broker.start(8 + i));
        write(base, rows);
        note();
    }
    for (const auto& [position, digest] : states) {
        GraphCopy graph;
        const Replayed done = replay(graph, {}, position);
        CHECK(done.reached);
        CHECK(done.position == position);
        CHECK(graph.digest() == digest);
    }
    GraphCopy graph;
    CHECK(replay(graph, {}, states[1].first).records == 7 + 11);
    CHECK(replay(graph, states[1].first).position == broker.position());
    CHECK(graph.digest() == broker.digest());
    // Backwards, and to what never was, there is no way.
    CHECK_FALSE(replay(graph, states[2].first, states[1].first).reached);
    Position other = states[1].first;
    other.chain.low ^= 1;
    CHECK_FALSE(replay(graph, {}, other).reached);
    CHECK(replay(graph, other).records == 0);

    const auto segments = reader()->segments();
    REQUIRE(segments.size() == 4);
    CHECK(segments[1].records == 11);
    REQUIRE(segments[1].runs.size() == 1);
    CHECK(segments[1].runs[0].base.position == states[0].first);
    CHECK(segments[1].runs[0].last == states[1].first);
    CHECK(segments[1].runs[0].base.lineage.size() == 1);
    CHECK(segments[3].runs[0].base.lineage.size() == 3);
    CHECK(segments[1].version == "0.1.0");
    CHECK(segments[1].bytes > 1000);
}

TEST_CASE_FIXTURE(Disk, "of two ways on the one written last is taken, the other by name") {
    write(HistoryBase{}, broker.begin(7, 5));
    const Position fork = broker.position();
    const GraphCopy at_fork = broker.copy();
    const HistoryBase base = broker.base();
    write(base, broker.work(10, 1));
    const Position old_end = broker.position();
    const Hash128 old_digest = broker.digest();

    SampleHistory other;
    other.go_on_from(at_fork, base);
    auto rows = std::vector{other.start(9)};
    for (HistoryRow& row : other.work(4, 2)) {
        rows.push_back(std::move(row));
    }
    write(base, rows);

    GraphCopy graph = at_fork;
    CHECK(replay(graph, fork).position == other.position());
    CHECK(graph.digest() == other.digest());
    graph = at_fork;
    CHECK(replay(graph, fork, old_end).reached);
    CHECK(graph.digest() == old_digest);
    GraphCopy all;
    CHECK(replay(all, {}, old_end).reached);
    CHECK(all.digest() == old_digest);
}

TEST_CASE_FIXTURE(Disk, "positions are found by time, in the order of writing, and by number") {
    write(HistoryBase{}, broker.begin(7, 2));
    const WallTime early = broker.time;
    const Position at_early = broker.position();
    work(5, 1);
    CHECK(*reader()->at(WallTime{number(early) - 1}) == at_early);
    CHECK(*reader()->at(WallTime{number(early) + 999}) != at_early);
    CHECK(*reader()->at(WallTime{number(early) + 100'000}) == broker.position());
    CHECK_FALSE(reader()->at(WallTime{0})->has_value());
    CHECK(*reader()->find(at_early.epoch, at_early.seq) == at_early);
    CHECK(*reader()->find(broker.position().epoch, broker.position().seq) == broker.position());
    CHECK_FALSE(reader()->find(Epoch{8}, at_early.seq)->has_value());
    CHECK_FALSE(reader()->find(at_early.epoch, Seq{1000})->has_value());
}

TEST_CASE_FIXTURE(Disk, "damage is named with file and range, and nothing wrong is given") {
    write(HistoryBase{}, broker.begin(7, 5));
    const HistoryBase first = broker.base();
    write(first, broker.work(10, 1));
    const Position second = broker.position();
    work(10, 2);
    const std::string file = std::string(kDirectory) + "/000002.sqlite";
    const std::string whole = *files.contents(file);

    GraphCopy graph;
    files.put(file, std::string(whole.size(), 'x'));
    Replayed done = replay(graph, {});
    CHECK(done.position == first.position);
    REQUIRE(done.damage.has_value());
    CHECK(done.damage->file == file);
    CHECK(done.damage->after == first.position);
    CHECK(done.damage->before == second);
    CHECK(to_string(*done.damage).find(file) != std::string::npos);
    CHECK(reader()->segments()[1].damage.has_value());

    // A byte of one record's frames.
    std::string flipped = whole;
    flipped[flipped.rfind("node-")] ^= 1;
    files.put(file, flipped);
    graph = {};
    done = replay(graph, {});
    REQUIRE(done.damage.has_value());
    CHECK(number(done.position.seq) >= number(first.position.seq));
    CHECK(number(done.position.seq) < number(second.seq));
    CHECK(done.damage->before == second);
    files.put(file, whole);
    graph = {};
    CHECK_FALSE(replay(graph, {}).damage.has_value());
    CHECK(graph.digest() == broker.digest());
}
