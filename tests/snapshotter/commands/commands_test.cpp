// The commands on a disk in memory: the data directory that a snapshotter left behind.

#include "snapshotter/commands/commands.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "snapshotter/commands/report.h"
#include "snapshotter/commands/session_change.h"
#include "snapshotter/storage/file_names.h"
#include "snapshotter/storage/store.h"
#include "tests/support/graph_gen.h"
#include "tests/support/sample_session.h"
#include "tests/support/session_file_property.h"
#include "tests/support/sim_file_system.h"

using namespace snapshotter;
using namespace snapshotter::commands;
using namespace common;
using support::sample_addon_file;
using support::sample_file;
using support::sample_graph;
using support::sample_stamp;
using support::SimFileSystem;

namespace {

constexpr const char* kSession = "/data/session_snapshot.db";

WallTime at(int seconds) {
    return WallTime{1'763'894'520'000 + seconds * 1000LL};
}

std::string backup_name(int seconds, bool pinned = false, int number = 1) {
    return name_of(file_names::Backup{file_names::local_time(at(seconds)), number, pinned});
}

GraphCopy graph_of(std::vector<Node> nodes) {
    GraphCopy graph;
    graph.initialised = true;
    graph.timeline = Timeline{7};
    for (Node& node : nodes) {
        graph.nodes.push_back(std::make_shared<const Node>(std::move(node)));
    }
    return graph;
}

// Two saves of a snapshotter that has stopped: at second 0 with three nodes, at second 10 with the
// first one edited, the third gone and a fourth one that depends on the second.
struct Fixture {
    SimFileSystem files;
    GraphCopy first = graph_of({support::make_node("a", "COMMON", {}, 1),
                                support::make_node("b", "COMMON", {"a"}, 1),
                                support::make_node("c", "COMMON", {}, 1)});
    GraphCopy second = graph_of({support::make_node("a", "COMMON", {}, 2),
                                 support::make_node("b", "COMMON", {"a"}, 1),
                                 support::make_node("d", "COMMON", {"b", "lost"}, 1)});

    Fixture() {
        auto store = Store::open(files, {"/data", 10, 1, "0.1.0"}).value();
        REQUIRE(store->recover(at(0), Epoch{0xabc}).has_value());
        REQUIRE(store->save({first, sample_stamp(10), "auto-save", at(0)}).has_value());
        REQUIRE(store->save({second, sample_stamp(20), "auto-save", at(10)}).has_value());
    }

    Surroundings around(int seconds = 100) { return {files, "/data", at(seconds), Epoch{0xfeed}}; }

    CommandLine line(const std::vector<std::string>& arguments) {
        const auto parsed = parse_command(arguments);
        REQUIRE_MESSAGE(parsed.has_value(), (parsed ? "" : parsed.error().what));
        return *parsed;
    }

    // What the next start would find.
    Recovered start_again(int seconds = 200) {
        auto store = Store::open(files, {"/data", 10, 1, "0.1.0"}).value();
        auto recovered = store->recover(at(seconds), Epoch{0xbeef});
        REQUIRE(recovered.has_value());
        REQUIRE(recovered->session.has_value());
        return std::move(*recovered);
    }

    SessionFile read(const std::string& path) {
        const auto contents = files.contents(path);
        REQUIRE(contents.has_value());
        auto session = read_session_file(Bytes::copy_of(*contents));
        REQUIRE(session.has_value());
        return std::move(*session);
    }

    std::vector<NodeId> ids(const GraphCopy& graph) {
        std::vector<NodeId> result;
        for (const NodePtr& node : graph.nodes) {
            result.push_back(node->id);
        }
        return result;
    }

    // What is on the disk; whoever only reads leaves it so.
    std::map<std::string, std::string> everything() {
        std::map<std::string, std::string> result;
        for (const std::string& path : files.paths()) {
            result[path] = files.contents(path).value_or("");
        }
        return result;
    }
};

using Ids = std::vector<NodeId>;

}  // namespace

TEST_CASE_FIXTURE(Fixture, "list shows the session, then backups newest first, then pinned ones") {
    REQUIRE(pin(around(), line({"pin", backup_name(0)})).has_value());
    const auto before = everything();
    const auto listing = list(around());
    REQUIRE(listing.has_value());
    REQUIRE(listing->saves.size() == 3);
    CHECK(listing->saves[0].name == "session_snapshot.db");
    CHECK(listing->saves[1].name == backup_name(10));
    CHECK(listing->saves[2].name == backup_name(0, true));
    CHECK(listing->saves[2].kind == StoredSave::Kind::Pinned);
    CHECK(listing->saves[2].stamp->position.seq == Seq{10});
    CHECK(listing->disk.pinned.files == 1);
    CHECK(everything() == before);
    const std::string text = to_text(*listing, around());
    CHECK(text.find(backup_name(10)) != std::string::npos);
    CHECK(text.find("position 20") != std::string::npos);
    CHECK(text.find("UTC") != std::string::npos);
    CHECK(to_json(*listing, around()).find("\"kind\":\"pinned\"") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "an empty directory has no session, one that is not there is an error") {
    REQUIRE(files.make_directories("/empty").has_value());
    Surroundings empty = around();
    empty.data_dir = "/empty";
    CHECK(list(empty)->saves.empty());
    CHECK(verify(empty)->good);
    CHECK(inspect(empty, line({"inspect"})).error().kind == ErrorKind::NotFound);
    empty.data_dir = "/nowhere";
    CHECK(list(empty).error().kind == ErrorKind::NotFound);
    CHECK(list(empty).error().what.find("--data-dir") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "verify tells good from damaged, list does too") {
    CHECK(verify(around())->good);
    CHECK(verify(around())->saves[0].nodes == 3);
    std::string damaged = *files.contents("/data/backups/" + backup_name(0));
    damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 1);
    files.put("/data/backups/" + backup_name(0), damaged);
    const auto verification = verify(around());
    REQUIRE(verification.has_value());
    CHECK_FALSE(verification->good);
    CHECK(verification->saves[0].damage.empty());
    CHECK(verification->saves[1].damage.empty());
    CHECK_FALSE(verification->saves[2].damage.empty());
    CHECK(to_text(*verification, around()).find("DAMAGED") != std::string::npos);
    CHECK(to_json(*verification, around()).find("\"good\":false") != std::string::npos);
    CHECK_FALSE(list(around())->saves[2].damage.empty());

    files.put("/data/session_metadata.json", "{");
    CHECK_FALSE(verify(around())->metadata_damage.empty());
    CHECK(to_text(*verify(around()), around()).find("session_metadata.json") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "inspect shows the session, a backup, or any session file") {
    const auto present = inspect(around(), line({"inspect"}));
    REQUIRE(present.has_value());
    CHECK(ids(present->moment.graph) == Ids{"a", "b", "d"});
    CHECK(present->nodes[2].dependencies == Ids{"b", "lost"});
    CHECK(present->nodes[0].type == "object");
    const std::string name = backup_name(0);
    for (const std::string& spelling : {name, name.substr(0, name.size() - 3), "backups/" + name}) {
        CAPTURE(spelling);
        CHECK(ids(inspect(around(), line({"inspect", spelling}))->moment.graph) ==
              Ids{"a", "b", "c"});
    }
    files.put("/elsewhere.db", sample_addon_file(first).view());
    const auto other = inspect(around(), line({"inspect", "/elsewhere.db"}));
    REQUIRE(other.has_value());
    CHECK_FALSE(other->moment.stamp.has_value());
    CHECK(to_text(*other, around()).find("not written by Holdfast") != std::string::npos);
    CHECK(inspect(around(), line({"inspect", "snapshot_x"})).error().kind == ErrorKind::NotFound);
}

TEST_CASE_FIXTURE(Fixture, "inspect --node shows what it needs, what needs it, and what is in it") {
    const auto detail = inspect(around(), line({"inspect", "--node", "b"}));
    REQUIRE(detail.has_value());
    REQUIRE(detail->details.size() == 1);
    CHECK(detail->details[0].node.dependencies == Ids{"a"});
    CHECK(detail->details[0].needed_by == Ids{"d"});
    CHECK(detail->details[0].data.find("'type_id': 'mesh'") != std::string::npos);
    CHECK(to_text(*detail, around()).find("needed by: d") != std::string::npos);
    CHECK(to_json(*detail, around()).find("\"needed_by\":[\"d\"]") != std::string::npos);
    CHECK(inspect(around(), line({"inspect", "--node", "x"})).error().kind == ErrorKind::NotFound);
}

TEST_CASE_FIXTURE(Fixture, "export writes the whole, or nodes with what they depend on") {
    REQUIRE(files.make_directories("/out").has_value());
    const auto whole = export_session(around(), line({"export", "--to", "/out/whole.db"}));
    REQUIRE(whole.has_value());
    CHECK(whole->whole);
    CHECK(read("/out/whole.db").graph.digest() == second.digest());
    CHECK(read("/out/whole.db").stamp->position == sample_stamp(20).position);

    const auto part = export_session(
        around(), line({"export", "--to", "/out/part.db", "--node", "b", backup_name(10)}));
    REQUIRE(part.has_value());
    CHECK(part->nodes == 2);
    CHECK_FALSE(part->whole);
    CHECK(ids(read("/out/part.db").graph) == Ids{"a", "b"});
    // It is not the session at that position.
    CHECK(read("/out/part.db").stamp->position != sample_stamp(20).position);
    CHECK(read("/out/part.db").graph.timeline != second.timeline);

    const auto again = export_session(around(), line({"export", "--to", "/out/part.db"}));
    REQUIRE_FALSE(again.has_value());
    CHECK(again.error().what.find("is there already") != std::string::npos);
    CHECK(ids(read("/out/part.db").graph) == Ids{"a", "b"});
    const auto nowhere = export_session(around(), line({"export", "--to", "/nowhere/part.db"}));
    REQUIRE_FALSE(nowhere.has_value());
    CHECK(nowhere.error().what == "there is no directory /nowhere to write part.db into");
}

TEST_CASE_FIXTURE(Fixture, "restore makes a backup the next state, and keeps what was there") {
    const auto done = restore(around(), line({"restore", backup_name(0)}));
    REQUIRE(done.has_value());
    CHECK(done->kept == backup_name(100, true));
    CHECK(done->change.added.size() == 1);
    CHECK(done->change.removed.size() == 1);
    CHECK(done->change.changed.size() == 1);
    CHECK(done->change.unchanged == 1);
    CHECK(read("/data/backups/" + done->kept).graph.digest() == second.digest());
    CHECK(read("/data/backups/" + done->kept).stamp->position == sample_stamp(20).position);

    const Recovered next = start_again();
    CHECK(next.session->graph.digest() == first.digest());
    CHECK(next.stamp.position.epoch != sample_stamp(10).position.epoch);
    CHECK(next.stamp.last_mutation >= at(100));
    // Its history goes back to the one that it was taken from.
    CHECK(std::any_of(
        next.stamp.lineage.begin(), next.stamp.lineage.end(),
        [](const LineageEntry& entry) { return entry.parent == sample_stamp(10).position; }));
    CHECK(to_text(*done, around()).find("kept as pinned_") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "a restore can be taken back") {
    REQUIRE(restore(around(), line({"restore", backup_name(0)})).has_value());
    const auto back = restore(around(110), line({"restore", backup_name(100, true)}));
    REQUIRE(back.has_value());
    CHECK(start_again().session->graph.digest() == second.digest());
}

TEST_CASE_FIXTURE(Fixture, "a dry run shows the change and makes none, also beside a snapshotter") {
    const auto before = everything();
    const auto store = Store::open(files, {"/data", 10, 1, "0.1.0"});
    REQUIRE(store.has_value());
    const auto shown = restore(around(), line({"restore", "--dry-run", backup_name(0)}));
    REQUIRE(shown.has_value());
    CHECK(shown->dry_run);
    CHECK(shown->kept.empty());
    CHECK(shown->change.any());
    CHECK(everything() == before);
    CHECK(to_text(*shown, around()).find("Nothing was changed") != std::string::npos);
    const std::string json = to_json(*shown, around());
    CHECK(json.find("\"dry_run\":true") != std::string::npos);
    CHECK(json.find("\"added\":[{\"id\":\"c\"") != std::string::npos);
    CHECK(json.find("\"removed\":[{\"id\":\"d\"") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "what changes the session is refused while a snapshotter has it") {
    const auto store = Store::open(files, {"/data", 10, 1, "0.1.0"});
    REQUIRE(store.has_value());
    files.put("/elsewhere.db", sample_addon_file(first).view());
    const auto before = everything();
    for (const auto& outcome : {restore(around(), line({"restore", backup_name(0)})),
                                import_session(around(), line({"import", "/elsewhere.db"})),
                                remove_node(around(), line({"remove-node", "a"}))}) {
        REQUIRE_FALSE(outcome.has_value());
        CHECK(outcome.error().kind == ErrorKind::Busy);
        CHECK(outcome.error().what.find("Stop broker and snapshotter") != std::string::npos);
    }
    CHECK(everything() == before);
    CHECK(list(around()).has_value());
    CHECK(verify(around()).has_value());
    CHECK(pin(around(), line({"pin", backup_name(0)})).has_value());
}

TEST_CASE_FIXTURE(Fixture, "restore takes saves of this directory only, --at and --position too") {
    files.put("/elsewhere.db", sample_file(first, sample_stamp(10)).view());
    CHECK(restore(around(), line({"restore", "/elsewhere.db"})).error().kind ==
          ErrorKind::NotFound);
    REQUIRE(restore(around(), line({"restore", "--position", "10"})).has_value());
    CHECK(start_again().session->graph.digest() == first.digest());
    CHECK(restore(around(), line({"restore", "--position", "9"})).error().kind ==
          ErrorKind::NotFound);
    const std::string early = "2025-01-01 10:00";
    CHECK(restore(around(), line({"restore", "--at", early})).error().kind == ErrorKind::NotFound);
    CHECK(restore(around(), line({"restore", "--at", "soon"})).error().kind == ErrorKind::BadInput);
}

TEST_CASE_FIXTURE(Fixture, "restore --at takes the newest save that is not younger") {
    const std::string then = file_names::iso_local(at(9));
    REQUIRE(restore(around(), line({"restore", "--at", then})).has_value());
    CHECK(start_again().session->graph.digest() == first.digest());
}

TEST_CASE_FIXTURE(Fixture, "import of the addon's file is a session with a timeline of its own") {
    const GraphCopy other = sample_graph(4, 9);
    files.put("/elsewhere.db", sample_addon_file(other).view());
    const auto done = import_session(around(), line({"import", "/elsewhere.db"}));
    REQUIRE(done.has_value());
    CHECK(done->kept == backup_name(100, true));
    const Recovered next = start_again();
    CHECK(ids(next.session->graph) == ids(other));
    CHECK(next.session->graph.timeline != second.timeline);
    CHECK(number(next.session->graph.timeline) != 0);
    CHECK(next.session->graph.initialised);
}

TEST_CASE_FIXTURE(Fixture, "import into a directory without a session, or without anything") {
    files.put("/elsewhere.db", sample_addon_file(first).view());
    Surroundings fresh = around();
    fresh.data_dir = "/fresh";
    const auto done = import_session(fresh, line({"import", "/elsewhere.db"}));
    REQUIRE(done.has_value());
    CHECK(done->kept.empty());
    CHECK(done->change.added.size() == 3);
    CHECK(ids(read("/fresh/session_snapshot.db").graph) == Ids{"a", "b", "c"});
}

TEST_CASE_FIXTURE(Fixture, "what is not a session file is not imported, and nothing changes") {
    files.put("/thesis.doc", "Call me Ishmael");
    const std::string session = *files.contents(kSession);
    files.put("/thesis.doc.gz", support::gzip_of("Call me Ishmael", ""));
    const std::size_t count = files.paths().size();
    const std::map<std::string, std::string> refusals = {
        {"/thesis.doc", "/thesis.doc: it is no gzip file, as session files are"},
        {"/nowhere.db", "there is no file /nowhere.db"},
        {"/thesis.doc.gz",
         "/thesis.doc.gz: its contents are not a session: pickle: does not begin "
         "with a protocol of 2 or later"}};
    for (const auto& [name, words] : refusals) {
        const auto refused = import_session(around(), line({"import", name}));
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().what == words);
    }
    CHECK(files.contents(kSession) == session);
    CHECK(files.paths().size() == count);
}

TEST_CASE_FIXTURE(Fixture, "remove-node takes it out of the dependencies of others as well") {
    const auto done = remove_node(around(), line({"remove-node", "b"}));
    REQUIRE(done.has_value());
    CHECK(done->change.removed.size() == 1);
    CHECK(done->change.changed.size() == 1);
    CHECK(read("/data/backups/" + done->kept).graph.digest() == second.digest());
    const Recovered next = start_again();
    CHECK(ids(next.session->graph) == Ids{"a", "d"});
    CHECK(next.session->graph.nodes[1]->dependencies.ids == Ids{"lost"});
    // Nobody can take it for the state that was saved at that position.
    CHECK(next.stamp.position != sample_stamp(20).position);
    CHECK(remove_node(around(), line({"remove-node", "b"})).error().kind == ErrorKind::NotFound);
}

TEST_CASE_FIXTURE(Fixture, "a session file that is damaged is set aside, and never lost") {
    std::string damaged = *files.contents(kSession);
    damaged.resize(damaged.size() / 2);
    files.put(kSession, damaged);
    const auto done = restore(around(), line({"restore", backup_name(0)}));
    REQUIRE(done.has_value());
    CHECK(files.contents("/data/" + done->set_aside) == damaged);
    CHECK_FALSE(done->notes.empty());
    // The newest good one was the session then.
    CHECK(read("/data/backups/" + done->kept).graph.digest() == second.digest());
    CHECK(start_again().session->graph.digest() == first.digest());
}

TEST_CASE_FIXTURE(Fixture,
                  "with everything damaged a pinned backup still brings the session back") {
    REQUIRE(pin(around(), line({"pin", backup_name(0)})).has_value());
    for (const std::string& path : {std::string(kSession), "/data/backups/" + backup_name(10)}) {
        files.put(path, "damaged");
    }
    const auto done = restore(around(), line({"restore", backup_name(0, true)}));
    REQUIRE(done.has_value());
    CHECK(done->kept.empty());
    CHECK(files.contents("/data/" + done->set_aside) == "damaged");
    CHECK(start_again().session->graph.digest() == first.digest());
}

TEST_CASE_FIXTURE(Fixture, "pin and unpin give a backup another name, and never that of another") {
    const auto pinned = pin(around(), line({"pin", backup_name(0)}));
    REQUIRE(pinned.has_value());
    CHECK(pinned->to == backup_name(0, true));
    CHECK_FALSE(files.contents("/data/backups/" + backup_name(0)).has_value());
    CHECK(pin(around(), line({"pin", backup_name(0, true)}))->to == backup_name(0, true));
    files.put("/data/backups/" + backup_name(0), "another one");
    CHECK(pin(around(), line({"pin", backup_name(0)}))->to == backup_name(0, true, 2));
    CHECK(unpin(around(), line({"unpin", backup_name(0, true)}))->to == backup_name(0));
    CHECK(read("/data/backups/" + backup_name(0)).graph.digest() == first.digest());
    CHECK(pin(around(), line({"pin", "session_snapshot.db"})).error().kind == ErrorKind::BadInput);
    CHECK(pin(around(), line({"pin", "snapshot_x"})).error().kind == ErrorKind::NotFound);
}

TEST_CASE_FIXTURE(Fixture,
                  "whatever moment a restore dies at, there is the old or the new session") {
    // Counted once, then died after each of its operations.
    SimFileSystem counted;
    const auto copy = [&](SimFileSystem& to) {
        REQUIRE(to.make_directories("/data/backups").has_value());
        for (const auto& [path, contents] : everything()) {
            to.put(path, contents);
        }
    };
    const auto restore_on = [&](SimFileSystem& disk) {
        const Surroundings there{disk, "/data", at(100), Epoch{0xfeed}};
        return restore(there, line({"restore", backup_name(0)}));
    };
    copy(counted);
    const std::uint64_t begin = counted.operations();
    REQUIRE(restore_on(counted).has_value());
    const std::uint64_t count = counted.operations() - begin;
    REQUIRE(count > 5);
    for (const support::Loss loss : support::kAllLosses) {
        for (std::uint64_t operation = 1; operation <= count; ++operation) {
            CAPTURE(operation);
            SimFileSystem disk;
            copy(disk);
            disk.die_after(disk.operations() + operation);
            static_cast<void>(restore_on(disk));
            disk.crash(loss);
            auto store = Store::open(disk, {"/data", 10, 1, "0.1.0"}).value();
            const auto next = store->recover(at(200), Epoch{0xbeef});
            REQUIRE(next.has_value());
            REQUIRE(next->session.has_value());
            const Hash128 digest = next->session->graph.digest();
            CHECK((digest == first.digest() || digest == second.digest()));
            CHECK_FALSE(next->from_backup);
        }
    }
}
