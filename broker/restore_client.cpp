#include "broker/restore_client.h"

#include <algorithm>
#include <utility>

namespace broker {

using common::Instant;
using common::Lineage;
using common::Millis;
using common::Position;
using common::Result;
using common::Whole;
using common::feed::Holding;
using common::feed::Piece;

namespace {

constexpr Millis kWaitForOthers{3000};
constexpr Millis kSilenceMax{5000};

bool has_session(const Offer& offer) {
    return offer.holding && offer.holding->initialised;
}

bool contains_all(const Holding& holding, const std::vector<Offer>& offers) {
    return std::all_of(offers.begin(), offers.end(), [&](const Offer& other) {
        return !has_session(other) ||
               contains(holding.lineage, holding.position, other.holding->position);
    });
}

bool is_newer(const Holding& a, const Holding& b) {
    return std::pair(number(a.last_mutation), number(a.position.seq)) >
           std::pair(number(b.last_mutation), number(b.position.seq));
}

}  // namespace

bool contains(const Lineage& lineage, const Position& end, const Position& position) {
    if (position == Position{}) {
        return true;
    }
    const auto entry = std::find_if(lineage.begin(), lineage.end(),
                                    [&](const auto& one) { return one.epoch == position.epoch; });
    if (entry == lineage.end() || position.seq < entry->parent.seq) {
        return false;
    }
    if (position.seq == entry->parent.seq && position.chain != entry->parent.chain) {
        return false;
    }
    // Where the history left that epoch, or stands now.
    const auto after = std::next(entry);
    const Position& left = after == lineage.end() ? end : after->parent;
    return position.seq < left.seq || position == left;
}

Choice choose_offer(const std::vector<Offer>& offers) {
    Choice choice;
    for (std::size_t i = 0; i < offers.size(); ++i) {
        if (has_session(offers[i]) && contains_all(*offers[i].holding, offers)) {
            choice.chosen = i;
            return choice;
        }
    }
    for (std::size_t i = 0; i < offers.size(); ++i) {
        if (has_session(offers[i]) &&
            (!choice.chosen || is_newer(*offers[i].holding, *offers[*choice.chosen].holding))) {
            choice.chosen = i;
            choice.forked = true;
        }
    }
    return choice;
}

void RestoreClient::on_offer(Offer offer, Instant now) {
    if (!first_offer_) {
        first_offer_ = now;
    }
    lost_.erase(offer.name);
    const auto known = std::find_if(offers_.begin(), offers_.end(), [&](const Offer& one) {
        return one.peer == offer.peer || one.name == offer.name;
    });
    if (known == offers_.end()) {
        offers_.push_back(std::move(offer));
        return;
    }
    if (known->peer != offer.peer && asked_ == known->peer) {  // it was started again meanwhile
        asked_.reset();
        receiver_.reset();
    }
    *known = std::move(offer);
}

RestoreClient::Step RestoreClient::on_tick(Instant now) {
    if (asked_) {
        if (now - last_piece_ < kSilenceMax) {
            return std::monostate{};
        }
        drop_offer(*asked_);
    }
    if (offers_.empty() ||
        (offers_.size() < offers_wanted_ && now - *first_offer_ < kWaitForOthers)) {
        return std::monostate{};
    }
    const Choice choice = choose_offer(offers_);
    if (!choice.chosen) {
        return lost_.empty() ? Step{Fresh{}} : Step{};
    }
    const Offer& chosen = offers_[*choice.chosen];
    asked_ = chosen.peer;
    last_piece_ = now;
    const std::uint64_t stream = next_stream_++;
    receiver_.emplace(stream);
    return Ask{chosen.peer, chosen.name, stream, choice.forked};
}

Result<std::optional<Whole>> RestoreClient::on_piece(const PeerId& from, Piece piece, Instant now) {
    if (asked_ != from || !receiver_ || piece.stream != receiver_->stream()) {
        return std::nullopt;
    }
    last_piece_ = now;
    auto received = receiver_->on_piece(std::move(piece));
    if (!received) {
        drop_offer(from);
        return received;
    }
    if (*received && !(*received)->graph.initialised) {
        drop_offer(from);
        return common::bad_input("the graph it gave is not a session");
    }
    if (*received) {
        reset();
    }
    return received;
}

std::optional<common::Progress> RestoreClient::progress() const {
    if (!receiver_) {
        return std::nullopt;
    }
    return common::Progress{"Restoring the session", receiver_->nodes_received(),
                            receiver_->nodes()};
}

void RestoreClient::on_lost(const PeerId& peer) {
    drop_offer(peer);
}

void RestoreClient::reset() {
    asked_.reset();
    receiver_.reset();
    offers_.clear();
    lost_.clear();
    first_offer_.reset();
}

void RestoreClient::drop_offer(PeerId peer) {
    if (asked_ == peer) {
        asked_.reset();
        receiver_.reset();
    }
    const auto known = std::find_if(offers_.begin(), offers_.end(),
                                    [&](const Offer& one) { return one.peer == peer; });
    if (known == offers_.end()) {
        return;
    }
    if (has_session(*known)) {
        lost_.insert(known->name);
    }
    offers_.erase(known);
}

}  // namespace broker
