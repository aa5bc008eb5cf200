#include "common/progress.h"

#include <doctest/doctest.h>

using namespace common;

namespace {

Instant at(std::int64_t milliseconds) {
    return Instant(Millis(milliseconds));
}

const Progress kThird{"Saving", 343, 1000};

}  // namespace

TEST_CASE("what is over within two seconds says nothing") {
    ProgressLog log;
    CHECK_FALSE(log.at(kThird, at(100)).has_value());
    CHECK_FALSE(log.at(kThird, at(2099)).has_value());
    CHECK_FALSE(log.at(std::nullopt, at(2100)).has_value());
    CHECK_FALSE(log.at(kThird, at(2200)).has_value());  // the next one begins
}

TEST_CASE("what takes longer says how far it is, and how long it has been at it") {
    ProgressLog log;
    CHECK_FALSE(log.at(kThird, at(0)).has_value());
    CHECK(log.at(kThird, at(2000)) == "Saving: 34 %, 2 s");
    CHECK_FALSE(log.at(kThird, at(6999)).has_value());
    CHECK(log.at(Progress{"Saving, reading back", 0, 0}, at(7000)) ==
          "Saving, reading back: 0 %, 7 s");
    CHECK(log.at(Progress{"Saving, writing the backup", 2000, 1000}, at(12'345)) ==
          "Saving, writing the backup: 100 %, 12 s");
}
