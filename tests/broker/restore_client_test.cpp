#include "broker/restore_client.h"

#include <doctest/doctest.h>

#include "tests/support/graph_gen.h"

using namespace broker;
using common::Epoch;
using common::Hash128;
using common::Instant;
using common::Lineage;
using common::LineageEntry;
using common::Millis;
using common::Position;
using common::Seq;
using common::WallTime;
using common::feed::Holding;

namespace {

Instant at(int ms) {
    return Instant{Millis{ms}};
}

Position position(std::uint64_t epoch, std::uint64_t seq) {
    return {Epoch{epoch}, Seq{seq}, {epoch * 1000, seq}};
}

// Epoch 1 up to seq 10, then epoch 2 up to seq 20, then epoch 3.
Lineage three_epochs() {
    return {{Epoch{1}, {}}, {Epoch{2}, position(1, 10)}, {Epoch{3}, position(2, 20)}};
}

Holding holding(const Position& position, Lineage lineage, std::int64_t last = 1) {
    Holding one;
    one.position = position;
    one.lineage = std::move(lineage);
    one.initialised = true;
    one.last_mutation = WallTime{last};
    return one;
}

Offer offer(const std::string& name, std::optional<Holding> holding) {
    // Longer than what a string holds in itself, so that sanitizers see a use after its end.
    return {"peer of the snapshotter " + name, name, std::move(holding)};
}

common::GraphCopy some_graph() {
    common::GraphCopy graph;
    graph.nodes = {
        std::make_shared<const common::Node>(support::make_node("a", "ada", {}, 1, 100))};
    graph.initialised = true;
    return graph;
}

// All of it in one piece.
common::feed::Piece piece_of(std::uint64_t stream, const common::GraphCopy& graph) {
    common::WholeSender sender(stream, graph, holding(position(1, 10), {{Epoch{1}, {}}}));
    sender.grant(1);
    auto piece = sender.next();
    REQUIRE(piece);
    REQUIRE(piece->last);
    return *piece;
}

}  // namespace

TEST_CASE("what a history contains") {
    const Lineage lineage = three_epochs();
    const Position end = position(3, 25);
    const auto in = [&](const Position& one) { return contains(lineage, end, one); };
    CHECK(in({}));
    CHECK(in(position(1, 1)));
    CHECK(in(position(1, 10)));
    CHECK(in(position(2, 15)));
    CHECK(in(position(2, 20)));
    CHECK(in(position(3, 25)));
    CHECK_FALSE(in(position(3, 26)));
    CHECK_FALSE(in(position(1, 11)));  // epoch 1 went on after the history left it
    CHECK_FALSE(in(position(2, 21)));
    CHECK_FALSE(in(position(4, 5)));
    CHECK_FALSE(in(position(2, 9)));  // epoch 2 began later
    CHECK_FALSE(in({Epoch{3}, Seq{25}, {0, 1}}));
    CHECK_FALSE(in({Epoch{2}, Seq{20}, {0, 1}}));
    CHECK(in({Epoch{2}, Seq{10}, position(1, 10).chain}));  // where epoch 2 begins
    CHECK_FALSE(in({Epoch{2}, Seq{10}, {0, 1}}));
}

TEST_CASE("the offer whose history contains the others is chosen") {
    const std::vector<Offer> offers = {
        offer("a", holding(position(1, 8), {{Epoch{1}, {}}}, 9)),
        offer("b", std::nullopt),
        offer("c", holding(position(3, 25), three_epochs(), 5)),
        offer("d", holding(position(2, 20), {{Epoch{1}, {}}, {Epoch{2}, position(1, 10)}}, 7)),
    };
    const Choice choice = choose_offer(offers);
    CHECK(choice.chosen == 2);
    CHECK_FALSE(choice.forked);
}

TEST_CASE("on a fork the newest work is chosen, and it is said") {
    const std::vector<Offer> offers = {
        offer("a", holding(position(1, 50), {{Epoch{1}, {}}}, 5)),
        offer("b", holding(position(7, 2), {{Epoch{7}, {}}}, 6)),
        offer("c", holding(position(2, 12), {{Epoch{1}, {}}, {Epoch{2}, position(1, 10)}}, 4)),
    };
    const Choice choice = choose_offer(offers);
    CHECK(choice.chosen == 1);
    CHECK(choice.forked);
}

TEST_CASE("what was never initialised counts as nothing") {
    Holding fresh = holding(position(9, 3), {{Epoch{9}, {}}}, 100);
    fresh.initialised = false;
    CHECK_FALSE(choose_offer({offer("a", std::nullopt), offer("b", fresh)}).chosen);
    const Choice choice =
        choose_offer({offer("b", fresh), offer("c", holding(position(1, 3), {{Epoch{1}, {}}}))});
    CHECK(choice.chosen == 1);
    CHECK_FALSE(choice.forked);
}

TEST_CASE("it waits for the offers wanted, or 3 s after the first") {
    RestoreClient client(2);
    CHECK(std::holds_alternative<std::monostate>(client.on_tick(at(100'000))));
    client.on_offer(offer("a", holding(position(1, 3), {{Epoch{1}, {}}})), at(100'000));
    CHECK(std::holds_alternative<std::monostate>(client.on_tick(at(102'999))));
    SUBCASE("time is over") {
        CHECK(std::holds_alternative<RestoreClient::Ask>(client.on_tick(at(103'000))));
    }
    SUBCASE("another one came") {
        client.on_offer(offer("b", std::nullopt), at(101'000));
        const auto step = client.on_tick(at(101'000));
        REQUIRE(std::holds_alternative<RestoreClient::Ask>(step));
        CHECK(std::get<RestoreClient::Ask>(step).peer == "peer of the snapshotter a");
        CHECK_FALSE(std::get<RestoreClient::Ask>(step).forked);
    }
    SUBCASE("the same one again is not another one") {
        client.on_offer(offer("a", holding(position(1, 3), {{Epoch{1}, {}}})), at(101'000));
        CHECK(std::holds_alternative<std::monostate>(client.on_tick(at(101'000))));
    }
}

TEST_CASE("nothing but empty offers: fresh") {
    RestoreClient client(1);
    client.on_offer(offer("a", std::nullopt), at(0));
    CHECK(std::holds_alternative<RestoreClient::Fresh>(client.on_tick(at(0))));
}

TEST_CASE("the graph arrives and is given once") {
    RestoreClient client(1);
    client.on_offer(offer("a", holding(position(1, 10), {{Epoch{1}, {}}})), at(0));
    const auto ask = std::get<RestoreClient::Ask>(client.on_tick(at(0)));
    CHECK(client.fetching());
    const auto stranger =
        client.on_piece("peer of the snapshotter x", piece_of(ask.stream, some_graph()), at(1));
    REQUIRE(stranger);
    CHECK_FALSE(*stranger);
    const auto old =
        client.on_piece("peer of the snapshotter a", piece_of(ask.stream + 1, some_graph()), at(1));
    REQUIRE(old);
    CHECK_FALSE(*old);
    const auto whole =
        client.on_piece("peer of the snapshotter a", piece_of(ask.stream, some_graph()), at(1));
    REQUIRE(whole);
    REQUIRE(*whole);
    CHECK((*whole)->graph.digest() == some_graph().digest());
    CHECK((*whole)->holding.position == position(1, 10));
    CHECK_FALSE(client.fetching());
    CHECK(std::holds_alternative<std::monostate>(client.on_tick(at(60'000))));
}

TEST_CASE("who falls silent is dropped and another one is asked") {
    RestoreClient client(2);
    client.on_offer(offer("new", holding(position(3, 25), three_epochs())), at(0));
    client.on_offer(offer("old", holding(position(1, 3), {{Epoch{1}, {}}})), at(0));
    CHECK(std::get<RestoreClient::Ask>(client.on_tick(at(0))).name == "new");
    CHECK(std::holds_alternative<std::monostate>(client.on_tick(at(4'999))));
    CHECK(std::get<RestoreClient::Ask>(client.on_tick(at(5'000))).name == "old");
}

TEST_CASE("it never starts fresh because a restore failed") {
    // Only the same snapshotter may say that there is nothing after all, or offer it again.
    for (const bool offers_again : {true, false}) {
        for (const std::string failure : {"silence", "it left", "a damaged piece", "no session"}) {
            CAPTURE(failure);
            RestoreClient client(1);
            client.on_offer(offer("a", holding(position(1, 3), {{Epoch{1}, {}}})), at(0));
            const auto ask = std::get<RestoreClient::Ask>(client.on_tick(at(0)));
            if (failure == "silence") {
                client.on_tick(at(5'000));
            } else if (failure == "it left") {
                client.on_lost("peer of the snapshotter a");
            } else {
                common::GraphCopy graph = some_graph();
                graph.initialised = failure != "no session";
                auto piece = piece_of(ask.stream, graph);
                if (graph.initialised) {
                    piece.digest.reset();
                }
                CHECK_FALSE(client.on_piece("peer of the snapshotter a", piece, at(1)));
            }
            CHECK_FALSE(client.fetching());
            client.on_offer(offer("b", std::nullopt), at(5'000));
            CHECK(std::holds_alternative<std::monostate>(client.on_tick(at(60'000))));
            if (offers_again) {
                client.on_offer(offer("a", holding(position(1, 3), {{Epoch{1}, {}}})), at(60'000));
                CHECK(std::get<RestoreClient::Ask>(client.on_tick(at(60'000))).name == "a");
            } else {
                client.on_offer({"peer-a2", "a", std::nullopt}, at(60'000));
                CHECK(std::holds_alternative<RestoreClient::Fresh>(client.on_tick(at(60'000))));
            }
        }
    }
}

TEST_CASE("a snapshotter that was started again is asked again, under its new address") {
    RestoreClient client(1);
    client.on_offer(offer("a", holding(position(1, 10), {{Epoch{1}, {}}})), at(0));
    const auto first = std::get<RestoreClient::Ask>(client.on_tick(at(0)));
    client.on_offer({"peer-a2", "a", holding(position(1, 10), {{Epoch{1}, {}}})}, at(1000));
    const auto second = std::get<RestoreClient::Ask>(client.on_tick(at(1000)));
    CHECK(second.peer == "peer-a2");
    CHECK(second.stream != first.stream);
    CHECK(client.offers().size() == 1);
}
