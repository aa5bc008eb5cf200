#include "snapshotter/storage/store.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "snapshotter/storage/file_names.h"
#include "tests/support/sample_session.h"
#include "tests/support/sample_store.h"
#include "tests/support/sim_file_system.h"

using namespace snapshotter;
using namespace common;
using support::at;
using support::count;
using support::kMetadata;
using support::kSession;
using support::sample_file;
using support::sample_graph;
using support::sample_stamp;
using support::says;
using support::SimFileSystem;
using Kind = SaveReport::Kind;

namespace {

constexpr Epoch kFresh{0xabc};

std::string backup_path(int seconds, int number = 1, bool pinned = false) {
    return "/data/backups/" +
           name_of(file_names::Backup{file_names::local_time(at(seconds)), number, pinned});
}

struct Fixture {
    SimFileSystem files;
    std::unique_ptr<Store> store;
    std::size_t backups_max = 10;

    Result<Recovered> start(int seconds = 0) {
        store.reset();
        auto opened = Store::open(files, {"/data", backups_max, 1, "0.1.0"});
        REQUIRE(opened.has_value());
        store = std::move(*opened);
        return store->recover(at(seconds), kFresh);
    }

    // A directory in which a session of 3 nodes was saved at second 0, and again, changed, at 10.
    void start_with_two_saves() {
        REQUIRE(start().has_value());
        REQUIRE(save(sample_graph(3, 0), 10, 0).has_value());
        REQUIRE(save(sample_graph(3, 1), 20, 10).has_value());
    }

    Result<SaveReport> save(const GraphCopy& graph, std::uint64_t seq, int seconds,
                            std::uint64_t epoch = 7) {
        return store->save({graph, sample_stamp(seq, epoch), "auto-save", at(seconds)});
    }

    Metadata metadata() {
        const auto text = files.contents(kMetadata);
        REQUIRE(text.has_value());
        Result<Metadata> read = read_metadata(*text);
        REQUIRE(read.has_value());
        return *read;
    }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "an empty directory is fresh") {
    const auto recovered = start();
    REQUIRE(recovered.has_value());
    CHECK_FALSE(recovered->session.has_value());
    CHECK(recovered->notes.empty());
}

TEST_CASE_FIXTURE(Fixture, "a directory is held by one store at a time") {
    REQUIRE(start().has_value());
    const auto second = Store::open(files, {"/data", 10, 1, ""});
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().kind == ErrorKind::Busy);
    CHECK(second.error().what.find("/data") != std::string::npos);
    store.reset();
    CHECK(Store::open(files, {"/data", 10, 1, ""}).has_value());
}

TEST_CASE_FIXTURE(Fixture, "a save writes session, metadata and backup, and comes back") {
    REQUIRE(start().has_value());
    const GraphCopy graph = sample_graph(3);
    const auto report = save(graph, 10, 5);
    REQUIRE(report.has_value());
    CHECK(report->kind == Kind::Written);
    CHECK(report->nodes == 3);
    CHECK(report->file == kSession);
    CHECK(report->reason == "auto-save");
    CHECK(report->file_bytes == files.contents(kSession)->size());
    CHECK(report->position == sample_stamp(10).position);
    CHECK(report->warnings.empty());
    CHECK("/data/backups/" + report->backup == backup_path(5));
    CHECK(files.contents(backup_path(5)) == files.contents(kSession));
    const Metadata metadata = this->metadata();
    CHECK(metadata.initialised);
    CHECK(metadata.node_count == 3);
    CHECK(metadata.reason == "auto-save");
    CHECK(metadata.digest == graph.digest());
    CHECK(metadata.users == std::vector<UserName>{"Zoë"});
    CHECK(metadata.verified == at(5));

    const auto recovered = start(20);
    REQUIRE(recovered.has_value());
    REQUIRE(recovered->session.has_value());
    CHECK(recovered->session->graph.digest() == graph.digest());
    CHECK(recovered->stamp.position == sample_stamp(10).position);
    CHECK(recovered->stamp.saved == at(5));
    CHECK_FALSE(recovered->restored_by_hand);
    CHECK_FALSE(recovered->from_backup);
    CHECK(recovered->file == kSession);
    CHECK(recovered->metadata->reason == "auto-save");
    CHECK(recovered->notes.empty());
}

TEST_CASE_FIXTURE(Fixture, "no temporary file is left by a save, or by one that a kill broke off") {
    start_with_two_saves();
    CHECK(count(files, "/data/.session") + count(files, "/data/backups/.") == 0);
    files.put("/data/" + file_names::temporary(file_names::kSession), "half");
    files.put("/data/backups/" + file_names::temporary("snapshot_20251123_104200.db"), "half");
    files.put("/data/.thesis.holdfast-tmp", "not ours");
    REQUIRE(start(20).has_value());
    CHECK(count(files, "/data/.session") + count(files, "/data/backups/.") == 0);
    CHECK(files.contents("/data/.thesis.holdfast-tmp").has_value());
}

TEST_CASE_FIXTURE(Fixture, "a save without changes renews the metadata only") {
    REQUIRE(start().has_value());
    REQUIRE(save(sample_graph(3), 10, 5).has_value());
    const auto before = files.stat(kSession);
    const auto report = save(sample_graph(3), 10, 125);
    REQUIRE(report.has_value());
    CHECK(report->kind == Kind::Unchanged);
    CHECK(report->backup.empty());
    CHECK(report->nodes == 3);
    CHECK(report->file_bytes == files.contents(kSession)->size());
    CHECK(*files.stat(kSession) == *before);
    CHECK(count(files, "/data/backups/") == 1);
    CHECK(metadata().time == at(125));
    CHECK(metadata().verified == at(5));

    SUBCASE("also after a restart") {
        REQUIRE(start(200).has_value());
        CHECK(save(sample_graph(3), 10, 245)->kind == Kind::Unchanged);
        CHECK(count(files, "/data/backups/") == 1);
    }
    SUBCASE("positions that went on are written, but take no backup slot") {
        const auto moved = save(sample_graph(3), 12, 245);
        REQUIRE(moved.has_value());
        CHECK(moved->kind == Kind::Written);
        CHECK(moved->backup.empty());
        CHECK(start(300)->stamp.position == sample_stamp(12).position);
    }
    SUBCASE("a backup that somebody removed is made anew") {
        files.erase(backup_path(5));
        const auto again = save(sample_graph(3), 10, 245);
        REQUIRE(again.has_value());
        CHECK(again->kind == Kind::Written);
        CHECK(files.contents(backup_path(245)).has_value());
    }
}

TEST_CASE_FIXTURE(Fixture, "two changed saves within a second give two backups") {
    REQUIRE(start().has_value());
    REQUIRE(save(sample_graph(1, 1), 1, 5).has_value());
    REQUIRE(save(sample_graph(1, 2), 2, 5).has_value());
    REQUIRE(save(sample_graph(1, 3), 3, 5).has_value());
    CHECK(files.contents(backup_path(5)).has_value());
    CHECK(files.contents(backup_path(5, 2)).has_value());
    CHECK(files.contents(backup_path(5, 3)) == files.contents(kSession));
}

TEST_CASE_FIXTURE(Fixture, "the newest backups stay, and so do files that are not ours") {
    backups_max = 2;
    REQUIRE(start().has_value());
    files.put("/data/backups/before the big change.db", "mine");
    for (int i = 0; i < 5; ++i) {
        const auto report = save(sample_graph(1, static_cast<std::uint64_t>(i)),
                                 static_cast<std::uint64_t>(i) + 1, i);
        REQUIRE(report.has_value());
        CHECK(report->removed.size() == (i < 2 ? 0 : 1));
    }
    CHECK(count(files, "/data/backups/snapshot_") == 2);
    CHECK(files.contents(backup_path(3)).has_value());
    CHECK(files.contents(backup_path(4)).has_value());
    CHECK(files.contents("/data/backups/before the big change.db") == "mine");
}

TEST_CASE_FIXTURE(Fixture, "what a lowered setting takes is named before it goes") {
    REQUIRE(start().has_value());
    for (int i = 0; i < 4; ++i) {
        REQUIRE(save(sample_graph(1, static_cast<std::uint64_t>(i)),
                     static_cast<std::uint64_t>(i) + 1, i)
                    .has_value());
    }
    CHECK(store->to_be_removed(at(10))->empty());
    backups_max = 2;
    REQUIRE(start(20).has_value());
    const auto named = store->to_be_removed(at(20));
    REQUIRE(named.has_value());
    CHECK(*named == std::vector<std::string>{backup_path(0).substr(14), backup_path(1).substr(14)});
    CHECK(count(files, "/data/backups/snapshot_") == 4);
    const auto report = save(sample_graph(1, 9), 9, 30);
    REQUIRE(report.has_value());
    CHECK(report->removed.size() == 3);  // those, and the one whose place the new one takes
    REQUIRE(report->disk.has_value());
    CHECK(report->disk->backups.files == 2);
    CHECK(report->disk->session.bytes == report->file_bytes);
}

TEST_CASE_FIXTURE(Fixture,
                  "before Init nothing is saved but the metadata, and nothing is overwritten") {
    REQUIRE(start().has_value());
    GraphCopy graph = sample_graph(2);
    graph.initialised = false;
    const auto report = save(graph, 3, 5);
    REQUIRE(report.has_value());
    CHECK(report->kind == Kind::NotInitialised);
    CHECK_FALSE(files.contents(kSession).has_value());
    CHECK_FALSE(metadata().initialised);
    CHECK(metadata().node_count == 0);
    const auto restarted = start(10);
    REQUIRE(restarted.has_value());
    CHECK_FALSE(restarted->session.has_value());

    REQUIRE(save(sample_graph(3), 5, 20).has_value());
    const auto good = files.contents(kSession);
    CHECK(save(graph, 6, 30)->kind == Kind::NotInitialised);
    CHECK(files.contents(kSession) == good);
    CHECK(metadata().initialised);
    CHECK(store->pin({graph, sample_stamp(6), "why", at(40)}).error().kind == ErrorKind::NotFound);
}

// ---- by hand -----------------------------------------------------------------------------------

TEST_CASE_FIXTURE(Fixture, "a backup copied over the session file is a restore") {
    start_with_two_saves();
    store.reset();
    files.put(kSession, *files.contents(backup_path(0)));
    const auto recovered = start(100);
    REQUIRE(recovered.has_value());
    CHECK(recovered->restored_by_hand);
    CHECK(recovered->session->graph.digest() == sample_graph(3, 0).digest());
    // A branch of its own, so that nobody takes it for something that was overtaken.
    CHECK(recovered->stamp.position.epoch == kFresh);
    CHECK(recovered->stamp.position.seq == Seq{10});
    CHECK(recovered->stamp.last_mutation == at(100));
    REQUIRE(recovered->stamp.lineage.size() == 2);
    CHECK(recovered->stamp.lineage[1].parent == sample_stamp(10).position);

    // The first save is written, though the nodes are the same; then it is as any other.
    SaveRequest request{recovered->session->graph, recovered->stamp, "recovered", at(101)};
    CHECK(store->save(request)->kind == Kind::Written);
    CHECK_FALSE(start(200)->restored_by_hand);
}

TEST_CASE_FIXTURE(Fixture,
                  "no backup shares its file with the session: copying over it harms none") {
    start_with_two_saves();
    const auto second = files.contents(backup_path(10));
    files.put(kSession, *files.contents(backup_path(0)));  // writes into the file that is there
    CHECK(files.contents(backup_path(10)) == second);
    CHECK(files.stat(backup_path(10))->number != files.stat(kSession)->number);
}

TEST_CASE_FIXTURE(Fixture, "a session file of the addon begins a history of its own") {
    start_with_two_saves();
    store.reset();
    const GraphCopy graph = sample_graph(2, 5);
    files.put(kSession, support::sample_addon_file(graph).view());
    const auto recovered = start(100);
    REQUIRE(recovered.has_value());
    CHECK(recovered->restored_by_hand);
    CHECK(recovered->session->graph.nodes.size() == 2);
    CHECK(recovered->session->graph.initialised);
    CHECK(recovered->session->graph.timeline == Timeline{number(kFresh)});
    CHECK(recovered->stamp.position.epoch == kFresh);
    CHECK(recovered->stamp.lineage.size() == 1);
    SaveRequest request{recovered->session->graph, recovered->stamp, "recovered", at(101)};
    const auto report = store->save(request);
    REQUIRE(report.has_value());
    CHECK(report->kind == Kind::Written);
    CHECK(count(files, "/data/backups/pinned_") == 0);
    CHECK_FALSE(start(200)->restored_by_hand);
}

TEST_CASE_FIXTURE(Fixture, "a file put there while the session runs is kept, then replaced") {
    start_with_two_saves();
    const auto theirs = *files.contents(backup_path(0));
    files.put(kSession, theirs);
    const auto report = save(sample_graph(3, 1), 20, 30);
    REQUIRE(report.has_value());
    CHECK(report->kind == Kind::Written);
    CHECK(says(report->warnings, "pinned_"));
    CHECK(files.contents(backup_path(30, 1, true)) == theirs);
    CHECK(start(40)->session->graph.digest() == sample_graph(3, 1).digest());
}

TEST_CASE_FIXTURE(Fixture, "a file put there while a save is being written is kept as well") {
    start_with_two_saves();
    const auto theirs = *files.contents(backup_path(0));
    store->tell_progress([&](const Progress& progress) {
        if (progress.what == "Saving, reading back") {
            files.put(kSession, theirs);
        }
    });
    const auto report = save(sample_graph(3, 2), 30, 30);
    REQUIRE(report.has_value());
    CHECK(says(report->warnings, "pinned_"));
    CHECK(files.contents(backup_path(30, 1, true)) == theirs);
    CHECK(start(40)->session->graph.digest() == sample_graph(3, 2).digest());
}

TEST_CASE_FIXTURE(Fixture, "another session does not take the place of one unkept") {
    start_with_two_saves();
    const auto before = files.contents(kSession);
    GraphCopy other = sample_graph(1, 9);
    other.timeline = Timeline{99};
    const auto report = save(other, 5, 30, 99);
    REQUIRE(report.has_value());
    CHECK(says(report->warnings, "pinned_"));
    CHECK(files.contents(backup_path(30, 1, true)) == before);
    CHECK(save(other, 6, 40, 99)->warnings.empty());
}

TEST_CASE_FIXTURE(Fixture, "what is pinned already is not pinned again when it is replaced") {
    REQUIRE(start().has_value());
    const GraphCopy theirs = sample_graph(3);
    REQUIRE(save(theirs, 4, 0).has_value());
    REQUIRE(store->pin({theirs, sample_stamp(4), "it holds another session", at(10)}).has_value());
    GraphCopy other = sample_graph(2, 5);
    other.timeline = Timeline{99};
    const auto report = save(other, 5, 30, 99);
    REQUIRE(report.has_value());
    CHECK(report->warnings.empty());
    CHECK(count(files, "/data/backups/pinned_") == 1);
}

TEST_CASE_FIXTURE(Fixture, "cleared by hand, the directory is fresh") {
    start_with_two_saves();
    store.reset();
    for (const std::string& path : files.paths()) {
        files.erase(path);
    }
    const auto recovered = start(100);
    REQUIRE(recovered.has_value());
    CHECK_FALSE(recovered->session.has_value());
}

TEST_CASE_FIXTURE(Fixture, "a pinned backup is never removed") {
    backups_max = 1;
    REQUIRE(start().has_value());
    const auto pinned = store->pin({sample_graph(2), sample_stamp(4), "a fork", at(0)});
    REQUIRE(pinned.has_value());
    CHECK(*pinned == backup_path(0, 1, true));
    for (int i = 1; i < 4; ++i) {
        REQUIRE(save(sample_graph(1, static_cast<std::uint64_t>(i)), 9, i).has_value());
    }
    CHECK(files.contents(*pinned).has_value());
    CHECK(count(files, "/data/backups/") == 2);
}

// ---- damage ------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(Fixture,
                  "a damaged session goes to quarantine and the newest good backup is taken") {
    start_with_two_saves();
    store.reset();
    files.put(kSession, "damaged");
    SUBCASE("the newest") {
        const auto recovered = start(100);
        REQUIRE(recovered.has_value());
        CHECK(recovered->session->graph.digest() == sample_graph(3, 1).digest());
        CHECK(recovered->file == backup_path(10));
    }
    SUBCASE("the one before it, if that is damaged too") {
        files.put(backup_path(10), "damaged too");
        const auto recovered = start(100);
        REQUIRE(recovered.has_value());
        CHECK(recovered->session->graph.digest() == sample_graph(3, 0).digest());
        CHECK(recovered->file == backup_path(0));
        CHECK(count(files, "/data/quarantine/snapshot_") == 1);
        CHECK_FALSE(files.contents(backup_path(10)).has_value());
    }
    CHECK(count(files, "/data/quarantine/session_snapshot.damaged_") == 1);
    CHECK_FALSE(files.contents(kSession).has_value());
    // Nothing has been saved since: the next start finds the same.
    const auto again = start(200);
    REQUIRE(again.has_value());
    CHECK(again->from_backup);
    CHECK_FALSE(again->restored_by_hand);
    CHECK(says(again->notes, "missing"));
    // And the next save puts a session file there.
    REQUIRE(save(again->session->graph, 30, 210).has_value());
    CHECK_FALSE(start(220)->from_backup);
}

TEST_CASE_FIXTURE(Fixture, "nothing good at all is an error, twice, and nothing is moved") {
    start_with_two_saves();
    store.reset();
    files.put(kSession, "damaged");
    files.put(backup_path(0), "damaged");
    files.put(backup_path(10), "damaged");
    const std::vector<std::string> before = files.paths();
    for (int i = 0; i < 2; ++i) {
        const auto recovered = start(100);
        REQUIRE_FALSE(recovered.has_value());
        CHECK(recovered.error().what.find("/data") != std::string::npos);
        CHECK(recovered.error().what.find("then start again") != std::string::npos);
        store.reset();
        CHECK(files.paths() == before);
    }
}

TEST_CASE_FIXTURE(Fixture, "it is never called fresh where something tells of a session") {
    start_with_two_saves();
    const auto pinned = store->pin({sample_graph(2), sample_stamp(4), "a fork", at(0)});
    store.reset();
    files.erase(kSession);
    SUBCASE("a backup is taken") {
        const auto recovered = start(100);
        REQUIRE(recovered.has_value());
        CHECK(recovered->from_backup);
        CHECK(recovered->session->graph.digest() == sample_graph(3, 1).digest());
    }
    files.erase(backup_path(0));
    files.erase(backup_path(10));
    SUBCASE("pinned backups alone") {
        CHECK_FALSE(start(100).has_value());
    }
    files.erase(*pinned);
    SUBCASE("metadata alone") {
        CHECK_FALSE(start(100).has_value());
    }
    files.erase(kMetadata);
    SUBCASE("quarantine alone") {
        files.put("/data/quarantine/session_snapshot.damaged_1.db", "x");
        CHECK_FALSE(start(100).has_value());
    }
    SUBCASE("nothing") {
        CHECK_FALSE(start(100)->session.has_value());
    }
}

TEST_CASE_FIXTURE(Fixture, "unreadable metadata are said and renewed, the session is taken") {
    start_with_two_saves();
    store.reset();
    files.put(kMetadata, "{ not json");
    const auto recovered = start(100);
    REQUIRE(recovered.has_value());
    CHECK(recovered->session.has_value());
    CHECK_FALSE(recovered->metadata.has_value());
    CHECK_FALSE(recovered->restored_by_hand);
    CHECK(says(recovered->notes, "session_metadata.json"));
    REQUIRE(save(sample_graph(3, 1), 20, 110).has_value());
    CHECK(metadata().node_count == 3);
}

TEST_CASE_FIXTURE(Fixture, "a file of a later version stops the start and stays where it is") {
    start_with_two_saves();
    store.reset();
    files.put(kSession, support::sample_later_file().view());
    const auto recovered = start(100);
    REQUIRE_FALSE(recovered.has_value());
    CHECK(recovered.error().kind == ErrorKind::Unsupported);
    CHECK(files.contents(kSession).has_value());
}

// ---- trouble -----------------------------------------------------------------------------------

TEST_CASE_FIXTURE(Fixture, "on a full disk the last save stays, and the next one works again") {
    start_with_two_saves();
    const std::vector<std::string> before = files.paths();
    const auto good = files.contents(kSession);
    files.set_full(true);
    const auto failed = save(sample_graph(3, 2), 30, 30);
    REQUIRE_FALSE(failed.has_value());
    CHECK(failed.error().what.find("No space") != std::string::npos);
    CHECK(files.contents(kSession) == good);
    CHECK(files.paths() == before);
    files.set_full(false);
    REQUIRE(save(sample_graph(3, 2), 30, 31).has_value());
    CHECK(start(40)->session->graph.digest() == sample_graph(3, 2).digest());
}

TEST_CASE_FIXTURE(Fixture,
                  "each operation of a save may fail once: it is an error or a warning, and "
                  "the next save makes it good") {
    REQUIRE(start().has_value());
    REQUIRE(save(sample_graph(3, 0), 10, 0).has_value());
    const std::uint64_t before = files.operations();
    REQUIRE(save(sample_graph(3, 1), 20, 10).has_value());
    const std::uint64_t operations = files.operations() - before;
    int errors = 0;
    int warnings = 0;
    for (std::uint64_t i = 1; i <= operations; ++i) {
        CAPTURE(i);
        const std::uint64_t salt = 100 + i;
        const int second = 100 + static_cast<int>(i) * 2;
        const auto good = files.contents(kSession);
        files.fail_at(files.operations() + i);
        const auto report = save(sample_graph(3, salt), salt, second);
        if (report) {
            warnings += report->warnings.empty() ? 0 : 1;
        } else {
            ++errors;
        }
        const auto next = save(sample_graph(3, salt), salt, second + 1);
        REQUIRE(next.has_value());
        CHECK(next->warnings.empty());
        CHECK(metadata().digest == sample_graph(3, salt).digest());
        CHECK(metadata().time == at(second + 1));
        CHECK(files.contents("/data/backups/" + metadata().backup).has_value());
        CHECK(count(files, "/data/backups/pinned_") == 0);
        CHECK(start(second + 1)->session->graph.digest() == sample_graph(3, salt).digest());
    }
    CHECK(errors > 0);
    CHECK(warnings > 0);
}
