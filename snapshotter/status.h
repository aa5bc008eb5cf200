#pragma once
// What the snapshotter says about itself: the JSON of GET /health, and GET /metrics (pure).

#include <optional>
#include <string>

#include "common/feed.h"
#include "common/ids.h"
#include "snapshotter/history_worker.h"
#include "snapshotter/storage/disk_use.h"

namespace snapshotter {

struct Status {
    std::string version;
    std::string data_dir;
    std::int64_t uptime_seconds = 0;

    std::optional<common::feed::BrokerState> broker;  // none: not heard of
    bool broker_lost = false;
    bool following = false;  // in step with the broker
    std::uint64_t lag = 0;   // records behind it
    bool stopping = false;

    std::optional<common::feed::Holding> holding;  // none: nothing yet
    std::size_t nodes = 0;

    struct Save {
        common::WallTime time{};
        std::string reason;
        std::string result;  // "written", "unchanged", "not initialized"
        std::string file;
        std::uint64_t file_bytes = 0;
        std::int64_t took_ms = 0;
        common::Position position;
    };
    std::optional<Save> last_save;  // that worked, since this start
    std::uint64_t saves = 0;        // that worked, since this start
    std::uint64_t saves_failed = 0;
    int save_failures = 0;   // in a row
    std::string save_error;  // of the last failure
    bool saving = false;
    std::optional<DiskUse> disk;               // after the last save
    std::optional<int> progress_percent;       // of what is being saved, backed up or checked
    std::optional<common::WallTime> verified;  // when what was saved was last read and found right

    std::optional<common::feed::Durable> durable;  // up to here everything survives anything
    std::optional<HistoryStatus> history;          // none: none is written

    std::uint64_t log_lines_lost = 0;
    std::uint64_t malformed_messages = 0;
};

// One word, the value of "status": "ok", or what is wrong: "stopping", "no broker", "catching up",
// "save failing", "changes not on disk". Healthy is "ok" only.
std::string summary(const Status& status);
std::string to_json(const Status& status);
std::string to_metrics(const Status& status);

}  // namespace snapshotter
