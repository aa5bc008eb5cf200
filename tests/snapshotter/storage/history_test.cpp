#include "snapshotter/storage/history.h"

#include <doctest/doctest.h>

#include "tests/support/graph_gen.h"
#include "tests/support/sample_history.h"
#include "tests/support/sim_vfs.h"

using namespace snapshotter;
using namespace common;
using support::Loss;
using support::SampleHistory;

namespace {

constexpr const char* kDirectory = "/data/history";

struct Disk {
    support::SimFileSystem files;
    std::unique_ptr<support::SimVfs> vfs = std::make_unique<support::SimVfs>(files);
    SampleHistory broker;
    WallTime now{1'763'894'520'000};

    HistoryOptions options() { return {.place = {kDirectory, vfs->name()}, .version = "0.1.0"}; }
    std::unique_ptr<History> open() {
        auto history = History::open(files, options());
        REQUIRE(history.has_value());
        return std::move(*history);
    }
    std::unique_ptr<HistoryReader> reader() {
        auto reader = HistoryReader::open(files, options().place);
        REQUIRE_MESSAGE(reader.has_value(), (reader ? "" : reader.error().what));
        return std::move(*reader);
    }
    // `records` records from where the broker is.
    Result<void> go_on(History& history, std::size_t records) {
        const HistoryBase base = broker.base();
        return history.append(base, broker.work(records, 1), now);
    }
    // What a replay from nothing ends at.
    Position end(const Position& from = {}) {
        Graph graph;
        const auto done = reader()->replay(from, std::nullopt, [&](HistoryRow&&) { return true; });
        REQUIRE(done.has_value());
        CHECK_FALSE(done->damage.has_value());
        return done->position;
    }
    void power_failure(Loss loss) {
        files.crash(loss);
        vfs = std::make_unique<support::SimVfs>(files);
    }
};

HistorySave save_at(const Position& position, bool placed = false) {
    return {Hash128{1, number(position.seq)}, position, WallTime{5}, 77, placed};
}

}  // namespace

TEST_CASE_FIXTURE(Disk, "what was appended has survived everything when append returns") {
    for (const Loss loss : support::kAllLosses) {
        CAPTURE(static_cast<int>(loss));
        auto history = open();
        const auto begun = history->append(HistoryBase{}, broker.begin(7, 5), now);
        REQUIRE(begun.has_value());
        for (std::uint64_t i = 0; i < 3; ++i) {
            REQUIRE(history->append({}, broker.work(20, i), now).has_value());
        }
        files.die_after(files.operations() + 1);
        static_cast<void>(files.remove("/data/none"));
        history.reset();
        power_failure(loss);
        open().reset();
        CHECK(end() == broker.position());
        for (const std::string& path : files.paths()) {
            files.erase(path);
        }
        broker = SampleHistory();
    }
}

TEST_CASE_FIXTURE(Disk, "a finished segment is a file by itself; the next process begins another") {
    auto history = open();
    REQUIRE(history->append(HistoryBase{}, broker.begin(7, 5), now).has_value());
    history.reset();
    CHECK(files.paths() == std::vector<std::string>{"/data/history/000001.sqlite"});
    history = open();
    CHECK(files.paths().size() == 1);  // not before there is something to write
    REQUIRE(go_on(*history, 3).has_value());
    history.reset();
    CHECK(files.paths() ==
          std::vector<std::string>{"/data/history/000001.sqlite", "/data/history/000002.sqlite"});
    CHECK(end() == broker.position());
}

TEST_CASE_FIXTURE(Disk,
                  "segments are ended by size, and at a backup once there is something in them") {
    HistoryOptions small = options();
    small.segment_bytes_max = 400'000;
    small.segment_bytes_min = 100'000;
    auto history = std::move(*History::open(files, small));
    REQUIRE(history->append(HistoryBase{}, broker.begin(7, 2), now).has_value());
    history->backup_made(now);
    REQUIRE(history->append({}, broker.work(3, 1), now).has_value());
    CHECK(history->size().segments == 1);
    REQUIRE(history->append({}, broker.work(200, 1), now).has_value());
    history->backup_made(now);
    REQUIRE(history->append({}, broker.work(1, 2), now).has_value());
    CHECK(history->size().segments == 2);
    for (std::uint64_t i = 0; history->size().segments < 4; ++i) {
        REQUIRE(i < 100);
        REQUIRE(history->append({}, broker.work(100, i), now).has_value());
    }
    CHECK(end() == broker.position());
    // By age as well.
    history.reset();
    history = std::move(*History::open(files, small));
    REQUIRE(go_on(*history, 1).has_value());
    const std::size_t segments = history->size().segments;
    history->backup_made(now);
    REQUIRE(history->append({}, broker.work(1, 2), now).has_value());
    CHECK(history->size().segments == segments);
    history->backup_made(WallTime{number(now) + 3'600'000});
    REQUIRE(history->append({}, broker.work(1, 2), now).has_value());
    CHECK(history->size().segments == segments + 1);
    CHECK(history->size().first_time == WallTime{1'763'894'520'000});
    CHECK(history->size().bytes > 400'000);
}

TEST_CASE_FIXTURE(Disk, "after a failed write the same rows go into a new segment") {
    const auto history = open();
    REQUIRE(history->append(HistoryBase{}, broker.begin(7, 5), now).has_value());
    const auto rows = broker.work(20, 1);
    files.set_full(true);
    const auto failed = history->append({}, rows, now);
    REQUIRE_FALSE(failed.has_value());
    CHECK(failed.error().what.find("000001.sqlite") != std::string::npos);
    REQUIRE_FALSE(history->append({}, rows, now).has_value());
    files.set_full(false);
    REQUIRE(history->append({}, rows, now).has_value());
    REQUIRE(history->append({}, broker.work(20, 2), now).has_value());
    CHECK(end() == broker.position());
}

TEST_CASE_FIXTURE(Disk, "each operation of an append may fail: nothing is lost") {
    const std::uint64_t first = [&] {
        const auto history = open();
        REQUIRE(history->append(HistoryBase{}, broker.begin(7, 3), now).has_value());
        return files.operations();
    }();
    for (std::uint64_t failing = 1; failing <= first; ++failing) {
        CAPTURE(failing);
        support::SimFileSystem disk;
        const support::SimVfs its(disk);
        SampleHistory session;
        disk.fail_at(failing);
        HistoryOptions where = options();
        where.place.vfs = its.name();
        auto history = History::open(disk, where);
        history = history ? std::move(history) : History::open(disk, where);
        REQUIRE(history.has_value());
        const auto rows = session.begin(7, 3);
        if (!(*history)->append(HistoryBase{}, rows, now)) {
            REQUIRE((*history)->append(HistoryBase{}, rows, now).has_value());
        }
        const auto reader = HistoryReader::open(disk, where.place);
        REQUIRE(reader.has_value());
        const auto done = (*reader)->replay({}, std::nullopt, [](HistoryRow&&) { return true; });
        CHECK(done->position == session.position());
    }
}

TEST_CASE_FIXTURE(Disk, "a log that was moved once is not moved again for every little change") {
    const auto history = open();
    REQUIRE(history->append(HistoryBase{}, broker.begin(7, 5), now).has_value());
    for (std::uint64_t round = 0; round < 3; ++round) {
        REQUIRE(history
                    ->append({},
                             {broker.add(
                                 PutNode{support::make_node("big", "ada", {}, round, 5'000'000)})},
                             now)
                    .has_value());
        std::uint64_t before = files.operations();
        REQUIRE(history->tidy_up().has_value());
        CHECK(files.operations() > before);
        for (std::uint64_t i = 0; i < 3; ++i) {
            REQUIRE(history->append({}, broker.work(3, i), now).has_value());
            before = files.operations();
            REQUIRE(history->tidy_up().has_value());
            CHECK(files.operations() == before);
        }
    }
    CHECK(end() == broker.position());
}

TEST_CASE_FIXTURE(Disk, "the log is moved to the file when there is much of it; that may fail") {
    const std::string segment = "/data/history/000001.sqlite";
    std::optional<std::uint64_t> failing;  // which operation of the moving
    SUBCASE("it works") {}
    SUBCASE("a write fails") {
        failing = 2;
    }
    SUBCASE("the sync fails") {
        failing = 0;
    }
    auto history = open();
    REQUIRE(history->append(HistoryBase{}, broker.begin(7, 5), now).has_value());
    const std::size_t small = files.contents(segment)->size();
    REQUIRE(history->tidy_up().has_value());
    CHECK(files.contents(segment)->size() == small);  // not for so little
    const auto big = [&](std::uint64_t salt) {
        return std::vector{
            broker.add(PutNode{support::make_node("big", "ada", {}, salt, 5'000'000)})};
    };
    REQUIRE(history->append({}, big(1), now).has_value());
    CHECK(files.contents(segment)->size() == small);  // nobody waited for it
    if (failing && *failing > 0) {
        files.fail_at(files.operations() + *failing);
    } else if (failing) {
        files.fail_sync_of(segment);
    }
    const auto tidied = history->tidy_up();
    CHECK(tidied.has_value() == !failing.has_value());
    if (!failing) {
        CHECK(files.contents(segment)->size() > 5'000'000);
    }
    // After a failure what comes goes into another one.
    REQUIRE(history->append({}, broker.work(3, 1), now).has_value());
    CHECK(files.contents("/data/history/000002.sqlite").has_value() == failing.has_value());
    CHECK(end() == broker.position());
    files.die_after(files.operations() + 1);
    static_cast<void>(files.remove("/data/none"));
    history.reset();
    power_failure(Loss::All);
    open().reset();
    CHECK(end() == broker.position());
}

TEST_CASE_FIXTURE(Disk, "saves: the one that was placed, and those begun after it") {
    auto history = open();
    REQUIRE(history->append(HistoryBase{}, broker.begin(7, 5), now).has_value());
    CHECK(reader()->current_saves().empty());
    const HistorySave first = save_at(broker.position());
    REQUIRE(history->save_begins(first, now).has_value());
    CHECK(reader()->current_saves() == std::vector{first});
    REQUIRE(history->save_placed(first, now).has_value());
    CHECK(reader()->current_saves() == std::vector{save_at(first.position, true)});
    REQUIRE(history->append({}, broker.work(3, 1), now).has_value());
    const HistorySave second = save_at(broker.position());
    REQUIRE(history->save_begins(second, now).has_value());
    CHECK(reader()->current_saves() == std::vector{save_at(first.position, true), second});

    // The next process knows, and so does its segment.
    history.reset();
    history = open();
    REQUIRE(go_on(*history, 3).has_value());
    CHECK(reader()->segments().back().saves.size() == 2);
    const HistorySave third = save_at(broker.position());
    REQUIRE(history->save_begins(third, now).has_value());
    REQUIRE(history->save_placed(third, now).has_value());
    CHECK(reader()->current_saves() == std::vector{save_at(third.position, true)});
    CHECK(end() == broker.position());
}

TEST_CASE("by age and by size, but nothing that is needed") {
    HistoryOptions options;
    options.age_max = Millis(1000);
    options.bytes_max = 100;
    const std::vector<SegmentSize> segments = {{1, 30, WallTime{1000}},
                                               {2, 30, WallTime{1500}},
                                               {3, 30, WallTime{3000}},
                                               {5, 40, WallTime{3100}}};
    CHECK(segments_to_remove(segments, 9, WallTime{1900}, options) ==
          std::vector<std::uint64_t>{1});
    CHECK(segments_to_remove(segments, 9, WallTime{2001}, options) ==
          std::vector<std::uint64_t>{1});
    CHECK(segments_to_remove(segments, 9, WallTime{2501}, options) ==
          std::vector<std::uint64_t>{1, 2});
    CHECK(segments_to_remove(segments, 9, WallTime{9000}, options).size() == 4);
    CHECK(segments_to_remove(segments, 3, WallTime{9000}, options).size() == 2);
    CHECK(segments_to_remove(segments, 1, WallTime{9000}, options).empty());
    options.bytes_max = 1000;
    CHECK(segments_to_remove(segments, 9, WallTime{1900}, options).empty());
}

namespace {

constexpr std::int64_t kHour = 3'600'000;
constexpr std::int64_t kDay = 24 * kHour;
constexpr std::int64_t kYear = 365 * kDay;

// What goes by age, with a bound of a week, of segments that end at these times.
std::vector<std::uint64_t> too_old(const std::vector<std::int64_t>& times, std::int64_t now) {
    std::vector<SegmentSize> segments;
    for (const std::int64_t time : times) {
        segments.push_back({segments.size() + 1, 1, WallTime{time}});
    }
    return segments_to_remove(segments, 1000, WallTime{now}, HistoryOptions());
}

}  // namespace

TEST_CASE("a clock that jumps, or a long break, makes no history too old") {
    const std::int64_t t = 1'763'894'520'000;
    const std::vector<std::int64_t> work = {t, t + kHour, t + 2 * kHour};
    CHECK(too_old(work, t + 3 * kHour).empty());
    // A week or a year ahead, for good or until somebody sets it back.
    for (const std::int64_t jump : {8 * kDay, kYear}) {
        CHECK(too_old(work, t + jump).empty());
        std::vector<std::int64_t> more = work;
        more.push_back(t + jump);
        CHECK(too_old(more, t + jump + kHour).empty());
        more.push_back(t + 4 * kHour);  // set back
        CHECK(too_old(more, t + 5 * kHour).empty());
        more.push_back(t + jump + kHour);  // and again, to and fro
        for (std::int64_t i = 0; i < 20; ++i) {
            more.push_back(t + 6 * kHour + i * kHour);
            more.push_back(t + jump + i * kHour);
        }
        CHECK(too_old(more, t + 30 * kHour).empty());
    }
    // After a month away the last days of work are still there.
    CHECK(too_old({t - 30 * kDay, t - 20 * kDay, t}, t + 30 * kDay).empty());
    std::vector<std::int64_t> days;
    for (std::int64_t day = 9; day >= 0; --day) {
        days.push_back(t - day * kDay);
    }
    CHECK(too_old(days, t + 30 * kDay) == std::vector<std::uint64_t>{1, 2, 3});
}

TEST_CASE("days with work pass, also after a jump of the clock") {
    const std::int64_t t = 1'763'894'520'000;
    std::vector<std::int64_t> times = {t, t + kYear};  // the second one came an hour later
    for (std::int64_t day = 1; day <= 9; ++day) {
        times.push_back(t + day * kDay);  // it was set back
        const auto gone = too_old(times, t + day * kDay + kHour);
        CAPTURE(day);
        CHECK(gone.size() == (day < 7 ? 0U : day == 7 ? 1U : day == 8 ? 3U : 4U));
    }
}

TEST_CASE_FIXTURE(Disk, "a year ahead nothing goes that was there a moment ago") {
    HistoryOptions small = options();
    small.segment_bytes_max = 1;  // each append begins one
    auto history = std::move(*History::open(files, small));
    REQUIRE(history->append(HistoryBase{}, broker.begin(7, 5), now).has_value());
    for (std::uint64_t i = 1; i <= 3; ++i) {
        REQUIRE(history->append({}, broker.work(3, i), now).has_value());
    }
    const HistorySave save = save_at(broker.position());
    const WallTime later{number(now) + kYear};
    REQUIRE(history->save_begins(save, later).has_value());
    REQUIRE(history->save_placed(save, later).has_value());
    CHECK(history->to_be_removed(later).empty());
    CHECK(history->prune(later)->empty());
    small.age_max = Millis(kDay / 2);  // more than that has passed, whatever the clock says
    history.reset();
    history = std::move(*History::open(files, small));
    CHECK(history->prune(later)->size() >= 3);
}

TEST_CASE_FIXTURE(Disk, "what leads on from the last save stays, whatever the bounds") {
    HistoryOptions small = options();
    small.segment_bytes_max = 1;  // each append begins one
    small.bytes_max = 1;
    auto history = std::move(*History::open(files, small));
    REQUIRE(history->append(HistoryBase{}, broker.begin(7, 5), now).has_value());
    CHECK(history->prune(now)->empty());  // there is no save at all
    REQUIRE(history->append({}, broker.work(3, 1), now).has_value());
    const HistorySave save = save_at(broker.position());
    REQUIRE(history->append({}, broker.work(3, 2), now).has_value());
    REQUIRE(history->append({}, broker.work(3, 3), now).has_value());
    REQUIRE(history->save_begins(save, now).has_value());
    CHECK(history->prune(now)->empty());
    // Named before it goes, also what goes only when the next save is there.
    const auto named = history->to_be_removed(now);
    CHECK(named.size() >= 3);
    CHECK(named.front() == "000001.sqlite");
    REQUIRE(history->save_placed(save, now).has_value());
    CHECK(*history->prune(now) == std::vector<std::string>{"000001.sqlite", "000002.sqlite"});
    CHECK(end(save.position) == broker.position());
    CHECK_FALSE(files.contents("/data/history/000001.sqlite").has_value());
    CHECK(history->prune(now)->empty());
}

TEST_CASE_FIXTURE(Disk, "files that never became segments are removed, others' files are not") {
    files.put("/data/history/.000003.sqlite.holdfast-tmp", "x");
    files.put("/data/history/.000003.sqlite.holdfast-tmp-wal", "x");
    files.put("/data/history/000002.sqlite-wal", "x");
    files.put("/data/history/notes.txt", "x");
    open().reset();
    CHECK(files.paths() == std::vector<std::string>{"/data/history/notes.txt"});
}

TEST_CASE_FIXTURE(Disk, "what somebody removes is not written to: history waits for a base") {
    const auto history = open();
    REQUIRE(history->append(HistoryBase{}, broker.begin(7, 5), now).has_value());
    REQUIRE(history->append({}, broker.work(3, 1), now).has_value());
    const std::string segment = "/data/history/000001.sqlite";
    bool in_place = false;  // the directory is still the one that was opened
    SUBCASE("the data directory") {
        files.remove_tree("/data");
    }
    SUBCASE("the data directory, and it was made again") {
        files.remove_tree("/data");
        files.make_directory("/data");
        files.make_directory("/data/history");
    }
    SUBCASE("the file") {
        files.erase(segment);
        in_place = true;
    }
    SUBCASE("its log") {
        files.erase(segment + "-wal");
        in_place = true;
    }
    SUBCASE("the file, and another one has its name") {
        const std::string bytes = files.contents(segment).value();
        files.erase(segment);
        files.put(segment, bytes);
        in_place = true;
    }
    const auto rows = broker.work(3, 2);
    for (int i = 0; i < 2; ++i) {  // nor does it go on beside the gap
        const auto refused = history->append({}, rows, now);
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().kind == ErrorKind::NotFound);
        CHECK(refused.error().what.find("/data/history") != std::string::npos);
    }
    const HistorySave save = save_at(broker.position());
    CHECK(history->save_begins(save, now).has_value() == in_place);
    // Only with a base, and only once the directory is there.
    CHECK(history->append(broker.base(), {}, now).has_value() == in_place);
    REQUIRE(history->renew().has_value());
    REQUIRE(history->save_begins(save, now).has_value());
    REQUIRE(history->save_placed(save, now).has_value());
    const HistoryBase base = broker.base();
    REQUIRE(history->append(base, broker.work(3, 3), now).has_value());
    REQUIRE(history->append({}, broker.work(3, 4), now).has_value());
    CHECK(end(base.position) == broker.position());
    CHECK(history->is_placed(save));
}

TEST_CASE_FIXTURE(Disk, "old segments that somebody removed are forgotten") {
    HistoryOptions small = options();
    small.segment_bytes_max = 1;  // each append begins one
    auto history = std::move(*History::open(files, small));
    REQUIRE(history->append(HistoryBase{}, broker.begin(7, 5), now).has_value());
    const HistorySave save = save_at(broker.position());
    REQUIRE(history->save_begins(save, now).has_value());
    REQUIRE(history->save_placed(save, now).has_value());
    REQUIRE(history->append({}, broker.work(3, 1), now).has_value());
    REQUIRE(history->append({}, broker.work(3, 2), now).has_value());
    const HistorySave second = save_at(broker.position());
    REQUIRE(history->save_begins(second, now).has_value());
    REQUIRE(history->save_placed(second, now).has_value());
    REQUIRE(history->append({}, broker.work(3, 3), now).has_value());
    REQUIRE(history->append({}, broker.work(3, 4), now).has_value());
    const std::size_t segments = history->size().segments;
    SUBCASE("before the last save: nothing is missing") {
        files.erase("/data/history/000001.sqlite");
        CHECK(history->prune(now)->empty());
        CHECK(history->size().segments == segments - 1);
        CHECK(history->append({}, broker.work(3, 5), now).has_value());
    }
    SUBCASE("after it: a base must follow") {
        std::vector<std::string> names = *files.list("/data/history");
        std::erase_if(names, [](const std::string& name) { return !name.ends_with(".sqlite"); });
        files.erase("/data/history/" + names[names.size() - 2]);
        CHECK(history->prune(now)->empty());
        const auto refused = history->append({}, broker.work(3, 5), now);
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().kind == ErrorKind::NotFound);
    }
}
