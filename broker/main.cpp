// holdfast-broker: the parts list.

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

#include "broker/listener.h"
#include "broker/loop.h"
#include "common/config.h"
#include "common/io/http_server.h"
#include "common/io/random.h"
#include "common/io/scheduling.h"
#include "common/io/signals.h"
#include "common/io/zmq_socket.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/pickle_classes.h"

namespace {

using common::Result;

// Exit codes, docs/OPERATIONS.md: 1 runtime failure, 2 wrong settings, 4 stopped unsaved.
constexpr int kFailed = 1;
constexpr int kNotSaved = 4;

Result<void> listen(broker::Listener& listener, const common::Settings& settings) {
    const std::uint16_t port = settings.port;
    if (settings.zmtp_clients) {
        TRY(listener.listen(broker::Channel::Command, settings.bind, port));
        TRY(listener.listen(broker::Channel::Data, settings.bind,
                            static_cast<std::uint16_t>(port + 1)));
        TRY(listener.listen(broker::Channel::Heartbeat, settings.bind,
                            static_cast<std::uint16_t>(port + 2)));
    }
    if (settings.framed_clients) {
        TRY(listener.listen_framed(settings.bind, settings.framed_port));
    }
    return {};
}

std::string where_clients_connect(const common::Settings& settings) {
    std::string text = "Clients connect to " + settings.bind;
    if (settings.zmtp_clients) {
        text += ", Multi-User 0.8 (replication 0.9.10): port " + std::to_string(settings.port) +
                " (and the next two)";
    }
    if (settings.framed_clients) {
        text += ", newer Multi-User (replication 0.9.12 to 0.10.3): port " +
                std::to_string(settings.framed_port);
    }
    return text;
}

// Each client has three connections. Returns for how many connections there are descriptors, beside
// those for everything else.
std::size_t allow_many_descriptors() {
    constexpr rlim_t kOthers = 100;
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return common::limits::kConnectionsMax;
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    const rlim_t left = limit.rlim_max - std::min(limit.rlim_max, kOthers);
    return std::min<rlim_t>(common::limits::kConnectionsMax, std::max<rlim_t>(left, 1));
}

Result<broker::Loop::End> run(const common::Settings& settings, common::Log& log,
                              common::io::Signals& signals) {
    broker::ListenerOptions options;
    options.queue_bytes_max = settings.client_queue_bytes_max;
    options.stall_ms_max = settings.client_stall.count();
    options.connections_per_second = settings.connections_per_second;
    options.connections_max = allow_many_descriptors();
    broker::Listener listener(options);
    TRY(listen(listener, settings));

    common::io::ZmqContext context;
    common::io::ZmqOptions feed_options;
    feed_options.send_messages_max = static_cast<int>(common::limits::kFeedPacketsMax);
    feed_options.linger = common::Millis{1000};
    const auto feed =
        TRY(common::io::ZmqSocket::open(context, common::io::ZmqKind::Pub, feed_options));
    TRY(feed->bind(settings.feed));
    const auto link = TRY(common::io::ZmqSocket::open(context, common::io::ZmqKind::Router, {}));
    TRY(link->bind(settings.link));

    std::unique_ptr<common::io::HttpServer> http;
    if (!settings.health.off()) {
        http = TRY(common::io::HttpServer::open(settings.health));
    }
    log.info(where_clients_connect(settings));
    log.info("Feed " + settings.feed + ", link " + settings.link + ", health " +
             common::to_string(settings.health));

    broker::Loop loop(settings, log, signals, listener, *feed, *link, http.get());
    return loop.run();
}

}  // namespace

int main(int argc, char** argv) {
    common::Settings settings = common::settings_or_exit(common::Program::Broker, argc, argv);
    common::allow_classes(settings.classes);
    if (settings.action == common::Action::Health) {
        return common::io::print_health(settings.health);
    }
    common::io::go_first_for_short();
    auto signals = common::io::Signals::open();
    if (!signals) {
        std::fprintf(stderr, "holdfast-broker: %s\n", signals.error().what.c_str());
        return kFailed;
    }
    auto log = common::Log::open({.level = settings.log_level, .file = settings.log_file});
    if (!log) {
        std::fprintf(stderr, "holdfast-broker: %s\n", log.error().what.c_str());
        return kFailed;
    }
    (*log)->info(std::string("holdfast-broker ") + common::version() +
                 ": the session server that never forgets");
    if (settings.admin_password.empty()) {
        settings.admin_password = common::io::random_password();
        (*log)->info("No ADMIN_PASSWORD is set. The admin password of this run is: " +
                     settings.admin_password);
    }
    const auto end = run(settings, **log, **signals);
    if (!end) {
        (*log)->error(end.error().what);
        return kFailed;
    }
    return *end == broker::Loop::End::Saved ? 0 : kNotSaved;
}
