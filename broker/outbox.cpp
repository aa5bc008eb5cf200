#include "broker/outbox.h"

#include <algorithm>
#include <utility>

namespace broker {
namespace {

using common::Instant;
using common::Millis;
using common::NodeId;

// How long a client may leave a data message unhandled before we count on its being handled. A
// client frozen for longer is the case that remains (docs/PROTOCOL.md).
constexpr Millis kHandledAfter{10'000};
// The same where a wrong guess costs no more than a Node too many or too few: see may_cross.
constexpr Millis kCrossing{2'000};
// From the client's kernel to where its timer sees it. After a freeze of the whole process its
// library may be slower with one connection than with the other: a few ticks more make up for that.
constexpr Millis kArrivalMargin{50};
constexpr std::uint64_t kTicksMore = 5;
// More empty Rights than this would be a flood of their own: then the command waits for
// kHandledAfter to thin them out.
constexpr std::uint64_t kEmptyRightsMax = 2'000;
// What a client of the framed generation reads of a connection in a tick.
constexpr std::uint64_t kBytesPerTick = 64 << 10;

const wire::Encoded& empty_right() {
    static const wire::Encoded message = wire::right({}, common::kOwnerCommon);
    return message;
}

}  // namespace

bool Outbox::note_data(const NodeId& id, const wire::Encoded& message, Instant now) {
    if (hold_ == Hold::All) {
        held_bytes_ += common::total_size(*message);
        held_data_.push_back(HeldData{id, message});
        return false;
    }
    ++data_queued_;
    const std::uint64_t bytes = common::total_size(*message);
    data_bytes_queued_ += bytes;
    forget_old(now);
    recent_.push_back(SentData{id, data_queued_, data_bytes_queued_, bytes, std::nullopt});
    last_number_[id] = data_queued_;
    return true;
}

void Outbox::data(const NodeId& id, const wire::Encoded& message, Instant now, Effects& effects) {
    if (note_data(id, message, now)) {
        effects.emplace_back(Send{{client_}, Channel::Data, message});
    }
}

void Outbox::graph_command(std::vector<NodeId> ids, const wire::Encoded& message, Instant now,
                           Effects& effects) {
    forget_old(now);
    held_bytes_ += common::total_size(*message);
    const std::uint64_t after = last_about(ids);
    held_commands_.push_back(HeldCommand{std::move(ids), message, after, std::nullopt});
    flush(now, effects);
}

void Outbox::command(const wire::Encoded& message, Effects& effects) {
    effects.emplace_back(Send{{client_}, Channel::Command, message});
    ++commands_queued_;
}

void Outbox::set_hold(Hold hold, Instant now, Effects& effects) {
    hold_ = hold;
    flush(now, effects);
}

void Outbox::on_arrived(Channel channel, std::uint64_t total, Instant now) {
    if (channel == Channel::Command) {
        commands_arrived_ = std::min(total, commands_queued_);
    } else {
        arrived_up_to(std::min(data_before_ + total, data_queued_), now);
    }
}

void Outbox::arrived_up_to(std::uint64_t number, Instant now) {
    while (data_arrived_ < number) {
        ++data_arrived_;
        if (!recent_.empty() && recent_.front().number <= data_arrived_) {
            recent_[data_arrived_ - recent_.front().number].arrived = now;
        }
    }
    for (HeldCommand& held : held_commands_) {
        if (!held.ready && held.after <= data_arrived_) {
            held.ready = now + kArrivalMargin;
        }
    }
}

void Outbox::on_opened(Channel channel, Instant now) {
    if (channel == Channel::Command) {
        commands_queued_ = 0;
        commands_arrived_ = 0;
        covered_ = 0;
    } else {
        data_before_ = data_queued_;
        arrived_up_to(data_queued_, now);
    }
}

bool Outbox::may_cross(const NodeId& id, Instant now) const {
    const auto entry = last_number_.find(id);
    if (entry != last_number_.end()) {
        const SentData& last = recent_[entry->second - recent_.front().number];
        return !last.arrived || now - *last.arrived < kCrossing;
    }
    return std::any_of(held_data_.begin(), held_data_.end(),
                       [&](const HeldData& held) { return held.id == id; });
}

void Outbox::pop_recent() {
    const auto entry = last_number_.find(recent_.front().id);
    if (entry != last_number_.end() && entry->second == recent_.front().number) {
        last_number_.erase(entry);
    }
    recent_.pop_front();
}

void Outbox::forget_old(Instant now) {
    while (!recent_.empty() && recent_.front().arrived &&
           now - *recent_.front().arrived > kHandledAfter) {
        pop_recent();
    }
}

std::uint64_t Outbox::last_about(const std::vector<NodeId>& ids) const {
    std::uint64_t last = 0;
    for (const NodeId& id : ids) {
        const auto entry = last_number_.find(id);
        if (entry != last_number_.end()) {
            last = std::max(last, entry->second);
        }
    }
    return last;
}

std::uint64_t Outbox::ticks_for(std::uint64_t first_number, std::uint64_t last_number) const {
    const std::uint64_t count = last_number - first_number + 1;
    if (generation_ == Generation::Zmtp) {
        return count;
    }
    // The numbers in recent_ have no gaps.
    const SentData& first = recent_[first_number - recent_.front().number];
    const SentData& last = recent_[last_number - recent_.front().number];
    return count + (last.end - first.end + first.bytes) / kBytesPerTick;
}

bool Outbox::flush_command(HeldCommand& held, Instant now, Effects& effects) {
    const std::uint64_t handled =
        recent_.empty() ? held.after : std::max(covered_, recent_.front().number - 1);
    if (held.after > handled) {
        if (!held.ready && held.after <= data_arrived_) {
            held.ready = now + kArrivalMargin;
        }
        const std::uint64_t count = ticks_for(handled + 1, held.after);
        if (!held.ready || now < *held.ready || count > kEmptyRightsMax) {
            return false;
        }
        for (std::uint64_t i = 0; i < count + kTicksMore; ++i) {
            command(empty_right(), effects);
        }
        covered_ = held.after;
    }
    command(held.message, effects);
    return true;
}

void Outbox::flush(Instant now, Effects& effects) {
    forget_old(now);
    while (hold_ != Hold::All && !held_data_.empty()) {
        const HeldData held = std::move(held_data_.front());
        held_data_.pop_front();
        held_bytes_ -= common::total_size(*held.message);
        data(held.id, held.message, now, effects);
        for (HeldCommand& command : held_commands_) {
            if (std::find(command.ids.begin(), command.ids.end(), held.id) != command.ids.end()) {
                command.after = data_queued_;
                command.ready.reset();
            }
        }
    }
    while (hold_ == Hold::Nothing && !held_commands_.empty() &&
           flush_command(held_commands_.front(), now, effects)) {
        held_bytes_ -= common::total_size(*held_commands_.front().message);
        held_commands_.pop_front();
    }
}

void Outbox::clear() {
    held_data_.clear();
    held_commands_.clear();
    held_bytes_ = 0;
}

}  // namespace broker
