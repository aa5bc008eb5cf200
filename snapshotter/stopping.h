#pragma once
// How the snapshotter ends (pure). Asked to stop, it first hears the broker out, because both are
// often stopped at once and in either order; then it saves; then it leaves.
//
//   running ──ask()──▶ listening ──heard_all()──▶ saving ──▶ over
//
// It listens until the broker's final position is reached. Without a broker, or without word that
// the broker is stopping too, it listens for kListenMs; to a broker that says it is stopping, as
// long as that lives. Saving is tried until it works, but for kSavePatienceMs at most once it has
// failed: the process must end some day, and says with its exit code how.

#include <optional>

#include "common/ids.h"

namespace snapshotter {

class Stopping {
public:
    static constexpr common::Millis kListenMs{2'000};
    static constexpr common::Millis kSavePatienceMs{15'000};

    // What the mirror says of the broker.
    void on_broker_back() { broker_ = Broker::Present; }
    void on_broker_lost() { broker_ = Broker::Absent; }
    void on_broker_stopping() { broker_ = Broker::Stopping; }
    void on_broker_stopped() { broker_ = Broker::Stopped; }

    void ask(common::Instant now) {
        if (!asked_) {
            asked_ = now;
        }
    }
    bool asked() const { return asked_.has_value(); }

    // True once, when it is time for the last save.
    bool start_save(common::Instant now);
    bool saving() const { return save_started_.has_value(); }
    void on_save_failed(common::Instant now);
    // The last save has failed for too long.
    bool give_up(common::Instant now) const;

private:
    enum class Broker { Unknown, Present, Absent, Stopping, Stopped };
    bool heard_all(common::Instant now) const;

    Broker broker_ = Broker::Unknown;
    std::optional<common::Instant> asked_;
    std::optional<common::Instant> save_started_;
    std::optional<common::Instant> first_failure_;
};

}  // namespace snapshotter
