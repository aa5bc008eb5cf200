#include "common/io/zmq_socket.h"

#include <doctest/doctest.h>
#include <sys/eventfd.h>
#include <unistd.h>

using common::Bytes;
using common::ErrorKind;
using common::Millis;
using common::io::poll;
using common::io::PollItem;
using common::io::Sent;
using common::io::ZmqContext;
using common::io::ZmqKind;
using common::io::ZmqOptions;
using common::io::ZmqSocket;
using Frames = ZmqSocket::Frames;

namespace {

constexpr Millis kGenerous{20'000};

std::unique_ptr<ZmqSocket> open(ZmqContext& context, ZmqKind kind, const ZmqOptions& options = {}) {
    return ZmqSocket::open(context, kind, options).value();
}

Frames frames(std::initializer_list<const char*> texts) {
    Frames list;
    for (const char* text : texts) {
        list.push_back(Bytes(std::string(text)));
    }
    return list;
}

// Waits for the next message.
common::Result<std::optional<Frames>> next(ZmqSocket& socket) {
    PollItem item{.socket = &socket};
    REQUIRE(poll({&item, 1}, kGenerous).value() == 1);
    return socket.receive();
}

// Waits until the socket takes it.
void send(ZmqSocket& socket, const Frames& message) {
    PollItem item{.socket = &socket, .want_read = false, .want_write = true};
    REQUIRE(poll({&item, 1}, kGenerous).value() == 1);
    REQUIRE(socket.send(message).value() == Sent::Done);
}

struct Pair {
    ZmqContext context;
    std::unique_ptr<ZmqSocket> router;
    std::unique_ptr<ZmqSocket> dealer;

    explicit Pair(const ZmqOptions& router_options = {}, const ZmqOptions& dealer_options = {}) {
        router = open(context, ZmqKind::Router, router_options);
        REQUIRE(router->bind("tcp://127.0.0.1:*"));
        dealer = open(context, ZmqKind::Dealer, dealer_options);
        REQUIRE(dealer->connect(router->endpoint().value()));
    }
};

}  // namespace

TEST_CASE("a router answers a dealer by its routing id, with frames of every size") {
    Pair pair({}, ZmqOptions{.routing_id = "one"});
    Frames message;
    for (const int size : {0, 1, 33, 1024, 1025, 8192, 16384, 16385, 3'000'000}) {
        std::string body(static_cast<std::size_t>(size), 'x');
        if (!body.empty()) {
            body.back() = 'y';
        }
        message.push_back(Bytes(std::move(body)));
    }
    send(*pair.dealer, message);

    Frames received = next(*pair.router).value().value();
    REQUIRE(received.size() == message.size() + 1);
    CHECK(received.front().view() == "one");
    CHECK(std::equal(message.begin(), message.end(), received.begin() + 1));

    CHECK(pair.router->send(received).value() == Sent::Done);
    CHECK(next(*pair.dealer).value().value() == message);
    CHECK_FALSE(pair.dealer->receive().value().has_value());
}

TEST_CASE("bytes that are being sent outlive their sender's copy") {
    Pair pair;
    auto owner = std::make_shared<const std::string>(100'000, 'z');
    std::weak_ptr<const std::string> watch = owner;
    const std::string_view view = *owner;
    send(*pair.dealer, {Bytes(std::move(owner), view)});
    const Frames received = next(*pair.router).value().value();
    CHECK(received[1].view() == std::string(100'000, 'z'));
    CHECK(received[1].data() != view.data());
}

TEST_CASE("a router says when it does not know a peer, a dealer when nobody is there") {
    ZmqContext context;
    const auto router = open(context, ZmqKind::Router);
    REQUIRE(router->bind("tcp://127.0.0.1:*"));
    CHECK(router->send(frames({"nobody", "hello"})).value() == Sent::Unreachable);

    const auto dealer = open(context, ZmqKind::Dealer);
    CHECK(dealer->send(frames({"hello"})).value() == Sent::WouldBlock);
}

TEST_CASE("a full queue to a peer would block, and nothing is sent by halves") {
    Pair pair({.send_messages_max = 2}, {.receive_messages_max = 2, .routing_id = "slow"});
    send(*pair.dealer, frames({"hello"}));
    REQUIRE(next(*pair.router).value().has_value());

    const Bytes big(std::string(1 << 20, 'b'));
    int sent = 0;
    // The kernel's buffers take some; they are bounded, so this ends.
    while (pair.router->send({Bytes(std::string("slow")), big, big}).value() == Sent::Done) {
        ++sent;
        REQUIRE(sent < 1000);
    }
    for (int i = 0; i < sent; ++i) {
        CHECK(next(*pair.dealer).value().value() == Frames{big, big});
    }
}

TEST_CASE("a message over the bounds is reported and dropped, the next one comes") {
    Pair pair({.frames_max = 3, .message_bytes_max = 100});
    send(*pair.dealer, frames({"1", "2", "3"}));  // with the routing id four frames
    send(*pair.dealer, {Bytes(std::string(200, 'x'))});
    send(*pair.dealer, frames({"good"}));
    CHECK(next(*pair.router).error().kind == ErrorKind::Limit);
    CHECK(next(*pair.router).error().kind == ErrorKind::Limit);
    CHECK(next(*pair.router).value().value().at(1).view() == "good");
}

TEST_CASE("a subscriber hears what is published; a publisher never blocks") {
    ZmqContext context;
    const auto pub = open(context, ZmqKind::Pub, {.send_messages_max = 10});
    REQUIRE(pub->bind("tcp://127.0.0.1:*"));
    const auto sub = open(context, ZmqKind::Sub);
    REQUIRE(sub->connect(pub->endpoint().value()));

    // A publisher does not tell when a subscriber has arrived: repeat until it hears.
    PollItem item{.socket = sub.get()};
    int tries = 0;
    do {
        REQUIRE(++tries < 2000);
        REQUIRE(pub->send(frames({"are", "you", "there"})).value() == Sent::Done);
    } while (poll({&item, 1}, Millis(10)).value() == 0);
    CHECK(sub->receive().value().value() == frames({"are", "you", "there"}));

    for (int i = 0; i < 10'000; ++i) {
        REQUIRE(pub->send(frames({"drop"})).value() == Sent::Done);
    }
}

TEST_CASE("a second listener at one address is told that it is busy") {
    ZmqContext context;
    const auto first = open(context, ZmqKind::Pub);
    REQUIRE(first->bind("tcp://127.0.0.1:*"));
    const auto second = open(context, ZmqKind::Router);
    const auto result = second->bind(first->endpoint().value());
    REQUIRE_FALSE(result);
    CHECK(result.error().kind == ErrorKind::Busy);
    CHECK(second->connect("nonsense").error().kind == ErrorKind::Io);
}

TEST_CASE("a dealer that comes back under its name takes its place") {
    Pair pair({}, {.routing_id = "me"});
    send(*pair.dealer, frames({"first"}));
    REQUIRE(next(*pair.router).value().has_value());
    const auto again = open(pair.context, ZmqKind::Dealer, {.routing_id = "me"});
    REQUIRE(again->connect(pair.router->endpoint().value()));
    send(*again, frames({"second"}));
    CHECK(next(*pair.router).value().value() == frames({"me", "second"}));
    CHECK(pair.router->send(frames({"me", "hello"})).value() == Sent::Done);
    CHECK(next(*again).value().value() == frames({"hello"}));
}

TEST_CASE("sockets and descriptors are waited for together") {
    Pair pair;
    const int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    REQUIRE(descriptor >= 0);
    PollItem items[2] = {{.socket = pair.router.get()}, {.descriptor = descriptor}};
    CHECK(poll(items, Millis(0)).value() == 0);
    CHECK_FALSE(items[0].can_read);
    CHECK_FALSE(items[1].can_read);

    const std::uint64_t one = 1;
    REQUIRE(write(descriptor, &one, sizeof one) == sizeof one);
    CHECK(poll(items, kGenerous).value() == 1);
    CHECK_FALSE(items[0].can_read);
    CHECK(items[1].can_read);
    close(descriptor);
}
