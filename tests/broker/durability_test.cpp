#include "broker/durability.h"

#include <doctest/doctest.h>

using namespace broker;
using namespace common;
using Says = Durability::Says;

namespace {

Instant at(std::int64_t ms) {
    return Instant{Millis{ms}};
}

Position up_to(std::uint64_t seq, std::uint64_t epoch = 1) {
    return {Epoch{epoch}, Seq{seq}, {}};
}

}  // namespace

TEST_CASE("the age is that of the oldest change that nobody has on disk") {
    Durability durability;
    CHECK_FALSE(durability.age(at(0)).has_value());
    durability.on_turn(up_to(1), {}, true, at(100));
    CHECK(durability.age(at(150)) == Millis(50));
    durability.on_turn(up_to(3), {}, true, at(200));
    durability.on_turn(up_to(3), up_to(1), true, at(230));
    CHECK(durability.age(at(250)) == Millis(50));
    durability.on_turn(up_to(3), up_to(2), true, at(260));  // the one that is left came with it
    CHECK(durability.age(at(260)) == Millis(60));
    durability.on_turn(up_to(3), up_to(3), true, at(270));
    CHECK_FALSE(durability.age(at(9000)).has_value());
    // Many within a moment are looked at together.
    for (std::uint64_t seq = 4; seq < 104; ++seq) {
        durability.on_turn(up_to(seq), up_to(3), true, at(1000 + static_cast<std::int64_t>(seq)));
    }
    durability.on_turn(up_to(103), up_to(80), true, at(1200));
    CHECK(durability.age(at(1200)).value() >= Millis(1200 - 1081));
    CHECK(durability.age(at(1200)).value() <= Millis(1200 - 1081 + 10));
}

TEST_CASE("where there is nothing to lose nothing waits") {
    Durability durability;
    CHECK(durability.on_turn(up_to(5), {}, false, at(0)) == Says::Nothing);
    CHECK(durability.on_turn(up_to(6), {}, false, at(60'000)) == Says::Nothing);
    CHECK_FALSE(durability.age(at(60'000)).has_value());
    CHECK(durability.on_turn(up_to(7), {}, true, at(60'000)) == Says::Nothing);
    CHECK(durability.age(at(60'001)) == Millis(1));
}

TEST_CASE("a stall is said, and once that it is over") {
    Durability durability;
    durability.on_turn(up_to(1), {}, true, at(0));
    CHECK(durability.on_turn(up_to(2), {}, true, at(4'999)) == Says::Nothing);
    CHECK(durability.on_turn(up_to(2), {}, true, at(5'000)) == Says::Stalled);
    CHECK(durability.on_turn(up_to(2), {}, true, at(64'999)) == Says::Nothing);
    CHECK(durability.on_turn(up_to(3), {}, true, at(900'000)) == Says::Stalled);
    CHECK(durability.on_turn(up_to(3), up_to(2), true, at(900'100)) == Says::Recovered);
    CHECK(durability.on_turn(up_to(3), up_to(3), true, at(900'200)) == Says::Nothing);
    // The next one is another.
    durability.on_turn(up_to(4), up_to(3), true, at(910'000));
    CHECK(durability.on_turn(up_to(4), up_to(3), true, at(915'000)) == Says::Stalled);
    CHECK(durability.on_turn(up_to(4), up_to(4), true, at(915'001)) == Says::Recovered);
}

TEST_CASE("a stall of hours takes no memory without end, and its age stays that of the oldest") {
    Durability durability;
    std::int64_t ms = 0;
    for (std::uint64_t seq = 1; seq <= 5'000; ++seq) {
        durability.on_turn(up_to(seq), {}, true, at(ms += 20));
    }
    CHECK(durability.age(at(ms)) == Millis(ms - 20));
    durability.on_turn(up_to(5'000), up_to(999), true, at(ms));
    CHECK(durability.age(at(ms)) == Millis(ms - 20'000));
    durability.on_turn(up_to(5'000), up_to(4'999), true, at(ms));
    CHECK(durability.age(at(ms)) == Millis(ms - 20'000));  // too high, not too low
    durability.on_turn(up_to(5'000), up_to(5'000), true, at(ms));
    CHECK_FALSE(durability.age(at(ms)).has_value());
}

TEST_CASE("a session that is restored late is looked at anew") {
    Durability durability;
    durability.on_turn(up_to(50), {}, true, at(0));
    CHECK(durability.on_turn(up_to(11, 2), up_to(10), true, at(100)) == Says::Nothing);
    CHECK(durability.age(at(130)) == Millis(30));
    durability.on_turn(up_to(11, 2), up_to(11, 2), true, at(200));
    CHECK_FALSE(durability.age(at(300)).has_value());
}
