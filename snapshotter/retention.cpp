#include "snapshotter/retention.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace snapshotter {

using file_names::Backup;
using file_names::LocalTime;

namespace {

struct Candidate {
    Backup backup;
    bool verified = false;
    bool stays = false;
};

std::int64_t day_of(const LocalTime& time) {
    const std::chrono::year_month_day date{std::chrono::year(time.year),
                                           std::chrono::month(static_cast<unsigned>(time.month)),
                                           std::chrono::day(static_cast<unsigned>(time.day))};
    return std::chrono::sys_days(date).time_since_epoch().count();
}

std::int64_t hour_of(const LocalTime& time) {
    return day_of(time) * 24 + time.hour;
}

// Day 0, in 1970, was a Thursday.
std::int64_t week_of(const LocalTime& time) {
    const std::int64_t since_monday = day_of(time) + 3;
    return since_monday >= 0 ? since_monday / 7 : (since_monday - 6) / 7;
}

// `candidates` are newest first, so the first of each hour is the last one made in it.
void keep_one_each(std::vector<Candidate>& candidates, std::size_t count,
                   std::int64_t (*span_of)(const LocalTime&)) {
    std::optional<std::int64_t> last;
    for (Candidate& candidate : candidates) {
        const std::int64_t span = span_of(candidate.backup.time);
        if (span == last) {
            continue;
        }
        if (count == 0) {
            return;
        }
        --count;
        last = span;
        candidate.stays = true;
    }
}

}  // namespace

std::vector<std::string> backups_to_remove(const std::vector<BackupFile>& files,
                                           const RetentionPolicy& policy, const LocalTime& now) {
    std::vector<Candidate> candidates;
    for (const BackupFile& file : files) {
        const std::optional<Backup> backup = file_names::parse_backup(file.name);
        if (backup && !backup->pinned && backup->time <= now) {
            candidates.push_back({*backup, file.verified});
        }
    }
    std::sort(candidates.begin(), candidates.end(),
              [](const Candidate& a, const Candidate& b) { return a.backup > b.backup; });

    const auto newest_verified = std::find_if(candidates.begin(), candidates.end(),
                                              [](const Candidate& one) { return one.verified; });
    if (newest_verified == candidates.end()) {
        return {};
    }
    newest_verified->stays = true;
    for (std::size_t i = 0; i < candidates.size() && i < std::max<std::size_t>(policy.newest, 1);
         ++i) {
        candidates[i].stays = true;
    }
    keep_one_each(candidates, policy.hourly, hour_of);
    keep_one_each(candidates, policy.daily, day_of);
    keep_one_each(candidates, policy.weekly, week_of);

    std::vector<std::string> result;
    for (const Candidate& candidate : candidates) {
        if (!candidate.stays) {
            result.push_back(name_of(candidate.backup));
        }
    }
    std::reverse(result.begin(), result.end());
    return result;
}

}  // namespace snapshotter
