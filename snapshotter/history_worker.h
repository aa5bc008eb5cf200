#pragma once
// A thread that writes the history, so that a slow disk never stops the mirror. It is spoken to by
// messages: records go in, groups of them are synced, and how far everything is on disk comes out
// through take_report(), announced by a descriptor that a loop can poll. What is written when is
// decided by HistoryQueue.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "snapshotter/history_queue.h"
#include "snapshotter/storage/history.h"

namespace snapshotter {

struct HistoryReport {
    std::optional<common::Position> durable;  // the newest, if it has moved
    std::optional<std::string> error;         // of the last attempt that failed, once for each
    std::optional<HistoryStop> wants_save;    // see HistoryQueue
    std::vector<std::string> removed;         // segments too old or too many
};

struct HistoryStatus {
    std::optional<common::Millis> age;  // see HistoryQueue
    std::size_t bytes_waiting = 0;
    bool flowing = false;  // false: it waits for a save
    HistorySize size;
};

class HistoryWorker {
public:
    // `history` must outlive it, and is appended to and pruned by nobody else.
    HistoryWorker(History& history, HistoryQueue queue);
    // Writes what can be written, then ends the thread.
    ~HistoryWorker();
    HistoryWorker(const HistoryWorker&) = delete;
    HistoryWorker& operator=(const HistoryWorker&) = delete;

    // Those of HistoryQueue. They never block on the disk.
    void add(AppliedRecord record, common::Instant now);
    void on_replaced(const common::Position& position);
    void save_begins(const HistoryBase& base);
    void save_ended(bool in_place);

    // Readable when take_report() has something; never read or close it.
    int descriptor() const;
    HistoryReport take_report();
    HistoryStatus status(common::Instant now) const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace snapshotter
