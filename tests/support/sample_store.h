#pragma once
// A data directory on a disk in memory, what is saved in it, and what is looked for in it.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/ids.h"
#include "snapshotter/storage/store.h"
#include "tests/support/sim_file_system.h"

namespace support {

inline constexpr const char* kSession = "/data/session_snapshot.db";
inline constexpr const char* kMetadata = "/data/session_metadata.json";

// So many seconds after a moment of the year 2025.
common::WallTime at(std::int64_t seconds);

// The session of step `step`: three nodes at record `step`, saved at second `step`.
snapshotter::SaveRequest sample_save(std::uint64_t step, const std::string& reason = "auto-save");

// How many files there are whose path begins so.
std::size_t count(const SimFileSystem& files, const std::string& prefix);

// Whether one of the sentences contains `part`.
bool says(const std::vector<std::string>& sentences, const std::string& part);

}  // namespace support
