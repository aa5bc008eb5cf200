#pragma once
// What takes long says how far it is (pure): after 2 s for the first time, then every 5 s, so that
// nobody takes a big save for a dead process, and small ones say nothing.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "common/ids.h"

namespace common {

struct Progress {
    std::string what;        // "Saving"
    std::uint64_t done = 0;  // bytes, nodes or changes, of `total`
    std::uint64_t total = 0;
};

// For what does the work: called all the time, with how far it is.
using TellProgress = std::function<void(const Progress&)>;
using TellDone = std::function<void(std::uint64_t done, std::uint64_t total)>;
// Empty if `tell` is: nobody wants to know.
TellDone telling(TellProgress tell, std::string what);

// 0 to 100.
int percent(const Progress& progress);

class ProgressLog {
public:
    static constexpr Millis kSilentMs{2'000};
    static constexpr Millis kEveryMs{5'000};

    // What is going on at `now`, nothing if nothing is; the line to log, if it is time for one:
    // "Saving: 34 %, 12 s", the seconds since it began.
    std::optional<std::string> at(const std::optional<Progress>& progress, Instant now);

private:
    std::optional<Instant> began_;
    std::optional<Instant> said_;
};

}  // namespace common
