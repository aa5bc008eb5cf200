#include "tests/support/sample_history.h"

#include "common/verify.h"
#include "tests/support/graph_gen.h"

namespace support {

using namespace common;
using snapshotter::HistoryBase;
using snapshotter::HistoryRow;

HistoryRow SampleHistory::start(std::uint64_t epoch) {
    lineage_.push_back({Epoch{epoch}, position_});
    const Position parent = position_;
    position_.epoch = Epoch{epoch};
    return add(EpochStarted{parent}, "");
}

HistoryRow SampleHistory::add(Mutation mutation, const UserName& user) {
    VERIFY(graph_.apply(mutation).has_value());
    HistoryRow row;
    row.record = {position_.epoch, next(position_.seq), time, user, std::move(mutation)};
    time = WallTime{number(time) + 1000};
    row.frames = feed::encode_record(row.record);
    position_.seq = row.record.seq;
    position_.chain = feed::chain_after(position_.chain, row.frames);
    row.position = position_;
    return row;
}

std::vector<HistoryRow> SampleHistory::begin(std::uint64_t epoch, std::size_t nodes) {
    std::vector<HistoryRow> rows{start(epoch)};
    GraphGen gen(epoch);
    for (Mutation& mutation : gen.upload(nodes)) {
        rows.push_back(add(std::move(mutation)));
    }
    rows.push_back(add(Initialised{Timeline{epoch}}));
    return rows;
}

std::vector<HistoryRow> SampleHistory::work(std::size_t records, std::uint64_t seed) {
    std::vector<HistoryRow> rows;
    for (std::size_t i = 0; i < records; ++i) {
        const std::uint64_t salt = seed * 1000 + i;
        rows.push_back(add(PutNode{make_node("node-" + std::to_string(salt % 7), "ada", {}, salt,
                                             salt % 3 == 0 ? 2000 : 20)}));
    }
    return rows;
}

void SampleHistory::go_on_from(const GraphCopy& graph, const HistoryBase& base) {
    graph_ = Graph(graph);
    position_ = base.position;
    lineage_ = base.lineage;
}

SessionStamp SampleHistory::stamp() const {
    SessionStamp stamp;
    stamp.position = position_;
    stamp.lineage = lineage_;
    stamp.last_mutation = time;
    return stamp;
}

}  // namespace support
