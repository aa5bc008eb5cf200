#pragma once
// A whole graph in pieces: sent by the broker to a mirror (Whole) and by a snapshotter to a broker
// (Restore). The receiver grants credit; the sender works from a copy, so live traffic goes on.

#include <cstdint>
#include <optional>
#include <vector>

#include "common/feed.h"
#include "common/graph.h"
#include "common/result.h"

namespace common {

class WholeSender {
public:
    WholeSender(std::uint64_t stream, GraphCopy graph, feed::Holding holding);

    std::uint64_t stream() const { return stream_; }
    void grant(std::uint32_t credit) { credit_ += credit; }
    // The next piece of about limits::kWholePieceBytes, or nothing: no credit left, or all is sent.
    std::optional<feed::Piece> next();
    bool finished() const { return finished_; }
    std::size_t nodes_sent() const { return next_node_; }
    std::size_t nodes() const { return graph_.nodes.size(); }

private:
    std::uint64_t stream_;
    GraphCopy graph_;
    feed::Holding holding_;
    std::uint64_t credit_ = 0;
    std::uint64_t number_ = 0;
    std::size_t next_node_ = 0;
    std::vector<Hash128> hashes_;  // of the nodes sent: hashing is spread over the pieces
    bool finished_ = false;
};

struct Whole {
    GraphCopy graph;
    feed::Holding holding;
};

class WholeReceiver {
public:
    explicit WholeReceiver(std::uint64_t stream) : stream_(stream) {}

    std::uint64_t stream() const { return stream_; }
    // The complete graph with the last piece, whose digest must agree; nothing before. A piece out
    // of order, or one that disagrees with the head, is an error: the stream is over.
    Result<std::optional<Whole>> on_piece(feed::Piece piece);
    std::size_t nodes_received() const { return whole_.graph.nodes.size(); }
    // As announced; 0 before the first piece.
    std::uint64_t nodes() const { return whole_.holding.node_count; }

private:
    std::uint64_t stream_;
    std::uint64_t next_number_ = 0;
    Whole whole_;
    std::vector<Hash128> hashes_;
};

}  // namespace common
