#include "broker/publisher.h"

#include <doctest/doctest.h>

#include "common/limits.h"
#include "tests/support/graph_gen.h"

using namespace common;
using broker::Publisher;

namespace {

constexpr std::size_t kRing = 1 << 20;

}  // namespace

TEST_CASE("a fresh session begins at seq 1 with EpochStarted") {
    Publisher publisher(kRing);
    CHECK_FALSE(publisher.started());
    CHECK_FALSE(publisher.chain_at(Seq{0}));
    const auto frames = publisher.start(Epoch{7}, {}, {}, WallTime{5});
    CHECK(publisher.started());
    CHECK(publisher.position() == Position{Epoch{7}, Seq{1}, feed::chain_after({}, frames)});
    CHECK(publisher.lineage() == Lineage{{Epoch{7}, {}}});
    const auto record = feed::decode_record(frames);
    REQUIRE(record);
    CHECK(record->epoch == Epoch{7});
    CHECK(record->seq == Seq{1});
    CHECK(record->time == WallTime{5});
    CHECK(std::get<EpochStarted>(record->mutation).parent == Position{});
    CHECK(publisher.chain_at(Seq{0}) == Hash128{});
    CHECK(publisher.chain_at(Seq{1}) == publisher.position().chain);
    CHECK_FALSE(publisher.chain_at(Seq{2}));
    CHECK(publisher.record_at(Seq{0}) == nullptr);
    CHECK(*publisher.record_at(Seq{1}) == frames);
}

TEST_CASE("an epoch goes on from its parent") {
    Publisher publisher(kRing);
    publisher.start(Epoch{7}, {}, {}, WallTime{1});
    publisher.publish(DeleteNode{"a"}, "ada", WallTime{2});
    const Position parent = publisher.position();
    const Lineage before = publisher.lineage();
    Publisher next(kRing);
    next.start(Epoch{8}, parent, before, WallTime{3}, WallTime{2});
    CHECK(next.position().seq == Seq{3});
    CHECK(next.lineage() == Lineage{{Epoch{7}, {}}, {Epoch{8}, parent}});
    CHECK(next.chain_at(Seq{2}) == parent.chain);
    CHECK_FALSE(next.chain_at(Seq{1}));
    CHECK(next.last_mutation() == WallTime{2});
}

TEST_CASE("the time of the last work is not moved by comings and goings") {
    Publisher publisher(kRing);
    publisher.start(Epoch{7}, {}, {}, WallTime{1});
    CHECK(publisher.last_mutation() == WallTime{0});
    publisher.publish(DeleteNode{"a"}, "ada", WallTime{2});
    publisher.publish(SetOwner{{"b"}, "COMMON"}, "", WallTime{3});
    publisher.publish(UserLeft{"ada", "left"}, "", WallTime{4});
    CHECK(publisher.last_mutation() == WallTime{2});
}

TEST_CASE("the ring is bounded in bytes and says what it still knows") {
    Publisher publisher(20'000);
    publisher.start(Epoch{7}, {}, {}, WallTime{1});
    std::vector<Hash128> chains = {{}, publisher.position().chain};
    std::vector<feed::Frames> records = {{}, *publisher.record_at(Seq{1})};
    for (int i = 0; i < 100; ++i) {
        records.push_back(publisher.publish(
            PutNode{support::make_node("id", "ada", {}, static_cast<std::uint64_t>(i), 1000)},
            "ada", WallTime{2}));
        chains.push_back(publisher.position().chain);
        CHECK(publisher.ring_bytes() <= 20'000);
    }
    std::size_t known = 0;
    bool oldest = true;
    for (std::uint64_t seq = 1; seq <= 101; ++seq) {
        if (const auto* record = publisher.record_at(Seq{seq})) {
            if (oldest) {
                CHECK(publisher.chain_at(Seq{seq - 1}) == chains[seq - 1]);
                CHECK_FALSE(publisher.chain_at(Seq{seq - 2}));
                oldest = false;
            }
            CHECK(*record == records[seq]);
            CHECK(publisher.chain_at(Seq{seq}) == chains[seq]);
            ++known;
        } else {
            CHECK(oldest);
        }
    }
    CHECK(known > 10);
    CHECK(known < 20);
}

TEST_CASE("a record bigger than the ring is kept alone") {
    Publisher publisher(1000);
    publisher.start(Epoch{7}, {}, {}, WallTime{1});
    const auto& frames = publisher.publish(PutNode{support::make_node("id", "ada", {}, 1, 5000)},
                                           "ada", WallTime{2});
    CHECK(total_size(frames) > 5000);
    CHECK(publisher.record_at(Seq{2}) == &frames);
    CHECK(publisher.record_at(Seq{1}) == nullptr);
    CHECK(publisher.chain_at(Seq{1}));
}

TEST_CASE("a lineage forgets its oldest epochs at its bound") {
    Lineage before(limits::kLineageMax, LineageEntry{Epoch{1}, {}});
    before.back().epoch = Epoch{2};
    Publisher publisher(kRing);
    publisher.start(Epoch{7}, {Epoch{2}, Seq{9}, {}}, before, WallTime{1});
    CHECK(publisher.lineage().size() == limits::kLineageMax);
    CHECK(publisher.lineage().back().epoch == Epoch{7});
}
