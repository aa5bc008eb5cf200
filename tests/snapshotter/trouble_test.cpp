#include "snapshotter/trouble.h"

#include <doctest/doctest.h>

using namespace snapshotter;
using common::Instant;
using common::Millis;

namespace {

Instant at(std::int64_t milliseconds) {
    return Instant(Millis(milliseconds));
}

}  // namespace

TEST_CASE("trouble is said at once, then once a minute, and another cause at once") {
    Trouble trouble;
    const auto first = trouble.on_failed("disk full", at(0));
    REQUIRE(first.has_value());
    CHECK(first->find("disk full") == 0);
    CHECK_FALSE(trouble.on_failed("disk full", at(1000)).has_value());
    CHECK_FALSE(trouble.on_failed("disk full", at(59'999)).has_value());
    const auto second = trouble.on_failed("disk full", at(60'000));
    REQUIRE(second.has_value());
    CHECK(second->find("for 60 s") != std::string::npos);
    CHECK(trouble.on_failed("no such directory", at(61'000)).has_value());
    CHECK_FALSE(trouble.on_failed("no such directory", at(62'000)).has_value());
}

TEST_CASE("its end is said once") {
    Trouble trouble;
    CHECK_FALSE(trouble.on_saved(at(0)).has_value());
    (void)trouble.on_failed("disk full", at(1000));
    CHECK(trouble.since() == at(1000));
    CHECK(trouble.on_saved(at(8000)) == "Saving works again, after 7 s");
    CHECK_FALSE(trouble.since().has_value());
    CHECK_FALSE(trouble.on_saved(at(9000)).has_value());
    CHECK(trouble.on_failed("disk full", at(9500)).has_value());
}

TEST_CASE("a probe that works again brings the next save at once") {
    Trouble trouble;
    CHECK_FALSE(trouble.wants_probe(at(5000)));
    (void)trouble.on_failed("disk full", at(5000));
    CHECK_FALSE(trouble.wants_probe(at(5999)));
    CHECK(trouble.wants_probe(at(6000)));
    CHECK_FALSE(trouble.wants_probe(at(7000)));  // the first one is under way
    CHECK_FALSE(trouble.on_probe(false));
    CHECK(trouble.wants_probe(at(7000)));
    CHECK(trouble.on_probe(true));
    CHECK(trouble.wants_probe(at(8000)));
    CHECK_FALSE(trouble.on_probe(true));  // said already
}

TEST_CASE("a probe that does not see the cause leaves the pace to the schedule") {
    Trouble trouble;
    (void)trouble.on_failed("bad sector", at(0));
    CHECK(trouble.wants_probe(at(1000)));
    CHECK_FALSE(trouble.on_probe(true));
    CHECK(trouble.wants_probe(at(2000)));
    CHECK_FALSE(trouble.on_probe(false));
    (void)trouble.on_failed("bad sector", at(2500));
    CHECK(trouble.wants_probe(at(3500)));
    CHECK_FALSE(trouble.on_probe(true));
}

TEST_CASE("a probe that comes back after the trouble is over says nothing") {
    Trouble trouble;
    (void)trouble.on_failed("disk full", at(0));
    CHECK(trouble.wants_probe(at(1000)));
    (void)trouble.on_saved(at(1500));
    CHECK_FALSE(trouble.on_probe(true));
    CHECK_FALSE(trouble.wants_probe(at(3000)));
}
