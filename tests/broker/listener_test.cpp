#include "broker/listener.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <functional>

using broker::Channel;
using broker::EncodedMessage;
using broker::Incoming;
using broker::Listener;
using broker::ListenerOptions;
using broker::Visitor;
using common::Bytes;
using common::Instant;
using common::Millis;
namespace limits = common::limits;
using namespace std::string_literals;

namespace {

const std::string kGreeting = "\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL"s + std::string(48, '\0');
const std::size_t kServerHandshakeBytes = 64 + 2 + 41;

std::string ready(const std::string& identity) {
    std::string body =
        "\x05READY\x0bSocket-Type\0\0\0\x06"
        "DEALER\x08Identity\0\0\0"s +
        static_cast<char>(identity.size()) + identity;
    return "\x04"s + static_cast<char>(body.size()) + body;
}

std::string frame(const std::string& text) {
    return "\0"s + static_cast<char>(text.size()) + text;
}

EncodedMessage message_of(std::string text) {
    return EncodedMessage({Bytes(std::move(text))});
}

// A client made of a plain socket, blocking.
class Client {
public:
    explicit Client(std::uint16_t port) : descriptor_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }
    Client(std::uint16_t port, const std::string& identity) : Client(port) {
        say(kGreeting + ready(identity));
    }
    Client(const Client&) = delete;
    ~Client() { hang_up(); }

    void say(std::string_view bytes) {
        REQUIRE(::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(bytes.size()));
    }
    // What has come by now; the end of the connection sets ended.
    std::string hear() {
        std::string heard(1 << 20, '\0');
        ssize_t size = ::recv(descriptor_, heard.data(), heard.size(), MSG_DONTWAIT);
        ended = size == 0 || (size < 0 && errno != EAGAIN);
        heard.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
        return heard;
    }
    void hang_up() {
        if (descriptor_ >= 0) {
            ::close(descriptor_);
        }
        descriptor_ = -1;
    }
    // Unread input makes the kernel send a reset instead of an orderly end.
    void reset() {
        linger option{1, 0};
        ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &option, sizeof option);
        hang_up();
    }

    bool ended = false;

private:
    int descriptor_;
};

// What strangers may do has tests of its own; in the others it would be in the way.
ListenerOptions generous() {
    ListenerOptions options;
    options.stranger_messages_max = 1'000'000;
    options.stranger_bytes_max = 1 << 30;
    return options;
}

struct Fixture {
    explicit Fixture(ListenerOptions options = generous()) : listener(options) {
        for (std::size_t i = 0; i < broker::kChannels; ++i) {
            auto port = listener.listen(Channel(i), "127.0.0.1", 0);
            REQUIRE(port.has_value());
            ports[i] = *port;
        }
        auto port = listener.listen_framed("127.0.0.1", 0);
        REQUIRE(port.has_value());
        framed_port = *port;
    }

    std::uint16_t port(Channel channel = Channel::Data) const {
        return ports[static_cast<std::size_t>(channel)];
    }

    broker::FeedSender nobody{0, [](const common::feed::FeedMessage&) {}};

    // Turns of the loop until `done` or far too long.
    void turn(std::size_t messages_max = 1000) {
        if (!listener.pending()) {
            pollfd waited{listener.epoll_descriptor(), POLLIN, 0};
            ::poll(&waited, 1, 10);
        }
        std::size_t before = events.size();
        listener.poll(now, messages_max, events);
        std::size_t messages = 0;
        for (std::size_t i = before; i < events.size(); ++i) {
            messages += events[i].kind == Incoming::Kind::Message ? 1U : 0U;
        }
        REQUIRE(messages <= messages_max);
        listener.flush(nobody.flush(), now);
    }
    void until(const std::function<bool()>& done, std::size_t messages_max = 1000) {
        auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        while (!done()) {
            REQUIRE(std::chrono::steady_clock::now() < deadline);
            turn(messages_max);
        }
    }
    void until_events(std::size_t count) {
        until([&] { return events.size() >= count; });
        REQUIRE(events.size() == count);
    }
    // One line for each event since the last call: kind, identity, what it carried.
    std::string story() {
        std::string lines;
        for (const Incoming& event : std::exchange(events, {})) {
            switch (event.kind) {
                case Incoming::Kind::Opened:
                    lines += "opened " + event.identity;
                    break;
                case Incoming::Kind::Message:
                    lines += event.identity + ":";
                    for (const Bytes& chunk : event.chunks) {
                        lines += " " + std::string(chunk.view());
                    }
                    break;
                case Incoming::Kind::Closed:
                    lines += "closed " + event.identity + ": " + event.reason;
                    break;
                case Incoming::Kind::Refused:
                    lines += "refused: " + event.reason;
                    break;
            }
            lines += "\n";
        }
        return lines;
    }

    Instant now{Millis(1'000'000)};
    Listener listener;
    std::array<std::uint16_t, broker::kChannels> ports{};
    std::uint16_t framed_port = 0;
    std::vector<Incoming> events;
};

std::string framed(const std::string& text) {
    return "\0\0\0\x01\0\0\0"s + static_cast<char>(text.size()) + text;
}

std::string framed_handshake(const std::string& identity, char role) {
    return "\0\0\0"s + static_cast<char>(identity.size()) + identity + role;
}

}  // namespace

TEST_CASE("the kernel gives a peer up that is not there any more, a little later than we would") {
    ListenerOptions options = generous();
    options.stall_ms_max = 77'000;
    Fixture f(options);
    Client client(f.port(Channel::Data));
    f.until([&] { return f.listener.counters().accepted == 1; });
    int found = 0;
    for (int descriptor = 0; descriptor < 1024; ++descriptor) {
        int timeout_ms = 0;
        socklen_t size = sizeof timeout_ms;
        if (::getsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, &size) == 0) {
            found += timeout_ms == 87'000 ? 1 : 0;
        }
    }
    CHECK(found == 1);
}

TEST_CASE("a client opens, speaks, is answered, and closes") {
    Fixture f;
    Client client(f.port(), "anna");
    client.say(frame("hello") + frame("world"));
    f.until_events(3);
    CHECK(f.events[0].channel == Channel::Data);
    CHECK(f.events[0].peer.starts_with("127.0.0.1:"));
    CHECK(f.story() == "opened anna\nanna: hello\nanna: world\n");
    CHECK(f.listener.connected(Channel::Data, "anna"));
    CHECK(!f.listener.connected(Channel::Command, "anna"));
    CHECK(!f.listener.send(Channel::Command, "anna", message_of("x")));
    CHECK(f.listener.send(Channel::Data, "anna", message_of("answer")));
    std::string heard;
    f.until([&] {
        heard += client.hear();
        return heard.size() >= kServerHandshakeBytes + 8;
    });
    CHECK(heard.substr(kServerHandshakeBytes) == frame("answer"));
    f.until([&] { return f.listener.arrived_messages(Channel::Data, "anna") == 1; });
    client.hang_up();
    f.until_events(1);
    CHECK(f.events[0].statistics.messages_out == 1);
    CHECK(f.story() == "closed anna: closed by the client\n");
    CHECK(f.listener.connections() == 0);
}

TEST_CASE("one identity on three channels is three connections") {
    Fixture f;
    Client command(f.port(Channel::Command), "anna");
    Client data(f.port(Channel::Data), "anna");
    Client heartbeat(f.port(Channel::Heartbeat), "anna");
    f.until_events(3);
    command.hang_up();
    f.until_events(4);
    CHECK(f.events[3].channel == Channel::Command);
    CHECK(f.listener.connected(Channel::Data, "anna"));
    CHECK(f.listener.connected(Channel::Heartbeat, "anna"));
}

TEST_CASE("a client without identity gets one, another each time") {
    Fixture f;
    Client one(f.port(), "");
    Client other(f.port(), "");
    f.until_events(2);
    CHECK(f.events[0].identity.size() == 16);
    CHECK(f.events[1].identity.size() == 16);
    CHECK(f.events[0].identity != f.events[1].identity);
    CHECK(f.listener.send(Channel::Data, f.events[0].identity, message_of("x")));
}

TEST_CASE("everything sent before a close or a reset is delivered before Closed") {
    for (bool reset : {false, true}) {
        Fixture f;
        Client client(f.port(), "anna");
        f.until_events(1);
        std::string sent;
        for (int i = 0; i < 1000; ++i) {
            sent += frame("edit");
        }
        client.say(sent);
        // The kernel gets these to a closed or reset connection, whichever comes first.
        f.listener.send(Channel::Data, "anna", message_of("x"));
        reset ? client.reset() : client.hang_up();
        f.until([&] { return f.events.back().kind == Incoming::Kind::Closed; }, 7);
        CHECK(f.events.size() == 1002);
        CHECK(f.events.back().statistics.messages_in == 1000);
    }
}

TEST_CASE("many senders take turns; nobody is forgotten") {
    Fixture f;
    Client loud(f.port(), "loud");
    f.until_events(1);
    std::string much;
    for (int i = 0; i < 10'000; ++i) {
        much += frame("x");
    }
    loud.say(much);
    Client quiet(f.port(), "quiet");
    quiet.say(frame("I"));
    f.until([&] { return f.events.size() == 1 + 10'000 + 2; }, 100);
    std::size_t quiet_at = 0;
    for (std::size_t i = 0; i < f.events.size(); ++i) {
        if (f.events[i].kind == Incoming::Kind::Message && f.events[i].identity == "quiet") {
            quiet_at = i;
        }
    }
    CHECK(quiet_at > 0);
    CHECK(quiet_at < 5'000);
}

TEST_CASE("a new connection takes the identity over; the old one is read empty first") {
    Fixture f;
    Client old(f.port(), "anna");
    f.until_events(1);
    old.say(frame("old 1") + frame("old 2"));
    Client young(f.port(), "anna");
    young.say(frame("young"));
    f.until_events(6);
    CHECK(f.story() ==
          "opened anna\nanna: old 1\nanna: old 2\n"
          "closed anna: replaced by a new connection of the same client\n"
          "opened anna\nanna: young\n");
    f.until([&] {
        old.hear();
        return old.ended;
    });
    CHECK(f.listener.counters().replaced == 1);
    CHECK(f.listener.connections() == 1);
    CHECK(f.listener.send(Channel::Data, "anna", message_of("hello")));
    f.until([&] { return young.hear().find("hello") != std::string::npos; });
}

TEST_CASE("who takes the identity over may be gone already") {
    Fixture f;
    Client old(f.port(), "anna");
    f.until_events(1);
    Client young(f.port(), "anna");
    young.say(frame("young"));
    young.reset();
    Client youngest(f.port(), "anna");
    youngest.say(frame("youngest"));
    f.until([&] {
        return f.events.back().kind == Incoming::Kind::Message &&
               f.events.back().chunks[0].view() == "youngest";
    });
    // Each that opened was closed before the next opened.
    bool open = false;
    for (const Incoming& event : f.events) {
        if (event.kind == Incoming::Kind::Opened) {
            CHECK(!open);
            open = true;
        } else if (event.kind == Incoming::Kind::Closed) {
            CHECK(open);
            open = false;
        }
    }
    CHECK(open);
}

TEST_CASE("strangers are refused with a reason, and DEALERs only are taken") {
    Fixture f;
    Client browser(f.port());
    browser.say("GET / HTTP/1.1\r\n\r\n");
    f.until_events(1);
    CHECK(f.story().find("HTTP") != std::string::npos);
    Client request(f.port());
    request.say(kGreeting + "\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03REQ"s);
    f.until_events(1);
    CHECK(f.story().find("'REQ'") != std::string::npos);
    std::string heard;
    f.until([&] {
        heard += request.hear();
        return request.ended;
    });
    CHECK(heard.find("ERROR") != std::string::npos);
    request.hang_up();
    browser.hang_up();
    f.until([&] { return f.listener.connections() == 0; });
    CHECK(f.listener.counters().refused == 2);
}

TEST_CASE("visitors are told apart by their first bytes, and counted") {
    Fixture f;
    const auto visit = [&](const std::string& words) {
        Client visitor(f.port());
        if (!words.empty()) {
            visitor.say(words);
        }
        visitor.hang_up();
        f.until_events(1);
        REQUIRE(f.events[0].kind == Incoming::Kind::Refused);
        const auto kind = std::exchange(f.events, {})[0].visitor;
        CHECK(f.listener.counters().visitors[static_cast<std::size_t>(kind)] == 1);
        return kind;
    };
    CHECK(visit("") == Visitor::Silent);
    CHECK(visit("GET / HTTP/1.1\r\n\r\n") == Visitor::Http);
    CHECK(visit("\x16\x03\x01\x02\0\x01\0\x01"s) == Visitor::Tls);
    CHECK(visit("\0\0\0\x10sixteen bytes idC"s) == Visitor::Framed);
    CHECK(visit("\xff\0\0\0\0\0\0\0\x01\x7f\x01\x05"s) == Visitor::OldZmtp);
    CHECK(visit("\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01PLAIN"s + std::string(47, '\0')) ==
          Visitor::Zmtp);
    CHECK(visit("help\r\n") == Visitor::Other);
    f.until([&] { return f.listener.connections() == 0; });
}

TEST_CASE("a stranger has little time to log in, and gets it again when it is forgotten") {
    Fixture f({.stranger_ms_max = 20'000});
    Client client(f.port(), "anna");
    f.until_events(1);
    f.now += Millis(15'000);
    f.turn();
    f.listener.set_message_bytes_max("anna", limits::kMessageBytesMax);
    f.now += Millis(60'000);
    f.turn();
    CHECK(f.listener.connected(Channel::Data, "anna"));
    f.listener.forget("anna", f.now);
    f.now += Millis(19'000);
    f.turn();
    CHECK(f.listener.connected(Channel::Data, "anna"));
    f.now += Millis(2'000);
    f.until_events(2);
    CHECK(f.story() == "opened anna\nclosed anna: did not log in within 20000 ms\n");
    CHECK(f.listener.counters().too_long == 1);
}

TEST_CASE("a stranger may send little") {
    for (const bool by_number : {true, false}) {
        Fixture f({.stranger_messages_max = by_number ? 10U : 1000U,
                   .stranger_bytes_max = by_number ? 100'000U : 1'000U});
        Client client(f.port(), "anna");
        f.until_events(1);
        std::string words;
        for (int i = 0; i < 100; ++i) {
            words += frame("let me in, let me in");
        }
        client.say(words);
        f.until([&] { return f.events.back().kind == Incoming::Kind::Closed; });
        CHECK(f.events.back().reason == "sent too much without having logged in");
        CHECK(f.events.back().ending == broker::Ending::AtFault);
        CHECK(f.listener.counters().too_much == 1);
        f.until([&] {
            client.hear();
            return client.ended;
        });
        // It may try again.
        Client again(f.port(), "anna");
        f.until([&] { return f.events.back().kind == Incoming::Kind::Opened; });
    }
}

TEST_CASE("when all places are taken, the oldest stranger gives way; members stay") {
    Fixture f({.connections_max = 3});
    Client member(f.port(), "member");
    f.until_events(1);
    f.listener.set_message_bytes_max("member", limits::kMessageBytesMax);
    Client silent(f.port());
    f.until([&] { return f.listener.connections() == 2; });
    Client opened(f.port(), "opened");
    f.until_events(2);
    f.story();

    Client first(f.port(), "first");
    f.until_events(1);
    CHECK(f.story() == "opened first\n");
    CHECK(f.listener.connections() == 3);
    Client second(f.port(), "second");
    f.until_events(2);
    CHECK(f.story() == "closed opened: gave way to newcomers\nopened second\n");
    CHECK(f.listener.counters().crowded_out == 2);
    CHECK(f.listener.connected(Channel::Data, "member"));
}

TEST_CASE("one address may connect so often only") {
    Fixture f({.connections_per_second = 1});
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 12; ++i) {
        clients.push_back(std::make_unique<Client>(f.port()));
    }
    f.until([&] { return f.listener.counters().accepted == 12; });
    CHECK(f.listener.connections() == 10);
    CHECK(f.listener.counters().too_fast == 2);
    f.now += Millis(1000);
    Client later(f.port(), "later");
    f.until_events(1);
    CHECK(f.story() == "opened later\n");
}

TEST_CASE("a handshake that never comes ends at its deadline") {
    Fixture f;
    Client silent(f.port());
    f.until([&] { return f.listener.connections() == 1; });
    f.now += Millis(limits::kHandshakeMsMax - 1);
    f.turn();
    CHECK(f.events.empty());
    f.now += Millis(Listener::kSweepMs);
    f.until_events(1);
    CHECK(f.story() == "refused: no handshake within 10000 ms\n");
    f.now += Millis(10'000);  // it does not close either
    f.until([&] { return f.listener.connections() == 0; });
}

TEST_CASE("the bound of a message is small before the login, and is raised on all channels") {
    Fixture f;
    auto long_frame = [](std::size_t size) {
        std::string header = "\x02"s;
        for (int shift = 56; shift >= 0; shift -= 8) {
            header += static_cast<char>(size >> shift & 0xff);
        }
        return header + std::string(size, 'x');
    };
    const std::size_t size = limits::kMessageBytesMaxBeforeLogin + 1;
    Client stranger(f.port(), "anna");
    f.until_events(1);
    stranger.say(long_frame(size));
    f.until_events(2);
    CHECK(f.story().find("more than 16384 bytes") != std::string::npos);

    Client command(f.port(Channel::Command), "anna");
    f.until_events(1);
    f.listener.set_message_bytes_max("anna", 1 << 20);
    Client data(f.port(Channel::Data), "anna");
    data.say(long_frame(size));
    command.say(long_frame(size));
    f.until_events(4);
    f.listener.forget("anna", f.now);
    data.say(long_frame(size));
    f.until_events(5);
    CHECK(f.events[4].kind == Incoming::Kind::Closed);
}

TEST_CASE("a queue that is full closes its client, with what it had sent") {
    Fixture f({.queue_bytes_max = 100'000});
    Client client(f.port(), "anna");
    f.until_events(1);
    client.say(frame("edit"));
    std::size_t sent = 0;
    while (f.listener.send(Channel::Data, "anna", message_of(std::string(1000, 'x')))) {
        REQUIRE(++sent < 1000);
    }
    CHECK(!f.listener.connected(Channel::Data, "anna"));
    CHECK(f.listener.pending());
    f.until_events(3);
    CHECK(f.events[1].kind == Incoming::Kind::Message);
    CHECK(f.events[2].reason == "outgoing queue full (100000 bytes)");
    CHECK(f.events[2].statistics.messages_queued == sent);
    CHECK(f.listener.counters().overflowed == 1);
}

TEST_CASE("a client that takes nothing is closed after the time it has") {
    constexpr Millis kStall{20'000};
    Fixture f({.stall_ms_max = kStall.count()});
    Client client(f.port(), "anna");
    f.until_events(1);
    f.listener.set_message_bytes_max("anna", limits::kMessageBytesMax);
    EncodedMessage big = message_of(std::string(10 << 20, 'x'));
    for (int i = 0; i < 5; ++i) {
        REQUIRE(f.listener.send(Channel::Data, "anna", big));
    }
    // The kernel may take more at any moment, long after it said that it is full: what counts is
    // the time since it last did.
    std::uint64_t taken = 0;
    Instant progress = f.now;
    auto turn = [&] {
        f.turn();
        const auto statistics = f.listener.statistics(Channel::Data, "anna");
        if (statistics && statistics->bytes_out != taken) {
            taken = statistics->bytes_out;
            progress = f.now;
        }
    };
    auto stalled_for = [&] { return f.now - progress; };
    while (stalled_for() < kStall - Millis(1000)) {
        f.now += Millis(1000);
        turn();
        REQUIRE(f.listener.connected(Channel::Data, "anna"));
    }
    const std::uint64_t before = taken;
    client.hear();  // some progress, and the time begins anew
    f.until([&] {
        client.hear();
        turn();
        return taken != before;
    });
    while (f.events.size() < 2) {
        f.now += Millis(1000);
        turn();
        REQUIRE(stalled_for() < kStall + Millis(5000));
    }
    CHECK(stalled_for() >= kStall);
    CHECK(f.events[1].reason.find("took nothing for 20000 ms") == 0);
    CHECK(f.events[1].statistics.messages_queued > 0);
}

TEST_CASE("a client that promised to be heard of is closed when it is silent") {
    Fixture f;
    Client client(f.port(), "anna");
    client.say("\x04\x07\x04PING\0\x32"s);  // 5 s
    f.until_events(1);
    std::string heard;
    f.until([&] {
        heard += client.hear();
        return heard.find("PONG") != std::string::npos;
    });
    f.now += Millis(4'900);
    f.turn();
    CHECK(f.events.size() == 1);
    f.now += Millis(500);
    f.until_events(2);
    CHECK(f.events[1].reason == "silent for longer than it had promised");
}

TEST_CASE("a paused client waits, and its end is not lost") {
    Fixture f;
    Client client(f.port(), "anna");
    f.until_events(1);
    f.listener.pause_reading(Channel::Data, "anna");
    client.say(frame("one"));
    client.reset();
    for (int i = 0; i < 20; ++i) {
        f.turn();
    }
    CHECK(f.events.size() == 1);
    pollfd waited{f.listener.epoll_descriptor(), POLLIN, 0};
    CHECK(::poll(&waited, 1, 0) == 0);  // it does not spin either
    f.listener.resume_reading(Channel::Data, "anna");
    f.until([&] { return f.events.back().kind == Incoming::Kind::Closed; });
}

TEST_CASE("a client that is thrown out gets the words before, and its identity is free at once") {
    Fixture f;
    Client client(f.port(), "anna");
    f.until_events(1);
    REQUIRE(f.listener.send(Channel::Data, "anna", message_of("kicked")));
    f.listener.close_after_flush(Channel::Data, "anna", "kicked by an admin", f.now + Millis(5000));
    client.say(frame("not heard any more"));
    CHECK(!f.listener.connected(Channel::Data, "anna"));
    f.until_events(2);
    CHECK(f.events[1].reason == "kicked by an admin");
    std::string heard;
    f.until([&] {
        heard += client.hear();
        return client.ended;
    });
    CHECK(heard.substr(kServerHandshakeBytes) == frame("kicked"));
    Client again(f.port(), "anna");
    f.until_events(3);
    CHECK(f.events[2].kind == Incoming::Kind::Opened);
    CHECK(f.listener.connections() == 2);
    f.now += Millis(5001);  // the first has not closed its end
    f.until([&] { return f.listener.connections() == 1; });
}

TEST_CASE("more connections than the bound are closed at once, and counted") {
    Fixture f({.connections_max = 2});
    Client one(f.port(), "one");
    Client two(f.port(), "two");
    f.until_events(2);
    f.listener.set_message_bytes_max("one", limits::kMessageBytesMax);
    f.listener.set_message_bytes_max("two", limits::kMessageBytesMax);
    Client three(f.port());
    f.until([&] {
        three.hear();
        return three.ended;
    });
    CHECK(f.listener.counters().too_many == 1);
    one.hang_up();
    f.until_events(3);
    Client four(f.port(), "four");
    f.until_events(4);
}

TEST_CASE("out of descriptors: no spinning, and the next try succeeds") {
    Fixture f;
    Client waiting(f.port(), "anna");
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    rlimit none = before;
    int next = ::dup(0);
    REQUIRE(next >= 0);
    ::close(next);
    none.rlim_cur = static_cast<rlim_t>(next);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    f.until([&] { return f.listener.counters().accept_failures > 0; });
    for (int i = 0; i < 20; ++i) {
        f.turn();
    }
    pollfd waited{f.listener.epoll_descriptor(), POLLIN, 0};
    CHECK(::poll(&waited, 1, 0) == 0);
    CHECK(f.listener.counters().accept_failures == 1);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
    f.now += Millis(1000);
    f.until_events(1);
    CHECK(f.story() == "opened anna\n");
}

TEST_CASE("a port in use is an error that says so, and what to do") {
    Fixture f;
    auto second = f.listener.listen(Channel::Data, "127.0.0.1", f.port());
    REQUIRE(!second);
    CHECK(second.error().kind == common::ErrorKind::Busy);
    CHECK(second.error().what.find("port " + std::to_string(f.port()) + " is in use") == 0);
    CHECK(second.error().what.find("PORT") != std::string::npos);
    CHECK(!f.listener.listen(Channel::Data, "203.0.113.7", 0));
}

TEST_CASE("localhost is the IPv4 one, an unknown host an error that names it") {
    Fixture f;
    auto port = f.listener.listen(Channel::Data, "localhost", 0);
    REQUIRE(port.has_value());
    Client client(*port, "anna");
    f.until_events(1);
    auto unknown = f.listener.listen(Channel::Data, "not a host", 0);
    REQUIRE(!unknown);
    CHECK(unknown.error().what.find("'not a host'") != std::string::npos);
}

TEST_CASE("after stop_listening clients stay, and nobody comes") {
    Fixture f;
    Client client(f.port(), "anna");
    f.until_events(1);
    f.listener.stop_listening();
    client.say(frame("still here"));
    f.until_events(2);
    CHECK(f.story() == "opened anna\nanna: still here\n");
}

TEST_CASE("one port of the framed generation serves three channels") {
    Fixture f;
    std::vector<std::unique_ptr<Client>> clients;
    for (char role : {'C', 'D', 'T'}) {
        clients.push_back(std::make_unique<Client>(f.framed_port));
        clients.back()->say(framed_handshake("anna", role) + framed("I am "s + role));
    }
    f.until_events(6);
    for (const Incoming& event : f.events) {
        CHECK(event.generation == broker::Generation::Framed);
        if (event.kind == Incoming::Kind::Message) {
            CHECK(event.chunks[0].view() == "I am "s + "CDT"[static_cast<int>(event.channel)]);
        }
    }
    const std::string identity = f.events[0].identity;
    CHECK(f.listener.send(Channel::Data, identity, message_of("answer")));
    f.until([&] { return clients[1]->hear() == framed("answer"); });
    clients[1]->hang_up();
    f.until_events(7);
    CHECK(f.events[6].kind == Incoming::Kind::Closed);
    CHECK(f.events[6].channel == Channel::Data);
}

TEST_CASE("the same identity in the other generation is another client") {
    Fixture f;
    Client framed_client(f.framed_port);
    framed_client.say(framed_handshake("anna", 'D'));
    Client zmtp_client(f.port(), "anna");
    f.until_events(2);
    CHECK(f.events[0].identity != f.events[1].identity);
    CHECK(f.listener.counters().replaced == 0);
}

TEST_CASE("the same identity and role replaces the old connection of the framed generation") {
    Fixture f;
    Client old(f.framed_port);
    old.say(framed_handshake("anna", 'D') + framed("old"));
    f.until_events(2);
    Client other_role(f.framed_port);
    other_role.say(framed_handshake("anna", 'C'));
    f.until_events(3);
    Client young(f.framed_port);
    young.say(framed_handshake("anna", 'D') + framed("young"));
    f.until_events(6);
    CHECK(f.events[3].kind == Incoming::Kind::Closed);
    CHECK(f.events[3].channel == Channel::Data);
    CHECK(f.events[5].chunks[0].view() == "young");
    CHECK(f.listener.connected(Channel::Command, f.events[2].identity));
}

TEST_CASE("who sends what is no message is closed, and it shows that it was at fault") {
    Fixture f;
    Client wrong(f.framed_port);
    wrong.say(framed_handshake("anna", 'D') + framed("good") + "\xff\xff\xff\xff");
    f.until_events(3);
    CHECK(f.events[1].kind == Incoming::Kind::Message);
    CHECK(f.events[2].kind == Incoming::Kind::Closed);
    CHECK(f.events[2].ending == broker::Ending::AtFault);
    CHECK(f.events[2].reason == "a message of 4294967295 chunks, at most 16 are taken");
    Client gone(f.framed_port);
    gone.say(framed_handshake("bob", 'D') + framed("good"));
    gone.hang_up();
    f.until_events(6);
    CHECK(f.events[5].ending == broker::Ending::Lost);
}

TEST_CASE("a framed handshake has 5 s, in words of its own when it is wrong") {
    Fixture f;
    Client slow(f.framed_port);
    slow.say("\0\0\0\x04sl"s);
    Client wrong(f.framed_port);
    wrong.say(framed_handshake("anna", 'X'));
    f.until_events(1);
    CHECK(f.story() == "refused: a client with the unknown role 'X'\n");
    f.now += Millis(4'999);
    f.turn();
    CHECK(f.events.empty());
    f.now += Millis(251);
    f.until_events(1);
    CHECK(f.story() == "refused: no handshake within 5000 ms\n");
    f.until([&] {
        slow.hear();
        return slow.ended;
    });
}

TEST_CASE("a framed heartbeat connection outlives the words on the command connection") {
    Fixture f;
    Client command(f.framed_port);
    command.say(framed_handshake("anna", 'C'));
    f.until_events(1);
    Client heartbeat(f.framed_port);
    heartbeat.say(framed_handshake("anna", 'T'));
    f.until_events(2);
    const std::string identity = f.events[0].identity;
    f.listener.send(Channel::Command, identity, message_of("bye"));
    for (Channel channel : {Channel::Command, Channel::Heartbeat}) {
        f.listener.close_after_flush(channel, identity, "over", f.now + Millis(2'000));
    }
    std::string heard;
    f.until([&] {
        heard += command.hear();
        return command.ended;
    });
    CHECK(heard == framed("bye"));
    heartbeat.hear();
    CHECK(!heartbeat.ended);
    CHECK(!f.listener.connected(Channel::Heartbeat, identity));
    f.now += Millis(2'251);
    f.until([&] {
        heartbeat.hear();
        return heartbeat.ended;
    });
}
