#include "broker/gatekeeper.h"

#include <doctest/doctest.h>

using broker::address_of;
using broker::ConnectionGate;
using broker::LoginGate;
using common::Instant;
using common::Millis;

namespace {

Instant at(std::int64_t ms) {
    return Instant{Millis{1'000'000 + ms}};
}

int admitted(ConnectionGate& gate, const std::string& address, Instant now, int tries) {
    int count = 0;
    for (int i = 0; i < tries; ++i) {
        count += gate.admit(address, now) ? 1 : 0;
    }
    return count;
}

}  // namespace

TEST_CASE("an address is one without its port; of IPv6 the network counts") {
    CHECK(address_of("10.1.2.3:40312") == "10.1.2.3");
    CHECK(address_of("[2001:db8:1:2:3:4:5:6]:40312") == "2001:db8:1:2");
    CHECK(address_of("[2001:db8::7]:40312") == "2001:db8:0:0");
    CHECK(address_of("[2001:db8:1:2::7]:1") == "2001:db8:1:2");
    CHECK(address_of("[2001:db8:1:2:3::]:1") == "2001:db8:1:2");
    CHECK(address_of("[::1]:40312") == "0:0:0:0");
    CHECK(address_of("[1::2:3:4:5:6:7]:1") == "1:0:2:3");
    CHECK(address_of("[fe80::1%eth0]:1") == "fe80:0:0:0");
    CHECK(address_of("[::ffff:10.1.2.3]:1") == "10.1.2.3");
    CHECK(address_of("unknown address") == "unknown address");
    CHECK(address_of("[broken") == "[broken");
    CHECK(address_of("") == "");
}

TEST_CASE("a studio comes back as one; who goes on is slowed down to the rate") {
    ConnectionGate gate(50);
    CHECK(admitted(gate, "a", at(0), 10'000) == 500);
    CHECK(admitted(gate, "a", at(10), 100) == 0);
    CHECK(admitted(gate, "a", at(1000), 100) == 50);
    CHECK(admitted(gate, "b", at(1000), 100) == 100);  // others are not touched
    CHECK(admitted(gate, "a", at(60'000), 10'000) == 500);
}

TEST_CASE("an even pace under the rate is never refused, one over it gets the rate") {
    ConnectionGate gate(100);
    for (int i = 0; i < 10'000; ++i) {
        REQUIRE(gate.admit("a", at(10 * i)));
    }
    int count = 0;
    for (int i = 0; i < 60'000; ++i) {
        count += gate.admit("b", at(i)) ? 1 : 0;
    }
    CHECK(count >= 1000 + 60 * 100 - 1);
    CHECK(count <= 1000 + 60 * 100 + 1);
}

TEST_CASE("a rate of zero is no bound") {
    ConnectionGate gate(0);
    CHECK(admitted(gate, "a", at(0), 100'000) == 100'000);
}

TEST_CASE("wrong passwords are free at first, then each doubles the wait, up to a minute") {
    LoginGate gate(3);
    for (int i = 0; i < 2; ++i) {
        gate.failed("a", at(0));
        CHECK(gate.wait("a", at(0)) == Millis(0));
    }
    std::int64_t now = 0;
    for (const std::int64_t wait : {1000, 2000, 4000, 8000, 16'000, 32'000, 60'000, 60'000}) {
        gate.failed("a", at(now));
        CHECK(gate.wait("a", at(now)) == Millis(wait));
        CHECK(gate.wait("a", at(now + wait - 1)) == Millis(1));
        CHECK(gate.wait("b", at(now)) == Millis(0));
        now += wait;
        CHECK(gate.wait("a", at(now)) == Millis(0));
    }
}

TEST_CASE("failures are forgotten with time, one after the other") {
    LoginGate gate(2);
    gate.failed("a", at(0));
    gate.failed("a", at(0));
    const auto forgive = LoginGate::kForgive.count();
    CHECK(gate.wait("a", at(forgive)) == Millis(0));
    gate.failed("a", at(forgive));  // one was forgotten, so this is the second again
    CHECK(gate.wait("a", at(forgive)) == LoginGate::kWaitMin);
    CHECK(gate.wait("a", at(4 * forgive)) == Millis(0));
    gate.failed("a", at(4 * forgive));
    CHECK(gate.wait("a", at(4 * forgive)) == Millis(0));
}

TEST_CASE("as many attempts as they like, if that is wanted") {
    LoginGate gate(0);
    for (int i = 0; i < 1000; ++i) {
        gate.failed("a", at(0));
    }
    CHECK(gate.wait("a", at(0)) == Millis(0));
}

TEST_CASE("a table of addresses is bounded; the longest unused goes first") {
    broker::AddressTable<int> table(3);
    table.at("a") = 1;
    table.at("b") = 2;
    table.at("c") = 3;
    CHECK(*table.find("a") == 1);
    table.at("d") = 4;
    CHECK(table.size() == 3);
    CHECK(table.find("b") == nullptr);
    CHECK(*table.find("a") == 1);
    table.erase("a");
    CHECK(table.find("a") == nullptr);
    CHECK(table.at("a") == 0);
}
