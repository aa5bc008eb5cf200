#include "broker/heartbeat.h"

#include <doctest/doctest.h>

using broker::Heartbeat;
using common::Instant;
using common::Millis;

TEST_CASE("latency is what the reference server shows") {
    Heartbeat heartbeat;
    const Instant start{Millis{5'000}};
    CHECK(heartbeat.latency_ms() == Heartbeat::kLatencyUnknown);
    heartbeat.on_opened(start);
    heartbeat.on_frame(start);
    CHECK(heartbeat.latency_ms() == 0);
    heartbeat.on_ping_sent(start + Millis{1'100});
    heartbeat.on_frame(start + Millis{1'140});
    CHECK(heartbeat.latency_ms() == 40);
}

TEST_CASE("pinged after a second of silence in each direction") {
    Heartbeat heartbeat;
    const Instant start{Millis{5'000}};
    CHECK_FALSE(heartbeat.ping_due(start + Millis{5'000}));
    heartbeat.on_opened(start);
    heartbeat.on_frame(start);
    CHECK_FALSE(heartbeat.ping_due(start + Millis{1'000}));
    CHECK(heartbeat.ping_due(start + Millis{1'001}));
    heartbeat.on_ping_sent(start + Millis{1'001});
    CHECK_FALSE(heartbeat.ping_due(start + Millis{2'001}));
    CHECK(heartbeat.ping_due(start + Millis{2'002}));
}

TEST_CASE("lost: no answer, or no connection, for longer than the timeout") {
    Heartbeat heartbeat;
    const Instant start{Millis{5'000}};
    const Millis timeout{10'000};
    CHECK_FALSE(heartbeat.lost(start + Millis{60'000}, timeout));  // never heard: not its fault yet
    heartbeat.on_opened(start);
    heartbeat.on_frame(start);
    heartbeat.on_ping_sent(start + Millis{10'000});
    CHECK_FALSE(heartbeat.lost(start + Millis{10'000}, timeout));
    heartbeat.on_ping_sent(start + Millis{10'001});
    CHECK(heartbeat.lost(start + Millis{10'001}, timeout));
    heartbeat.on_frame(start + Millis{10'002});
    heartbeat.on_closed(start + Millis{10'002});
    CHECK_FALSE(heartbeat.lost(start + Millis{20'002}, timeout));
    CHECK(heartbeat.lost(start + Millis{20'003}, timeout));
}

TEST_CASE("a connection that is made anew has all its time again") {
    Heartbeat heartbeat;
    const Instant start{Millis{5'000}};
    const Millis timeout{10'000};
    heartbeat.on_opened(start);
    heartbeat.on_frame(start);
    heartbeat.on_ping_sent(start + Millis{10'001});
    CHECK(heartbeat.lost(start + Millis{10'001}, timeout));
    heartbeat.on_closed(start + Millis{10'002});
    heartbeat.on_opened(start + Millis{10'100});
    CHECK_FALSE(heartbeat.lost(start + Millis{11'000}, timeout));
    CHECK(heartbeat.ping_due(start + Millis{11'101}));
    heartbeat.on_ping_sent(start + Millis{20'101});
    CHECK(heartbeat.lost(start + Millis{20'101}, timeout));
}
