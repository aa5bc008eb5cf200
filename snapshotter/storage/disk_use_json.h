#pragma once
// What is on the disk, as the health page and `list --json` show it.

#include "snapshotter/storage/disk_use.h"

namespace snapshotter {

// `Json` is one of nlohmann's, which storage/ need not know.
template <typename Json>
Json disk_use_json(const DiskUse& use) {
    Json json{{"bytes", use.all().bytes}};
    const auto add = [&json](const char* name, const DiskUse::Kind& kind) {
        json[name] = {{"files", kind.files}, {"bytes", kind.bytes}};
    };
    add("session", use.session);
    add("backups", use.backups);
    add("pinned", use.pinned);
    add("history", use.history);
    add("quarantine", use.quarantine);
    return json;
}

}  // namespace snapshotter
