#include "snapshotter/save_worker.h"

#include <doctest/doctest.h>
#include <poll.h>

#include "tests/support/sample_session.h"
#include "tests/support/sim_file_system.h"

using namespace snapshotter;
using namespace common;
using support::sample_graph;
using support::sample_stamp;
using support::SimFileSystem;

namespace {

constexpr int kPatienceMs = 60'000;

std::unique_ptr<Store> open_store(SimFileSystem& files) {
    auto store = Store::open(files, {"/data", 10, 1, "0.1.0"});
    REQUIRE(store.has_value());
    REQUIRE((*store)->recover(WallTime{1}, Epoch{1}).has_value());
    return std::move(*store);
}

SaveRequest request(std::uint64_t step) {
    return {sample_graph(3, step), sample_stamp(step), "reason " + std::to_string(step),
            WallTime{static_cast<std::int64_t>(step) * 1000}};
}

// Waits on the descriptor, as a loop does, until so many have come.
std::vector<WorkerDone> wait_for(SaveWorker& worker, std::size_t count) {
    std::vector<WorkerDone> all;
    while (all.size() < count) {
        pollfd descriptor{worker.descriptor(), POLLIN, 0};
        REQUIRE(poll(&descriptor, 1, kPatienceMs) == 1);
        for (WorkerDone& done : worker.take_done()) {
            all.push_back(std::move(done));
        }
    }
    return all;
}

}  // namespace

TEST_CASE("what is asked for is done in order, and announced") {
    SimFileSystem files;
    SaveWorker worker(open_store(files));
    CHECK(worker.take_done().empty());
    worker.submit(request(1));
    worker.pin(request(2));
    worker.submit(request(3));
    CHECK(worker.pending() == 3);
    const std::vector<WorkerDone> done = wait_for(worker, 3);
    CHECK(worker.pending() == 0);
    REQUIRE(done.size() == 3);
    const auto* first = std::get_if<SaveDone>(&done[0]);
    const auto* second = std::get_if<PinDone>(&done[1]);
    const auto* third = std::get_if<SaveDone>(&done[2]);
    REQUIRE(first != nullptr);
    REQUIRE(second != nullptr);
    REQUIRE(third != nullptr);
    CHECK(first->reason == "reason 1");
    CHECK(first->outcome->position == sample_stamp(1).position);
    CHECK(second->reason == "reason 2");
    CHECK(second->outcome.has_value());
    CHECK(third->outcome->position == sample_stamp(3).position);

    pollfd descriptor{worker.descriptor(), POLLIN, 0};
    CHECK(poll(&descriptor, 1, 0) == 0);
}

TEST_CASE("errors come out as outcomes") {
    SimFileSystem files;
    std::unique_ptr<Store> store = open_store(files);
    files.set_full(true);
    SaveWorker worker(std::move(store));
    worker.submit(request(1));
    const std::vector<WorkerDone> done = wait_for(worker, 1);
    REQUIRE_FALSE(std::get<SaveDone>(done[0]).outcome.has_value());
}

TEST_CASE("at its end it finishes what was asked for and frees the directory") {
    SimFileSystem files;
    {
        SaveWorker worker(open_store(files));
        worker.submit(request(1));
        worker.submit(request(2));
    }
    auto store = Store::open(files, {"/data", 10, 1, "0.1.0"});
    REQUIRE(store.has_value());
    CHECK((*store)->recover(WallTime{1}, Epoch{1})->stamp.position == sample_stamp(2).position);
}

TEST_CASE("probes and checks come out as well") {
    SimFileSystem files;
    SaveWorker worker(open_store(files));
    worker.submit(request(1));
    worker.probe();
    worker.check(WallTime{5000});
    const std::vector<WorkerDone> done = wait_for(worker, 3);
    REQUIRE(done.size() == 3);
    CHECK(std::get<ProbeDone>(done[1]).outcome.has_value());
    CHECK(std::get<CheckDone>(done[2]).outcome->good.size() == 2);
    CHECK_FALSE(worker.progress().has_value());
}
