#pragma once
// What a broker would publish, as rows of a history: numbered, chained, applied to a graph.

#include <cstdint>

#include "common/graph.h"
#include "common/session_file.h"
#include "snapshotter/storage/history_segment.h"

namespace support {

class SampleHistory {
public:
    // A broker starts: an epoch whose parent is where we are.
    snapshotter::HistoryRow start(std::uint64_t epoch);
    snapshotter::HistoryRow add(common::Mutation mutation, const common::UserName& user = "ada");

    // A session of `nodes` nodes: start, upload, Initialised.
    std::vector<snapshotter::HistoryRow> begin(std::uint64_t epoch, std::size_t nodes);
    // Commits, new nodes and the like, from a seed.
    std::vector<snapshotter::HistoryRow> work(std::size_t records, std::uint64_t seed);

    // Goes on from a state that somebody has.
    void go_on_from(const common::GraphCopy& graph, const snapshotter::HistoryBase& base);

    snapshotter::HistoryBase base() const { return {position_, lineage_}; }
    const common::Position& position() const { return position_; }
    common::GraphCopy copy() { return graph_.copy(); }
    common::Hash128 digest() { return graph_.digest(); }
    common::SessionStamp stamp() const;
    // Of the next record; each takes a second.
    common::WallTime time{1'763'894'520'000};

private:
    common::Graph graph_;
    common::Position position_;
    common::Lineage lineage_;
};

}  // namespace support
