#include "common/whole.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "common/limits.h"

namespace common {

namespace {

std::size_t bytes_of(const Node& node) {
    return node.id.size() + node.owner.size() + node.dependencies.pickled.size() + node.data.size();
}

}  // namespace

WholeSender::WholeSender(std::uint64_t stream, GraphCopy graph, feed::Holding holding)
    : stream_(stream), graph_(std::move(graph)), holding_(std::move(holding)) {
    holding_.node_count = graph_.nodes.size();
    holding_.initialised = graph_.initialised;
    holding_.timeline = graph_.timeline;
}

std::optional<feed::Piece> WholeSender::next() {
    if (finished_ || credit_ == 0) {
        return std::nullopt;
    }
    feed::Piece piece;
    piece.stream = stream_;
    piece.number = static_cast<std::uint32_t>(number_);
    if (number_ == 0) {
        piece.head = feed::WholeHead{holding_, graph_.metadata};
    }
    std::size_t bytes = 0;
    while (next_node_ < graph_.nodes.size() && bytes < limits::kWholePieceBytes &&
           piece.nodes.size() < limits::kPieceItemsMax) {
        bytes += bytes_of(*graph_.nodes[next_node_]);
        piece.nodes.push_back(graph_.nodes[next_node_]);
        hashes_.push_back(graph_.nodes[next_node_]->hash());
        ++next_node_;
    }
    if (next_node_ == graph_.nodes.size()) {
        piece.last = true;
        piece.digest = digest_of(hashes_, graph_.metadata, graph_.initialised, graph_.timeline);
        finished_ = true;
    }
    --credit_;
    ++number_;
    return piece;
}

Result<std::optional<Whole>> WholeReceiver::on_piece(feed::Piece piece) {
    if (piece.stream != stream_ || piece.number != next_number_) {
        return bad_input("piece " + std::to_string(piece.number) + " of stream " +
                         std::to_string(piece.stream) + " came where piece " +
                         std::to_string(next_number_) + " of stream " + std::to_string(stream_) +
                         " was due");
    }
    if (piece.head.has_value() != (next_number_ == 0)) {
        return bad_input("the head of a whole graph is not in its first piece");
    }
    if (!piece.records.empty()) {
        return bad_input("records in a whole graph");
    }
    if (piece.head) {
        whole_.holding = std::move(piece.head->holding);
        whole_.graph.metadata = std::move(piece.head->metadata);
        whole_.graph.initialised = whole_.holding.initialised;
        whole_.graph.timeline = whole_.holding.timeline;
    }
    ++next_number_;
    auto& nodes = whole_.graph.nodes;
    if (piece.nodes.size() > limits::kNodesMax - nodes.size()) {
        return fail(ErrorKind::Limit, "a whole graph of more nodes than we take");
    }
    for (NodePtr& node : piece.nodes) {
        hashes_.push_back(node->hash());
        nodes.push_back(std::move(node));
    }
    if (!piece.last) {
        return std::nullopt;
    }
    if (nodes.size() != whole_.holding.node_count) {
        return bad_input("a whole graph of " + std::to_string(nodes.size()) +
                         " nodes, announced as " + std::to_string(whole_.holding.node_count));
    }
    std::unordered_set<std::string_view> ids;
    for (const NodePtr& node : nodes) {
        if (!ids.insert(node->id).second) {
            return bad_input("a node comes twice: " + node->id);
        }
    }
    if (piece.digest != digest_of(hashes_, whole_.graph.metadata, whole_.graph.initialised,
                                  whole_.graph.timeline)) {
        return bad_input("a whole graph does not have the digest that it came with");
    }
    return std::move(whole_);
}

}  // namespace common
