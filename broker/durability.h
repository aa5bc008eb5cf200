#pragma once
// For how long changes have been waiting to be called durable by a snapshotter, and when to say so
// (pure). Told at each turn how far the session is and how far it is durable.

#include <cstddef>
#include <deque>
#include <optional>

#include "common/ids.h"
#include "common/stall_watch.h"

namespace broker {

class Durability {
public:
    // One look. `durable`: none if no snapshotter has said anything. `counts`: false while there is
    // nothing that could be lost; then nothing waits. Stalled: something has waited for kPatience.
    using Says = common::StallWatch::Says;
    static constexpr common::Millis kPatience{5'000};
    Says on_turn(const common::Position& position, const std::optional<common::Position>& durable,
                 bool counts, common::Instant now);

    // Of the oldest change that is not durable; none: all are. Exact to kGrain while little waits;
    // later, after a stall, it may be too high by the length of the stall, never too low.
    std::optional<common::Millis> age(common::Instant now) const;

private:
    // Changes up to `last` came from `since` on.
    struct Mark {
        common::Seq last;
        common::Instant since;
    };
    static constexpr common::Millis kGrain{10};
    static constexpr std::size_t kMarksMax = 1'000;

    common::Position seen_;
    std::deque<Mark> waiting_;
    common::StallWatch watch_{kPatience};
};

}  // namespace broker
