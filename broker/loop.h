#pragma once
// The broker's one thread: waits for clients, the link and signals, hands what comes to the cores,
// and performs their effects in order. Decides nothing.

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/durability.h"
#include "broker/feed_sender.h"
#include "broker/listener.h"
#include "broker/publisher.h"
#include "broker/resync.h"
#include "broker/session.h"
#include "common/config.h"
#include "common/io/http_server.h"
#include "common/io/signals.h"
#include "common/io/zmq_socket.h"
#include "common/log.h"
#include "common/log_limiter.h"
#include "common/result.h"
#include "common/tidying.h"

namespace broker {

class Loop {
public:
    // All must outlive this. `http` may be null.
    Loop(const common::Settings& settings, common::Log& log, common::io::Signals& signals,
         Listener& listener, common::io::ZmqSocket& feed, common::io::ZmqSocket& link,
         common::io::HttpServer* http);
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    enum class End {
        Saved,     // all that clients were told of is durable, or there was nothing to keep
        NotSaved,  // no snapshotter said so in time
    };
    // Until a signal asks for the end and all is done, or waiting itself fails.
    common::Result<End> run();

private:
    struct Shutdown {
        enum class Step { Draining, Confirming } step = Step::Draining;
        common::Instant since{};
        std::optional<common::Position> final_position;
        std::size_t quiet_turns = 0;
    };

    void turn(common::Instant now);
    common::Millis wait_for() const;
    void take_signals(common::Instant now);
    void take_link(common::Instant now);
    void take_clients(common::Instant now);
    void tick(common::Instant now);
    void perform(common::Instant now);
    void perform(Publish& publish);
    void perform(const Send& send);
    void perform(const Close& close, common::Instant now);
    void perform(LinkEffects effects, common::Instant now);
    void restore(RestoredGraph restored, common::Instant now);
    void start_fresh(common::Instant now);
    void feed_send(const common::feed::FeedMessage& message);
    void send_beat(bool with_digest);
    void prepare_mark();
    void report_arrived(common::Instant now);
    void look_at_durability(common::Instant now);
    void publish_status(common::Instant now);
    std::optional<End> continue_shutdown(common::Instant now);
    void write(Log::Level level, const std::string& line);
    // A line that somebody outside can cause as often as he likes.
    void write_limited(Log::Level level, const std::string& line, std::string_view source,
                       common::Instant now);
    void on_refused(const Incoming& event, common::Instant now);

    ClientId client_of(const std::string& identity);
    const std::string* identity_of(ClientId client) const;
    void forget_strangers();

    const common::Settings& settings_;
    common::Log& log_;
    common::io::Signals& signals_;
    Listener& listener_;
    common::io::ZmqSocket& feed_;
    common::io::ZmqSocket& link_;
    common::io::HttpServer* http_;

    const std::uint64_t run_;
    Publisher publisher_;
    Resync resync_;
    Session session_;
    Durability durability_;
    Effects effects_;
    std::vector<Incoming> incoming_;

    std::unordered_map<std::string, ClientId> clients_;
    std::unordered_map<ClientId, std::string> identities_;
    std::uint64_t last_client_ = 0;

    common::Instant started_{};
    common::Instant ticked_{};
    common::Instant beat_{};
    common::Instant status_{};
    common::Instant unprotected_said_{};
    common::LogLimiter limiter_;
    std::array<std::array<bool, kVisitors>, kGenerations> hinted_{};
    std::uint64_t link_refused_ = 0;
    bool mark_wanted_ = false;
    common::Tidying tidying_;
    FeedSender feed_sender_;
    std::optional<Shutdown> shutdown_;
    std::optional<End> end_;
};

}  // namespace broker
