// A server for tests with real ZeroMQ clients: sends every message back to whom it came from.
//
// Prints "port N", then a line for each event that is no message. What a client may ask for instead
// of an echo, by its first frame:
//   flood COUNT SIZE   that many messages of two frames, their number and SIZE bytes
//   close              an orderly end of its connection, after what was queued
// Ends when its standard input does.

#include <poll.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "broker/listener.h"

using broker::Channel;
using broker::EncodedMessage;
using broker::Incoming;
using common::Bytes;
using common::Instant;
using common::Millis;

namespace {

Instant now() {
    return std::chrono::time_point_cast<Millis>(std::chrono::steady_clock::now());
}

void flood(broker::Listener& listener, const Incoming& request) {
    const int count = std::atoi(std::string(request.chunks.at(1).view()).c_str());
    const Bytes body(std::string(
        std::strtoul(std::string(request.chunks.at(2).view()).c_str(), nullptr, 10), 'f'));
    for (int i = 0; i < count; ++i) {
        listener.send(Channel::Data, request.identity,
                      EncodedMessage({Bytes(std::to_string(i)), body}));
    }
}

void handle(broker::Listener& listener, Incoming& incoming) {
    switch (incoming.kind) {
        case Incoming::Kind::Opened:
            listener.set_message_bytes_max(incoming.identity, common::limits::kMessageBytesMax);
            std::printf("opened %s\n", incoming.peer.c_str());
            break;
        case Incoming::Kind::Closed:
            std::printf("closed %s: %s\n", incoming.peer.c_str(), incoming.reason.c_str());
            break;
        case Incoming::Kind::Refused:
            std::printf("refused %s: %s\n", incoming.peer.c_str(), incoming.reason.c_str());
            break;
        case Incoming::Kind::Message:
            if (incoming.chunks[0].view() == "flood") {
                flood(listener, incoming);
            } else if (incoming.chunks[0].view() == "close") {
                listener.close_after_flush(Channel::Data, incoming.identity, "as it asked",
                                           now() + Millis(5000));
            } else {
                listener.send(Channel::Data, incoming.identity,
                              EncodedMessage(std::move(incoming.chunks)));
            }
            break;
    }
}

}  // namespace

int main() {
    broker::Listener listener({});
    broker::FeedSender nobody(0, [](const common::feed::FeedMessage&) {});
    auto port = listener.listen(Channel::Data, "127.0.0.1", 0);
    if (!port) {
        std::fprintf(stderr, "%s\n", port.error().what.c_str());
        return 1;
    }
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
    std::printf("port %u\n", unsigned{*port});
    std::vector<Incoming> events;
    for (;;) {
        pollfd waited[] = {{listener.epoll_descriptor(), POLLIN, 0}, {0, POLLIN, 0}};
        ::poll(waited, 2, listener.pending() ? 0 : static_cast<int>(broker::Listener::kSweepMs));
        if (waited[1].revents != 0) {
            return 0;
        }
        events.clear();
        listener.poll(now(), 1000, events);
        for (Incoming& incoming : events) {
            handle(listener, incoming);
        }
        listener.flush(nobody.flush(), now());
    }
}
