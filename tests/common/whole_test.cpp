#include "common/whole.h"

#include <doctest/doctest.h>

#include "common/limits.h"
#include "common/pickle.h"
#include "tests/support/graph_gen.h"

using namespace common;

namespace {

GraphCopy some_graph(std::size_t nodes, std::size_t blob_bytes) {
    GraphCopy graph;
    for (std::size_t i = 0; i < nodes; ++i) {
        graph.nodes.push_back(std::make_shared<const Node>(
            support::make_node("node-" + std::to_string(i), "ada", {"node-0"}, i, blob_bytes)));
    }
    graph.metadata["ada"] = write_pickle(Value::dict());
    graph.initialised = true;
    graph.timeline = Timeline{8};
    return graph;
}

feed::Holding some_holding() {
    feed::Holding holding;
    holding.position = {Epoch{1}, Seq{20}, {3, 4}};
    holding.lineage = {{Epoch{1}, {}}};
    return holding;
}

std::vector<feed::Piece> pieces_of(const GraphCopy& graph) {
    WholeSender sender(5, graph, some_holding());
    sender.grant(1'000'000);
    std::vector<feed::Piece> pieces;
    while (auto piece = sender.next()) {
        pieces.push_back(*piece);
    }
    CHECK(sender.finished());
    return pieces;
}

// Null: refused somewhere.
std::optional<Whole> receive(const std::vector<feed::Piece>& pieces) {
    WholeReceiver receiver(5);
    for (const feed::Piece& piece : pieces) {
        auto received = receiver.on_piece(piece);
        if (!received) {
            return std::nullopt;
        }
        if (*received) {
            CHECK(&piece == &pieces.back());
            return std::move(**received);
        }
    }
    return std::nullopt;
}

}  // namespace

TEST_CASE("a graph comes out as it went in, in bounded pieces") {
    const GraphCopy graph = some_graph(300, 10'000);
    const auto pieces = pieces_of(graph);
    CHECK(pieces.size() == 3);
    for (const feed::Piece& piece : pieces) {
        std::size_t bytes = 0;
        for (const NodePtr& node : piece.nodes) {
            bytes += node->data.size();
        }
        CHECK(bytes < limits::kWholePieceBytes + 20'000);
    }
    const auto whole = receive(pieces);
    REQUIRE(whole);
    CHECK(whole->graph.digest() == graph.digest());
    CHECK(whole->graph.nodes == graph.nodes);
    CHECK(whole->holding.position == some_holding().position);
    CHECK(whole->holding.lineage == some_holding().lineage);
    CHECK(whole->holding.initialised);
    CHECK(whole->holding.node_count == 300);
}

TEST_CASE("an empty graph and a big node are one piece each") {
    CHECK(pieces_of(GraphCopy{}).size() == 1);
    CHECK(receive(pieces_of(GraphCopy{})));
    CHECK(pieces_of(some_graph(1, 3 * limits::kWholePieceBytes)).size() == 1);
    CHECK(pieces_of(some_graph(2, 3 * limits::kWholePieceBytes)).size() == 2);
}

TEST_CASE("a piece of tiny nodes is bounded in their number") {
    const auto pieces = pieces_of(some_graph(4'001, 0));
    for (const feed::Piece& piece : pieces) {
        CHECK(piece.nodes.size() <= limits::kPieceItemsMax);
    }
    CHECK(pieces.size() == 3);
    CHECK(receive(pieces));
}

TEST_CASE("no piece without credit") {
    WholeSender sender(5, some_graph(300, 10'000), some_holding());
    CHECK_FALSE(sender.next());
    sender.grant(2);
    CHECK(sender.next());
    CHECK(sender.next());
    CHECK_FALSE(sender.next());
    CHECK_FALSE(sender.finished());
    sender.grant(5);
    CHECK(sender.next());
    CHECK(sender.finished());
    CHECK_FALSE(sender.next());
}

TEST_CASE("a stream that is not whole is refused") {
    const GraphCopy graph = some_graph(300, 10'000);
    auto pieces = pieces_of(graph);
    REQUIRE(pieces.size() == 3);
    SUBCASE("a piece is missing") {
        pieces.erase(pieces.begin() + 1);
    }
    SUBCASE("the head is missing") {
        pieces.erase(pieces.begin());
    }
    SUBCASE("a piece comes twice") {
        pieces.insert(pieces.begin(), pieces.front());
    }
    SUBCASE("pieces are swapped") {
        std::swap(pieces[1], pieces[2]);
    }
    SUBCASE("another stream") {
        pieces[1].stream = 6;
    }
    SUBCASE("no head in piece 0") {
        pieces[0].head.reset();
    }
    SUBCASE("a head in piece 1") {
        pieces[1].head = pieces[0].head;
    }
    SUBCASE("records in it") {
        pieces[1].records.emplace_back();
    }
    SUBCASE("a node is missing") {
        pieces[1].nodes.pop_back();
    }
    SUBCASE("a node comes twice") {
        pieces[1].nodes[0] = pieces[1].nodes[1];
    }
    SUBCASE("nodes are swapped") {
        std::swap(pieces[1].nodes[0], pieces[1].nodes[1]);
    }
    SUBCASE("no digest") {
        pieces[2].digest.reset();
    }
    SUBCASE("other metadata") {
        pieces[0].head->metadata.clear();
    }
    SUBCASE("the last one is missing") {
        pieces.pop_back();
    }
    CHECK_FALSE(receive(pieces));
}
