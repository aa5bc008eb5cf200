#pragma once
// Keeps strangers from filling the log: so many lines a minute because of one source, the rest is
// counted and said in one line. Pure.
//
// For lines that somebody outside can cause as often as he likes. A source is whatever tells the
// causers apart, for example an address. All sources together have a bound as well, and so has
// their number: beyond it, new ones share a single account.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/config.h"
#include "common/ids.h"

namespace common {

struct LogLimits {
    std::size_t lines_per_source = 30;        // in a window, of each level but Info
    std::size_t info_lines_per_source = 300;  // a studio behind one address comes and goes as one
    std::size_t lines_in_all = 3000;
    std::size_t sources_max = 1000;
    Millis window{60'000};
};

class LogLimiter {
public:
    explicit LogLimiter(LogLimits limits = {}) : limits_(limits) {}

    // Whether this line is to be written. If not, it is counted.
    bool admit(std::string_view source, LogLevel level, std::string_view line, Instant now);

    struct Line {
        LogLevel level{};
        std::string text;
    };
    // What is to be said of the windows that are over by now: for each source that was not heard in
    // full "LINE [...] and 1,234 more like it because of SOURCE in the last minute".
    std::vector<Line> summaries(Instant now);

    std::uint64_t suppressed() const { return suppressed_; }  // lines, since the start

private:
    struct Account {
        Instant since{};
        std::size_t written = 0;
        std::uint64_t suppressed = 0;
        std::string source;
        std::string sample;  // the first that was suppressed
        LogLevel level{};
    };
    Account& account_of(std::string_view source, LogLevel level, Instant now);

    LogLimits limits_;
    std::unordered_map<std::string, Account> accounts_;
    Instant all_since_{};
    std::size_t all_written_ = 0;
    std::uint64_t suppressed_ = 0;
};

// 1234567 as "1,234,567".
std::string grouped(std::uint64_t number);

}  // namespace common
