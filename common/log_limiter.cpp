#include "common/log_limiter.h"

#include <algorithm>
#include <utility>

namespace common {
namespace {

constexpr const char* kOthers = "others";
constexpr std::size_t kSampleBytesMax = 200;

}  // namespace

std::string grouped(std::uint64_t number) {
    std::string text = std::to_string(number);
    for (std::size_t at = text.size(); at > 3;) {
        at -= 3;
        text.insert(at, ",");
    }
    return text;
}

LogLimiter::Account& LogLimiter::account_of(std::string_view source, LogLevel level, Instant now) {
    const auto key = [&](std::string_view name) {
        return std::string(1, static_cast<char>('0' + static_cast<int>(level))) + std::string(name);
    };
    std::string wanted = key(source);
    if (accounts_.size() >= limits_.sources_max && !accounts_.contains(wanted)) {
        source = kOthers;
        wanted = key(source);
    }
    const auto [found, is_new] = accounts_.try_emplace(std::move(wanted));
    if (is_new) {
        found->second.since = now;
        found->second.source = source;
        found->second.level = level;
    }
    return found->second;
}

bool LogLimiter::admit(std::string_view source, LogLevel level, std::string_view line,
                       Instant now) {
    if (now - all_since_ >= limits_.window) {
        all_since_ = now;
        all_written_ = 0;
    }
    Account& account = account_of(source, level, now);
    const std::size_t lines_max =
        level == LogLevel::Info ? limits_.info_lines_per_source : limits_.lines_per_source;
    if (account.written < lines_max && all_written_ < limits_.lines_in_all) {
        ++account.written;
        ++all_written_;
        return true;
    }
    if (account.suppressed++ == 0) {
        account.sample = line.substr(0, kSampleBytesMax);
    }
    ++suppressed_;
    return false;
}

std::vector<LogLimiter::Line> LogLimiter::summaries(Instant now) {
    std::vector<Line> lines;
    std::erase_if(accounts_, [&](const auto& entry) {
        const Account& account = entry.second;
        if (now - account.since < limits_.window) {
            return false;
        }
        if (account.suppressed > 0) {
            lines.push_back({account.level, account.sample + " [...] and " +
                                                grouped(account.suppressed - 1) +
                                                " more like it because of " + account.source +
                                                " in the last minute"});
        }
        return true;
    });
    std::ranges::sort(lines, {}, &Line::text);  // the same, whatever the hash order
    return lines;
}

}  // namespace common
