// Rule: whatever dies, and whatever the disk then forgets, what comes back is the session as it was
// at some moment not before the one last called durable. After that everything works.
//
// A life of a snapshotter with its history, on the simulated disk: groups of records, saves with
// backups in between, a restart of the broker, segments that are ended and pruned. It is killed
// after each file operation of SQLite's and ours, the disk loses what it may, and the next life
// goes on from what is found. HOLDFAST_LONG=1 tries every operation, not a sample.

#include <doctest/doctest.h>

#include <cstdlib>
#include <map>

#include "snapshotter/history_queue.h"
#include "snapshotter/storage/store.h"
#include "tests/support/sample_history.h"
#include "tests/support/sim_vfs.h"

using namespace snapshotter;
using namespace common;
using support::Loss;
using support::SampleHistory;
using support::SimFileSystem;
using support::SimVfs;

namespace {

StoreOptions options(const SimVfs& vfs) {
    HistoryOptions history;
    history.place.vfs = vfs.name();
    history.segment_bytes_min = 1;        // a segment for each backup
    history.segment_bytes_max = 150'000;  // and sometimes for itself
    history.bytes_max = 300'000;
    return {.directory = "/data", .backups_max = 2, .version = "0.1.0", .history = history};
}

// What happened until the end.
struct Reached {
    std::map<Position, Hash128> states;  // all that ever were
    Position durable;
    std::uint64_t saved = 0;
};

struct Life {
    SimFileSystem& files;
    SimVfs vfs{files};
    SampleHistory& broker;
    Reached& progress;
    WallTime now{1'763'894'520'000};
    std::unique_ptr<Store> store;
    std::optional<HistoryBase> begin;

    Life(SimFileSystem& disk, SampleHistory& session, Reached& done)
        : files(disk), broker(session), progress(done) {}

    void note() { progress.states[broker.position()] = broker.digest(); }

    Result<Recovered> start() {
        store = TRY(Store::open(files, options(vfs)));
        Recovered recovered = TRY(store->recover(now, Epoch{1000}));
        begin = recovered.history_base;
        return recovered;
    }
    Result<void> write(std::vector<HistoryRow> rows) {
        now = broker.time;
        TRY(store->history()->append(begin, rows, now));
        begin.reset();
        progress.durable = broker.position();
        TRY(store->history()->prune(now));
        return {};
    }
    Result<void> work(std::size_t records, std::uint64_t seed) {
        std::vector<HistoryRow> rows;
        for (std::size_t i = 0; i < records; ++i) {
            rows.push_back(std::move(broker.work(1, seed * 100 + i).front()));
            note();
        }
        return write(std::move(rows));
    }
    Result<void> save() {
        const SaveReport report =
            TRY(store->save({broker.copy(), broker.stamp(), "auto-save", broker.time}));
        CHECK(report.in_history);
        progress.durable = broker.position();
        ++progress.saved;
        return {};
    }

    // A whole life. Ends at the first error.
    Result<void> run() {
        TRY(start());
        begin = HistoryBase{};
        std::vector<HistoryRow> rows;
        rows = broker.begin(7, 4);
        note();
        TRY(write(std::move(rows)));
        for (std::uint64_t step = 1; step <= 4; ++step) {
            TRY(work(5, step * 10));
            TRY(work(3, step * 10 + 1));
            if (step == 3) {
                rows = {broker.start(8)};
                note();
                TRY(write(std::move(rows)));
            }
            TRY(save());
            TRY(work(2, step * 10 + 2));
        }
        store.reset();
        return {};
    }
};

void check_what_came_back(SimFileSystem& files, Reached& progress) {
    SampleHistory broker;
    {
        Life life(files, broker, progress);
        const auto recovered = life.start();
        REQUIRE_MESSAGE(recovered.has_value(),
                        (recovered ? std::string() : recovered.error().what));
        for (const std::string& note : recovered->notes) {
            CHECK(note.find("DAMAGED") == std::string::npos);
        }
        CHECK_FALSE(recovered->restored_by_hand);
        if (!recovered->session) {
            CHECK(progress.durable == Position{});
            return;
        }
        const Position& position = recovered->stamp.position;
        CHECK(number(position.seq) >= number(progress.durable.seq));
        REQUIRE(progress.states.contains(position));
        CHECK(recovered->session->graph.digest() == progress.states[position]);
        REQUIRE(recovered->history_base.has_value());
        CHECK(recovered->history_base->position == position);

        // It goes on from there, and comes back again.
        broker.go_on_from(recovered->session->graph, *recovered->history_base);
        std::vector<HistoryRow> rows{broker.start(9)};
        life.note();
        REQUIRE(life.write(std::move(rows)).has_value());
        REQUIRE(life.work(2, 77).has_value());
        REQUIRE(life.save().has_value());
        REQUIRE(life.work(2, 78).has_value());
    }
    files.crash(Loss::All);
    for (const std::string& path : files.paths()) {
        CHECK_MESSAGE(path.find("holdfast-tmp") == path.npos, path);
    }
    Life last(files, broker, progress);
    const auto again = last.start();
    REQUIRE(again.has_value());
    REQUIRE(again->session.has_value());
    CHECK(again->stamp.position == broker.position());
    CHECK(again->session->graph.digest() == broker.digest());
}

bool is_long() {
    return std::getenv("HOLDFAST_LONG") != nullptr;
}

}  // namespace

TEST_CASE("crash everywhere in a life with history") {
    SimFileSystem whole;
    Reached complete;
    {
        SampleHistory broker;
        Life life(whole, broker, complete);
        REQUIRE(life.run().has_value());
        REQUIRE(complete.saved == 4);
    }
    const std::uint64_t operations = whole.operations();
    REQUIRE(operations > 300);
    // A sample of the operations, each with a loss of its turn; in the long run all, with all.
    const std::uint64_t step = is_long() ? 1 : 7;
    std::uint64_t turn = 0;
    std::uint64_t points = 0;
    for (std::uint64_t operation = 1; operation <= operations; operation += step) {
        for (std::uint64_t seed = 0; seed < (is_long() ? 20 : 1); ++seed) {
            for (const Loss loss : support::kAllLosses) {
                if (!is_long() && ++turn % 3 != 0 && loss != Loss::Nothing) {
                    continue;
                }
                if (seed > 0 && loss != Loss::SomeBytes) {
                    continue;
                }
                CAPTURE(operation);
                CAPTURE(static_cast<int>(loss));
                CAPTURE(seed);
                SimFileSystem files;
                files.die_after(operation);
                Reached progress;
                Result<void> outcome;
                {
                    SampleHistory broker;
                    Life life(files, broker, progress);
                    outcome = life.run();
                }
                if (!files.is_dead()) {  // SQLite has done with fewer operations this time
                    CHECK_MESSAGE(outcome.has_value(), outcome.error().what);
                    continue;
                }
                ++points;
                files.crash(loss, operation * 10 + seed);
                check_what_came_back(files, progress);
            }
        }
    }
    MESSAGE("crash points: ", points);
}
