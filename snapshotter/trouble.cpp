#include "snapshotter/trouble.h"

#include <utility>

namespace snapshotter {

using common::Instant;

std::optional<std::string> Trouble::on_failed(const std::string& cause, Instant now) {
    if (!since_) {
        since_ = now;
    }
    // Between this attempt and the next one: a probe that works from the beginning does not see
    // the cause, and says nothing about it.
    probe_failed_ = false;
    probed_ = now;
    if (said_ == cause && now - said_at_ < kSayEveryMs) {
        return std::nullopt;
    }
    said_ = cause;
    said_at_ = now;
    std::string line = cause + ". The session goes on in memory and the last save stays as it is";
    if (now > *since_) {
        line += "; nothing could be saved for " + std::to_string((now - *since_).count() / 1000) +
                " s now";
    }
    return line;
}

std::optional<std::string> Trouble::on_saved(Instant now) {
    if (!since_) {
        return std::nullopt;
    }
    const auto lasted = (now - *std::exchange(since_, std::nullopt)).count() / 1000;
    said_.clear();
    probe_failed_ = false;
    return "Saving works again, after " + std::to_string(lasted) + " s";
}

bool Trouble::wants_probe(Instant now) {
    if (!since_ || probing_ || now - probed_ < kProbeEveryMs) {
        return false;
    }
    probed_ = now;
    probing_ = true;
    return true;
}

bool Trouble::on_probe(bool works) {
    probing_ = false;
    if (!works) {
        probe_failed_ = true;
        return false;
    }
    return since_.has_value() && std::exchange(probe_failed_, false);
}

}  // namespace snapshotter
