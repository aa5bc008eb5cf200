#include "snapshotter/commands/time_text.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <ctime>
#include <string>

using namespace snapshotter::commands;
using common::WallTime;

namespace {

// Central Europe: the clocks changed on 29 March 2026 at 2:00 and on 25 October 2026 at 3:00.
struct CentralEurope {
    CentralEurope() { set("CET-1CEST,M3.5.0,M10.5.0/3"); }
    ~CentralEurope() { set("UTC0"); }
    CentralEurope(const CentralEurope&) = delete;
    CentralEurope& operator=(const CentralEurope&) = delete;

    static void set(const char* zone) {
        setenv("TZ", zone, 1);
        tzset();
    }
    // 2026-11-23 12:00:00 CET
    WallTime now{1'795'431'600'000};
};

}  // namespace

TEST_CASE_FIXTURE(CentralEurope, "what is shown is read back, to the end of the second") {
    CHECK(show_time(now) == "2026-11-23 12:00:00");
    CHECK(show_zone(now) == "CET, UTC+01:00");
    CHECK(read_time("2026-11-23 11:59:17", now) == WallTime{number(now) - 43'000 + 999});
    CHECK(read_time("2026-11-23T11:59:17", now) == WallTime{number(now) - 43'000 + 999});
    CHECK(read_time("2026-11-23 11:59:17.250", now) == WallTime{number(now) - 43'000 + 250});
    CHECK(read_time("2026-11-23T11:59:17+01:00", now) == WallTime{number(now) - 43'000 + 999});
    CHECK(read_time("2026-11-23T10:59:17Z", now) == WallTime{number(now) - 43'000 + 999});
    CHECK(read_time("2026-11-23 05:59:17-05:00", now) == WallTime{number(now) - 43'000 + 999});
}

TEST_CASE_FIXTURE(CentralEurope, "without a date today is meant, without seconds the full minute") {
    CHECK(read_time("11:59", now) == WallTime{number(now) - 60'000 + 999});
    CHECK(*read_time("2026-07-01 12:00", now) == *read_time("2026-07-01 10:00Z", now));
    CHECK(*read_time("2026-01-01 12:00", now) == *read_time("2026-01-01 11:00Z", now));
}

TEST_CASE_FIXTURE(CentralEurope, "what is no time, or not one moment, is refused") {
    for (const char* text :
         {"", "yesterday", "2026-11-23", "10", "10:4", "24:00", "10:60", "2026-13-01 10:00",
          "2026-02-30 10:00", "2026-11-23  10:00", "10:42 ", "10:42:17.5", "10:42:17.5000",
          "10:42+1", "2026-11-23 10:42 CET", "2026-11-23x10:42", "-2026-11-23 10:42"}) {
        CAPTURE(text);
        const auto time = read_time(text, now);
        REQUIRE_FALSE(time.has_value());
        CHECK(time.error().what.find("a time looks like") != std::string::npos);
    }
    CHECK(read_time("12:01", now).error().what.find("future") != std::string::npos);
    CHECK(read_time("2026-03-29 02:30", now).error().what.find("left out") != std::string::npos);
    const auto twice = read_time("2026-10-25 02:30", now);
    REQUIRE_FALSE(twice.has_value());
    CHECK(twice.error().what.find("02:30+02:00 or ") != std::string::npos);
    CHECK(*read_time("2026-10-25 02:30+01:00", now) ==
          WallTime{number(*read_time("2026-10-25 02:30+02:00", now)) + 3'600'000});
}
