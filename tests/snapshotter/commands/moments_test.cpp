// Time travel on a disk in memory: what the history and the saves lead to, for every moment.

#include "snapshotter/commands/moments.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "common/progress.h"
#include "snapshotter/commands/commands.h"
#include "snapshotter/commands/report.h"
#include "snapshotter/storage/file_names.h"
#include "snapshotter/storage/history.h"
#include "tests/support/graph_gen.h"
#include "tests/support/sample_history.h"
#include "tests/support/sample_session.h"
#include "tests/support/sim_file_system.h"
#include "tests/support/sim_vfs.h"

using namespace snapshotter;
using namespace snapshotter::commands;
using namespace common;
using support::SampleHistory;
using support::SimFileSystem;
using support::SimVfs;

namespace {

// A moment that was lived through: where, when, and what there was.
struct Lived {
    Position position;
    WallTime time{};
    Hash128 digest;
};

struct Fixture {
    SimFileSystem files;
    SimVfs vfs{files};
    SampleHistory broker;
    std::unique_ptr<History> history;
    std::vector<Lived> lived;
    HistoryBase here;  // where the last row stands
    bool opened_anew = true;

    Fixture() {
        REQUIRE(files.make_directories("/data/backups").has_value());
        open_history();
    }

    void open_history() {
        history.reset();
        auto opened = History::open(files, {{"/data/history", vfs.name()}, "test"});
        REQUIRE_MESSAGE(opened.has_value(), (opened ? "" : opened.error().what));
        history = std::move(*opened);
        opened_anew = true;
    }

    // Whoever has just opened a history says where it goes on from.
    void keep(const std::optional<HistoryBase>& begin, const std::vector<HistoryRow>& rows) {
        const auto base = !begin && opened_anew ? std::optional(here) : begin;
        const auto kept = history->append(base, rows, broker.time);
        REQUIRE_MESSAGE(kept.has_value(), (kept ? "" : kept.error().what));
        here = broker.base();
        opened_anew = false;
    }

    void remember(const HistoryRow& row) {
        lived.push_back({row.position, row.record.time, broker.digest()});
    }

    void begin_session() {
        const HistoryBase base = broker.base();
        keep(base, broker.begin(7, 5));
        lived.push_back({broker.position(), WallTime{number(broker.time) - 1000}, broker.digest()});
    }

    // So many changes, each a moment of its own.
    void work(std::size_t count, std::uint64_t seed) {
        for (std::size_t i = 0; i < count; ++i) {
            const auto rows = broker.work(1, seed * 100 + i);
            keep(std::nullopt, rows);
            remember(rows.front());
        }
    }

    // As it stands now. It is saved in the second of the last record.
    std::string save(const std::string& path) {
        SessionStamp stamp = broker.stamp();
        stamp.saved = WallTime{number(broker.time) - 1000};
        const Bytes file = support::sample_file(broker.copy(), stamp);
        files.put(path, file.view());
        const HistorySave row{broker.digest(), broker.position(), stamp.saved, 0, true};
        if (path == "/data/session_snapshot.db") {
            REQUIRE(history->save_begins(row, broker.time).has_value());
            REQUIRE(history->save_placed(row, broker.time).has_value());
        }
        return path;
    }
    std::string back_up() {
        const auto time = file_names::local_time(WallTime{number(broker.time) - 1000});
        return save("/data/backups/" + name_of(file_names::Backup{time, 1, false}));
    }
    void save_and_back_up() {
        save("/data/session_snapshot.db");
        back_up();
    }

    Moments moments() {
        auto opened = Moments::open(files, "/data", vfs.name());
        REQUIRE_MESSAGE(opened.has_value(), (opened ? "" : opened.error().what));
        return std::move(*opened);
    }

    Surroundings around() {
        return {files, "/data", WallTime{number(broker.time) + 60'000}, Epoch{0xfeed}, vfs.name()};
    }

    CommandLine line(const std::vector<std::string>& arguments) {
        const auto parsed = parse_command(arguments);
        REQUIRE(parsed.has_value());
        return *parsed;
    }

    void check_all_moments() {
        const Moments all = moments();
        for (const Lived& one : lived) {
            CAPTURE(number(one.position.seq));
            const auto numbered = all.numbered(number(one.position.seq));
            REQUIRE_MESSAGE(numbered.has_value(), (numbered ? "" : numbered.error().what));
            CHECK(numbered->graph.digest() == one.digest);
            CHECK(numbered->stamp->position == one.position);
            CHECK(numbered->stamp->digest == one.digest);
            const auto then = all.at(one.time);
            REQUIRE_MESSAGE(then.has_value(), (then ? "" : then.error().what));
            CHECK(then->graph.digest() == one.digest);
            CHECK(then->stamp->position == one.position);
            CHECK(then->notes.empty());
        }
    }
};

bool says(const std::vector<std::string>& notes, const std::string& part) {
    return std::any_of(notes.begin(), notes.end(), [&](const std::string& note) {
        return note.find(part) != std::string::npos;
    });
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "every change is a moment that can be had again, saves between or not") {
    begin_session();
    work(4, 1);
    save_and_back_up();
    work(5, 2);
    open_history();  // a restart of the snapshotter
    work(3, 3);
    save_and_back_up();
    work(2, 4);
    check_all_moments();
    CHECK(moments().present()->graph.digest() == broker.digest());
    CHECK(moments().present()->stamp->position == broker.position());
}

TEST_CASE_FIXTURE(Fixture, "without any save the history leads from the beginning") {
    begin_session();
    work(6, 1);
    check_all_moments();
}

TEST_CASE_FIXTURE(Fixture, "a restart of the broker is gone through") {
    begin_session();
    work(2, 1);
    save_and_back_up();
    work(2, 2);
    const auto rows = std::vector<HistoryRow>{broker.start(8)};
    keep(std::nullopt, rows);
    remember(rows.front());
    work(2, 3);
    check_all_moments();
    CHECK(moments().present()->stamp->lineage == broker.base().lineage);
}

TEST_CASE_FIXTURE(Fixture, "between two changes the one before counts") {
    begin_session();
    work(3, 1);
    const Moments all = moments();
    CHECK(all.at(WallTime{number(lived[2].time) - 1})->stamp->position == lived[1].position);
    CHECK(all.at(WallTime{number(lived[2].time) + 1})->stamp->position == lived[2].position);
    CHECK(all.at(WallTime{number(broker.time) + 1'000'000})->stamp->position ==
          lived.back().position);
}

TEST_CASE_FIXTURE(Fixture, "what was before everything, or never, is not there") {
    begin_session();
    work(3, 1);
    save_and_back_up();
    CHECK(moments().at(WallTime{1'000}).error().kind == ErrorKind::NotFound);
    CHECK(moments().numbered(0).error().kind == ErrorKind::NotFound);
    CHECK(moments().numbered(1'000).error().kind == ErrorKind::NotFound);
    CHECK(moments().numbered(1'000).error().what.find("it is at 10") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "where no history leads, it is the last save before, and that is said") {
    begin_session();
    work(3, 1);
    const Hash128 saved = broker.digest();
    save_and_back_up();
    const WallTime between = broker.time;
    broker.time = WallTime{number(broker.time) + 100'000};
    broker.work(3, 2);  // while the history could not be written
    save_and_back_up();
    history.reset();
    for (const std::string& path : files.paths()) {
        if (path.find("/history/") != std::string::npos) {
            files.erase(path);
        }
    }
    const auto moment = moments().at(WallTime{number(between) + 50'000});
    REQUIRE(moment.has_value());
    CHECK(moment->graph.digest() == saved);
    CHECK(says(moment->notes, "last save before"));
    CHECK(moments().present()->graph.digest() == broker.digest());
}

TEST_CASE_FIXTURE(Fixture, "after a way back both branches can be had again") {
    begin_session();
    work(3, 1);
    const GraphCopy fork = broker.copy();
    const HistoryBase fork_base = broker.base();
    save_and_back_up();
    work(3, 2);
    const Hash128 left_behind = broker.digest();
    const Position left_position = broker.position();
    const WallTime before = WallTime{number(broker.time) - 1000};

    // Somebody went back to the backup: an epoch of its own whose parent is the fork.
    broker.time = WallTime{number(broker.time) + 10'000};
    broker.go_on_from(fork, fork_base);
    const auto rows = std::vector<HistoryRow>{broker.start(99)};
    keep(fork_base, rows);
    work(2, 3);
    save_and_back_up();

    CHECK(moments().present()->graph.digest() == broker.digest());
    const auto then = moments().at(before);
    REQUIRE(then.has_value());
    CHECK(then->graph.digest() == left_behind);
    CHECK(then->stamp->position == left_position);
    // A number means the present branch.
    const std::uint64_t seq = number(left_position.seq);
    const auto numbered = moments().numbered(seq);
    REQUIRE(numbered.has_value());
    CHECK(numbered->graph.digest() != left_behind);
    CHECK(numbered->stamp->position.epoch == Epoch{99});
}

TEST_CASE_FIXTURE(Fixture, "a session file that somebody copied there is meant as it is") {
    begin_session();
    work(2, 1);
    const std::string backup = back_up();
    const Hash128 old = broker.digest();
    work(2, 2);
    save("/data/session_snapshot.db");
    work(2, 3);
    CHECK(moments().present()->graph.digest() == broker.digest());
    files.put("/data/session_snapshot.db", *files.contents(backup));
    CHECK(moments().present()->graph.digest() == old);
}

TEST_CASE_FIXTURE(Fixture,
                  "a damaged session file costs nothing, if an older save and history are good") {
    begin_session();
    work(2, 1);
    back_up();
    work(2, 2);
    save("/data/session_snapshot.db");
    work(2, 3);
    files.put("/data/session_snapshot.db", "damaged");
    const auto present = moments().present();
    REQUIRE(present.has_value());
    CHECK(present->graph.digest() == broker.digest());
    CHECK(says(present->notes, "session_snapshot.db"));
    check_all_moments();
}

TEST_CASE_FIXTURE(Fixture,
                  "damage in the history gives what leads up to it, and says what is missing") {
    begin_session();
    work(2, 1);
    save_and_back_up();
    open_history();
    work(3, 2);
    open_history();
    work(3, 3);
    history.reset();
    std::vector<std::string> segments;
    for (const std::string& path : files.paths()) {
        if (path.ends_with(".sqlite")) {
            segments.push_back(path);
        }
    }
    REQUIRE(segments.size() == 3);
    files.put(segments[1], "damaged");
    const auto then = moments().at(lived.back().time);
    REQUIRE(then.has_value());
    CHECK(then->graph.digest() == lived[2].digest);
    CHECK_FALSE(then->notes.empty());
    const auto present = moments().present();
    REQUIRE(present.has_value());
    CHECK(present->graph.digest() == lived[2].digest);
    CHECK(says(present->notes, "cannot be read"));
    const auto verification = verify(around());
    REQUIRE(verification.has_value());
    CHECK_FALSE(verification->good);
    CHECK(verification->segments[0].damage.empty());
    CHECK_FALSE(verification->segments[1].damage.empty());
    CHECK(list(around())->history.damage.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "verify proves each save by the history from an older one") {
    begin_session();
    work(2, 1);
    back_up();
    work(2, 2);
    back_up();
    work(2, 3);
    save_and_back_up();
    const auto good = verify(around());
    REQUIRE(good.has_value());
    CHECK(good->good);
    CHECK(good->proved == 2);
    // A backup that holds another graph than it should, though it is sound in itself.
    SessionStamp stamp = broker.stamp();
    stamp.saved = WallTime{number(broker.time) - 1000};
    const auto time = file_names::local_time(stamp.saved);
    files.put("/data/backups/" + name_of(file_names::Backup{time, 1, false}),
              support::sample_file(support::sample_graph(3), stamp).view());
    files.erase("/data/session_snapshot.db");
    const auto bad = verify(around());
    REQUIRE(bad.has_value());
    CHECK_FALSE(bad->good);
    CHECK(bad->saves[0].damage.find("another graph") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "inspect --changes tells who changed what, and when") {
    begin_session();
    keep(std::nullopt, {broker.add(UserJoined{"Zoë"}, "Zoë")});
    const auto edit = broker.add(PutNode{support::make_node("fox", "Zoë", {}, 1)}, "Zoë");
    keep(std::nullopt, {edit});
    save_and_back_up();
    const auto patch = broker.add(support::make_patch("fox", {}, 2.5), "ann");
    keep(std::nullopt, {patch});
    keep(std::nullopt, {broker.add(DeleteNode{"fox"}, "ann")});

    const auto all = inspect(around(), line({"inspect", "--changes"}));
    REQUIRE(all.has_value());
    CHECK(all->changes.size() > 8);
    CHECK(all->changes.back().what == "deleted");
    CHECK(all->changes.back().user == "ann");
    const std::string position = std::to_string(number(patch.position.seq));
    const auto fox =
        inspect(around(), line({"inspect", "--changes", "--node", "fox", "--position", position}));
    REQUIRE_MESSAGE(fox.has_value(), (fox ? "" : fox.error().what));
    REQUIRE(fox->changes.size() == 2);
    CHECK(fox->changes[0].what == "wrote the whole node");
    CHECK(fox->changes[0].user == "Zoë");
    CHECK(fox->changes[0].time == edit.record.time);
    CHECK(fox->changes[1].what == "changed root['location'][0]");
    CHECK(fox->last_changes.at("fox").user == "ann");
    const std::string text = to_text(*fox, around());
    CHECK(text.find("changed root['location'][0]") != std::string::npos);
    const std::string json = to_json(*fox, around());
    CHECK(json.find("\"user\":\"ann\",\"node\":\"fox\"") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "restore, export and a dry run of any moment") {
    begin_session();
    work(3, 1);
    save_and_back_up();
    work(3, 2);
    const Lived wanted = lived[5];
    const std::string position = std::to_string(number(wanted.position.seq));
    const auto shown = restore(around(), line({"restore", "--position", position, "--dry-run"}));
    REQUIRE(shown.has_value());
    CHECK(shown->moment.graph.digest() == wanted.digest);
    REQUIRE(files.make_directories("/out").has_value());
    REQUIRE(export_session(around(), line({"export", "--to", "/out/a.db", "--position", position}))
                .has_value());
    CHECK(read_session_file(Bytes::copy_of(*files.contents("/out/a.db")))->graph.digest() ==
          wanted.digest);

    const Hash128 present = broker.digest();
    const std::string then = file_names::iso_local(lived[1].time);
    const auto done = restore(around(), line({"restore", "--at", then}));
    REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
    CHECK(moments().present()->graph.digest() == lived[1].digest);
    // What had not been saved yet is in what was kept.
    CHECK(moments().named(done->kept)->graph.digest() == present);
}

TEST_CASE("an epoch's positions are those after its parent's, up to the next epoch's parent") {
    const Position first{Epoch{1}, Seq{10}, {}};
    const Position second{Epoch{2}, Seq{25}, {}};
    const Lineage lineage{{Epoch{1}, Position{}}, {Epoch{2}, first}, {Epoch{3}, second}};
    const Position here{Epoch{3}, Seq{30}, {}};
    CHECK(epoch_of(lineage, here, Seq{0}) == std::nullopt);
    CHECK(epoch_of(lineage, here, Seq{1}) == Epoch{1});
    CHECK(epoch_of(lineage, here, Seq{10}) == Epoch{1});
    CHECK(epoch_of(lineage, here, Seq{11}) == Epoch{2});
    CHECK(epoch_of(lineage, here, Seq{25}) == Epoch{2});
    CHECK(epoch_of(lineage, here, Seq{30}) == Epoch{3});
    CHECK(epoch_of(lineage, here, Seq{31}) == std::nullopt);
    CHECK(epoch_of({{Epoch{3}, second}}, here, Seq{20}) == std::nullopt);
}

TEST_CASE_FIXTURE(Fixture, "what grows with session and history tells how far it is") {
    begin_session();
    save_and_back_up();
    work(20, 1);
    save("/data/session_snapshot.db");
    work(20, 2);
    const Bytes file = support::sample_file(support::sample_graph(3), support::sample_stamp(9));
    files.put("/other.db", file.view());

    std::map<std::string, Progress> last;  // of each kind
    Surroundings telling = around();
    telling.tell = [&](const Progress& progress) {
        CHECK(progress.done <= progress.total);
        last[progress.what] = progress;
    };
    const auto told = [&](const std::vector<std::string>& kinds) {
        for (const std::string& kind : kinds) {
            CAPTURE(kind);
            CHECK(last.contains(kind));
            CHECK(last[kind].total > 0);
        }
        last.clear();
    };
    const std::string session = "/data/session_snapshot.db";
    const std::vector<std::string> written{"Writing session_snapshot.db",
                                           "Reading back session_snapshot.db"};
    REQUIRE(files.make_directories("/out").has_value());

    REQUIRE(verify(telling).has_value());
    CHECK(last["Reading the saves"].done == last["Reading the saves"].total);
    CHECK(last["Reading the history"].done == last["Reading the history"].total);
    told({"Reading the saves", "Reading the history", "Comparing saves and history"});
    REQUIRE(inspect(telling, line({"inspect", "--changes"})).has_value());
    CHECK(last["Reading the history"].done == last["Reading the history"].total);
    told({"Reading " + session, "Applying the history", "Looking at the nodes",
          "Reading the history"});
    REQUIRE(export_session(telling, line({"export", "--to", "/out/it.db"})).has_value());
    told({"Reading " + session, "Writing it.db", "Reading back it.db"});
    REQUIRE(restore(telling, line({"restore", "--position", "10"})).has_value());
    told(written);
    REQUIRE(import_session(telling, line({"import", "/other.db"})).has_value());
    CHECK(last.contains("Reading /other.db"));
    told(written);
}
