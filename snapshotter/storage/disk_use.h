#pragma once
// What the data directory takes on the disk, for the log and the health page.

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/result.h"
#include "snapshotter/storage/file_system.h"

namespace snapshotter {

struct DiskUse {
    struct Kind {
        std::size_t files = 0;
        std::uint64_t bytes = 0;
    };
    Kind session;
    Kind backups;     // bounded by retention
    Kind pinned;      // not bounded: only people remove these
    Kind history;     // bounded by its own settings
    Kind quarantine;  // not bounded
    Kind all() const;
};

// Only files whose names we give are counted; what is in quarantine/ and history/ is counted whole.
// A file that goes while we look is passed over.
common::Result<DiskUse> disk_use(FileSystem& files, const std::string& data_dir);

// "412.0 MiB: session 12.1 MiB, 45 backups 380.2 MiB, 2 pinned 19.7 MiB"
std::string to_string(const DiskUse& use);

// "12.1 MiB", "840 KiB", "17 bytes"
std::string readable_bytes(std::uint64_t bytes);

}  // namespace snapshotter
