#include "snapshotter/storage/file_names.h"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <ctime>

namespace snapshotter::file_names {

namespace {

constexpr std::string_view kSnapshotPrefix = "snapshot_";
constexpr std::string_view kPinnedPrefix = "pinned_";
constexpr std::string_view kSuffix = ".db";
constexpr std::string_view kSegmentSuffix = ".sqlite";
constexpr std::string_view kTemporaryPrefix = ".";
constexpr std::string_view kTemporarySuffix = ".holdfast-tmp";

std::tm broken_down(common::WallTime time) {
    const std::int64_t milliseconds = number(time);
    const auto seconds = static_cast<std::time_t>(
        std::chrono::floor<std::chrono::seconds>(std::chrono::milliseconds(milliseconds)).count());
    std::tm parts{};
    localtime_r(&seconds, &parts);
    return parts;
}

// Exactly so many digits.
std::optional<int> take_digits(std::string_view& text, std::size_t count) {
    if (text.size() < count ||
        text.substr(0, count).find_first_not_of("0123456789") != std::string_view::npos) {
        return std::nullopt;
    }
    int value = 0;
    std::from_chars(text.data(), text.data() + count, value);
    text.remove_prefix(count);
    return value;
}

bool take(std::string_view& text, std::string_view prefix) {
    if (!text.starts_with(prefix)) {
        return false;
    }
    text.remove_prefix(prefix.size());
    return true;
}

// The 13th month is none of ours. Some minutes have a 61st second.
bool is_a_moment(const LocalTime& time) {
    const std::chrono::year_month_day date{std::chrono::year(time.year),
                                           std::chrono::month(static_cast<unsigned>(time.month)),
                                           std::chrono::day(static_cast<unsigned>(time.day))};
    return date.ok() && time.hour < 24 && time.minute < 60 && time.second <= 60;
}

}  // namespace

LocalTime local_time(common::WallTime time) {
    const std::tm parts = broken_down(time);
    return {parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
            parts.tm_hour,        parts.tm_min,     parts.tm_sec};
}

std::string iso_local(common::WallTime time) {
    const std::tm parts = broken_down(time);
    char text[64];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S%z", &parts);
    std::string result = text;
    result.insert(result.size() - 2, ":");  // +0100 to +01:00
    return result;
}

std::string name_of(const Backup& backup) {
    const LocalTime& time = backup.time;
    char text[96];
    std::snprintf(text, sizeof text, "%s%04d%02d%02d_%02d%02d%02d",
                  (backup.pinned ? kPinnedPrefix : kSnapshotPrefix).data(), time.year, time.month,
                  time.day, time.hour, time.minute, time.second);
    std::string name = text;
    if (backup.number > 1) {
        name += "_" + std::to_string(backup.number);
    }
    return name + std::string(kSuffix);
}

std::optional<Backup> parse_backup(std::string_view name) {
    Backup backup;
    std::string_view rest = name;
    if (take(rest, kPinnedPrefix)) {
        backup.pinned = true;
    } else if (!take(rest, kSnapshotPrefix)) {
        return std::nullopt;
    }
    const auto year = take_digits(rest, 4);
    const auto month = take_digits(rest, 2);
    const auto day = take_digits(rest, 2);
    if (!take(rest, "_")) {
        return std::nullopt;
    }
    const auto hour = take_digits(rest, 2);
    const auto minute = take_digits(rest, 2);
    const auto second = take_digits(rest, 2);
    if (!year || !month || !day || !hour || !minute || !second) {
        return std::nullopt;
    }
    backup.time = {*year, *month, *day, *hour, *minute, *second};
    if (!is_a_moment(backup.time)) {
        return std::nullopt;
    }
    if (take(rest, "_")) {
        const auto [end, error] =
            std::from_chars(rest.data(), rest.data() + rest.size(), backup.number);
        if (error != std::errc()) {
            return std::nullopt;
        }
        rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    }
    // Whatever has another spelling (a sign, leading zeros, a number of 1) is not ours.
    return rest == kSuffix && name_of(backup) == name ? std::optional(backup) : std::nullopt;
}

std::string segment_name(std::uint64_t number) {
    std::string digits = std::to_string(number);
    digits.insert(0, digits.size() < 6 ? 6 - digits.size() : 0, '0');
    return digits + std::string(kSegmentSuffix);
}

std::optional<std::uint64_t> parse_segment(std::string_view name) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    return error == std::errc() && name == segment_name(number) ? std::optional(number)
                                                                : std::nullopt;
}

std::string temporary(std::string_view name) {
    return std::string(kTemporaryPrefix) + std::string(name) + std::string(kTemporarySuffix);
}

bool is_temporary(std::string_view name) {
    if (!name.starts_with(kTemporaryPrefix) || !name.ends_with(kTemporarySuffix) ||
        name.size() < kTemporaryPrefix.size() + kTemporarySuffix.size()) {
        return false;
    }
    const std::string_view target = name.substr(
        kTemporaryPrefix.size(), name.size() - kTemporaryPrefix.size() - kTemporarySuffix.size());
    return target == kSession || target == kMetadata || parse_backup(target).has_value() ||
           parse_segment(target).has_value();
}

std::string join(std::string_view directory, std::string_view name) {
    return std::string(directory) + "/" + std::string(name);
}

}  // namespace snapshotter::file_names
