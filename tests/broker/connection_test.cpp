#include "broker/connection.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/zmtp.h"

using broker::Connection;
using broker::EncodedMessage;
using broker::Zmtp;
using common::Bytes;
using common::Chunks;
using common::Instant;
using common::Millis;
using namespace std::string_literals;

namespace {

const std::string kHandshake = "\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL"s + std::string(48, '\0') +
                               "\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06"
                               "DEALER"s;

// A connection and the client's end of it, both in this process.
struct Pair {
    explicit Pair(std::size_t queue_bytes_max = 1 << 20) {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
        client = ends[1];
        connection.emplace(ends[0], "somebody", std::make_unique<Zmtp>(), queue_bytes_max, now);
    }
    ~Pair() { hang_up(); }

    void hang_up() {
        if (client >= 0) {
            ::close(client);
        }
        client = -1;
    }
    void say(std::string_view bytes) {
        REQUIRE(::send(client, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(bytes.size()));
    }
    std::string hear() {
        std::string heard(1 << 20, '\0');
        ssize_t size = ::recv(client, heard.data(), heard.size(), 0);
        heard.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
        return heard;
    }
    Connection::Reading read(std::size_t messages_max = 100) {
        return connection->read(scratch, messages_max, now, messages);
    }
    // As far as the handshake, all greetings exchanged.
    void establish() {
        say(kHandshake);
        CHECK(read() == Connection::Reading::More);
        REQUIRE(connection->framing().established());
        CHECK(connection->write(now) == Connection::Writing::Done);
        hear();
    }

    Instant now{Millis(1000)};
    int client = -1;
    std::optional<Connection> connection;
    std::vector<char> scratch = std::vector<char>(64 << 10);
    std::vector<Chunks> messages;
};

EncodedMessage message_of(std::size_t bytes) {
    return EncodedMessage({Bytes(std::string(bytes, 'm'))});
}

}  // namespace

TEST_CASE("the first words go out without being asked") {
    Pair pair;
    CHECK(pair.connection->has_output());
    CHECK(pair.connection->write(pair.now) == Connection::Writing::Done);
    CHECK(pair.hear() == "\xff\0\0\0\0\0\0\0\x01\x7f"s);
}

TEST_CASE("what a turn leaves over comes in the next one, and before the end") {
    Pair pair;
    pair.establish();
    pair.say(
        "\0\x01"
        "a\0\x01"
        "b\0\x01"
        "c\0\x01"
        "d\0\x01"
        "e\0\x05hal"s);
    pair.hang_up();
    CHECK(pair.read(2) == Connection::Reading::More);
    CHECK(pair.messages.size() == 2);
    CHECK(pair.read(2) == Connection::Reading::More);
    CHECK(pair.read(2) == Connection::Reading::More);
    CHECK(pair.messages.size() == 5);
    CHECK(pair.read(2) == Connection::Reading::Ended);
    CHECK(pair.connection->end().reason == "closed by the client");
    CHECK(!pair.connection->end().fault);
    CHECK(pair.connection->statistics().messages_in == 5);
    CHECK(pair.messages[4][0].view() == "e");
}

TEST_CASE("nothing to read is Empty, and the time of the last bytes is kept") {
    Pair pair;
    pair.establish();
    CHECK(pair.read() == Connection::Reading::Empty);
    pair.now += Millis(500);
    CHECK(pair.read() == Connection::Reading::Empty);
    CHECK(pair.connection->silent_for(pair.now) == Millis(500));
    pair.say(
        "\0\x01"
        "a"s);
    CHECK(pair.read() == Connection::Reading::Empty);
    CHECK(pair.messages.size() == 1);
    CHECK(pair.connection->silent_for(pair.now) == Millis(0));
}

TEST_CASE("what a peer must not send ends it, after the messages before") {
    Pair pair;
    pair.establish();
    pair.say(
        "\0\x01"
        "a\x08\x01"
        "b"s);
    CHECK(pair.read() == Connection::Reading::Ended);
    CHECK(pair.messages.size() == 1);
    CHECK(pair.connection->end().fault);
    CHECK(pair.read() == Connection::Reading::Ended);
}

TEST_CASE("a queue takes what fits, and refuses whole messages") {
    Pair pair(10'000);
    pair.establish();
    CHECK(pair.connection->enqueue(message_of(3000)));
    CHECK(pair.connection->enqueue(message_of(3000)));
    CHECK(pair.connection->enqueue(message_of(3000)));
    CHECK(!pair.connection->enqueue(message_of(3000)));
    CHECK(pair.connection->statistics().messages_queued == 3);
    CHECK(pair.connection->statistics().bytes_queued == 3 * 3009);
    CHECK(pair.connection->write(pair.now) == Connection::Writing::Done);
    CHECK(pair.hear().size() == 3 * 3009);
    CHECK(pair.connection->statistics().messages_out == 3);
    CHECK(pair.connection->statistics().bytes_queued == 0);
    CHECK(pair.connection->enqueue(message_of(3000)));
}

TEST_CASE("tiny messages without end fill a queue, too") {
    Pair pair(100'000);
    pair.establish();
    std::size_t taken = 0;
    while (pair.connection->enqueue(message_of(0))) {
        REQUIRE(++taken < 100'000);
    }
    CHECK(taken > 1000);
}

TEST_CASE("a client that does not read is stalled; what it got is counted in messages") {
    Pair pair(100 << 20);
    pair.establish();
    constexpr std::size_t kCount = 400;
    constexpr std::size_t kBytes = 10'000;
    for (std::size_t i = 0; i < kCount; ++i) {
        REQUIRE(pair.connection->enqueue(message_of(kBytes)));
    }
    pair.now += Millis(5000);  // before the first write nothing has stalled
    CHECK(pair.connection->stalled_for(pair.now) == Millis(0));
    CHECK(pair.connection->write(pair.now) == Connection::Writing::Blocked);
    pair.now += Millis(700);
    CHECK(pair.connection->write(pair.now) == Connection::Writing::Blocked);
    CHECK(pair.connection->stalled_for(pair.now) == Millis(700));
    std::uint64_t sent = pair.connection->statistics().messages_out;
    CHECK(sent == pair.connection->statistics().bytes_out / (kBytes + 9));
    CHECK(pair.connection->statistics().messages_queued == kCount - sent);

    std::size_t heard = pair.hear().size();
    while (pair.connection->write(pair.now) != Connection::Writing::Done) {
        heard += pair.hear().size();
    }
    heard += pair.hear().size();
    CHECK(heard == kCount * (kBytes + 9));
    CHECK(pair.connection->stalled_for(pair.now) == Millis(0));
    CHECK(pair.connection->statistics().messages_out == kCount);
}

TEST_CASE("a client that is gone: what it had sent is still read") {
    Pair pair;
    pair.establish();
    pair.say("\0\x04last"s);
    pair.hang_up();
    REQUIRE(pair.connection->enqueue(message_of(10)));
    CHECK(pair.connection->write(pair.now) == Connection::Writing::Done);
    CHECK(!pair.connection->write_failure().empty());
    CHECK(!pair.connection->enqueue(message_of(10)));
    CHECK(pair.read() == Connection::Reading::Empty);
    CHECK(pair.messages.at(0)[0].view() == "last");
    CHECK(pair.read() == Connection::Reading::Ended);
    CHECK(pair.connection->statistics().messages_queued == 1);
}

TEST_CASE("a peer that pings without reading is cut off at the bound of its queue") {
    Pair pair(4096);
    pair.establish();
    std::string pings;
    for (int i = 0; i < 100; ++i) {
        pings += "\x04\x07\x04PING\0\0"s;
    }
    pair.say(pings);
    pair.read();
    CHECK(pair.connection->write_failure() == "");
    for (int i = 0; i < 100; ++i) {
        pair.say("\x04\x07\x04PING\0\0"s);
        pair.read();
    }
    CHECK(pair.connection->write_failure() == "its outgoing queue is full");
}

TEST_CASE("the last words are written before the end") {
    Pair pair;
    pair.establish();
    REQUIRE(pair.connection->enqueue(message_of(3)));
    pair.say("\0\x04late"s);
    pair.connection->close_after_flush();
    CHECK(!pair.connection->enqueue(message_of(3)));
    CHECK(pair.connection->write(pair.now) == Connection::Writing::Done);
    CHECK(pair.read() == Connection::Reading::Empty);
    CHECK(pair.messages.empty());
    CHECK(pair.hear() == "\0\x03mmm"s);
    CHECK(::recv(pair.client, pair.scratch.data(), 1, 0) == 0);  // the end, not "nothing yet"
    pair.hang_up();
    CHECK(pair.read() == Connection::Reading::Ended);
}
