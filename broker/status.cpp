#include "broker/status.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/config.h"
#include "common/metrics.h"
#include "common/position_json.h"

namespace broker {
namespace {

using common::feed::BrokerState;

// A snapshotter says something on the link at least this often while it is well.
constexpr common::Millis kSnapshotterSilence{5'000};

nlohmann::json position_json(const common::Position& position) {
    return common::position_json<nlohmann::json>(position);
}

std::uint64_t count(std::int64_t number) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(number, 0));
}

std::int64_t durable_age_ms(const StatusInput& input) {
    return input.durability.age(input.now).value_or(common::Millis{}).count();
}

// How far behind the slowest member's queue and the longest latency are.
struct Members {
    std::uint64_t users = 0;
    std::uint64_t joined = 0;
    std::uint64_t commands_waiting = 0;
    std::uint64_t latency_ms_max = 0;
};

Members members_of(const Session& session) {
    Members members;
    for (const Client* member : session.roster().members()) {
        ++members.users;
        members.joined += member->phase == Phase::Active ? 1 : 0;
        members.commands_waiting += member->outbox.commands_waiting();
        members.latency_ms_max =
            std::max(members.latency_ms_max, count(member->heartbeat.latency_ms()));
    }
    return members;
}

nlohmann::json visitors_json(const ListenerCounters& connections) {
    nlohmann::json visitors = nlohmann::json::object();
    for (std::size_t i = 0; i < kVisitors; ++i) {
        visitors[name(static_cast<Visitor>(i))] = connections.visitors[i];
    }
    return visitors;
}

void add_connection_metrics(const ListenerCounters& counters, std::size_t open,
                            common::Metrics& metrics) {
    metrics.gauge("holdfast_connections", "Open connections, strangers included.",
                  std::uint64_t{open});
    metrics.counter("holdfast_connections_accepted_total", "Connections accepted.",
                    counters.accepted);
    const char* const refused = "holdfast_connections_refused_total";
    metrics.head(refused, "Connections closed by the server, by the reason.", "counter");
    metrics.labelled(refused, "reason", "no_client", counters.refused);
    metrics.labelled(refused, "reason", "rate", counters.too_fast);
    metrics.labelled(refused, "reason", "full", counters.too_many);
    metrics.labelled(refused, "reason", "crowded_out", counters.crowded_out);
    metrics.labelled(refused, "reason", "no_login", counters.too_long);
    metrics.labelled(refused, "reason", "too_much_before_login", counters.too_much);
    metrics.labelled(refused, "reason", "queue_full", counters.overflowed);
    metrics.labelled(refused, "reason", "took_nothing", counters.stalled);
    const char* const visitors = "holdfast_visitors_total";
    metrics.head(visitors, "Peers that never became clients, by what they are.", "counter");
    for (std::size_t i = 0; i < kVisitors; ++i) {
        metrics.labelled(visitors, "kind", name(static_cast<Visitor>(i)), counters.visitors[i]);
    }
    metrics.counter("holdfast_accept_failures_total",
                    "Times the system had no descriptor for a new connection.",
                    counters.accept_failures);
    metrics.counter("holdfast_messages_received_total", "Messages received from clients.",
                    counters.messages_in);
    metrics.counter("holdfast_messages_sent_total", "Messages queued for clients.",
                    counters.messages_out);
}

std::string metrics_text(const StatusInput& input, bool healthy) {
    common::Metrics metrics;
    const auto seq = common::number(input.publisher.position().seq);
    const auto durable = input.resync.durable();
    const Members members = members_of(input.session);
    const Session::Counters& session = input.session.counters();

    metrics.gauge("holdfast_healthy", "1: users are served and a snapshotter is heard.",
                  std::uint64_t{healthy});
    metrics.gauge("holdfast_nodes", "Nodes of the session.", std::uint64_t{input.node_count});
    metrics.gauge("holdfast_users", "Users that have logged in.", members.users);
    metrics.gauge("holdfast_users_joined", "Users that have the whole session.", members.joined);
    metrics.gauge("holdfast_latency_max_seconds", "The longest latency of a user.",
                  static_cast<double>(members.latency_ms_max) / 1000);
    metrics.gauge("holdfast_commands_waiting",
                  "Commands in the queues of all users that the network has not taken.",
                  members.commands_waiting);
    metrics.gauge("holdfast_position", "Number of the latest change.", seq);
    metrics.gauge("holdfast_records_not_durable", "Changes that no snapshotter has on disk yet.",
                  durable ? seq - std::min(seq, common::number(durable->seq)) : seq);
    metrics.gauge("holdfast_durable_position", "Number of the latest change that is on a disk.",
                  durable ? common::number(durable->seq) : 0);
    metrics.gauge("holdfast_durable_age_seconds",
                  "For how long the oldest change that is on no disk has been waiting.",
                  static_cast<double>(durable_age_ms(input)) / 1000);
    metrics.gauge("holdfast_snapshotters", "Snapshotters on the link.",
                  std::uint64_t{input.resync.snapshotters().size()});
    add_connection_metrics(input.listener.counters(), input.listener.connections(), metrics);
    metrics.counter("holdfast_messages_refused_total",
                    "Messages of clients that were malformed or not allowed.", session.refused);
    metrics.counter("holdfast_commits_total", "Commits folded.", session.commits);
    metrics.counter("holdfast_metadata_coalesced_total",
                    "Metadata messages that were merged before the others got them.",
                    session.metadata_coalesced);
    metrics.counter("holdfast_logins_total", "Logins.", session.logins);
    metrics.counter("holdfast_logins_refused_total", "Logins refused.", session.logins_refused);
    metrics.counter("holdfast_logins_put_off_total",
                    "Logins not looked at, after too many wrong passwords.",
                    session.logins_put_off);
    metrics.counter("holdfast_link_refused_total", "Malformed messages on the link.",
                    input.log.link_refused);
    metrics.counter("holdfast_log_lines_lost_total",
                    "Log lines that terminal or disk did not take.", input.log.lines_lost);
    metrics.counter("holdfast_log_lines_suppressed_total", "Log lines that were only summed up.",
                    input.log.lines_suppressed);
    return metrics.text();
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
        {"durable_age_ms", durable_age_ms(input)},
        {"records_not_durable", not_durable(durable.value_or(common::Position{}))},
        {"nodes", input.node_count},
        {"users", users},
        {"snapshotters", snapshotters},
        {"unprotected", input.allow_unprotected && snapshotters.empty()},
        {"connections", input.listener.connections()},
        {"accepted", connections.accepted},
        {"connections_refused", connections.refused + connections.too_many + connections.too_fast},
        {"strangers_closed", connections.crowded_out + connections.too_long + connections.too_much},
        {"visitors", visitors_json(connections)},
        {"queues_overflowed", connections.overflowed + connections.stalled},
        {"messages_in", connections.messages_in},
        {"messages_out", connections.messages_out},
        {"messages_refused", messages.refused},
        {"commits", messages.commits},
        {"logins", messages.logins},
        {"logins_refused", messages.logins_refused},
        {"logins_put_off", messages.logins_put_off},
        {"link_messages_refused", input.log.link_refused},
        {"log_lines_lost", input.log.lines_lost},
        {"log_lines_suppressed", input.log.lines_suppressed},
    };
    // Names come from clients: what is not UTF-8 is replaced, never thrown about.
    return {healthy, json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n",
            metrics_text(input, healthy)};
}

}  // namespace broker
