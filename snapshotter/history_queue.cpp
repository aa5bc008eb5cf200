#include "snapshotter/history_queue.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "common/verify.h"

namespace snapshotter {

using common::Instant;
using common::Millis;
using common::Position;

namespace {

// After a failure.
constexpr Millis kRetryAfter{1'000};

// What a row costs beside its frames, about.
constexpr std::size_t kRowBytes = 300;

}  // namespace

HistoryQueue::HistoryQueue(HistoryQueueOptions options, std::optional<HistoryBase> base)
    : options_(options) {
    if (base) {
        push_base(*base);
    }
}

// ---- What comes in -----------------------------------------------------------------------------

void HistoryQueue::push_base(const HistoryBase& base) {
    items_.push_back({.begin = base, .row = {}, .bytes = 0, .arrived = {}});
    last_ = base.position;
}

void HistoryQueue::add(AppliedRecord record, Instant now) {
    const auto* start = std::get_if<common::EpochStarted>(&record.record.mutation);
    if (start != nullptr && start->parent == Position{} && last_ != Position{}) {
        if (held_) {
            drop_all();
            held_ = false;
        }
        push_base(HistoryBase{});  // a session from nothing
    }
    const bool goes_on =
        last_ && record.position.seq == next(last_->seq) &&
        (start != nullptr ? start->parent == *last_ : record.position.epoch == last_->epoch);
    if (!goes_on) {
        if (last_) {
            wants_save_ = HistoryStop::Behind;
        }
        wait_for_save();
        missed_ = missed_.value_or(now);
        return;
    }
    Item item;
    item.bytes = common::total_size(record.frames) + kRowBytes;
    item.row = {record.position, std::move(record.record), std::move(record.frames)};
    item.arrived = now;
    last_ = item.row.position;
    bytes_ += item.bytes;
    items_.push_back(std::move(item));
    if (bytes_ > options_.bytes_max) {
        wait_for_save();
        wants_save_ = HistoryStop::Behind;
    }
}

void HistoryQueue::on_replaced(const Position& position) {
    if (last_ != position) {
        wait_for_save();
    }
}

void HistoryQueue::save_begins(const HistoryBase& base) {
    if (flowing() || base.position == Position{}) {
        return;
    }
    drop_all();
    push_base(base);
    held_ = true;
}

void HistoryQueue::save_ended(bool in_place) {
    if (!held_) {
        return;
    }
    held_ = false;
    if (in_place) {
        missed_.reset();
    } else {
        wait_for_save();
    }
}

std::optional<HistoryStop> HistoryQueue::wants_save() {
    return std::exchange(wants_save_, std::nullopt);
}

void HistoryQueue::wait_for_save() {
    drop_all();
    last_.reset();
    held_ = false;
}

void HistoryQueue::drop_all() {
    for (const Item& item : items_) {
        if (!item.begin && !group_) {
            missed_ = missed_.value_or(item.arrived);
        }
    }
    if (group_) {
        missed_ = missed_.value_or(group_->arrived);
    }
    items_.clear();
    bytes_ = 0;
    group_.reset();
    retry_at_.reset();
}

// ---- What goes out -----------------------------------------------------------------------------

bool HistoryQueue::is_enough() const {
    const std::size_t bytes =
        static_cast<std::size_t>(options_.delay.count()) * options_.enough_bytes_per_ms;
    return bytes_ >= std::min(bytes, options_.group_bytes) || items_.size() >= options_.group_rows;
}

std::optional<Instant> HistoryQueue::next_due() const {
    if (group_) {
        return retry_at_;  // none: it is being written
    }
    const auto first = std::find_if(items_.begin(), items_.end(),
                                    [](const Item& item) { return !item.begin.has_value(); });
    if (held_ || first == items_.end()) {
        return std::nullopt;
    }
    return hurrying_ || is_enough() ? first->arrived : first->arrived + options_.delay;
}

std::shared_ptr<const HistoryGroup> HistoryQueue::take(Instant now) {
    const auto due = next_due();
    if (!due || (*due > now && !hurrying_)) {
        return nullptr;
    }
    if (group_) {
        retry_at_.reset();
        return group_;
    }
    auto group = std::make_shared<HistoryGroup>();
    group->rows.reserve(std::min(items_.size(), options_.group_rows));
    while (!items_.empty() && group->bytes < options_.group_bytes &&
           group->rows.size() < options_.group_rows) {
        Item& item = items_.front();
        if (item.begin && !group->rows.empty()) {
            break;
        }
        if (item.begin) {
            group->begin = std::move(item.begin);
        } else {
            if (group->rows.empty()) {
                group->arrived = item.arrived;
            }
            group->bytes += item.bytes;
            group->last = item.row.position;
            group->rows.push_back(std::move(item.row));
        }
        items_.pop_front();
    }
    VERIFY(!group->rows.empty());
    group_ = std::move(group);
    return group_;
}

std::optional<Position> HistoryQueue::ended(const HistoryGroup& group,
                                            const common::Result<void>& outcome, Instant now) {
    if (outcome) {
        return committed(group);
    }
    if (outcome.error().kind == common::ErrorKind::NotFound) {
        lost(group);
    } else {
        failed(group, now);
    }
    return std::nullopt;
}

std::optional<Position> HistoryQueue::committed(const HistoryGroup& group) {
    if (group_.get() != &group) {
        return std::nullopt;
    }
    bytes_ -= group.bytes;
    const Position last = group.last;
    group_.reset();
    return last;
}

void HistoryQueue::failed(const HistoryGroup& group, Instant now) {
    if (group_.get() == &group) {
        retry_at_ = now + kRetryAfter;
    }
}

void HistoryQueue::lost(const HistoryGroup& group) {
    if (group_.get() == &group) {
        wait_for_save();
        wants_save_ = HistoryStop::Removed;
    }
}

std::optional<Millis> HistoryQueue::age(Instant now) const {
    std::optional<Instant> oldest = missed_;
    if (!oldest && group_) {
        oldest = group_->arrived;
    }
    for (std::size_t i = 0; !oldest && i < items_.size(); ++i) {
        if (!items_[i].begin) {
            oldest = items_[i].arrived;
        }
    }
    return oldest ? std::optional(now - *oldest) : std::nullopt;
}

}  // namespace snapshotter
