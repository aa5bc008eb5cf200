#include "common/stall_watch.h"

#include <utility>

namespace common {

StallWatch::Says StallWatch::on_age(std::optional<Millis> age, Instant now) {
    if (!age || *age < patience_) {
        return std::exchange(said_, std::nullopt) ? Says::Recovered : Says::Nothing;
    }
    if (said_ && now - *said_ < kSayEvery) {
        return Says::Nothing;
    }
    said_ = now;
    return Says::Stalled;
}

}  // namespace common
