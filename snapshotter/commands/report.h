#pragma once
// What a command found or did, as people read it and as scripts do. Times are local, with the zone
// said; in JSON they are texts in ISO form, with their offset. Pure.

#include <string>

#include "snapshotter/commands/commands.h"

namespace snapshotter::commands {

// Whole texts, with a line break at the end. `now`: in whose zone.
std::string to_text(const Listing& listing, const Surroundings& around);
std::string to_text(const Verification& verification, const Surroundings& around);
std::string to_text(const Inspection& inspection, const Surroundings& around);
std::string to_text(const Exported& exported, const Surroundings& around);
std::string to_text(const Replacement& replacement, const Surroundings& around);
std::string to_text(const Renamed& renamed, const Surroundings& around);

// The same as one JSON object on a line. Keys are only ever added.
std::string to_json(const Listing& listing, const Surroundings& around);
std::string to_json(const Verification& verification, const Surroundings& around);
std::string to_json(const Inspection& inspection, const Surroundings& around);
std::string to_json(const Exported& exported, const Surroundings& around);
std::string to_json(const Replacement& replacement, const Surroundings& around);
std::string to_json(const Renamed& renamed, const Surroundings& around);

// {"error": ...}
std::string error_json(const common::Error& error);

}  // namespace snapshotter::commands
