#include "broker/loop.h"

#include <array>
#include <utility>

#include "broker/status.h"
#include "common/io/clock.h"
#include "common/io/random.h"
#include "common/limits.h"
#include "common/verify.h"

namespace broker {
namespace {

using common::Instant;
using common::Millis;
using common::feed::BrokerState;

constexpr Millis kBeat{common::limits::kBeatMs};
constexpr Millis kBusyTick{10};
constexpr Millis kIdleTick{100};
constexpr Millis kStatusEvery{1000};
constexpr Millis kUnprotectedEvery{60'000};
// With --allow-unprotected, a snapshotter that is there gets this chance to offer what it has.
constexpr Millis kUnprotectedWait{3'000};
// At the end: what clients have sent is read for at most this long; then their last words may take
// as long to leave.
constexpr Millis kDrainMax{2'000};
constexpr Millis kLastWords{2'000};
// A client of the framed generation whose heartbeat connection ends says 'Server lost' before it
// reads why it has to go. Blender may be busy for a while.
constexpr Millis kHeartbeatAfterLastWords{60'000};
// So many turns without anything to read, and all that had been sent is taken.
constexpr std::size_t kQuietTurns = 3;
constexpr std::size_t kLinkMessagesPerTurn = 200;
// So few that what a turn works on stays in the processor's cache until it is relayed.
constexpr std::size_t kClientMessagesPerTurn = 256;
// About two milliseconds of work.
constexpr std::size_t kTidyBytesPerTurn = 512 << 10;
// The cause of lines about what comes on the link, where nobody has an address.
constexpr const char* kTheLink = "the link";

SessionOptions session_options(const common::Settings& settings) {
    SessionOptions options;
    options.admin_password = settings.admin_password;
    options.server_password = settings.server_password;
    options.timeout = settings.timeout;
    options.login_attempts = settings.login_attempts;
    options.held_bytes_max = settings.client_queue_bytes_max;
    return options;
}

common::LogLevel log_level(Log::Level level) {
    switch (level) {
        case Log::Level::Debug:
            return common::LogLevel::Debug;
        case Log::Level::Info:
            return common::LogLevel::Info;
        case Log::Level::Warning:
            return common::LogLevel::Warning;
        case Log::Level::Error:
            return common::LogLevel::Error;
    }
    return common::LogLevel::Error;
}

}  // namespace

Loop::Loop(const common::Settings& settings, common::Log& log, common::io::Signals& signals,
           Listener& listener, common::io::ZmqSocket& feed, common::io::ZmqSocket& link,
           common::io::HttpServer* http)
    : settings_(settings),
      log_(log),
      signals_(signals),
      listener_(listener),
      feed_(feed),
      link_(link),
      http_(http),
      run_(common::io::random_id()),
      publisher_(common::limits::kRingBytesMax),
      resync_(publisher_, settings.snapshotters, run_),
      session_(session_options(settings)),
      feed_sender_(run_, [this](const common::feed::FeedMessage& message) { feed_send(message); }) {
}

common::Result<Loop::End> Loop::run() {
    started_ = common::io::instant_now();
    write(Log::Level::Info, "Waiting for the snapshotter, to go on from the saved session");
    while (!end_) {
        std::array<common::io::PollItem, 3> items;
        items[0].descriptor = signals_.descriptor();
        items[1].socket = &link_;
        items[2].descriptor = listener_.epoll_descriptor();
        TRY(common::io::poll(items, wait_for()));
        turn(common::io::instant_now());
    }
    return *end_;
}

Millis Loop::wait_for() const {
    if (listener_.pending() || mark_wanted_) {
        return Millis{0};
    }
    return session_.wants_ticks() || shutdown_ ? kBusyTick : kIdleTick;
}

void Loop::turn(Instant now) {
    take_signals(now);
    take_link(now);
    take_clients(now);
    tick(now);
    prepare_mark();
    tidying_.on_turn(session_.graph(), now);
    listener_.flush(feed_sender_.flush(), now);
    report_arrived(now);
    look_at_durability(now);
    if (shutdown_) {
        end_ = continue_shutdown(now);
    }
}

void Loop::take_signals(Instant now) {
    const auto signal = signals_.take();
    if (!signal || shutdown_) {
        return;
    }
    write(Log::Level::Info, *signal + " received: shutting down");
    shutdown_ = Shutdown{};
    shutdown_->since = now;
    session_.stopping();
    listener_.stop_listening();
    send_beat(false);
}

void Loop::take_link(Instant now) {
    LinkEffects effects;
    for (std::size_t i = 0; i < kLinkMessagesPerTurn; ++i) {
        auto received = link_.receive();
        if (!received) {
            ++link_refused_;
            write_limited(Log::Level::Warning, "Link: " + received.error().what, kTheLink, now);
            continue;
        }
        if (!*received) {
            break;
        }
        common::feed::Frames frames = std::move(**received);
        if (frames.empty()) {
            continue;
        }
        const PeerId peer(frames.front().view());
        frames.erase(frames.begin());
        auto message = common::feed::decode_link(frames);
        if (!message) {
            ++link_refused_;
            write_limited(Log::Level::Warning, "Link: refused a message: " + message.error().what,
                          kTheLink, now);
            continue;
        }
        resync_.on_link(peer, std::move(*message), session_.state(), session_.graph(), now,
                        effects);
        perform(std::exchange(effects, {}), now);
    }
}

void Loop::take_clients(Instant now) {
    incoming_.clear();
    listener_.poll(now, kClientMessagesPerTurn, incoming_);
    for (Incoming& event : incoming_) {
        switch (event.kind) {
            case Incoming::Kind::Opened:
                session_.on_opened(client_of(event.identity), event.generation, event.channel,
                                   event.peer, now, effects_);
                break;
            case Incoming::Kind::Message:
                session_.on_message(client_of(event.identity), event.channel,
                                    std::move(event.chunks), now, effects_);
                break;
            case Incoming::Kind::Closed:
                session_.on_closed(client_of(event.identity), event.channel, event.reason,
                                   event.ending, now, effects_);
                break;
            case Incoming::Kind::Refused:
                on_refused(event, now);
                break;
        }
        perform(now);
    }
}

void Loop::on_refused(const Incoming& event, Instant now) {
    const bool is_framed = event.generation == Generation::Framed;
    const std::string where =
        event.peer + " on the " + (is_framed ? "framed" : name(event.channel)) + " port";
    const std::string reason = common::log_text(event.reason);
    write_limited(Log::Level::Debug, "Connection of " + where + " refused: " + reason,
                  address_of(event.peer), now);
    auto& hinted = hinted_[static_cast<std::size_t>(event.generation)];
    if (std::exchange(hinted[static_cast<std::size_t>(event.visitor)], true)) {
        return;
    }
    const ClientPorts ports{
        .zmtp = settings_.zmtp_clients ? settings_.port : std::uint16_t{0},
        .framed = settings_.framed_clients ? settings_.framed_port : std::uint16_t{0}};
    const bool at_home = event.visitor == (is_framed ? Visitor::Framed : Visitor::Zmtp);
    write(Log::Level::Info, "Not a client, from " + where + ": " +
                                (at_home ? reason : advice(event.visitor, ports)) +
                                ". More of this kind are only counted, see docs/OPERATIONS.md");
}

void Loop::tick(Instant now) {
    if (now - ticked_ >= kBusyTick) {
        ticked_ = now;
        session_.on_tick(now, effects_);
        perform(now);
        LinkEffects effects;
        resync_.on_tick(session_.state(), session_.graph(), now, effects);
        perform(std::move(effects), now);
    }
    if (session_.state() == BrokerState::Restoring && settings_.allow_unprotected &&
        now - started_ > kUnprotectedWait && resync_.snapshotters().empty()) {
        start_fresh(now);
    }
    if (settings_.allow_unprotected && session_.state() != BrokerState::Restoring &&
        resync_.snapshotters().empty() && now - unprotected_said_ > kUnprotectedEvery) {
        unprotected_said_ = now;
        write(Log::Level::Warning,
              "UNPROTECTED: there is no snapshotter, nothing of this session is saved");
    }
    if (now - beat_ >= kBeat) {
        beat_ = now;
        send_beat(false);
    }
    if (now - status_ >= kStatusEvery) {
        status_ = now;
        publish_status(now);
        forget_strangers();
        for (const auto& line : limiter_.summaries(now)) {
            log_.write(line.level, line.text);
        }
    }
}

// ---- Effects -----------------------------------------------------------------------------------

void Loop::perform(Instant now) {
    for (Effect& effect : effects_) {
        if (auto* publish = std::get_if<Publish>(&effect)) {
            perform(*publish);
        } else if (const auto* send = std::get_if<Send>(&effect)) {
            perform(*send);
        } else if (const auto* close = std::get_if<Close>(&effect)) {
            perform(*close, now);
        } else if (const auto* trust = std::get_if<Trust>(&effect)) {
            if (const std::string* identity = identity_of(trust->client)) {
                if (trust->trusted) {
                    listener_.set_message_bytes_max(*identity, common::limits::kMessageBytesMax);
                } else {
                    listener_.forget(*identity, now);
                }
            }
        } else {
            const Log& line = std::get<Log>(effect);
            if (line.source.empty()) {
                write(line.level, line.text);
            } else {
                write_limited(line.level, line.text, line.source, now);
            }
        }
    }
    effects_.clear();
}

void Loop::perform(Publish& publish) {
    VERIFY(publisher_.started());
    feed_sender_.add(publisher_.publish(publish.mutation, publish.user, common::io::wall_now()));
}

void Loop::perform(const Send& send) {
    const EncodedMessage message(send.chunks);
    for (const ClientId client : send.to) {
        if (const std::string* identity = identity_of(client)) {
            // Nobody there, or its queue is full: either way the listener says Closed.
            listener_.send(send.channel, *identity, message);
        }
    }
}

void Loop::perform(const Close& close, Instant now) {
    const std::string* identity = identity_of(close.client);
    if (identity == nullptr) {
        return;
    }
    for (const Channel channel : {Channel::Command, Channel::Data, Channel::Heartbeat}) {
        const Millis left = channel == Channel::Heartbeat ? kHeartbeatAfterLastWords : kLastWords;
        listener_.close_after_flush(channel, *identity, "closed by the server",
                                    close.after_flush ? now + left : now);
    }
}

void Loop::perform(LinkEffects effects, Instant now) {
    for (LinkEffect& effect : effects) {
        if (auto* send = std::get_if<LinkSend>(&effect)) {
            common::feed::Frames frames = common::feed::encode(send->message);
            frames.insert(frames.begin(), common::Bytes::copy_of(send->to));
            const auto sent = link_.send(frames);
            if (!sent || *sent != common::io::Sent::Done) {
                // It will say hello again and get what it misses.
                resync_.on_unreachable(send->to);
            }
        } else if (auto* restored = std::get_if<RestoredGraph>(&effect)) {
            restore(std::move(*restored), now);
        } else if (std::holds_alternative<StartFresh>(effect)) {
            start_fresh(now);
        } else if (std::holds_alternative<PublishMark>(effect)) {
            mark_wanted_ = true;
        } else {
            const LinkLog& line = std::get<LinkLog>(effect);
            write_limited(static_cast<Log::Level>(line.level), line.text, kTheLink, now);
        }
    }
}

void Loop::restore(RestoredGraph restored, Instant now) {
    const common::feed::Holding& holding = restored.whole.holding;
    write(Log::Level::Info, "Restoring from the snapshotter " + common::log_text(restored.from) +
                                ": " + std::to_string(restored.whole.graph.nodes.size()) +
                                " nodes at " + common::to_string(holding.position));
    if (restored.forked) {
        write(Log::Level::Warning,
              "The snapshotters hold histories that went apart. The one with the newest work is "
              "taken; each of the others keeps what it has as a pinned backup");
    }
    feed_sender_.add(publisher_.start(common::Epoch{common::io::random_id()}, holding.position,
                                      holding.lineage, common::io::wall_now(),
                                      holding.last_mutation));
    session_.restore(common::Graph(std::move(restored.whole.graph)), now, effects_);
    perform(now);
    send_beat(false);
}

void Loop::start_fresh(Instant now) {
    const std::uint64_t id = common::io::random_id();
    feed_sender_.add(
        publisher_.start(common::Epoch{id}, common::Position{}, {}, common::io::wall_now()));
    session_.start_fresh(common::Timeline{id}, now, effects_);
    perform(now);
    send_beat(false);
}

void Loop::feed_send(const common::feed::FeedMessage& message) {
    // What PUB drops is no error: it shows by the numbers, and is asked for through the link.
    if (const auto sent = feed_.send(common::feed::encode(message)); !sent) {
        write(Log::Level::Error, "Feed: " + sent.error().what);
    }
}

void Loop::send_beat(bool with_digest) {
    common::feed::Beat beat{publisher_.position(), session_.state(), std::nullopt, run_};
    if (with_digest) {
        beat.digest = session_.graph().digest();
    }
    feed_sender_.beat(beat);
}

// A digest pickles all that was edited since the last one. Clients would wait for that, so it is
// spread over turns.
void Loop::prepare_mark() {
    if (mark_wanted_ && session_.graph().tidy(kTidyBytesPerTurn)) {
        mark_wanted_ = false;
        send_beat(true);
    }
}

void Loop::report_arrived(Instant now) {
    for (const Client* member : session_.roster().members()) {
        if (const std::string* identity = identity_of(member->id)) {
            for (const Channel channel : {Channel::Command, Channel::Data}) {
                session_.on_arrived(member->id, channel,
                                    listener_.arrived_messages(channel, *identity), now);
            }
        }
    }
}

void Loop::look_at_durability(Instant now) {
    const bool counts = session_.graph().initialised() &&
                        !(settings_.allow_unprotected && resync_.snapshotters().empty());
    const auto durable = resync_.durable();
    switch (durability_.on_turn(publisher_.position(), durable, counts, now)) {
        case Durability::Says::Nothing:
            break;
        case Durability::Says::Stalled:
            write(Log::Level::Warning,
                  "Changes of the last " +
                      std::to_string(durability_.age(now).value_or(Millis{}).count() / 1000) +
                      " s are on no disk yet: the session is durable up to " +
                      (durable ? common::to_string(*durable) : "nothing") + " and stands at " +
                      common::to_string(publisher_.position()) +
                      ". The snapshotter's log says why");
            break;
        case Durability::Says::Recovered:
            write(Log::Level::Info, "Changes reach the disk again: the session is durable up to " +
                                        (durable ? common::to_string(*durable) : "nothing"));
            break;
    }
}

void Loop::publish_status(Instant now) {
    if (http_ != nullptr) {
        Status status = make_status({session_,
                                     session_.graph().size(),
                                     publisher_,
                                     resync_,
                                     durability_,
                                     listener_,
                                     {log_.lost(), limiter_.suppressed(), link_refused_},
                                     settings_.allow_unprotected,
                                     now});
        http_->publish(status.healthy, std::move(status.json), std::move(status.metrics));
    }
}

void Loop::write(Log::Level level, const std::string& line) {
    log_.write(log_level(level), line);
}

void Loop::write_limited(Log::Level level, const std::string& line, std::string_view source,
                         Instant now) {
    if (limiter_.admit(source, log_level(level), line, now)) {
        write(level, line);
    }
}

// ---- Who is who --------------------------------------------------------------------------------

ClientId Loop::client_of(const std::string& identity) {
    const auto [found, is_new] = clients_.try_emplace(identity, ClientId{last_client_ + 1});
    if (is_new) {
        ++last_client_;
        identities_.emplace(found->second, identity);
    }
    return found->second;
}

const std::string* Loop::identity_of(ClientId client) const {
    const auto found = identities_.find(client);
    return found == identities_.end() ? nullptr : &found->second;
}

void Loop::forget_strangers() {
    std::erase_if(clients_, [&](const auto& entry) {
        if (session_.knows(entry.second)) {
            return false;
        }
        identities_.erase(entry.second);
        return true;
    });
}

// ---- The end -----------------------------------------------------------------------------------

std::optional<Loop::End> Loop::continue_shutdown(Instant now) {
    if (session_.state() == BrokerState::Stopping && !publisher_.started()) {
        return End::Saved;  // nothing was ever served
    }
    if (shutdown_->step == Shutdown::Step::Draining) {
        shutdown_->quiet_turns = incoming_.empty() ? shutdown_->quiet_turns + 1 : 0;
        if (shutdown_->quiet_turns < kQuietTurns && now - shutdown_->since < kDrainMax) {
            return std::nullopt;
        }
        session_.stop("the server is shutting down; your work is kept, join again later", now,
                      effects_);
        perform(now);
        listener_.flush(feed_sender_.flush(), now);
        shutdown_->step = Shutdown::Step::Confirming;
        shutdown_->since = now;
        shutdown_->final_position = publisher_.position();
        send_beat(true);
        return std::nullopt;
    }
    const bool kept = !session_.graph().initialised() || settings_.allow_unprotected || [&] {
        const auto durable = resync_.durable();
        return durable && durable->seq >= shutdown_->final_position->seq;
    }();
    const bool words_left = listener_.connections() > 0 && now - shutdown_->since < kLastWords;
    if (kept && !words_left) {
        write(Log::Level::Info, session_.graph().initialised() && !settings_.allow_unprotected
                                    ? "The snapshotter has saved everything. Goodbye"
                                    : "There is no session to keep. Goodbye");
        return End::Saved;
    }
    if (!kept && now - shutdown_->since >= settings_.shutdown_wait) {
        write(Log::Level::Error,
              "No snapshotter said within " + std::to_string(settings_.shutdown_wait.count()) +
                  " s that everything is saved: see its log before you start again");
        return End::NotSaved;
    }
    return std::nullopt;
}

}  // namespace broker
