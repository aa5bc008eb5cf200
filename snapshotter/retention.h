#pragma once
// Which old backups may go: a pure function of (files, policy, now).

#include <cstddef>
#include <string>
#include <vector>

#include "snapshotter/storage/file_names.h"

namespace snapshotter {

struct BackupFile {
    std::string name;       // in backups/
    bool verified = false;  // read back and found right since this process started
};

// What stays. One backup may stay for several of these reasons, so at most the sum of them all is
// kept. Hours, days and weeks are those of the clock on the wall (weeks begin on Monday), and only
// those count in which there is a backup: a week without work pushes nothing out.
struct RetentionPolicy {
    std::size_t newest = 10;  // the newest so many; 0 is taken as 1
    std::size_t hourly = 0;   // the last one of each of the latest so many hours
    std::size_t daily = 0;
    std::size_t weekly = 0;
};

// The names to remove, oldest first. Only names that we give are considered. Pinned backups stay.
// Backups from the future (the clock was set back) neither count nor go. The newest one that
// is verified stays, whatever its age; if none is, nothing goes.
std::vector<std::string> backups_to_remove(const std::vector<BackupFile>& files,
                                           const RetentionPolicy& policy,
                                           const file_names::LocalTime& now);

}  // namespace snapshotter
