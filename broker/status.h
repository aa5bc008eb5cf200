#pragma once
// What the broker says of itself: the JSON of its health endpoint, and its metrics. Pure.

#include <optional>
#include <string>
#include <vector>

#include "broker/durability.h"
#include "broker/listener.h"
#include "broker/publisher.h"
#include "broker/resync.h"
#include "broker/session.h"
#include "common/ids.h"

namespace broker {

struct LogCounters {
    std::uint64_t lines_lost = 0;        // terminal or disk took them too slowly
    std::uint64_t lines_suppressed = 0;  // summed up instead
    std::uint64_t link_refused = 0;      // malformed messages on the link
};

struct StatusInput {
    const Session& session;
    std::size_t node_count;
    const Publisher& publisher;
    const Resync& resync;
    const Durability& durability;
    const Listener& listener;
    LogCounters log;
    bool allow_unprotected;
    common::Instant now;
};

struct Status {
    bool healthy;
    std::string json;
    std::string metrics;  // of GET /metrics, see docs/OPERATIONS.md
};

// "status" is one word: "ok", "no snapshotter", or the state that keeps clients out. Healthy, "ok":
// clients are served, and a snapshotter was heard lately (or none is wanted).
Status make_status(const StatusInput& input);

}  // namespace broker
