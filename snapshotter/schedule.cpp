#include "snapshotter/schedule.h"

#include <algorithm>
#include <utility>

#include "common/verify.h"

namespace snapshotter {

using common::Instant;
using common::Millis;

namespace reasons {

std::string user_disconnect(const common::UserName& name) {
    return "user_disconnect:" + name;
}

std::string manual(const std::string& text) {
    return text.empty() ? "manual" : "manual:" + text;
}

}  // namespace reasons

namespace {

constexpr std::size_t kReasonsNamedMax = 20;
constexpr int kDoublingsMax = 5;  // 1 s, 2, 4, 8, 16, 30
constexpr Millis kRetryMax{30'000};

Millis retry_wait(int failures) {
    const int doublings = std::min(failures - 1, kDoublingsMax);
    return std::min(Millis{1000} * (1 << doublings), kRetryMax);
}

}  // namespace

void Schedule::Wishes::add(const std::string& reason) {
    if (std::find(reasons.begin(), reasons.end(), reason) != reasons.end()) {
        return;
    }
    if (reasons.size() < kReasonsNamedMax) {
        reasons.push_back(reason);
    } else {
        ++unnamed;
    }
}

Schedule::Schedule(Millis interval, Instant now)
    : interval_(interval), next_check_(now + kCheckEvery) {
    if (interval > Millis::zero()) {
        next_auto_ = now + interval;
    }
}

void Schedule::request(const std::string& reason, std::uint64_t answer) {
    wanted_.add(reason);
    if (answer != 0) {
        wanted_.answers.push_back(answer);
    }
}

void Schedule::hurry() {
    retry_at_.reset();
}

std::optional<Schedule::Due> Schedule::due(Instant now) {
    if (next_auto_ && now >= *next_auto_) {
        wanted_.add(reasons::kAutoSave);
        // In step with the first one; what was missed is not made up for.
        next_auto_ = *next_auto_ + interval_ * ((now - *next_auto_) / interval_ + 1);
    }
    if (running_ || wanted_.empty() || (retry_at_ && now < *retry_at_)) {
        return std::nullopt;
    }
    running_ = true;
    served_ = std::exchange(wanted_, {});
    Due due;
    for (const std::string& reason : served_.reasons) {
        due.reason += (due.reason.empty() ? "" : ", ") + reason;
    }
    if (served_.unnamed > 0) {
        due.reason += " and " + std::to_string(served_.unnamed) + " more";
    }
    return due;
}

std::vector<std::uint64_t> Schedule::on_saved() {
    VERIFY(running_);
    running_ = false;
    failures_ = 0;
    retry_at_.reset();
    return std::exchange(served_, {}).answers;
}

std::vector<std::uint64_t> Schedule::on_failed(Instant now) {
    VERIFY(running_);
    running_ = false;
    ++failures_;
    retry_at_ = now + retry_wait(failures_);
    Wishes later = std::exchange(wanted_, std::exchange(served_, {}));
    for (const std::string& reason : later.reasons) {
        wanted_.add(reason);
    }
    wanted_.unnamed += later.unnamed;
    return std::exchange(wanted_.answers, std::move(later.answers));
}

bool Schedule::check_due(Instant now) {
    if (now < next_check_ || !quiet()) {
        return false;
    }
    next_check_ = now + kCheckEvery;
    return true;
}

std::optional<Instant> Schedule::next_due() const {
    if (running_) {
        return std::nullopt;
    }
    if (!wanted_.empty()) {
        return retry_at_.value_or(Instant{});
    }
    return next_auto_;
}

}  // namespace snapshotter
