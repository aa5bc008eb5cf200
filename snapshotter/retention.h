#pragma once
// Which old backups may go: a pure function of (files, policy, now).

#include <string>
#include <vector>

#include "snapshotter/storage/file_names.h"

namespace snapshotter {

struct BackupFile {
    std::string name;       // in backups/
    bool verified = false;  // read back and found right since this process started
};

struct RetentionPolicy {
    std::size_t backups_max = 10;  // the newest so many stay; 0 is taken as 1
};

// The names to remove, oldest first. Only names that we give are considered. Pinned backups stay.
// Backups from the future (the clock was set back) neither count nor go. The newest one that
// is verified stays, whatever its age; if none is, nothing goes.
std::vector<std::string> backups_to_remove(const std::vector<BackupFile>& files,
                                           const RetentionPolicy& policy,
                                           const file_names::LocalTime& now);

}  // namespace snapshotter
