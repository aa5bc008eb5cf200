#pragma once
// What mirror and store hand to each other (pure): the mirror begins with what the store found, and
// the store saves what the mirror holds.

#include <optional>
#include <string>

#include "common/ids.h"
#include "common/whole.h"
#include "snapshotter/mirror.h"
#include "snapshotter/storage/store.h"

namespace snapshotter {

// What the mirror begins with; none: the directory is fresh.
std::optional<common::Whole> stored_whole(Recovered recovered);

// Whether the directory does not show what was recovered until it is saved (reasons::kRecovered).
bool wants_save(const Recovered& recovered);

// What the mirror holds now.
SaveRequest save_request(Mirror& mirror, std::string reason, common::WallTime now);
// What it held.
SaveRequest pin_request(PinBackup pin, common::WallTime now);

}  // namespace snapshotter
