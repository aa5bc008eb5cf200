// Rule: a damaged file of the history gives the right session, an older one that it was, or a clear
// refusal; never a wrong one, never a crash, never 'fresh'. With a whole history, damage to any
// other file costs nothing. HOLDFAST_LONG=1 flips every byte, and cuts at every length.

#include <doctest/doctest.h>

#include <cstdlib>
#include <map>

#include "snapshotter/storage/store.h"
#include "tests/support/sample_history.h"
#include "tests/support/sim_vfs.h"

using namespace snapshotter;
using namespace common;
using support::SampleHistory;
using support::SimFileSystem;
using support::SimVfs;

namespace {

Result<std::unique_ptr<Store>> open_store(SimFileSystem& files, const SimVfs& vfs) {
    HistoryOptions history;
    history.place.vfs = vfs.name();
    history.segment_bytes_min = 1;
    return Store::open(files, {.directory = "/data", .version = "0.1.0", .history = history});
}

struct Session {
    std::map<std::string, std::string> files;  // path and contents
    std::map<Position, Hash128> states;
    Position saved;  // by the save
    Position last;
};

// Two segments, with a save between them; with or without that save's files.
Session make_session(bool with_saves) {
    Session made;
    SimFileSystem disk;
    const SimVfs vfs(disk);
    SampleHistory broker;
    const auto store = std::move(*open_store(disk, vfs));
    REQUIRE(store->recover(WallTime{1}, Epoch{1}).has_value());
    std::optional<HistoryBase> begin = HistoryBase{};
    const auto write = [&](std::vector<HistoryRow> rows) {
        REQUIRE(store->history()->append(begin, rows, broker.time).has_value());
        begin.reset();
    };
    write(broker.begin(7, 3));
    made.states[broker.position()] = broker.digest();
    const auto work = [&](std::uint64_t seed) {
        std::vector<HistoryRow> rows;
        for (std::uint64_t i = 0; i < 5; ++i) {
            rows.push_back(std::move(broker.work(1, seed + i).front()));
            made.states[broker.position()] = broker.digest();
        }
        write(std::move(rows));
    };
    work(10);
    if (with_saves) {
        REQUIRE(store->save({broker.copy(), broker.stamp(), "auto-save", broker.time}));
        made.saved = broker.position();
    }
    store->history()->backup_made(broker.time);
    work(20);
    made.last = broker.position();
    for (const std::string& path : disk.paths()) {
        if (path != "/data/.lock") {
            made.files[path] = *disk.contents(path);
        }
    }
    return made;
}

// What the next start makes of it with one file changed.
void check(const Session& session, const std::string& path, const std::string& damaged) {
    SimFileSystem disk;
    const SimVfs vfs(disk);
    for (const auto& [name, contents] : session.files) {
        disk.put(name, name == path ? damaged : contents);
    }
    auto store = open_store(disk, vfs);
    REQUIRE(store.has_value());
    const auto recovered = (*store)->recover(WallTime{1'763'894'620'000}, Epoch{9});
    if (!recovered) {
        // In the number of the format: it may be one of a later version, which is refused.
        CHECK((session.saved == Position{} || recovered.error().kind == ErrorKind::Unsupported));
        CHECK_FALSE(recovered.error().what.empty());
        return;
    }
    REQUIRE(recovered->session.has_value());
    // A branch, if the row that tells of the save is what was damaged.
    Position position = recovered->stamp.position;
    if (recovered->restored_by_hand) {
        position = session.saved;
    }
    REQUIRE(session.states.contains(position));
    CHECK(recovered->session->graph.digest() == session.states.at(position));
    CHECK(number(position.seq) >= number(session.saved.seq));
    CHECK((path.starts_with("/data/history/") || recovered->stamp.position == session.last));
    // What is on disk is still there.
    bool kept = false;
    for (const std::string& name : disk.paths()) {
        kept = kept || name.find(path.substr(path.rfind('/') + 1, 6)) != name.npos;
    }
    CHECK(kept);
}

void damage_everywhere(const Session& session, std::size_t samples) {
    std::size_t count = 0;
    for (const auto& [path, whole] : session.files) {
        ++count;
        const std::size_t step = std::getenv("HOLDFAST_LONG") != nullptr
                                     ? 1
                                     : std::max<std::size_t>(1, whole.size() / samples);
        for (std::size_t i = 0; i < whole.size(); i += step) {
            CAPTURE(path);
            CAPTURE(i);
            std::string flipped = whole;
            flipped[i] = static_cast<char>(flipped[i] ^ (1 << (i % 8)));
            check(session, path, flipped);
            check(session, path, whole.substr(0, i));
        }
    }
    CHECK(count >= 2);
}

}  // namespace

TEST_CASE("damaged history beside a good save") {
    damage_everywhere(make_session(true), 25);
}

TEST_CASE("damaged history, and nothing else") {
    damage_everywhere(make_session(false), 25);
}
