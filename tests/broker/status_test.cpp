#include "broker/status.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

using namespace broker;
using namespace common;

namespace {

Instant at(int ms) {
    return Instant{Millis{ms}};
}

struct Rig {
    Session session{SessionOptions{}};
    Publisher publisher{1 << 20};
    Resync resync{publisher, 1, 0};
    Listener listener{ListenerOptions{}};
    Durability durability;
    Graph graph;
    bool allow_unprotected = false;

    Status status(int now) {
        return make_status({session,
                            graph.size(),
                            publisher,
                            resync,
                            durability,
                            listener,
                            {7, 8, 9},
                            allow_unprotected,
                            at(now)});
    }
    nlohmann::json json(int now) { return nlohmann::json::parse(status(now).json); }
    void start_fresh() {
        Effects effects;
        session.start_fresh(Timeline{1}, at(0), effects);
        publisher.start(Epoch{1}, {}, {}, WallTime{1});
    }
    void hello(int now) {
        LinkEffects effects;
        resync.on_link("peer", feed::Hello{1, "host: /data", {}}, session.state(), graph, at(now),
                       effects);
    }
};

}  // namespace

TEST_CASE("while the session is fetched the broker is not well, and says why") {
    Rig rig;
    CHECK_FALSE(rig.status(0).healthy);
    CHECK(rig.json(0)["status"] == "restoring");
    rig.allow_unprotected = true;
    CHECK_FALSE(rig.status(0).healthy);
}

TEST_CASE("serving is well only while a snapshotter is heard") {
    Rig rig;
    rig.start_fresh();
    CHECK_FALSE(rig.status(0).healthy);
    CHECK(rig.json(0)["status"] == "no snapshotter");

    rig.hello(1000);
    CHECK(rig.status(1000).healthy);
    const auto json = rig.json(1500);
    CHECK(json["status"] == "ok");
    CHECK(json["state"] == "waiting");
    CHECK(json["snapshotters"].size() == 1);
    CHECK(json["snapshotters"][0]["name"] == "host: /data");
    CHECK(json["snapshotters"][0]["silence_ms"] == 500);
    CHECK(json["log_lines_lost"] == 7);
    CHECK(json["log_lines_suppressed"] == 8);
    CHECK(json["link_messages_refused"] == 9);
    CHECK(json["visitors"]["tls"] == 0);
    CHECK(json["unprotected"] == false);

    CHECK_FALSE(rig.status(60'000).healthy);
    CHECK(rig.json(60'000)["status"] == "no snapshotter");
}

TEST_CASE("without a snapshotter it is well if that was asked for, and it says so") {
    Rig rig;
    rig.allow_unprotected = true;
    rig.start_fresh();
    CHECK(rig.status(0).healthy);
    CHECK(rig.json(0)["unprotected"] == true);
}

TEST_CASE("what nobody has on disk is counted in records, and in time") {
    Rig rig;
    rig.start_fresh();
    rig.publisher.publish(Initialised{Timeline{1}}, "ada", WallTime{2});
    CHECK(rig.json(0)["durable_age_ms"] == 0);
    rig.durability.on_turn(rig.publisher.position(), {}, true, at(100));
    CHECK(rig.json(1350)["durable_age_ms"] == 1250);
    CHECK(rig.status(1350).metrics.find("\nholdfast_durable_age_seconds 1.25\n") !=
          std::string::npos);
    const auto json = rig.json(0);
    CHECK(json["position"]["seq"] == 2);
    CHECK(json["durable"].is_null());
    CHECK(json["records_not_durable"] == 2);
}

TEST_CASE("the metrics say the same, each name once") {
    Rig rig;
    rig.start_fresh();
    rig.publisher.publish(Initialised{Timeline{1}}, "ada", WallTime{2});
    const std::string metrics = rig.status(0).metrics;
    for (const char* line :
         {"\nholdfast_healthy 0\n", "\nholdfast_position 2\n", "\nholdfast_records_not_durable 2\n",
          "\nholdfast_durable_position 0\n", "\nholdfast_visitors_total{kind=\"tls\"} 0\n",
          "\nholdfast_log_lines_lost_total 7\n", "\nholdfast_log_lines_suppressed_total 8\n",
          "\nholdfast_link_refused_total 9\n"}) {
        CAPTURE(line);
        CHECK(metrics.find(line) != std::string::npos);
        CHECK(metrics.find(line) == metrics.rfind(line));
    }
}
