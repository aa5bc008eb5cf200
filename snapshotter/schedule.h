#pragma once
// When to save, and why (pure). One save at a time: what is asked for while one runs, or while a
// failed one waits for its next attempt, becomes one save with all the reasons.
//
//   nothing ──request, or the interval is over──▶ wanted ──due()──▶ running ──on_saved──▶ nothing
//                                                   ▲                  │
//                                                   └─── on_failed ────┘  waits 1, 2, 4 .. 30 s

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"

namespace snapshotter {

// Reasons as they stand in the log and in session_metadata.json.
namespace reasons {
inline constexpr const char* kAutoSave = "auto-save";
inline constexpr const char* kShutdown = "shutdown";
inline constexpr const char* kBrokerLost = "broker_lost";
inline constexpr const char* kMirrorError = "mirror_error";
inline constexpr const char* kAfterResync = "after_resync";
inline constexpr const char* kRecovered = "recovered";
inline constexpr const char* kDamaged = "damage_found";
inline constexpr const char* kInitialised = "session_initialized";
inline constexpr const char* kHistoryBehind = "history_behind";
inline constexpr const char* kHistoryRemoved = "history_removed";
inline constexpr const char* kBrokerStopped = "broker_stopped";
std::string user_disconnect(const common::UserName& name);  // "user_disconnect:NAME"
std::string manual(const std::string& text);                // "manual:text", or "manual"
}  // namespace reasons

class Schedule {
public:
    // The first auto-save comes one `interval` after `now`, then one every interval, whether
    // anything has changed or anybody is there. An interval of zero: no auto-save.
    Schedule(common::Millis interval, common::Instant now);

    // A save is wanted as soon as may be. The same reason twice counts once. `answer`: the number
    // of a SaveNow that waits for the outcome, or 0.
    void request(const std::string& reason, std::uint64_t answer = 0);

    // The present wait after a failed save is over: shutdown, or a person asks.
    void hurry();

    // A save must start now; it counts as running until on_saved or on_failed. None: nothing to do,
    // or one is running.
    struct Due {
        std::string reason;  // all of them, joined with ", "
    };
    std::optional<Due> due(common::Instant now);

    // The save that was running ended. Returns the answers that now are due. After a failure its
    // reasons are wanted again, after a wait.
    std::vector<std::uint64_t> on_saved();
    std::vector<std::uint64_t> on_failed(common::Instant now);

    // due() has nothing before then, unless something is requested. None while a save is running
    // or nothing will ever be due.
    std::optional<common::Instant> next_due() const;

    // What was saved should be read again now (Store::check): kCheckEvery after the last time, if
    // nothing else is to be done.
    static constexpr common::Millis kCheckEvery{6 * 3'600'000};
    bool check_due(common::Instant now);

    bool running() const { return running_; }
    // Nothing is running, wanted or waiting for another attempt.
    bool quiet() const { return !running_ && wanted_.empty(); }
    int failures() const { return failures_; }  // in a row

private:
    // What one save is for.
    struct Wishes {
        std::vector<std::string> reasons;
        std::size_t unnamed = 0;  // reasons too many to be named
        std::vector<std::uint64_t> answers;
        bool empty() const { return reasons.empty(); }
        void add(const std::string& reason);
    };

    common::Millis interval_;
    std::optional<common::Instant> next_auto_;
    common::Instant next_check_;
    Wishes wanted_;
    Wishes served_;  // by the save that is running
    bool running_ = false;
    int failures_ = 0;
    std::optional<common::Instant> retry_at_;
};

}  // namespace snapshotter
