#pragma once
// What takes long says how far it is (pure): after 2 s for the first time, then every 5 s, so that
// nobody takes a big save for a dead process, and small ones say nothing.

#include <cstdint>
#include <optional>
#include <string>

#include "common/ids.h"

namespace snapshotter {

struct SaveProgress {
    enum class Stage { Loading, GoingOn, Saving, Verifying, BackingUp, Checking };
    Stage stage{};
    std::uint64_t done = 0;  // bytes, or changes of the history, of `total`
    std::uint64_t total = 0;
};

// 0 to 100.
int percent(const SaveProgress& progress);

class ProgressLog {
public:
    static constexpr common::Millis kSilentMs{2'000};
    static constexpr common::Millis kEveryMs{5'000};

    // What is going on at `now`, nothing if nothing is; the line to log, if it is time for one:
    // "Saving: 34 %, 12 s", the seconds since it began.
    std::optional<std::string> at(const std::optional<SaveProgress>& progress, common::Instant now);

private:
    std::optional<common::Instant> began_;
    std::optional<common::Instant> said_;
};

}  // namespace snapshotter
