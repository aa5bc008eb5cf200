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
// From "handed to the kernel" to "readable at the client".
constexpr Millis kArrivalMargin{50};
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
    recent_.push_back(SentData{id, data_queued_, data_bytes_queued_, bytes, now});
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

void Outbox::on_sent(Channel channel, std::uint64_t total, Instant now) {
    if (channel == Channel::Command) {
        commands_sent_ = std::min(total, commands_queued_);
        return;
    }
    data_sent_ = std::min(total, data_queued_);
    for (HeldCommand& held : held_commands_) {
        if (!held.ready && held.after <= data_sent_) {
            held.ready = now + kArrivalMargin;
        }
    }
}

void Outbox::on_opened(Channel channel) {
    if (channel == Channel::Command) {
        commands_queued_ = 0;
        commands_sent_ = 0;
        return;
    }
    data_queued_ = 0;
    data_bytes_queued_ = 0;
    data_sent_ = 0;
    recent_.clear();
    last_number_.clear();
    for (HeldCommand& held : held_commands_) {
        held.after = 0;
    }
}

void Outbox::pop_recent() {
    const auto entry = last_number_.find(recent_.front().id);
    if (entry != last_number_.end() && entry->second == recent_.front().number) {
        last_number_.erase(entry);
    }
    recent_.pop_front();
}

void Outbox::forget_old(Instant now) {
    while (!recent_.empty() && now - recent_.front().time > kHandledAfter &&
           recent_.front().number <= data_sent_) {
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

std::uint64_t Outbox::ticks_until_handled(std::uint64_t number) const {
    const SentData& first = recent_.front();
    const std::uint64_t count = number - first.number + 1;
    if (generation_ == Generation::Zmtp) {
        return count;
    }
    // The numbers in recent_ have no gaps.
    const SentData& last = recent_[static_cast<std::size_t>(count - 1)];
    return count + (last.end - first.end + first.bytes) / kBytesPerTick;
}

bool Outbox::flush_command(HeldCommand& held, Instant now, Effects& effects) {
    const bool unhandled = !recent_.empty() && recent_.front().number <= held.after;
    if (unhandled) {
        if (!held.ready && held.after <= data_sent_) {
            held.ready = now + kArrivalMargin;
        }
        const std::uint64_t count = ticks_until_handled(held.after);
        if (!held.ready || now < *held.ready || count > kEmptyRightsMax) {
            return false;
        }
        for (std::uint64_t i = 0; i < count; ++i) {
            command(empty_right(), effects);
        }
        // Behind these the client has handled all data up to `after`.
        while (!recent_.empty() && recent_.front().number <= held.after) {
            pop_recent();
        }
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
