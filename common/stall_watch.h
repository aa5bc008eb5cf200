#pragma once
// Says when something has been waiting for too long, and when it does not any more (pure). A stall
// is said at once and then once a minute, its end once.

#include <optional>

#include "common/ids.h"

namespace common {

class StallWatch {
public:
    enum class Says { Nothing, Stalled, Recovered };
    static constexpr Millis kSayEvery{60'000};
    explicit StallWatch(Millis patience) : patience_(patience) {}

    // `age`: for how long it has been waiting; none: nothing waits.
    Says on_age(std::optional<Millis> age, Instant now);

private:
    Millis patience_;
    std::optional<Instant> said_;
};

}  // namespace common
