#include "broker/durability.h"

namespace broker {

using common::Instant;
using common::Millis;
using common::Position;

Durability::Says Durability::on_turn(const Position& position,
                                     const std::optional<Position>& durable, bool counts,
                                     Instant now) {
    if (!counts || position.epoch != seen_.epoch) {
        waiting_.clear();  // a session that was restored late takes the place of the one before
    }
    if (counts && (position.seq != seen_.seq || position.epoch != seen_.epoch)) {
        if (waiting_.empty() ||
            (waiting_.size() < kMarksMax && now - waiting_.back().since >= kGrain)) {
            waiting_.push_back({position.seq, now});
        }
        waiting_.back().last = position.seq;
    }
    seen_ = position;
    while (durable && !waiting_.empty() && waiting_.front().last <= durable->seq) {
        waiting_.pop_front();
    }
    return watch_.on_age(age(now), now);
}

std::optional<Millis> Durability::age(Instant now) const {
    return waiting_.empty() ? std::nullopt : std::optional(now - waiting_.front().since);
}

}  // namespace broker
