// Rule: whatever the disk refuses, and whenever, the last good files stay, the error says what to
// do, and the next save after the cause is gone makes everything right.

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>

#include "snapshotter/storage/store.h"
#include "tests/support/sample_store.h"
#include "tests/support/sim_file_system.h"

using namespace snapshotter;
using namespace common;
using support::at;
using support::count;
using support::kSession;
using support::Loss;
using support::sample_save;
using support::says;
using support::SimFileSystem;

namespace {

const StoreOptions kOptions{"/data", 3, 1, "0.1.0"};

std::unique_ptr<Store> start(SimFileSystem& files) {
    auto store = Store::open(files, kOptions);
    REQUIRE(store.has_value());
    REQUIRE((*store)->recover(at(0), Epoch{1}).has_value());
    return std::move(*store);
}

// What the next start finds.
std::uint64_t step_on_disk(SimFileSystem& files) {
    files.crash(Loss::All);
    auto store = Store::open(files, kOptions);
    REQUIRE(store.has_value());
    const auto recovered = (*store)->recover(at(1000), Epoch{1000});
    REQUIRE(recovered.has_value());
    REQUIRE(recovered->session.has_value());
    CHECK_FALSE(recovered->restored_by_hand);
    const std::uint64_t step = number(recovered->stamp.position.seq);
    CHECK(recovered->session->graph.digest() == sample_save(step).graph.digest());
    return step;
}

}  // namespace

TEST_CASE("each operation of a save fails once: the last save stays, the next one is whole") {
    std::uint64_t operations = 0;
    {
        SimFileSystem files;
        const auto store = start(files);
        REQUIRE(store->save(sample_save(1)).has_value());
        const std::uint64_t before = files.operations();
        REQUIRE(store->save(sample_save(2)).has_value());
        operations = files.operations() - before;
    }
    REQUIRE(operations > 10);
    for (std::uint64_t operation = 1; operation <= operations; ++operation) {
        for (const int error : {ENOSPC, EIO, EACCES}) {
            CAPTURE(operation);
            CAPTURE(error);
            SimFileSystem files;
            auto store = start(files);
            REQUIRE(store->save(sample_save(1)).has_value());
            files.fail_at(files.operations() + operation, error);
            const auto failed = store->save(sample_save(2));
            if (failed) {
                CHECK_FALSE(failed->warnings.empty());
            }
            {
                // As it is now, for whoever starts after a crash.
                SimFileSystem copy;
                for (const std::string& path : files.paths()) {
                    copy.put(path, *files.contents(path));
                }
                CHECK(step_on_disk(copy) >= (failed ? 2U : 1U));
            }
            const auto report = store->save(sample_save(3));
            REQUIRE(report.has_value());
            CHECK(report->warnings.empty());
            CHECK(report->kind == SaveReport::Kind::Written);
            CHECK_FALSE(report->backup.empty());
            store.reset();
            CHECK(step_on_disk(files) == 3);
            CHECK(count(files, "/data/.session") == 0);
        }
    }
}

TEST_CASE("as long as nothing works the last save stays, and the error says what to do") {
    for (const auto& [error, remedy] :
         {std::pair{ENOSPC, "free some space"}, std::pair{EACCES, "the right to write"},
          std::pair{EROFS, "writable again"}, std::pair{EIO, "kernel's log"}}) {
        CAPTURE(error);
        SimFileSystem files;
        auto store = start(files);
        REQUIRE(store->save(sample_save(1)).has_value());
        CHECK(store->probe().has_value());
        const std::string saved = *files.contents(kSession);
        files.set_trouble(error);
        for (std::uint64_t step = 2; step < 5; ++step) {
            const auto failed = store->save(sample_save(step));
            REQUIRE_FALSE(failed.has_value());
            CHECK(failed.error().what.find(remedy) != std::string::npos);
            CHECK_FALSE(store->probe().has_value());
        }
        CHECK(files.contents(kSession) == saved);
        files.set_trouble(0);
        CHECK(store->probe().has_value());
        const auto report = store->save(sample_save(5));
        REQUIRE(report.has_value());
        CHECK(report->warnings.empty());
        store.reset();
        CHECK(step_on_disk(files) == 5);
        CHECK(count(files, "/data/.session") == 0);
    }
}

TEST_CASE("a save that would not fit is not begun") {
    SimFileSystem files;
    const auto store = start(files);
    REQUIRE(store->save(sample_save(1)).has_value());
    files.set_free_bytes(files.contents(kSession)->size() - 1);
    const std::uint64_t before = files.operations();
    const auto failed = store->save(sample_save(2));
    REQUIRE_FALSE(failed.has_value());
    CHECK(failed.error().what.find("free some space") != std::string::npos);
    CHECK(files.operations() == before);
    CHECK_FALSE(store->probe().has_value());
    files.set_free_bytes(1'000'000'000);
    CHECK(store->probe().has_value());
    CHECK(store->save(sample_save(2)).has_value());
}

TEST_CASE("a directory that was removed is missed; made again by hand, it is locked and filled") {
    SimFileSystem files;
    auto store = start(files);
    REQUIRE(store->save(sample_save(1)).has_value());
    files.remove_tree("/data");
    for (int i = 0; i < 2; ++i) {
        const auto failed = store->save(sample_save(2));
        REQUIRE_FALSE(failed.has_value());
        CHECK(failed.error().what.find("/data is gone") != std::string::npos);
        CHECK_FALSE(store->probe().has_value());
        CHECK_FALSE(store->check(at(2)).has_value());
    }
    CHECK(files.paths().empty());

    files.make_directory("/data");
    CHECK(store->probe().has_value());
    const auto report = store->save(sample_save(2));
    REQUIRE(report.has_value());
    CHECK_FALSE(report->backup.empty());
    CHECK(count(files, "/data/backups/snapshot_") == 1);
    CHECK(Store::open(files, kOptions).error().kind == ErrorKind::Busy);
    store.reset();
    CHECK(step_on_disk(files) == 2);
}

TEST_CASE("without changes, too, a directory made again gets the session") {
    SimFileSystem files;
    auto store = start(files);
    REQUIRE(store->save(sample_save(1)).has_value());
    files.remove_tree("/data");
    files.make_directory("/data");
    const auto report = store->save(sample_save(1));
    REQUIRE(report.has_value());
    CHECK(says(report->warnings, "made anew"));
    CHECK(report->kind == SaveReport::Kind::Written);
    store.reset();
    CHECK(step_on_disk(files) == 1);
}

TEST_CASE("a directory made again that another snapshotter has taken is left to that one") {
    SimFileSystem files;
    const auto store = start(files);
    REQUIRE(store->save(sample_save(1)).has_value());
    files.remove_tree("/data");
    files.make_directory("/data");
    const auto other = start(files);
    const auto failed = store->save(sample_save(2));
    REQUIRE_FALSE(failed.has_value());
    CHECK(failed.error().what.find("another snapshotter") != std::string::npos);
    CHECK_FALSE(files.contents(kSession).has_value());
    CHECK(other->save(sample_save(3)).has_value());
}

TEST_CASE("below an unmounted volume nothing is written; mounted again, it goes on") {
    SimFileSystem files;
    auto store = start(files);
    REQUIRE(store->save(sample_save(1)).has_value());
    files.set_device(2);
    const std::uint64_t before = files.operations();
    const auto failed = store->save(sample_save(2));
    REQUIRE_FALSE(failed.has_value());
    CHECK(failed.error().what.find("mount it again") != std::string::npos);
    CHECK(files.operations() == before);
    files.set_device(1);
    CHECK(store->save(sample_save(2)).has_value());
}

TEST_CASE("a clock that is set back makes no save fail and lets no newer state be lost") {
    SimFileSystem files;
    auto store = start(files);
    SaveRequest later = sample_save(1);
    later.now = at(7200);
    REQUIRE(store->save(later).has_value());
    for (std::uint64_t step = 2; step < 6; ++step) {
        const auto report = store->save(sample_save(step));
        REQUIRE(report.has_value());
        CHECK(report->warnings.empty());
        CHECK_FALSE(report->backup.empty());
        CHECK(files.contents("/data/backups/" + report->backup).has_value());
    }
    store.reset();
    CHECK(step_on_disk(files) == 5);
}

TEST_CASE("what was saved is read again, and the metadata say when") {
    SimFileSystem files;
    auto store = start(files);
    CHECK(store->check(at(1))->good.empty());
    REQUIRE(store->save(sample_save(1)).has_value());
    const auto report = store->check(at(500));
    REQUIRE(report.has_value());
    CHECK(report->good.size() == 2);
    CHECK(report->damage.empty());
    const auto metadata = read_metadata(*files.contents("/data/session_metadata.json"));
    REQUIRE(metadata.has_value());
    CHECK(metadata->verified == at(500));
    CHECK(metadata->time == at(1));
    store.reset();
    CHECK(step_on_disk(files) == 1);
}

TEST_CASE("a session file that rots is found, kept apart, and written anew by the next save") {
    SimFileSystem files;
    auto store = start(files);
    REQUIRE(store->save(sample_save(1)).has_value());
    std::string rotten = *files.contents(kSession);
    rotten[rotten.size() / 2] ^= 1;
    files.rot(kSession, rotten);
    const auto report = store->check(at(2));
    REQUIRE(report.has_value());
    REQUIRE(report->damage.size() == 1);
    CHECK(report->good.size() == 1);  // the backup
    CHECK(count(files, "/data/quarantine/session_snapshot.damaged") == 1);
    const auto saved = store->save(sample_save(1));
    REQUIRE(saved.has_value());
    CHECK(saved->kind == SaveReport::Kind::Written);
    store.reset();
    CHECK(step_on_disk(files) == 1);
}

TEST_CASE("a backup that rots is found, kept apart, and made anew by the next save") {
    SimFileSystem files;
    auto store = start(files);
    const auto first = store->save(sample_save(1));
    REQUIRE(first.has_value());
    const std::string backup = "/data/backups/" + first->backup;
    files.rot(backup, "rotten");
    const auto report = store->check(at(2));
    REQUIRE(report.has_value());
    CHECK(says(report->damage, first->backup));
    CHECK_FALSE(files.contents(backup).has_value());
    const auto saved = store->save(sample_save(1));
    REQUIRE(saved.has_value());
    CHECK_FALSE(saved->backup.empty());
}

TEST_CASE("the broker's digest is compared with what is saved") {
    SimFileSystem files;
    const auto store = start(files);
    SaveRequest agreed = sample_save(1);
    agreed.broker_digest = sample_save(1).graph.digest();
    const auto good = store->save(agreed);
    REQUIRE(good.has_value());
    CHECK(good->as_the_broker);
    CHECK(good->warnings.empty());
    SaveRequest other = sample_save(2);
    other.broker_digest = sample_save(1).graph.digest();
    const auto differs = store->save(other);
    REQUIRE(differs.has_value());
    CHECK_FALSE(differs->as_the_broker);
    CHECK(says(differs->warnings, "the broker holds something else"));
}

TEST_CASE("how far it is, is told from beginning to end") {
    SimFileSystem files;
    auto store = start(files);
    std::vector<Progress> told;
    store->tell_progress([&](const Progress& progress) { told.push_back(progress); });
    REQUIRE(store->save(sample_save(1)).has_value());
    const auto has = [&](const char* what) {
        return std::any_of(told.begin(), told.end(), [&](const Progress& one) {
            return one.what == what && one.total > 0 && one.done <= one.total;
        });
    };
    CHECK(has("Saving"));
    CHECK(has("Saving, reading back"));
    CHECK(has("Saving, writing the backup"));
    told.clear();
    REQUIRE(store->check(at(2)).has_value());
    CHECK(has("Reading again what was saved"));
    told.clear();
    REQUIRE(store->recover(at(3), Epoch{9}).has_value());
    CHECK(has("Loading the session"));
}
