#include "common/stall_watch.h"

#include <doctest/doctest.h>

using namespace common;
using Says = StallWatch::Says;

namespace {

Instant at(std::int64_t ms) {
    return Instant{Millis{ms}};
}

}  // namespace

TEST_CASE("a stall is said once a minute, its end once") {
    StallWatch watch(Millis(5000));
    CHECK(watch.on_age({}, at(0)) == Says::Nothing);
    CHECK(watch.on_age(Millis(4999), at(0)) == Says::Nothing);
    CHECK(watch.on_age(Millis(5000), at(100)) == Says::Stalled);
    CHECK(watch.on_age(Millis(6000), at(1100)) == Says::Nothing);
    CHECK(watch.on_age(Millis(66'000), at(60'100)) == Says::Stalled);
    CHECK(watch.on_age(Millis(10), at(60'200)) == Says::Recovered);
    CHECK(watch.on_age(Millis(10), at(60'300)) == Says::Nothing);
    // The next one is another.
    CHECK(watch.on_age(Millis(5000), at(66'000)) == Says::Stalled);
    CHECK(watch.on_age({}, at(66'100)) == Says::Recovered);
}
