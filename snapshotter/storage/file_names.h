#pragma once
// Every name in the data directory, built and parsed. Times in names are local time, as people read
// them, and compare as they stand: no time zone is asked again when a name is read.

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/ids.h"

namespace snapshotter::file_names {

inline constexpr const char* kSession = "session_snapshot.db";
inline constexpr const char* kMetadata = "session_metadata.json";
inline constexpr const char* kBackups = "backups";
inline constexpr const char* kQuarantine = "quarantine";
inline constexpr const char* kHistory = "history";
inline constexpr const char* kLock = ".lock";

// A moment on the clock on the wall.
struct LocalTime {
    int year = 0;
    int month = 0;  // 1 to 12
    int day = 0;
    int hour = 0;
    int minute = 0;
    int second = 0;
    friend auto operator<=>(const LocalTime&, const LocalTime&) = default;
};
LocalTime local_time(common::WallTime time);

// "2026-11-23T10:42:00+01:00"
std::string iso_local(common::WallTime time);

// backups/snapshot_YYYYmmdd_HHMMSS.db, or pinned_... (never removed by us). The second one within a
// second is called ..._2.db.
struct Backup {
    LocalTime time;
    int number = 1;
    bool pinned = false;
    // In order of age; pinned is not a matter of age, so it comes last.
    friend auto operator<=>(const Backup&, const Backup&) = default;
};
std::string name_of(const Backup& backup);
// None: not a name that we give.
std::optional<Backup> parse_backup(std::string_view name);

// history/NNNNNN.sqlite, six digits or more. None: not a name that we give.
std::string segment_name(std::uint64_t number);
std::optional<std::uint64_t> parse_segment(std::string_view name);

// The file that becomes `name` when it is complete, in the same directory.
std::string temporary(std::string_view name);
bool is_temporary(std::string_view name);

std::string join(std::string_view directory, std::string_view name);

}  // namespace snapshotter::file_names
