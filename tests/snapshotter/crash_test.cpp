// Rule: whatever dies, and whatever the disk then forgets, what comes back is a state that was
// saved, and not an older one than the last save that was reported. After that everything works.

#include <doctest/doctest.h>

#include <map>

#include "snapshotter/storage/store.h"
#include "tests/support/sample_store.h"
#include "tests/support/sim_file_system.h"

using namespace snapshotter;
using namespace common;
using support::at;
using support::kSession;
using support::Loss;
using support::sample_save;
using support::SimFileSystem;

namespace {

const StoreOptions kOptions{"/data", 2, 1, "0.1.0"};

// What a run has done before it died.
struct Reached {
    std::uint64_t begun = 0;     // the last step that may have been saved
    std::uint64_t reported = 0;  // the last step whose save was reported
};

// Saves of steps 1 to 6, every third twice, a pin among them. Ends at the first error.
Result<void> run(SimFileSystem& files, Reached& progress) {
    const auto store = TRY(Store::open(files, kOptions));
    TRY(store->recover(at(0), Epoch{1}));
    for (std::uint64_t step = 1; step <= 6; ++step) {
        progress.begun = step;
        TRY(store->save(sample_save(step)));
        progress.reported = step;
        if (step % 3 == 0) {
            TRY(store->save(sample_save(step)));
        }
        if (step == 4) {
            TRY(store->pin(sample_save(step, "pinned")));
        }
    }
    return {};
}

void check_what_came_back(SimFileSystem& files, const Reached& progress) {
    auto store = Store::open(files, kOptions);
    REQUIRE(store.has_value());
    const auto recovered = (*store)->recover(at(100), Epoch{1000});
    REQUIRE(recovered.has_value());
    std::uint64_t step = 0;
    if (recovered->session) {
        step = number(recovered->stamp.position.seq);
        CHECK(recovered->session->graph.digest() == sample_save(step).graph.digest());
        CHECK(recovered->stamp.position == sample_save(step).stamp.position);
    }
    CHECK(step >= progress.reported);
    CHECK(step <= progress.begun);
    CHECK_FALSE(recovered->restored_by_hand);
    CHECK_FALSE(recovered->from_backup);

    const auto report = (*store)->save(sample_save(50));
    REQUIRE(report.has_value());
    CHECK(report->warnings.empty());
    store->reset();
    for (const std::string& path : files.paths()) {
        CHECK(path.find("holdfast-tmp") == path.npos);
    }
    auto again = Store::open(files, kOptions);
    REQUIRE(again.has_value());
    CHECK((*again)->recover(at(102), Epoch{1001})->session->graph.digest() ==
          sample_save(50).graph.digest());
}

Result<Recovered> recover(SimFileSystem& files) {
    const auto store = TRY(Store::open(files, kOptions));
    return store->recover(at(100), Epoch{1000});
}

// Every operation after `before` up to `last`, with everything that the disk may then forget.
template <typename Check>
void at_every_crash(std::uint64_t before, std::uint64_t last, const Check& check) {
    for (std::uint64_t operation = before + 1; operation <= last; ++operation) {
        for (const Loss loss : support::kAllLosses) {
            CAPTURE(operation - before);
            CAPTURE(static_cast<int>(loss));
            check(operation, loss);
        }
    }
}

}  // namespace

TEST_CASE("crash everywhere in a run of saves") {
    SimFileSystem whole;
    Reached complete;
    REQUIRE(run(whole, complete).has_value());
    REQUIRE(complete.reported == 6);
    const std::uint64_t operations = whole.operations();
    REQUIRE(operations > 100);
    at_every_crash(0, operations, [&](std::uint64_t operation, Loss loss) {
        SimFileSystem files;
        files.die_after(operation);
        Reached progress;
        static_cast<void>(run(files, progress));
        REQUIRE(files.is_dead());
        files.crash(loss);
        check_what_came_back(files, progress);
    });
}

TEST_CASE("what was recovered after a kill anywhere in a save survives a power cut after it") {
    const auto save_twice = [](SimFileSystem& files) -> Result<void> {
        const auto store = TRY(Store::open(files, kOptions));
        TRY(store->recover(at(0), Epoch{1}));
        TRY(store->save(sample_save(1)));
        TRY(store->save(sample_save(2)));
        return {};
    };
    SimFileSystem whole;
    REQUIRE(save_twice(whole).has_value());
    const std::uint64_t operations = whole.operations();
    at_every_crash(0, operations, [&](std::uint64_t operation, Loss loss) {
        SimFileSystem files;
        files.die_after(operation);
        static_cast<void>(save_twice(files));
        files.crash(Loss::Nothing);
        const auto first = recover(files);
        REQUIRE(first.has_value());
        files.crash(loss);
        const auto second = recover(files);
        REQUIRE(second.has_value());
        CHECK(second->session.has_value() == first->session.has_value());
        CHECK(second->stamp.position == first->stamp.position);
    });
}

TEST_CASE("crash everywhere in a recovery from a damaged session file") {
    const auto prepare = [](SimFileSystem& files) {
        Reached progress;
        REQUIRE(run(files, progress).has_value());
        files.crash(Loss::Nothing);
        std::string damaged = files.contents(kSession).value();
        damaged[damaged.size() / 2] ^= 1;
        files.put(kSession, damaged);
        return damaged;
    };
    SimFileSystem whole;
    prepare(whole);
    const std::uint64_t before = whole.operations();
    REQUIRE(recover(whole).has_value());
    const std::uint64_t after = whole.operations();
    at_every_crash(before, after, [&](std::uint64_t operation, Loss loss) {
        SimFileSystem files;
        const std::string damaged = prepare(files);
        files.die_after(operation);
        static_cast<void>(recover(files));
        files.crash(loss);
        const auto recovered = recover(files);
        REQUIRE(recovered.has_value());
        CHECK(recovered->from_backup);
        CHECK(recovered->session->graph.digest() == sample_save(6).graph.digest());
        // What is damaged is somewhere still.
        std::size_t kept = 0;
        for (const std::string& path : files.paths()) {
            kept += files.contents(path) == damaged ? 1U : 0U;
        }
        CHECK(kept >= 1);
    });
}
