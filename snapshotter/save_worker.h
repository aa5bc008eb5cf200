#pragma once
// A thread that owns the store and writes saves, so that a slow disk never stops the mirror. It is
// spoken to by messages: what is to be done goes in, in order, and what came of it comes out
// through take_done(), announced by a descriptor that a loop can poll.

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/progress.h"
#include "common/result.h"
#include "snapshotter/storage/store.h"

namespace snapshotter {

// The outcomes, in the order in which they were asked for.
struct SaveDone {
    std::string reason;  // as it was asked
    common::Result<SaveReport> outcome;
};
struct PinDone {
    std::string reason;
    common::Result<std::string> outcome;  // the path
};
struct ProbeDone {
    common::Result<void> outcome;
};
struct CheckDone {
    common::Result<CheckReport> outcome;
};
using WorkerDone = std::variant<SaveDone, PinDone, ProbeDone, CheckDone>;

class SaveWorker {
public:
    // Recovery is over: from here on the store is used by the thread alone.
    explicit SaveWorker(std::unique_ptr<Store> store);
    // Finishes what was asked for, then ends the thread and gives the directory free.
    ~SaveWorker();
    SaveWorker(const SaveWorker&) = delete;
    SaveWorker& operator=(const SaveWorker&) = delete;

    // Never block on the disk.
    void submit(SaveRequest request);
    void pin(SaveRequest request);     // request.reason says why, for the log
    void probe();                      // Store::probe
    void check(common::WallTime now);  // Store::check

    // Readable when take_done() has something; never read or close it.
    int descriptor() const;
    std::vector<WorkerDone> take_done();
    // What was asked for and has not come out of take_done() yet.
    std::size_t pending() const;
    // How far the thread is with what it is doing; none: it is idle, or only begins.
    std::optional<common::Progress> progress() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace snapshotter
