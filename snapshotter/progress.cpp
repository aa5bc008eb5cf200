#include "snapshotter/progress.h"

#include <algorithm>

namespace snapshotter {

using common::Instant;

namespace {

const char* name_of(SaveProgress::Stage stage) {
    switch (stage) {
        case SaveProgress::Stage::Loading:
            return "Loading the session";
        case SaveProgress::Stage::GoingOn:
            return "Applying the history";
        case SaveProgress::Stage::Saving:
            return "Saving";
        case SaveProgress::Stage::Verifying:
            return "Saving, reading back";
        case SaveProgress::Stage::BackingUp:
            return "Saving, writing the backup";
        case SaveProgress::Stage::Checking:
            return "Reading again what was saved";
    }
    return "";
}

}  // namespace

int percent(const SaveProgress& progress) {
    if (progress.total == 0) {
        return 0;
    }
    const double part = static_cast<double>(progress.done) / static_cast<double>(progress.total);
    return static_cast<int>(std::clamp(part, 0.0, 1.0) * 100);
}

std::optional<std::string> ProgressLog::at(const std::optional<SaveProgress>& progress,
                                           Instant now) {
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
    return std::string(name_of(progress->stage)) + ": " + std::to_string(percent(*progress)) +
           " %, " + std::to_string((now - *began_).count() / 1000) + " s";
}

}  // namespace snapshotter
