#pragma once
// What the broker says of itself: the JSON of its health endpoint. Pure.

#include <optional>
#include <string>
#include <vector>

#include "broker/listener.h"
#include "broker/publisher.h"
#include "broker/resync.h"
#include "broker/session.h"
#include "common/ids.h"

namespace broker {

struct StatusInput {
    const Session& session;
    std::size_t node_count;
    const Publisher& publisher;
    const Resync& resync;
    const Listener& listener;
    std::uint64_t log_lines_lost;
    bool allow_unprotected;
    common::Instant now;
};

struct Status {
    bool healthy;
    std::string json;
};

// "status" is one word: "ok", "no snapshotter", or the state that keeps clients out. Healthy, "ok":
// clients are served, and a snapshotter was heard lately (or none is wanted).
Status make_status(const StatusInput& input);

}  // namespace broker
