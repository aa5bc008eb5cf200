#pragma once
// The two clocks, read by loops only: everything below a loop gets the time as an argument.

#include <chrono>

#include "common/ids.h"

namespace common::io {

inline Instant instant_now() {
    return std::chrono::time_point_cast<Millis>(std::chrono::steady_clock::now());
}

inline WallTime wall_now() {
    const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
    return WallTime{std::chrono::duration_cast<Millis>(since_1970).count()};
}

}  // namespace common::io
