#include "snapshotter/status.h"

#include <nlohmann/json.hpp>

#include "common/metrics.h"
#include "common/position_json.h"
#include "snapshotter/storage/disk_use_json.h"
#include "snapshotter/storage/file_names.h"

namespace snapshotter {

using common::feed::BrokerState;
using Json = nlohmann::ordered_json;

namespace {

// Older changes that are not on disk are more than a slow moment.
constexpr common::Millis kDurableAgeMax{5'000};

Json to_json(const common::Position& position) {
    return common::position_json<Json>(position);
}

// `age_ms`: for how long the oldest change that is not durable has been waiting.
Json to_json(const std::optional<common::feed::Durable>& durable,
             const std::optional<HistoryStatus>& history) {
    return {{"position", durable ? to_json(durable->position) : Json()},
            {"age_ms", history ? Json(history->age.value_or(common::Millis{}).count()) : Json()}};
}

Json to_json(const HistoryStatus& history) {
    return {{"written", history.flowing},
            {"bytes_waiting", history.bytes_waiting},
            {"segments", history.size.segments},
            {"bytes", history.size.bytes},
            {"since", number(history.size.first_time) == 0
                          ? Json()
                          : Json(file_names::iso_local(history.size.first_time))}};
}

Json to_json(const Status::Save& save) {
    return {{"datetime", file_names::iso_local(save.time)},
            {"timestamp", number(save.time) / 1000},
            {"reason", save.reason},
            {"result", save.result},
            {"file", save.file},
            {"file_bytes", save.file_bytes},
            {"took_ms", save.took_ms},
            {"position", to_json(save.position)}};
}

}  // namespace

std::string summary(const Status& status) {
    if (status.save_failures > 0) {
        return "save failing";
    }
    if (status.history && status.history->age.value_or(kDurableAgeMax) > kDurableAgeMax) {
        return "changes not on disk";
    }
    if (status.stopping) {
        return "stopping";
    }
    if (!status.broker || status.broker_lost) {
        return "no broker";
    }
    return status.following ? "ok" : "catching up";
}

std::string to_json(const Status& status) {
    Json json;
    json["status"] = summary(status);
    json["program"] = "holdfast-snapshotter";
    json["version"] = status.version;
    json["uptime_seconds"] = status.uptime_seconds;
    json["data_dir"] = status.data_dir;
    json["broker"] = status.broker && !status.broker_lost ? name(*status.broker) : "not heard";
    json["following"] = status.following;
    json["lag"] = status.lag;
    json["initialized"] = status.holding && status.holding->initialised;
    json["nodes"] = status.nodes;
    json["position"] = status.holding ? to_json(status.holding->position) : Json();
    json["durable"] = to_json(status.durable, status.history);
    json["history"] = status.history ? to_json(*status.history) : Json();
    json["saving"] = status.saving;
    json["progress_percent"] = status.progress_percent ? Json(*status.progress_percent) : Json();
    json["verified"] = status.verified ? Json(file_names::iso_local(*status.verified)) : Json();
    json["last_save"] = status.last_save ? to_json(*status.last_save) : Json();
    json["disk"] = status.disk ? disk_use_json<Json>(*status.disk) : Json();
    json["save_failures"] = status.save_failures;
    json["save_error"] = status.save_failures > 0 ? Json(status.save_error) : Json();
    json["log_lines_lost"] = status.log_lines_lost;
    json["malformed_messages"] = status.malformed_messages;
    // Paths and names may hold bytes that are not UTF-8; they must not become an exception.
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string to_metrics(const Status& status) {
    common::Metrics metrics;
    metrics.gauge("holdfast_snapshotter_healthy", "1: in step with the broker, and saves work.",
                  std::uint64_t{summary(status) == "ok"});
    metrics.gauge("holdfast_snapshotter_following", "1: in step with the broker.",
                  std::uint64_t{status.following});
    metrics.gauge("holdfast_snapshotter_lag_records", "Changes behind the broker.", status.lag);
    metrics.gauge("holdfast_snapshotter_nodes", "Nodes of the mirror.",
                  std::uint64_t{status.nodes});
    metrics.gauge("holdfast_snapshotter_position", "Number of the latest change it has.",
                  status.holding ? common::number(status.holding->position.seq) : 0);
    metrics.gauge("holdfast_snapshotter_durable_position",
                  "Number of the latest change that is on disk.",
                  status.durable ? common::number(status.durable->position.seq) : 0);
    if (status.history) {
        const auto age = status.history->age.value_or(common::Millis{});
        metrics.gauge("holdfast_snapshotter_durable_age_seconds",
                      "For how long the oldest change that is not on disk has been waiting.",
                      static_cast<double>(age.count()) / 1000);
        metrics.gauge("holdfast_snapshotter_history_bytes", "Size of the history on disk.",
                      status.history->size.bytes);
        metrics.gauge("holdfast_snapshotter_history_segments", "Files of the history.",
                      std::uint64_t{status.history->size.segments});
    }
    if (status.disk) {
        const DiskUse& disk = *status.disk;
        constexpr const char* kName = "holdfast_snapshotter_disk_bytes";
        metrics.head(kName, "What the data directory takes, by kind.", "gauge");
        metrics.labelled(kName, "kind", "session", disk.session.bytes);
        metrics.labelled(kName, "kind", "backups", disk.backups.bytes);
        metrics.labelled(kName, "kind", "pinned", disk.pinned.bytes);
        metrics.labelled(kName, "kind", "history", disk.history.bytes);
        metrics.labelled(kName, "kind", "quarantine", disk.quarantine.bytes);
    }
    if (status.last_save) {
        const Status::Save& save = *status.last_save;
        metrics.gauge("holdfast_snapshotter_last_save_timestamp_seconds",
                      "When the last save was made, in seconds since 1970.",
                      static_cast<double>(common::number(save.time)) / 1000);
        metrics.gauge("holdfast_snapshotter_last_save_duration_seconds", "How long it took.",
                      static_cast<double>(save.took_ms) / 1000);
        metrics.gauge("holdfast_snapshotter_last_save_bytes", "How big it is.", save.file_bytes);
        metrics.gauge("holdfast_snapshotter_last_save_position",
                      "Number of the latest change in it.", common::number(save.position.seq));
    }
    metrics.counter("holdfast_snapshotter_saves_total", "Saves that worked.", status.saves);
    metrics.counter("holdfast_snapshotter_saves_failed_total", "Saves that failed.",
                    status.saves_failed);
    metrics.counter("holdfast_snapshotter_malformed_messages_total",
                    "Malformed messages on feed and link.", status.malformed_messages);
    metrics.counter("holdfast_snapshotter_log_lines_lost_total",
                    "Log lines that terminal or disk did not take.", status.log_lines_lost);
    return metrics.text();
}

}  // namespace snapshotter
