#include "common/log_limiter.h"

#include <doctest/doctest.h>

using common::Instant;
using common::LogLevel;
using common::LogLimiter;
using common::LogLimits;
using common::Millis;

namespace {

Instant at(std::int64_t ms) {
    return Instant{Millis{1'000'000 + ms}};
}

constexpr LogLimits kFew{
    .lines_per_source = 3, .info_lines_per_source = 5, .lines_in_all = 8, .sources_max = 4};

std::size_t written(LogLimiter& limiter, const std::string& source, int tries, Instant now,
                    LogLevel level = LogLevel::Warning) {
    std::size_t count = 0;
    for (int i = 0; i < tries; ++i) {
        count += limiter.admit(source, level, "line " + std::to_string(i), now) ? 1U : 0U;
    }
    return count;
}

}  // namespace

TEST_CASE("one who floods is heard a little, and then summed up once a minute") {
    LogLimiter limiter(kFew);
    CHECK(written(limiter, "10.0.0.1", 1238, at(0)) == 3);
    CHECK(limiter.summaries(at(59'999)).empty());
    const auto lines = limiter.summaries(at(60'000));
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].level == LogLevel::Warning);
    CHECK(lines[0].text ==
          "line 3 [...] and 1,234 more like it because of 10.0.0.1 in the last minute");
    CHECK(limiter.summaries(at(60'000)).empty());
    CHECK(limiter.suppressed() == 1235);
    CHECK(written(limiter, "10.0.0.1", 10, at(60'000)) == 3);
}

TEST_CASE("who stays under the bound is written in full, without a summary") {
    LogLimiter limiter(kFew);
    CHECK(written(limiter, "10.0.0.1", 3, at(0)) == 3);
    CHECK(limiter.summaries(at(60'000)).empty());
    CHECK(written(limiter, "10.0.0.1", 3, at(60'000)) == 3);
}

TEST_CASE("each source and each level has its own lines, all together have a bound") {
    LogLimiter limiter(kFew);
    CHECK(written(limiter, "a", 10, at(0)) == 3);
    CHECK(written(limiter, "a", 10, at(0), LogLevel::Debug) == 3);
    CHECK(written(limiter, "b", 10, at(0), LogLevel::Info) == 2);
    CHECK(written(limiter, "c", 10, at(0)) == 0);
    CHECK(limiter.summaries(at(60'000)).size() == 4);
    CHECK(written(limiter, "c", 10, at(60'000)) == 3);
    CHECK(written(limiter, "c", 10, at(60'000), LogLevel::Info) == 5);
}

TEST_CASE("more sources than are told apart share one account") {
    LogLimiter limiter({.lines_per_source = 3, .lines_in_all = 1000, .sources_max = 4});
    std::size_t count = 0;
    for (int i = 0; i < 1000; ++i) {
        count += written(limiter, "10.0.0." + std::to_string(i), 1, at(0));
    }
    CHECK(count == 4 + 3);
    const auto lines = limiter.summaries(at(60'000));
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].text.find("because of others") != std::string::npos);
}

TEST_CASE("numbers are written in groups of three") {
    CHECK(common::grouped(0) == "0");
    CHECK(common::grouped(999) == "999");
    CHECK(common::grouped(1000) == "1,000");
    CHECK(common::grouped(1234567) == "1,234,567");
}
