// A save and the history after it are one history.

#include <doctest/doctest.h>

#include "snapshotter/storage/file_names.h"
#include "snapshotter/storage/history.h"
#include "snapshotter/storage/store.h"
#include "tests/support/graph_gen.h"
#include "tests/support/sample_history.h"
#include "tests/support/sample_session.h"
#include "tests/support/sample_store.h"
#include "tests/support/sim_vfs.h"

using namespace snapshotter;
using namespace common;
using support::kSession;
using support::SampleHistory;

namespace {

struct Disk {
    support::SimFileSystem files;
    support::SimVfs vfs{files};
    SampleHistory broker;
    WallTime now{1'763'894'520'000};
    std::unique_ptr<Store> store;
    std::optional<HistoryBase> begin = HistoryBase{};

    // The next life of a snapshotter.
    Recovered start(std::uint64_t fresh_epoch = 1000) {
        auto recovered = try_start(fresh_epoch);
        REQUIRE_MESSAGE(recovered.has_value(), (recovered ? "" : recovered.error().what));
        return std::move(*recovered);
    }
    Result<Recovered> try_start(std::uint64_t fresh_epoch = 1000) {
        stop();
        HistoryOptions history;
        history.place.vfs = vfs.name();
        history.segment_bytes_min = 1;  // a segment for each backup
        store =
            TRY(Store::open(files, {.directory = "/data", .version = "0.1.0", .history = history}));
        return store->recover(now, Epoch{fresh_epoch});
    }
    void stop() { store.reset(); }
    void write(const std::vector<HistoryRow>& rows) {
        REQUIRE(store->history()->append(begin, rows, now).has_value());
        begin.reset();
    }
    SaveReport save() {
        now = broker.time;
        const auto report = store->save({broker.copy(), broker.stamp(), "auto-save", now});
        REQUIRE(report.has_value());
        CHECK(report->in_history);
        return *report;
    }
    // A session that was saved, with changes after it, and its snapshotter gone.
    std::string saved_and_changed() {
        start();
        write(broker.begin(7, 4));
        const std::string first = save().backup;
        write(broker.work(5, 1));
        save();
        write(broker.work(5, 2));
        stop();
        return first;
    }
    void damage(const std::string& path, double where = 0.5) {
        std::string bytes = files.contents(path).value();
        bytes[static_cast<std::size_t>(static_cast<double>(bytes.size()) * where)] ^= 1;
        files.put(path, bytes);
    }
    // A byte of the last record's frames.
    void damage_last_record(const std::string& path) {
        std::string bytes = files.contents(path).value();
        bytes[bytes.find("location")] ^= 1;
        files.put(path, bytes);
    }
    bool is_whole(const Recovered& recovered) {
        return recovered.session && recovered.session->graph.digest() == broker.digest() &&
               recovered.stamp.position == broker.position() &&
               recovered.stamp.digest == broker.digest() &&
               recovered.stamp.lineage == broker.base().lineage && recovered.history_base &&
               recovered.history_base->position == broker.position();
    }
    std::string notes(const Recovered& recovered) {
        std::string all;
        for (const std::string& note : recovered.notes) {
            all += note + "\n";
        }
        return all;
    }
    std::size_t quarantined() {
        std::size_t count = 0;
        for (const std::string& path : files.paths()) {
            count += path.starts_with("/data/quarantine/") ? 1U : 0U;
        }
        return count;
    }
};

}  // namespace

TEST_CASE("a save that is written once more, without its row, is not taken for one put there") {
    bool without_row = false;
    for (std::uint64_t operation = 1; !without_row; ++operation) {
        CAPTURE(operation);
        REQUIRE(operation < 200);
        Disk disk;
        disk.start();
        disk.write(disk.broker.begin(7, 4));
        disk.files.erase("/data/backups/" + disk.save().backup);
        disk.files.fail_at(disk.files.operations() + operation);
        const auto report =
            disk.store->save({disk.broker.copy(), disk.broker.stamp(), "auto-save", disk.now});
        if (!report || report->in_history || report->backup.empty()) {
            continue;
        }
        without_row = true;
        disk.write(disk.broker.work(3, 1));
        disk.files.crash(support::Loss::All);
        const Recovered recovered = disk.start();
        CHECK_FALSE(recovered.restored_by_hand);
        CHECK(recovered.stamp.position == disk.broker.position());
    }
}

// The session file rots, and what it held is written again while changes go on.
TEST_CASE("a save that is written once more and killed on the way is never taken for a copy") {
    std::size_t without_row = 0;
    std::size_t renamed = 0;
    bool over = false;
    // Each operation fails once, or none; then each is the last one.
    for (std::uint64_t refused = 0; !over; ++refused) {
        bool completed = false;
        for (std::uint64_t kill = refused + 1; !completed; ++kill) {
            CAPTURE(refused);
            CAPTURE(kill);
            REQUIRE(kill < 200);
            Disk disk;
            disk.saved_and_changed();
            disk.begin = disk.start().history_base;
            const Position saved = disk.broker.position();
            disk.save();
            const std::string good = *disk.files.contents(kSession);
            disk.files.rot(kSession, good.substr(0, good.size() / 2));
            REQUIRE(disk.store->check(disk.now)->damage.size() == 1);
            const SaveRequest again{disk.broker.copy(), disk.broker.stamp(), "auto-save", disk.now};
            disk.write(disk.broker.work(3, 1));
            const std::uint64_t before = disk.files.operations();
            if (refused > 0) {
                disk.files.fail_at(before + refused);
            }
            disk.files.die_after(before + kill);
            const auto report = disk.store->save(again);
            completed = !disk.files.is_dead();
            over = completed && disk.files.operations() < before + refused;
            without_row += report && !report->in_history ? 1U : 0U;
            disk.files.crash(support::Loss::Nothing);
            renamed += disk.files.contents(kSession) ? 1U : 0U;
            const Recovered recovered = disk.start();
            CHECK_FALSE(recovered.restored_by_hand);
            CHECK(recovered.stamp.position == disk.broker.position());
            CHECK(number(recovered.stamp.position.seq) > number(saved.seq));
        }
    }
    CHECK(without_row > 0);
    CHECK(renamed > 0);
}

TEST_CASE_FIXTURE(Disk, "the start is the last save and what came after it") {
    saved_and_changed();
    const Recovered recovered = start();
    CHECK(is_whole(recovered));
    CHECK(recovered.changes == 5);
    CHECK(recovered.notes.empty());
    CHECK_FALSE(recovered.restored_by_hand);
    CHECK_FALSE(recovered.from_backup);
}

TEST_CASE_FIXTURE(Disk, "how far the history is applied is told") {
    start();
    write(broker.begin(7, 4));
    save();
    write(broker.work(2'500, 1));
    stop();
    HistoryOptions history;
    history.place.vfs = vfs.name();
    store = std::move(
        *Store::open(files, {.directory = "/data", .version = "0.1.0", .history = history}));
    std::vector<Progress> told;
    store->tell_progress([&](const Progress& progress) {
        if (progress.what == "Applying the history") {
            told.push_back(progress);
        }
    });
    CHECK(is_whole(*store->recover(now, Epoch{1000})));
    REQUIRE(told.size() == 3);
    CHECK(told.back().done == 2'000);
    CHECK(told.back().total == 2'500);
}

TEST_CASE_FIXTURE(Disk, "without any save the history alone is enough") {
    start();
    write(broker.begin(7, 4));
    write(broker.work(5, 1));
    const Recovered recovered = start();
    CHECK(is_whole(recovered));
    CHECK(recovered.file == "/data/history");
    // And it is enough again, after a life that saved nothing either.
    begin = recovered.history_base;
    write(broker.work(5, 2));
    CHECK(is_whole(start()));
}

TEST_CASE_FIXTURE(Disk, "an upload that was never completed is no session") {
    start();
    write({broker.start(7), broker.add(PutNode{support::make_node("a", "ada", {}, 1)})});
    const Recovered recovered = start();
    CHECK_FALSE(recovered.session.has_value());
    CHECK_FALSE(recovered.history_base.has_value());
}

TEST_CASE_FIXTURE(Disk, "a damaged save: an older one and its longer history give the same") {
    saved_and_changed();
    damage(kSession);
    Recovered recovered = start();
    CHECK(is_whole(recovered));
    CHECK(recovered.from_backup);
    CHECK(quarantined() == 1);
    // The backup of the same save as well.
    stop();
    damage(recovered.file);
    recovered = start();
    CHECK(is_whole(recovered));
    CHECK(recovered.changes == 10);
    CHECK(quarantined() == 2);
    // And the last one.
    stop();
    damage(recovered.file);
    recovered = start();
    CHECK(is_whole(recovered));
    CHECK(recovered.file == "/data/history");
    CHECK(quarantined() == 3);
}

TEST_CASE_FIXTURE(Disk,
                  "damaged history: the newest provable state, what is missing, and the file") {
    saved_and_changed();
    const std::string newest = "/data/history/000003.sqlite";
    REQUIRE(files.contents(newest).has_value());
    REQUIRE_FALSE(files.contents("/data/history/000004.sqlite").has_value());
    const auto check = [&] {
        Recovered recovered = start();
        REQUIRE(recovered.session.has_value());
        CHECK(number(recovered.stamp.position.seq) < number(broker.position().seq));
        CHECK(number(recovered.stamp.position.seq) >= number(broker.position().seq) - 5);
        CHECK(recovered.session->graph.digest() == recovered.stamp.digest);
        CHECK_FALSE(recovered.history_base.has_value());
        CHECK(notes(recovered).find("DAMAGED") != std::string::npos);
        CHECK(notes(recovered).find(newest) != std::string::npos);
        CHECK(notes(recovered).find(to_string(recovered.stamp.position)) != std::string::npos);
        // The file is kept until what it holds is saved, then moved.
        CHECK(quarantined() == 0);
        broker.go_on_from(recovered.session->graph, {recovered.stamp.position, {}});
        const HistoryRow row = broker.start(8);
        save();
        CHECK(quarantined() == 1);
        CHECK_FALSE(files.contents(newest).has_value());
        begin = broker.base();
        write(broker.work(3, 9));
        recovered = start();
        CHECK(recovered.stamp.position == broker.position());
        CHECK(recovered.session->graph.digest() == broker.digest());
        CHECK(recovered.notes.empty());
    };
    SUBCASE("a record") {
        damage_last_record(newest);
        check();
    }
    SUBCASE("all of it") {
        files.put(newest, std::string(5'000, 'x'));
        check();
    }
    SUBCASE("cut off") {
        files.put(newest, files.contents(newest)->substr(0, 10'000));
        check();
    }
}

TEST_CASE_FIXTURE(Disk, "what was restored by hand stays so, and what came after stays reachable") {
    const std::string backup = "/data/backups/" + saved_and_changed();
    const Position end = broker.position();
    const Hash128 digest_end = broker.digest();
    files.put(kSession, *files.contents(backup));
    const Recovered recovered = start(55);
    REQUIRE(recovered.restored_by_hand);
    CHECK(recovered.changes == 0);
    CHECK(recovered.stamp.position.epoch == Epoch{55});
    CHECK_FALSE(recovered.history_base.has_value());

    broker.go_on_from(recovered.session->graph,
                      {recovered.stamp.position, recovered.stamp.lineage});
    save();
    begin = broker.base();
    write(broker.work(4, 5));
    const Recovered again = start(66);
    CHECK_FALSE(again.restored_by_hand);
    CHECK(is_whole(again));

    const auto reader = HistoryReader::open(files, {"/data/history", vfs.name()});
    Graph graph;
    const auto done = (*reader)->replay({}, end, [&](HistoryRow&& row) -> Result<bool> {
        TRY(graph.apply(row.record.mutation));
        return true;
    });
    CHECK(done->reached);
    CHECK(graph.digest() == digest_end);
}

TEST_CASE_FIXTURE(Disk,
                  "a backup of the last save, copied over it after a crash, is meant as it is") {
    saved_and_changed();
    std::string backup;
    for (const std::string& path : files.paths()) {
        backup = path.starts_with("/data/backups/") ? path : backup;  // the newest
    }
    REQUIRE(*files.contents(backup) == *files.contents(kSession));
    const Position end = broker.position();
    const std::string session = *files.contents(kSession);
    SUBCASE("copied") {
        SUBCASE("from the backup") {}
        SUBCASE("from the backup, which was pinned") {
            const std::string name = backup.substr(backup.rfind('/') + 1);
            auto pinned = file_names::parse_backup(name).value();
            pinned.pinned = true;
            REQUIRE(files.rename(backup, "/data/backups/" + name_of(pinned)).has_value());
        }
        files.put(kSession, session);
        const Recovered recovered = start(55);
        CHECK(recovered.restored_by_hand);
        CHECK(recovered.changes == 0);
        CHECK(number(recovered.stamp.position.seq) == number(end.seq) - 5);
        CHECK(recovered.stamp.position.epoch == Epoch{55});
        // As any other restore by hand, it is so from now on.
        broker.go_on_from(recovered.session->graph,
                          {recovered.stamp.position, recovered.stamp.lineage});
        save();
        begin = broker.base();
        write(broker.work(2, 7));
        CHECK(is_whole(start(66)));
    }
    SUBCASE("the whole directory was copied, without the times of its files") {
        for (const std::string& path : files.paths()) {
            files.put(path, *files.contents(path));
        }
        CHECK(is_whole(start()));
    }
    SUBCASE("the metadata are lost") {
        files.erase("/data/session_metadata.json");
        files.put(kSession, session);
        CHECK(is_whole(start()));
    }
}

TEST_CASE_FIXTURE(Disk,
                  "without the session file a backup from a clock gone wrong is not the newest") {
    start();
    write(broker.begin(7, 4));
    save();
    write(broker.work(2, 1));
    const WallTime right = broker.time;
    broker.time = WallTime{number(right) + 100'000'000'000};
    save();
    broker.time = right;
    write(broker.work(2, 2));
    const std::string last = save().backup;
    stop();
    for (const std::string& path : files.paths()) {
        if (path == kSession || path.starts_with("/data/history/")) {
            files.erase(path);
        }
    }
    const Recovered recovered = start();
    CHECK(recovered.file == "/data/backups/" + last);
    CHECK(recovered.stamp.position == broker.position());
    CHECK(recovered.session->graph.digest() == broker.digest());
}

TEST_CASE("the save before the last one is told from one that was copied over the last one") {
    bool was_between = false;
    bool was_renamed = false;
    for (std::uint64_t operation = 1; !was_renamed || was_between; ++operation) {
        CAPTURE(operation);
        REQUIRE(operation < 100);
        Disk disk;
        disk.start();
        disk.write(disk.broker.begin(7, 4));
        const std::string backup = "/data/backups/" + disk.save().backup;
        disk.write(disk.broker.work(2, 3));
        disk.files.die_after(disk.files.operations() + operation);
        static_cast<void>(disk.store->save(
            {disk.broker.copy(), disk.broker.stamp(), "auto-save", disk.broker.time}));
        disk.stop();
        disk.files.crash(support::Loss::Nothing);
        const std::string there = *disk.files.contents(kSession);
        CHECK(disk.is_whole(disk.start()));
        disk.stop();
        const auto reader =
            std::move(*HistoryReader::open(disk.files, {"/data/history", disk.vfs.name()}));
        was_between = reader->current_saves().size() == 2;
        was_renamed = there != *disk.files.contents(backup);
        disk.files.put(kSession, *disk.files.contents(backup));
        if (was_between) {
            CHECK(disk.start().restored_by_hand);
        }
    }
}

TEST_CASE_FIXTURE(Disk, "history without anything that it goes on from is not a fresh start") {
    start();
    broker.begin(7, 4);
    begin = broker.base();
    write(broker.work(3, 1));
    const auto refused = try_start();
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().kind == ErrorKind::NotFound);
    CHECK(refused.error().what.find("/data/history") != std::string::npos);
    CHECK(refused.error().what.find("start again") != std::string::npos);
}

TEST_CASE_FIXTURE(Disk, "a save from before there was history goes on") {
    files.put(kSession,
              support::sample_file(support::sample_graph(3), support::sample_stamp(5)).view());
    const Recovered recovered = start();
    CHECK_FALSE(recovered.restored_by_hand);
    CHECK(recovered.stamp.position == support::sample_stamp(5).position);
    REQUIRE(recovered.history_base.has_value());
    broker.go_on_from(recovered.session->graph, *recovered.history_base);
    begin = broker.base();
    write(broker.work(3, 1));
    CHECK(is_whole(start()));
}

TEST_CASE_FIXTURE(Disk, "a history that cannot be written costs no save") {
    saved_and_changed();
    start();
    broker.work(1, 9);
    files.fail_at(files.operations() + 5);
    const auto report = store->save({broker.copy(), broker.stamp(), "auto-save", broker.time});
    if (report && !report->in_history) {
        CHECK_FALSE(report->warnings.empty());
    }
    const Recovered recovered = start();
    CHECK_FALSE(recovered.restored_by_hand);
}
