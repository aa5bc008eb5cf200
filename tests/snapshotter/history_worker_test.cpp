#include "snapshotter/history_worker.h"

#include <doctest/doctest.h>
#include <poll.h>

#include "common/io/clock.h"
#include "tests/support/sample_history.h"
#include "tests/support/sim_vfs.h"

using namespace snapshotter;
using namespace common;
using support::SampleHistory;

namespace {

constexpr int kGenerousMs = 60'000;

struct Disk {
    support::SimFileSystem files;
    support::SimVfs vfs{files};
    SampleHistory broker;
    std::unique_ptr<History> history =
        std::move(*History::open(files, {.place = {"/data/history", vfs.name()}, .version = "1"}));

    void feed(HistoryWorker& worker, std::vector<HistoryRow> rows) {
        for (HistoryRow& row : rows) {
            worker.add({std::move(row.record), std::move(row.frames), row.position},
                       io::instant_now());
        }
    }
    // The next report that says something.
    HistoryReport report(HistoryWorker& worker) {
        while (true) {
            pollfd item{worker.descriptor(), POLLIN, 0};
            REQUIRE(::poll(&item, 1, kGenerousMs) == 1);
            HistoryReport report = worker.take_report();
            if (report.durable || report.error) {
                return report;
            }
        }
    }
    Position end() {
        const auto reader = HistoryReader::open(files, {"/data/history", vfs.name()});
        REQUIRE(reader.has_value());
        return (*reader)->replay({}, {}, [](HistoryRow&&) { return true; })->position;
    }
};

}  // namespace

TEST_CASE_FIXTURE(Disk, "what is called durable is in the history") {
    HistoryWorker worker(*history, HistoryQueue({.delay = Millis(1)}, std::nullopt));
    feed(worker, broker.begin(7, 3));
    for (std::uint64_t i = 0; i < 3; ++i) {
        feed(worker, broker.work(10, i));
        while (report(worker).durable != broker.position()) {
        }
        CHECK(end() == broker.position());
    }
    const HistoryStatus status = worker.status(io::instant_now());
    CHECK(status.flowing);
    CHECK_FALSE(status.age.has_value());
    CHECK(status.bytes_waiting == 0);
    CHECK(status.size.segments == 1);
}

TEST_CASE_FIXTURE(Disk, "the end waits for what can be written") {
    {
        HistoryWorker worker(*history, HistoryQueue({.delay = Millis(3'600'000)}, std::nullopt));
        feed(worker, broker.begin(7, 3));
    }
    CHECK(end() == broker.position());
}

TEST_CASE_FIXTURE(Disk, "a disk that refuses is reported, and tried again") {
    HistoryWorker worker(*history, HistoryQueue({.delay = Millis(0)}, std::nullopt));
    files.set_full(true);
    feed(worker, broker.begin(7, 3));
    const HistoryReport failed = report(worker);
    REQUIRE(failed.error.has_value());
    CHECK_FALSE(failed.durable.has_value());
    CHECK(worker.status(io::instant_now()).age.has_value());
    files.set_full(false);
    while (report(worker).durable != broker.position()) {
    }
    CHECK(end() == broker.position());
}

TEST_CASE_FIXTURE(Disk, "what somebody removed is not called durable; a save is wanted") {
    HistoryWorker worker(*history, HistoryQueue({.delay = Millis(0)}, std::nullopt));
    feed(worker, broker.begin(7, 3));
    while (report(worker).durable != broker.position()) {
    }
    files.remove_tree("/data");
    feed(worker, broker.work(1, 1));
    const HistoryReport lost = report(worker);
    CHECK(lost.error.has_value());
    CHECK(lost.wants_save == HistoryStop::Removed);
    CHECK_FALSE(lost.durable.has_value());
    CHECK_FALSE(worker.status(io::instant_now()).flowing);
    // The directory is back, and a save in place.
    REQUIRE(history->renew().has_value());
    const HistoryBase base = broker.base();
    worker.save_begins(base);
    worker.save_ended(true);
    feed(worker, broker.work(2, 2));
    while (report(worker).durable != broker.position()) {
    }
    const auto reader = HistoryReader::open(files, {"/data/history", vfs.name()});
    CHECK((*reader)->segments().back().runs.back().base == base);
    CHECK((*reader)->segments().back().runs.back().last == broker.position());
}

TEST_CASE_FIXTURE(Disk, "with a disk that refuses for good it still ends") {
    HistoryWorker worker(*history, HistoryQueue({.delay = Millis(0)}, std::nullopt));
    files.set_full(true);
    feed(worker, broker.begin(7, 3));
    CHECK(report(worker).error.has_value());
}

TEST_CASE_FIXTURE(Disk, "after another graph nothing is written before its save") {
    HistoryWorker worker(*history, HistoryQueue({.delay = Millis(0)}, std::nullopt));
    feed(worker, broker.begin(7, 3));
    while (report(worker).durable != broker.position()) {
    }
    SampleHistory other;
    other.begin(8, 2);
    worker.on_replaced(other.position());
    CHECK_FALSE(worker.status(io::instant_now()).flowing);
    const HistoryBase base = other.base();
    worker.save_begins(base);
    feed(worker, other.work(2, 1));
    worker.save_ended(true);
    while (report(worker).durable != other.position()) {
    }
    const auto reader = HistoryReader::open(files, {"/data/history", vfs.name()});
    CHECK((*reader)->segments().back().runs.back().base == base);
}
