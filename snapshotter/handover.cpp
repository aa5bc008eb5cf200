#include "snapshotter/handover.h"

#include <utility>

namespace snapshotter {

using common::WallTime;

std::optional<common::Whole> stored_whole(Recovered recovered) {
    if (!recovered.session) {
        return std::nullopt;
    }
    common::Whole whole;
    whole.graph = std::move(recovered.session->graph);
    whole.holding.position = recovered.stamp.position;
    whole.holding.lineage = std::move(recovered.stamp.lineage);
    whole.holding.timeline = whole.graph.timeline;
    whole.holding.initialised = whole.graph.initialised;
    whole.holding.node_count = whole.graph.nodes.size();
    whole.holding.last_mutation = recovered.stamp.last_mutation;
    return whole;
}

bool wants_save(const Recovered& recovered) {
    return recovered.restored_by_hand || recovered.from_backup ||
           (recovered.session && (recovered.changes > 0 || !recovered.history_base));
}

namespace {

SaveRequest request_of(common::GraphCopy graph, std::optional<common::feed::Holding> holding,
                       std::string reason, WallTime now) {
    SaveRequest request;
    request.graph = std::move(graph);
    if (holding) {
        request.stamp.position = holding->position;
        request.stamp.lineage = std::move(holding->lineage);
        request.stamp.last_mutation = holding->last_mutation;
    }
    request.reason = std::move(reason);
    request.now = now;
    return request;
}

}  // namespace

SaveRequest save_request(Mirror& mirror, std::string reason, WallTime now) {
    SaveRequest request =
        request_of(mirror.graph().copy(), mirror.holding(), std::move(reason), now);
    request.broker_digest = mirror.broker_digest();
    return request;
}

SaveRequest pin_request(PinBackup pin, WallTime now) {
    return request_of(std::move(pin.graph), std::move(pin.holding), std::move(pin.reason), now);
}

}  // namespace snapshotter
