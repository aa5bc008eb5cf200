#include "tests/support/sim_broker.h"

#include <utility>
#include <variant>

#include "common/limits.h"

namespace support {

using common::Instant;
using common::Millis;
using common::feed::BrokerState;

namespace {

constexpr Millis kStopWait{10'000};

}  // namespace

common::WallTime sim_wall(Instant now) {
    return common::WallTime{1'763'894'520'000 + now.time_since_epoch().count()};
}

SimBroker::SimBroker(Rim& rim, std::mt19937_64& random, GraphGen& gen, std::size_t ring_bytes,
                     std::size_t offers)
    : rim_(rim),
      random_(random),
      gen_(gen),
      publisher_(ring_bytes),
      run_(random_()),
      packets_(run_),
      resync_(publisher_, offers, run_) {}

void SimBroker::edit(Instant now) {
    if (state_ == BrokerState::Waiting) {
        state_ = BrokerState::Uploading;
        to_upload_ = 5 + random_() % 30;
    } else if (state_ == BrokerState::Uploading) {
        if (chance(40)) {
            apply(common::Cleared{}, now);
            state_ = BrokerState::Waiting;
        } else if (to_upload_ > 0) {
            --to_upload_;
            apply(gen_.upload(1).front(), now);
        } else {
            apply(common::Initialised{common::Timeline{number(publisher_.position().epoch)}}, now);
            state_ = BrokerState::Active;
        }
    } else if (state_ == BrokerState::Active) {
        for (std::uint64_t i = random_() % 5; i > 0; --i) {
            apply(gen_.next(), now);
        }
    }
    flush();
}

bool SimBroker::on_link(const broker::PeerId& from, const common::feed::Frames& frames,
                        Instant now) {
    auto message = common::feed::decode_link(frames);
    if (!message) {
        return false;
    }
    broker::LinkEffects effects;
    resync_.on_link(from, std::move(*message), state_, graph_, now, effects);
    perform(std::move(effects), now);
    flush();
    return true;
}

void SimBroker::tick(Instant now) {
    broker::LinkEffects effects;
    resync_.on_tick(state_, graph_, now, effects);
    perform(std::move(effects), now);
    if (now >= next_beat_) {
        next_beat_ = now + Millis{common::limits::kBeatMs};
        beat(chance(8));
    }
    flush();
}

void SimBroker::stop(Instant now) {
    asked_to_stop_ = now;
    if (!publisher_.started()) {
        return;
    }
    state_ = BrokerState::Stopping;
    beat(false);
    state_ = BrokerState::Stopped;
    beat(true);
}

bool SimBroker::over(Instant now) const {
    if (!asked_to_stop_) {
        return false;
    }
    const auto durable = resync_.durable();
    return !publisher_.started() || !graph_.initialised() || now - *asked_to_stop_ >= kStopWait ||
           (durable && durable->seq >= publisher_.position().seq);
}

void SimBroker::beat(bool mark) {
    common::feed::Beat beat{publisher_.position(), state_, std::nullopt, run_};
    if (mark) {
        beat.digest = graph_.digest();
    }
    flush();
    rim_.to_feed(common::feed::encode(common::feed::FeedMessage{beat}));
}

void SimBroker::publish(const common::feed::Frames& record) {
    std::vector<common::feed::Packet> full;
    packets_.add(record, full);
    for (common::feed::Packet& packet : full) {
        rim_.to_feed(common::feed::encode(std::move(packet)));
    }
}

void SimBroker::flush() {
    if (auto packet = packets_.flush()) {
        rim_.to_feed(common::feed::encode(std::move(*packet)));
    }
}

void SimBroker::apply(const common::Mutation& mutation, Instant now) {
    if (graph_.apply(mutation)) {
        const auto& frames = publisher_.publish(mutation, "ada", sim_wall(now));
        rim_.on_record();
        publish(frames);
    }
}

void SimBroker::perform(broker::LinkEffects effects, Instant now) {
    for (broker::LinkEffect& effect : effects) {
        if (const auto* send = std::get_if<broker::LinkSend>(&effect)) {
            if (!rim_.to_link(send->to, common::feed::encode(send->message))) {
                resync_.on_unreachable(send->to);
            }
        } else if (auto* restored = std::get_if<broker::RestoredGraph>(&effect)) {
            perform(*restored, now);
        } else if (std::holds_alternative<broker::StartFresh>(effect)) {
            rim_.on_fresh();
            state_ = BrokerState::Waiting;
            const auto& frames = publisher_.start(common::Epoch{random_()}, {}, {}, sim_wall(now));
            rim_.on_record();
            publish(frames);
        } else if (std::holds_alternative<broker::PublishMark>(effect)) {
            beat(true);
        } else {
            rim_.on_log(std::get<broker::LinkLog>(effect));
        }
    }
}

void SimBroker::perform(broker::RestoredGraph& got, Instant now) {
    rim_.on_restored(got);
    const common::feed::Holding holding = got.whole.holding;
    graph_ = common::Graph(std::move(got.whole.graph));
    state_ = BrokerState::Active;
    const auto& frames = publisher_.start(common::Epoch{random_()}, holding.position,
                                          holding.lineage, sim_wall(now), holding.last_mutation);
    rim_.on_record();
    publish(frames);
    // As the real one: nobody is here any more.
    apply(common::SetOwner{graph_.ids_not_owned_by(common::kOwnerCommon), common::kOwnerCommon},
          now);
}

}  // namespace support
