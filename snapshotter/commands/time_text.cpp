#include "snapshotter/commands/time_text.h"

#include <chrono>
#include <ctime>
#include <optional>
#include <vector>

namespace snapshotter::commands {

using common::bad_input;
using common::Result;
using common::WallTime;

namespace {

constexpr const char* kExample = "a time looks like \"2026-11-23 10:42\", 10:42 or 10:42:17";

std::tm local_parts(WallTime time) {
    const auto seconds = static_cast<std::time_t>(
        std::chrono::floor<std::chrono::seconds>(std::chrono::milliseconds(number(time))).count());
    std::tm parts{};
    localtime_r(&seconds, &parts);
    return parts;
}

std::string formatted(WallTime time, const char* format) {
    const std::tm parts = local_parts(time);
    char text[64];
    return {text, std::strftime(text, sizeof text, format, &parts)};
}

// "+01:00"
std::string show_offset(WallTime time) {
    std::string offset = formatted(time, "%z");
    return offset.insert(offset.size() - 2, ":");
}

bool take(std::string_view& text, char wanted) {
    if (text.empty() || text.front() != wanted) {
        return false;
    }
    text.remove_prefix(1);
    return true;
}

std::optional<int> take_digits(std::string_view& text, std::size_t count, int most) {
    if (text.size() < count) {
        return std::nullopt;
    }
    int value = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (text[i] < '0' || text[i] > '9') {
            return std::nullopt;
        }
        value = value * 10 + (text[i] - '0');
    }
    text.remove_prefix(count);
    return value <= most ? std::optional(value) : std::nullopt;
}

struct Typed {
    std::tm clock{};  // as it stands, in whichever zone
    int milliseconds = 999;
    std::optional<int> offset_minutes;
};

bool take_date(std::string_view& text, std::tm& clock) {
    const auto year = take_digits(text, 4, 9999);
    const bool dash = take(text, '-');
    const auto month = take_digits(text, 2, 12);
    const bool second_dash = take(text, '-');
    const auto day = take_digits(text, 2, 31);
    if (!year || !dash || !month || !second_dash || !day) {
        return false;
    }
    const std::chrono::year_month_day date{std::chrono::year(*year),
                                           std::chrono::month(static_cast<unsigned>(*month)),
                                           std::chrono::day(static_cast<unsigned>(*day))};
    clock.tm_year = *year - 1900;
    clock.tm_mon = *month - 1;
    clock.tm_mday = *day;
    return date.ok() && (take(text, ' ') || take(text, 'T'));
}

bool take_clock(std::string_view& text, Typed& typed) {
    const auto hour = take_digits(text, 2, 23);
    const bool colon = take(text, ':');
    const auto minute = take_digits(text, 2, 59);
    if (!hour || !colon || !minute) {
        return false;
    }
    typed.clock.tm_hour = *hour;
    typed.clock.tm_min = *minute;
    typed.clock.tm_sec = 0;
    if (take(text, ':')) {
        const auto second = take_digits(text, 2, 60);
        if (!second) {
            return false;
        }
        typed.clock.tm_sec = *second;
        if (take(text, '.')) {
            const auto milliseconds = take_digits(text, 3, 999);
            if (!milliseconds) {
                return false;
            }
            typed.milliseconds = *milliseconds;
        }
    }
    return true;
}

bool take_zone(std::string_view& text, Typed& typed) {
    if (text.empty()) {
        return true;
    }
    if (take(text, 'Z')) {
        typed.offset_minutes = 0;
        return text.empty();
    }
    const bool minus = text.front() == '-';
    if (!take(text, '+') && !take(text, '-')) {
        return false;
    }
    const auto hours = take_digits(text, 2, 23);
    const bool colon = take(text, ':');
    const auto minutes = take_digits(text, 2, 59);
    if (!hours || !colon || !minutes || !text.empty()) {
        return false;
    }
    typed.offset_minutes = (*hours * 60 + *minutes) * (minus ? -1 : 1);
    return true;
}

std::optional<Typed> read_typed(std::string_view text, WallTime now) {
    Typed typed;
    if (text.find('-') == 4) {
        if (!take_date(text, typed.clock)) {
            return std::nullopt;
        }
    } else {
        typed.clock = local_parts(now);
    }
    return take_clock(text, typed) && take_zone(text, typed) ? std::optional(typed) : std::nullopt;
}

// The moments at which the clock on the wall shows this: one, none or two.
std::vector<std::int64_t> seconds_that_show(const std::tm& clock) {
    std::vector<std::int64_t> found;
    for (const int daylight : {1, 0}) {
        std::tm parts = clock;
        parts.tm_isdst = daylight;
        const std::time_t seconds = std::mktime(&parts);
        // Where there is no such time, another one is given.
        const bool is_it = parts.tm_isdst == daylight && parts.tm_hour == clock.tm_hour &&
                           parts.tm_min == clock.tm_min && parts.tm_mday == clock.tm_mday;
        if (is_it) {
            found.push_back(seconds);
        }
    }
    return found;
}

}  // namespace

Result<WallTime> read_time(std::string_view text, WallTime now) {
    const std::optional<Typed> typed = read_typed(text, now);
    const std::string quoted = "'" + std::string(text) + "'";
    if (!typed) {
        return bad_input(quoted + " is not a time; " + kExample);
    }
    std::int64_t seconds = 0;
    if (typed->offset_minutes) {
        std::tm clock = typed->clock;
        seconds = std::int64_t{timegm(&clock)} - std::int64_t{*typed->offset_minutes} * 60;
    } else {
        const std::vector<std::int64_t> found = seconds_that_show(typed->clock);
        if (found.empty()) {
            return bad_input(quoted + " is left out by the clocks here (" + show_zone(now) + ")");
        }
        if (found.size() > 1) {
            return bad_input(quoted + " is passed twice by the clocks here; say which: " +
                             std::string(text) + show_offset(WallTime{found[0] * 1000}) + " or " +
                             std::string(text) + show_offset(WallTime{found[1] * 1000}));
        }
        seconds = found.front();
    }
    if (seconds * 1000 > number(now)) {
        return bad_input(quoted + " is in the future: it is " + show_time(now) + " (" +
                         show_zone(now) + ")");
    }
    return WallTime{seconds * 1000 + typed->milliseconds};
}

std::string show_time(WallTime time) {
    return formatted(time, "%Y-%m-%d %H:%M:%S");
}

std::string show_zone(WallTime time) {
    return formatted(time, "%Z") + ", UTC" + show_offset(time);
}

}  // namespace snapshotter::commands
