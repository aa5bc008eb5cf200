#include "snapshotter/stopping.h"

#include <doctest/doctest.h>

using common::Instant;
using common::Millis;
using snapshotter::Stopping;

namespace {
constexpr Instant at(int ms) {
    return Instant(Millis(ms));
}
}  // namespace

TEST_CASE("nobody asked: it never starts the last save") {
    Stopping stopping;
    stopping.on_broker_stopped();
    CHECK_FALSE(stopping.start_save(at(100'000)));
    CHECK_FALSE(stopping.asked());
}

TEST_CASE("it listens to a broker that may be stopping too, then saves once") {
    Stopping stopping;
    stopping.on_broker_back();
    stopping.ask(at(1000));
    CHECK(stopping.asked());
    CHECK_FALSE(stopping.start_save(at(2999)));
    CHECK(stopping.start_save(at(3000)));
    CHECK(stopping.saving());
    CHECK_FALSE(stopping.start_save(at(3001)));
}

TEST_CASE("asked twice, it counts from the first time") {
    Stopping stopping;
    stopping.ask(at(0));
    stopping.ask(at(1900));
    CHECK(stopping.start_save(at(2000)));
}

TEST_CASE("it hears a stopping broker out, as long as that lives") {
    Stopping stopping;
    stopping.on_broker_back();
    stopping.ask(at(0));
    stopping.on_broker_stopping();
    CHECK_FALSE(stopping.start_save(at(60'000)));
    SUBCASE("to its final position") {
        stopping.on_broker_stopped();
    }
    SUBCASE("or to its death") {
        stopping.on_broker_lost();
    }
    CHECK(stopping.start_save(at(60'001)));
}

TEST_CASE("a broker that stopped first, or is gone, is not waited for") {
    Stopping stopping;
    SUBCASE("stopped") {
        stopping.on_broker_stopped();
    }
    SUBCASE("gone") {
        stopping.on_broker_lost();
    }
    stopping.ask(at(0));
    CHECK(stopping.start_save(at(0)));
}

TEST_CASE("a broker that came back is listened to again") {
    Stopping stopping;
    stopping.on_broker_stopped();
    stopping.on_broker_back();
    stopping.ask(at(0));
    CHECK_FALSE(stopping.start_save(at(1)));
}

TEST_CASE("a last save that fails is tried for a while, then given up") {
    Stopping stopping;
    stopping.on_save_failed(at(0));  // an earlier one, of no account
    stopping.ask(at(0));
    REQUIRE(stopping.start_save(at(2000)));
    CHECK_FALSE(stopping.give_up(at(100'000)));  // a slow save is no failure
    stopping.on_save_failed(at(100'000));
    stopping.on_save_failed(at(110'000));
    CHECK_FALSE(stopping.give_up(at(114'999)));
    CHECK(stopping.give_up(at(115'000)));
}
