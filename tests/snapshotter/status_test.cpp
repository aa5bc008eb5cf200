#include "snapshotter/status.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

using common::feed::BrokerState;
using common::feed::Holding;
using snapshotter::Status;
using snapshotter::summary;
using snapshotter::to_json;
using snapshotter::to_metrics;

namespace {

Status well() {
    Status status;
    status.version = "1.2.3";
    status.data_dir = "/data";
    status.broker = BrokerState::Active;
    status.following = true;
    Holding holding;
    holding.initialised = true;
    holding.position = {common::Epoch{0xfedcba9876543210}, common::Seq{42}, {1, 2}};
    status.holding = holding;
    status.nodes = 7;
    return status;
}

}  // namespace

TEST_CASE("the summary names the worst of what is wrong") {
    Status status = well();
    CHECK(summary(status) == "ok");
    status.following = false;
    CHECK(summary(status) == "catching up");
    status.broker_lost = true;
    CHECK(summary(status) == "no broker");
    status.stopping = true;
    CHECK(summary(status) == "stopping");
    status.save_failures = 1;
    CHECK(summary(status) == "save failing");
    CHECK(summary(Status{}) == "no broker");
}

TEST_CASE("the JSON says where it stands and what was saved") {
    Status status = well();
    status.last_save = Status::Save{.time = common::WallTime{1'700'000'000'500},
                                    .reason = "auto-save",
                                    .result = "written",
                                    .file = "/data/session_snapshot.db",
                                    .file_bytes = 1234,
                                    .took_ms = 5,
                                    .position = status.holding->position};
    status.disk.emplace();
    status.disk->session = {1, 1234};
    status.disk->backups = {3, 3000};
    const auto json = nlohmann::json::parse(to_json(status));
    CHECK(json["disk"]["bytes"] == 4234);
    CHECK(json["disk"]["backups"]["files"] == 3);
    CHECK(json["status"] == "ok");
    CHECK(json["broker"] == "active");
    CHECK(json["initialized"] == true);
    CHECK(json["nodes"] == 7);
    CHECK(json["lag"] == 0);
    CHECK(json["position"]["epoch"] == "fedcba9876543210");
    CHECK(json["position"]["seq"] == 42);
    CHECK(json["last_save"]["reason"] == "auto-save");
    CHECK(json["last_save"]["timestamp"] == 1'700'000'000);
    CHECK(json["save_error"].is_null());
}

TEST_CASE("before anything has happened the JSON has nulls, and odd bytes do no harm") {
    Status status;
    status.data_dir = "/data/\xff";
    status.save_failures = 2;
    status.save_error = "disk full";
    const auto json = nlohmann::json::parse(to_json(status));
    CHECK(json["status"] == "save failing");
    CHECK(json["position"].is_null());
    CHECK(json["last_save"].is_null());
    CHECK(json["disk"].is_null());
    CHECK(json["initialized"] == false);
    CHECK(json["broker"] == "not heard");
    CHECK(json["save_error"] == "disk full");
}

TEST_CASE("the metrics say where it stands; of the last save only if there was one") {
    Status status = well();
    status.saves = 3;
    const auto has = [&](const std::string& line) {
        return to_metrics(status).find("\n" + line + "\n") != std::string::npos;
    };
    CHECK(has("holdfast_snapshotter_healthy 1"));
    CHECK(has("holdfast_snapshotter_position 42"));
    CHECK(has("holdfast_snapshotter_nodes 7"));
    CHECK(has("holdfast_snapshotter_saves_total 3"));
    CHECK(has("holdfast_snapshotter_durable_position 0"));
    CHECK(to_metrics(status).find("history") == std::string::npos);
    status.durable = common::feed::Durable{status.holding->position, {}};
    status.history = snapshotter::HistoryStatus{
        .age = common::Millis(1500), .flowing = true, .size = {.segments = 3, .bytes = 4096}};
    CHECK(has("holdfast_snapshotter_durable_position 42"));
    CHECK(has("holdfast_snapshotter_durable_age_seconds 1.5"));
    CHECK(has("holdfast_snapshotter_history_bytes 4096"));
    CHECK(has("holdfast_snapshotter_history_segments 3"));
    CHECK(to_metrics(status).find("disk_bytes") == std::string::npos);
    status.disk = snapshotter::DiskUse{.session = {1, 10},
                                       .backups = {3, 30},
                                       .pinned = {2, 20},
                                       .history = {1, 40},
                                       .quarantine = {1, 50}};
    CHECK(has("holdfast_snapshotter_disk_bytes{kind=\"backups\"} 30"));
    CHECK(has("holdfast_snapshotter_disk_bytes{kind=\"pinned\"} 20"));
    CHECK(has("holdfast_snapshotter_disk_bytes{kind=\"quarantine\"} 50"));
    CHECK(to_metrics(status).find("last_save") == std::string::npos);
    status.last_save = Status::Save{.time = common::WallTime{1'700'000'000'500},
                                    .reason = "auto-save",
                                    .result = "written",
                                    .file = "/data/session_snapshot.db",
                                    .file_bytes = 1234,
                                    .took_ms = 5,
                                    .position = status.holding->position};
    CHECK(has("holdfast_snapshotter_last_save_timestamp_seconds 1700000000.5"));
    CHECK(has("holdfast_snapshotter_last_save_duration_seconds 0.005"));
    CHECK(has("holdfast_snapshotter_last_save_bytes 1234"));
    CHECK(has("holdfast_snapshotter_last_save_position 42"));
}
