#include "common/progress.h"

#include <algorithm>
#include <utility>

namespace common {

TellDone telling(TellProgress tell, std::string what) {
    if (!tell) {
        return {};
    }
    return
        [tell = std::move(tell), what = std::move(what)](std::uint64_t done, std::uint64_t total) {
            tell({what, done, total});
        };
}

int percent(const Progress& progress) {
    if (progress.total == 0) {
        return 0;
    }
    const double part = static_cast<double>(progress.done) / static_cast<double>(progress.total);
    return static_cast<int>(std::clamp(part, 0.0, 1.0) * 100);
}

std::optional<std::string> ProgressLog::at(const std::optional<Progress>& progress, Instant now) {
    if (!progress) {
        began_.reset();
        said_.reset();
        return std::nullopt;
    }
    if (!began_) {
        began_ = now;
    }
    if (now - *began_ < kSilentMs || (said_ && now - *said_ < kEveryMs)) {
        return std::nullopt;
    }
    said_ = now;
    return progress->what + ": " + std::to_string(percent(*progress)) + " %, " +
           std::to_string((now - *began_).count() / 1000) + " s";
}

}  // namespace common
