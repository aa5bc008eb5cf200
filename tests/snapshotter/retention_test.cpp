#include "snapshotter/retention.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "common/ids.h"

using namespace snapshotter;
using Names = std::vector<std::string>;

namespace {

const file_names::LocalTime kNow{2026, 11, 23, 12, 0, 0};

std::string backup(int minute) {
    return name_of(file_names::Backup{{2026, 11, 23, 11, minute, 0}, 1, false});
}

}  // namespace

TEST_CASE("the newest stay, the others go, oldest first") {
    const std::vector<BackupFile> files = {
        {backup(5), false}, {backup(1), false}, {backup(9), true}, {backup(3), false}};
    CHECK(backups_to_remove(files, {2}, kNow) == Names{backup(1), backup(3)});
    CHECK(backups_to_remove(files, {4}, kNow).empty());
    CHECK(backups_to_remove(files, {1}, kNow) == Names{backup(1), backup(3), backup(5)});
}

TEST_CASE("zero is taken as one") {
    CHECK(backups_to_remove({{backup(1), true}, {backup(2), true}}, {0}, kNow) == Names{backup(1)});
}

TEST_CASE("the last one that verifies stays, whatever its age") {
    CHECK(backups_to_remove({{backup(1), true}, {backup(2), false}, {backup(3), false}}, {1},
                            kNow) == Names{backup(2)});
    CHECK(backups_to_remove({{backup(1), false}, {backup(2), false}}, {1}, kNow).empty());
}

TEST_CASE("pinned backups and other people's files are never named") {
    const std::vector<BackupFile> files = {{"pinned_20200101_000000.db", true},
                                           {"before the big change.db", true},
                                           {"snapshot_old.db", true},
                                           {backup(1), true},
                                           {backup(2), true}};
    CHECK(backups_to_remove(files, {1}, kNow) == Names{backup(1)});
}

TEST_CASE("backups from the future neither count nor go") {
    const std::vector<BackupFile> files = {{"snapshot_20270101_000000.db", true},
                                           {"snapshot_20270102_000000.db", true},
                                           {backup(1), true},
                                           {backup(2), true}};
    CHECK(backups_to_remove(files, {1}, kNow) == Names{backup(1)});
}

TEST_CASE("the second one within a second is newer than the first") {
    CHECK(backups_to_remove({{"snapshot_20261123_110000_2.db", true},
                             {"snapshot_20261123_110000.db", true},
                             {"snapshot_20261123_110000_10.db", true}},
                            {1}, kNow) ==
          Names{"snapshot_20261123_110000.db", "snapshot_20261123_110000_2.db"});
}

namespace {

std::string backup_at(int month, int day, int hour, int minute) {
    return name_of(file_names::Backup{{2026, month, day, hour, minute, 0}, 1, false});
}

// What stays of all that are verified.
Names kept(const Names& names, const RetentionPolicy& policy,
           const file_names::LocalTime& now = kNow) {
    std::vector<BackupFile> files;
    for (const std::string& name : names) {
        files.push_back({name, true});
    }
    const Names removed = backups_to_remove(files, policy, now);
    Names result;
    for (const std::string& name : names) {
        if (std::find(removed.begin(), removed.end(), name) == removed.end()) {
            result.push_back(name);
        }
    }
    return result;
}

}  // namespace

TEST_CASE("the last one of each hour stays, and hours without any do not count") {
    const Names names = {backup_at(11, 22, 9, 10), backup_at(11, 23, 8, 15),
                         backup_at(11, 23, 8, 59), backup_at(11, 23, 11, 0),
                         backup_at(11, 23, 11, 30)};
    CHECK(kept(names, {1, 2, 0, 0}) == Names{names[2], names[4]});
    CHECK(kept(names, {1, 3, 0, 0}) == Names{names[0], names[2], names[4]});
    CHECK(kept(names, {1, 99, 0, 0}) == Names{names[0], names[2], names[4]});
}

TEST_CASE("the last one of each day and of each week stays") {
    // Monday, 16 November 2026, begins a week.
    const Names names = {backup_at(11, 8, 23, 0),   backup_at(11, 9, 1, 0),
                         backup_at(11, 15, 23, 59), backup_at(11, 16, 0, 0),
                         backup_at(11, 20, 10, 0),  backup_at(11, 20, 18, 0),
                         backup_at(11, 23, 9, 0)};
    CHECK(kept(names, {1, 0, 3, 0}) == Names{names[3], names[5], names[6]});
    CHECK(kept(names, {1, 0, 0, 3}) == Names{names[2], names[5], names[6]});
    CHECK(kept(names, {1, 0, 0, 4}) == Names{names[0], names[2], names[5], names[6]});
    CHECK(kept(names, {2, 0, 0, 2}) == Names{names[5], names[6]});
}

TEST_CASE("weeks go on over the turn of the year") {
    // Thursday, 31 December 2026, and Friday after it: one week.
    const Names names = {backup_at(12, 27, 12, 0), backup_at(12, 31, 12, 0),
                         name_of(file_names::Backup{{2027, 1, 1, 12, 0, 0}, 1, false})};
    CHECK(kept(names, {1, 0, 0, 2}, {2027, 1, 1, 13, 0, 0}) == Names{names[0], names[2]});
}

namespace {

// Days of work from a seed: saves some minutes apart, breaks, a clock that is set back now and
// then, pinned and foreign files, files that a restart has left unverified.
struct Days {
    explicit Days(std::uint64_t seed) : random(seed) {
        policy = {1 + below(5), below(6), below(4), below(3)};
    }

    std::size_t below(std::uint64_t end) { return random() % end; }
    file_names::LocalTime now() const { return file_names::local_time(common::WallTime{clock}); }

    void pass_time() {
        clock += static_cast<std::int64_t>(1 + below(40)) * 60'000;
        if (below(20) == 0) {
            clock += static_cast<std::int64_t>(below(80)) * 3'600'000;
        }
        if (below(40) == 0) {
            clock -= static_cast<std::int64_t>(below(30)) * 3'600'000;
        }
    }

    void add_files() {
        files[name_of(file_names::Backup{now(), 1, false})] = true;
        if (below(15) == 0) {
            files[name_of(file_names::Backup{now(), 1, true})] = below(2) == 0;
        }
        if (below(15) == 0) {
            files["copy of snapshot " + std::to_string(below(1000)) + ".db"] = true;
        }
        if (below(25) == 0) {  // a restart: nothing is known of the files
            for (auto& [name, verified] : files) {
                verified = false;
            }
        }
    }

    std::vector<BackupFile> listed() const {
        std::vector<BackupFile> result;
        for (const auto& [name, verified] : files) {
            result.push_back({name, verified});
        }
        return result;
    }

    std::mt19937_64 random;
    RetentionPolicy policy;
    std::int64_t clock = 1'763'894'520'000;
    std::map<std::string, bool> files;  // verified
};

bool is_ours(const std::string& name) {
    const auto backup = file_names::parse_backup(name);
    return backup && !backup->pinned;
}

bool counts(const Days& days, const std::string& name) {
    return is_ours(name) && file_names::parse_backup(name)->time <= days.now();
}

std::size_t how_many_count(const Days& days) {
    return static_cast<std::size_t>(
        std::count_if(days.files.begin(), days.files.end(),
                      [&](const auto& file) { return counts(days, file.first); }));
}

void check_removal(const Days& days, const Names& removed) {
    std::string newest_verified;
    for (const auto& [name, verified] : days.files) {
        if (verified && counts(days, name)) {
            newest_verified = std::max(newest_verified, name);
        }
    }
    CHECK(std::is_sorted(removed.begin(), removed.end()));
    for (const std::string& name : removed) {
        CAPTURE(name);
        REQUIRE(days.files.contains(name));
        CHECK(counts(days, name));
        CHECK(name != newest_verified);
    }
}

}  // namespace

TEST_CASE("from seeds: never more than the policy, never a foreign, pinned or last good one") {
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        Days days(seed);
        const RetentionPolicy& policy = days.policy;
        for (int step = 0; step < 200; ++step) {
            days.pass_time();
            days.add_files();
            const Names removed = backups_to_remove(days.listed(), policy, days.now());
            check_removal(days, removed);
            for (const std::string& name : removed) {
                days.files.erase(name);
            }
            // The last good one may be none of those that the policy keeps.
            const std::size_t bound =
                policy.newest + policy.hourly + policy.daily + policy.weekly + 1;
            const bool any_verified = std::any_of(
                days.files.begin(), days.files.end(),
                [&](const auto& file) { return file.second && counts(days, file.first); });
            CHECK((!any_verified || how_many_count(days) <= bound));
            // What stays, stays: nothing changes if nothing happens.
            CHECK(backups_to_remove(days.listed(), policy, days.now()).empty());
        }
    }
}

TEST_CASE("what is made every few minutes for weeks leaves hours, days and weeks behind") {
    std::map<std::string, bool> files;
    std::int64_t clock = 1'763'894'520'000;
    const RetentionPolicy policy{10, 24, 7, 4};
    for (int minute = 0; minute < 40 * 24 * 60; minute += 20, clock += 20 * 60'000) {
        const auto now = file_names::local_time(common::WallTime{clock});
        files[name_of(file_names::Backup{now, 1, false})] = true;
        std::vector<BackupFile> listed;
        for (const auto& [name, verified] : files) {
            listed.push_back({name, verified});
        }
        for (const std::string& name : backups_to_remove(listed, policy, now)) {
            files.erase(name);
        }
    }
    const auto now = file_names::local_time(common::WallTime{clock - 20 * 60'000});
    std::set<std::pair<int, int>> days;
    std::set<std::pair<int, int>> hours_of_last_day;
    for (const auto& [name, verified] : files) {
        const auto time = file_names::parse_backup(name)->time;
        days.insert({time.month, time.day});
        hours_of_last_day.insert({time.day, time.hour});
    }
    CHECK(days.contains({now.month, now.day}));
    CHECK(days.size() >= 7 + 2);
    CHECK(hours_of_last_day.size() >= 24);
    CHECK(files.size() <= 10 + 24 + 7 + 4);
    CHECK(files.size() >= 24 + 7 + 2);
}
