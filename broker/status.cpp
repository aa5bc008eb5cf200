#include "broker/status.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/config.h"
#include "common/position_json.h"

namespace broker {
namespace {

using common::feed::BrokerState;

// A snapshotter says something on the link at least this often while it is well.
constexpr common::Millis kSnapshotterSilence{5'000};

nlohmann::json position_json(const common::Position& position) {
    return common::position_json<nlohmann::json>(position);
}

}  // namespace

Status make_status(const StatusInput& input) {
    const BrokerState state = input.session.state();
    const auto seq = common::number(input.publisher.position().seq);

    const auto not_durable = [seq](const common::Position& durable) {
        return seq - std::min(seq, common::number(durable.seq));
    };
    nlohmann::json snapshotters = nlohmann::json::array();
    bool protected_now = input.allow_unprotected;
    for (const SnapshotterStatus& snapshotter : input.resync.snapshotters()) {
        const auto silence = input.now - snapshotter.last_heard;
        protected_now = protected_now || silence < kSnapshotterSilence;
        snapshotters.push_back({{"name", snapshotter.name},
                                {"durable", position_json(snapshotter.durable)},
                                {"saved_ms", common::number(snapshotter.saved)},
                                {"records_not_durable", not_durable(snapshotter.durable)},
                                {"silence_ms", silence.count()}});
    }
    const auto durable = input.resync.durable();

    nlohmann::json users = nlohmann::json::array();
    for (const Client* member : input.session.roster().members()) {
        users.push_back({{"name", member->name},
                         {"admin", member->admin},
                         {"latency_ms", member->heartbeat.latency_ms()},
                         {"joined", member->phase == Phase::Active}});
    }

    const bool serving = state == BrokerState::Waiting || state == BrokerState::Uploading ||
                         state == BrokerState::Active;
    const bool healthy = serving && protected_now;
    const char* const word = healthy ? "ok" : serving ? "no snapshotter" : name(state);

    const auto& messages = input.session.counters();
    const ListenerCounters& connections = input.listener.counters();
    const nlohmann::json json = {
        {"program", "holdfast-broker"},
        {"version", common::version()},
        {"status", word},
        {"state", name(state)},
        {"position", position_json(input.publisher.position())},
        {"durable", durable ? position_json(*durable) : nlohmann::json()},
        {"records_not_durable", not_durable(durable.value_or(common::Position{}))},
        {"nodes", input.node_count},
        {"users", users},
        {"snapshotters", snapshotters},
        {"unprotected", input.allow_unprotected && snapshotters.empty()},
        {"connections", input.listener.connections()},
        {"accepted", connections.accepted},
        {"connections_refused", connections.refused + connections.too_many},
        {"queues_overflowed", connections.overflowed + connections.stalled},
        {"messages_in", connections.messages_in},
        {"messages_out", connections.messages_out},
        {"messages_refused", messages.refused},
        {"commits", messages.commits},
        {"logins", messages.logins},
        {"log_lines_lost", input.log_lines_lost},
    };
    // Names come from clients: what is not UTF-8 is replaced, never thrown about.
    return {healthy, json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n"};
}

}  // namespace broker
