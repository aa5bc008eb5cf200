// Rule: a damaged file gives the right graph, an older valid one, or a clear refusal; never a wrong
// graph, never a crash, and never 'fresh'.

#include <doctest/doctest.h>

#include "snapshotter/storage/store.h"
#include "tests/support/sample_session.h"
#include "tests/support/sample_store.h"
#include "tests/support/sim_file_system.h"

using namespace snapshotter;
using namespace common;
using support::kMetadata;
using support::kSession;
using support::sample_file;
using support::sample_graph;
using support::sample_stamp;
using support::SimFileSystem;

namespace {

// Calls `check` with each file that has one bit of each byte flipped, and each that is cut off.
template <typename Check>
void damage_everywhere(const std::string& whole, Check check) {
    for (std::size_t i = 0; i < whole.size(); ++i) {
        CAPTURE(i);
        std::string flipped = whole;
        flipped[i] = static_cast<char>(flipped[i] ^ (1 << (i % 8)));
        check(flipped);
        check(whole.substr(0, i));
    }
}

Result<Recovered> start(SimFileSystem& files) {
    const auto store = TRY(Store::open(files, {"/data", 10, 1, "0.1.0"}));
    return store->recover(WallTime{1'763'894'600'000}, Epoch{1000});
}

void prepare(SimFileSystem& files, std::uint64_t saves) {
    const auto store = Store::open(files, {"/data", 10, 1, "0.1.0"});
    REQUIRE(store.has_value());
    REQUIRE((*store)->recover(WallTime{1}, Epoch{1}).has_value());
    for (std::uint64_t i = 1; i <= saves; ++i) {
        const WallTime time{1'763'894'500'000 + static_cast<std::int64_t>(i) * 1000};
        REQUIRE(
            (*store)->save({sample_graph(2, i), sample_stamp(i), "auto-save", time}).has_value());
    }
}

}  // namespace

TEST_CASE("damage in a session file is seen") {
    const GraphCopy graph = sample_graph(2);
    std::size_t refused = 0;
    std::size_t right = 0;
    const Bytes file = sample_file(graph, sample_stamp(1));
    damage_everywhere(std::string(file.view()), [&](const std::string& damaged) {
        const Result<SessionFile> back = read_session_file(Bytes(damaged));
        if (back) {  // in the header, where it does not matter
            CHECK(back->graph.digest() == graph.digest());
            CHECK(back->stamp->position == sample_stamp(1).position);
            ++right;
        } else {
            CHECK_FALSE(back.error().what.empty());
            ++refused;
        }
    });
    CHECK(right < 20);
    CHECK(refused > file.size());
}

TEST_CASE("with a damaged session file the backup of the same save is taken") {
    SimFileSystem files;
    prepare(files, 2);
    const std::string whole = *files.contents(kSession);
    damage_everywhere(whole, [&](const std::string& damaged) {
        files.put(kSession, damaged);
        const auto recovered = start(files);
        REQUIRE(recovered.has_value());
        CHECK(recovered->session->graph.digest() == sample_graph(2, 2).digest());
        CHECK(recovered->from_backup == !files.contents(kSession).has_value());
        for (const std::string& path : files.paths()) {
            if (path.starts_with("/data/quarantine/")) {
                CHECK(files.contents(path) == damaged);
                files.erase(path);
            }
        }
    });
}

TEST_CASE("damaged metadata cost nothing but themselves") {
    SimFileSystem files;
    prepare(files, 1);
    damage_everywhere(*files.contents(kMetadata), [&](const std::string& damaged) {
        files.put(kMetadata, damaged);
        const auto recovered = start(files);
        REQUIRE(recovered.has_value());
        CHECK(recovered->session->graph.digest() == sample_graph(2, 1).digest());
        CHECK_FALSE(recovered->from_backup);
    });
}
