#include "broker/framed.h"

#include <doctest/doctest.h>

#include <random>

#include "common/limits.h"
#include "tests/support/framing_property.h"

using broker::Channel;
using broker::EncodedMessage;
using broker::Framed;
using common::Bytes;
using common::Chunks;
using tests::FramingOutcome;
namespace limits = common::limits;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

// Byte vectors by hand, from the library's own description of the format.
const std::string kHandshake = "\0\0\0\x02meC"s;

FramingOutcome feed(Framed& framed, std::string_view bytes, std::size_t messages_max = 1000) {
    FramingOutcome outcome;
    tests::feed_framing(framed, bytes, messages_max, outcome);
    return outcome;
}

FramingOutcome feed_new(std::string_view bytes) {
    Framed framed;
    return feed(framed, bytes);
}

std::string text(const Chunks& chunks) {
    std::string out;
    for (const Bytes& chunk : chunks) {
        out += "[" + std::string(chunk.view()) + "]";
    }
    return out;
}

std::string number(std::size_t value) {
    std::string out;
    common::append_big_endian(out, value, 4);
    return out;
}

Chunks chunks_of(std::initializer_list<std::string> texts) {
    Chunks chunks;
    for (const std::string& chunk : texts) {
        chunks.emplace_back(chunk);
    }
    return chunks;
}

std::string encoded(const Chunks& chunks) {
    std::string out;
    for (const Bytes& piece : Framed().encode(chunks)) {
        out += piece.view();
    }
    return out;
}

}  // namespace

TEST_CASE("the handshake is an identity and a role; the server says nothing") {
    for (auto [role, channel] : {std::pair("C", Channel::Command), std::pair("D", Channel::Data),
                                 std::pair("T", Channel::Heartbeat)}) {
        Framed framed;
        CHECK(framed.hello().empty());
        CHECK(!framed.established());
        CHECK(feed(framed, "\0\0\0\x04\0a\0\xff"s).error.empty());
        CHECK(!framed.established());
        const FramingOutcome outcome = feed(framed, role);
        CHECK(outcome.error.empty());
        CHECK(outcome.reply.empty());
        CHECK(framed.established());
        CHECK(framed.identity() == "\0a\0\xff"s);
        CHECK(framed.channel() == channel);
    }
}

TEST_CASE("receive stops after the handshake, before any message") {
    Framed framed;
    std::vector<Chunks> messages;
    std::string reply;
    const std::string bytes = kHandshake + encoded(chunks_of({"hello"}));
    CHECK(framed.receive(bytes, 1000, messages, reply) == kHandshake.size());
    CHECK(messages.empty());
    CHECK(framed.established());
}

TEST_CASE("an identity of 0 to 256 bytes") {
    Framed empty;
    CHECK(feed(empty, "\0\0\0\0D"sv).error.empty());
    CHECK(empty.established());
    CHECK(empty.identity().empty());
    Framed longest;
    CHECK(feed(longest, number(256) + std::string(256, 'i') + "T").error.empty());
    CHECK(longest.identity().size() == 256);
    // Told by the length alone.
    CHECK(feed_new(number(257)).error.find("'\\x00\\x00\\x01\\x01'") != std::string::npos);
}

TEST_CASE("strangers are known by their first four bytes") {
    CHECK(feed_new("GET / HTTP/1.1\r\n").error ==
          "not the handshake of a client with framed TCP: its first bytes are 'GET '");
}

TEST_CASE("roles unknown") {
    for (char role : {'c', 'X', '\0', '\xff'}) {
        const FramingOutcome outcome = feed_new("\0\0\0\x02me"s + role);
        CHECK(outcome.error.find("unknown role") != std::string::npos);
    }
}

TEST_CASE("messages of no, one and several chunks, empty ones too") {
    Framed framed;
    const FramingOutcome outcome =
        feed(framed, kHandshake + number(1) + number(5) + "hello" + number(3) + number(1) + "a" +
                         number(0) + number(2) + "bc" + number(0) + number(1) + number(0));
    REQUIRE(outcome.messages.size() == 4);
    CHECK(text(outcome.messages[0]) == "[hello]");
    CHECK(text(outcome.messages[1]) == "[a][][bc]");
    CHECK(outcome.messages[2].empty());
    CHECK(text(outcome.messages[3]) == "[]");
}

TEST_CASE("a byte at a time gives the same") {
    Framed framed;
    std::vector<Chunks> messages;
    const std::string bytes = kHandshake + encoded(chunks_of({"a", "", "bc"})) + number(0) +
                              encoded(chunks_of({std::string(9000, 'x'), "z"}));
    for (char byte : bytes) {
        for (Chunks& message : feed(framed, std::string_view(&byte, 1)).messages) {
            messages.push_back(std::move(message));
        }
    }
    REQUIRE(messages.size() == 3);
    CHECK(text(messages[0]) == "[a][][bc]");
    CHECK(messages[1].empty());
    CHECK(text(messages[2]) == "[" + std::string(9000, 'x') + "][z]");
}

TEST_CASE("at most so many messages a call") {
    Framed framed;
    REQUIRE(feed(framed, kHandshake).error.empty());
    std::string bytes;
    for (int i = 0; i < 5; ++i) {
        bytes += encoded(chunks_of({"x"}));
    }
    std::vector<Chunks> messages;
    std::string reply;
    CHECK(framed.receive(bytes, 2, messages, reply) == 2 * 9);
    CHECK(messages.size() == 2);
}

TEST_CASE("counts and lengths that lie are refused before anything is reserved") {
    CHECK(feed_new(kHandshake + number(limits::kMessageChunksMax + 1)).error ==
          "a message of 17 chunks, at most 16 are taken");
    CHECK(feed_new(kHandshake + "\xff\xff\xff\xff").error ==
          "a message of 4294967295 chunks, at most 16 are taken");
    const std::size_t max = limits::kMessageBytesMaxBeforeLogin;
    const std::string error = "a message of more than " + std::to_string(max) + " bytes";
    CHECK(feed_new(kHandshake + number(1) + number(max + 1)).error == error);
    CHECK(feed_new(kHandshake + number(1) + "\xff\xff\xff\xff").error == error);
    // All chunks together.
    CHECK(feed_new(kHandshake + number(2) + number(max - 1) + std::string(max - 1, 'x') + number(2))
              .error == error);
    CHECK(feed_new(kHandshake + number(2) + number(max - 1) + std::string(max - 1, 'x') +
                   number(1) + "x")
              .messages.size() == 1);
}

TEST_CASE("what came before the fault is given out") {
    const FramingOutcome outcome =
        feed_new(kHandshake + encoded(chunks_of({"good"})) + number(1000));
    CHECK(!outcome.error.empty());
    REQUIRE(outcome.messages.size() == 1);
    CHECK(text(outcome.messages[0]) == "[good]");
}

TEST_CASE("after the login more is taken") {
    Framed framed;
    REQUIRE(feed(framed, kHandshake).error.empty());
    framed.set_message_bytes_max(limits::kMessageBytesMax);
    const std::string big(200'000, 'b');
    const FramingOutcome outcome = feed(framed, encoded(chunks_of({"type", big})));
    REQUIRE(outcome.messages.size() == 1);
    CHECK(outcome.messages[0][1].view() == big);
    framed.set_message_bytes_max(limits::kMessageBytesMaxBeforeLogin);
    CHECK(!feed(framed, encoded(chunks_of({"type", big}))).error.empty());
}

TEST_CASE("a message is encoded as the library writes it, small ones in one piece") {
    CHECK(encoded(chunks_of({"PING"})) == "\0\0\0\x01\0\0\0\x04PING"s);
    CHECK(Framed().encode(chunks_of({"PING"})).size() == 1);
    CHECK(Framed().encode(chunks_of({"a", "", std::string(4096, 'b'), "c"})).size() == 1);
    const Chunks big = chunks_of({"a", std::string(4097, 'b'), "c"});
    const Chunks pieces = Framed().encode(big);
    REQUIRE(pieces.size() == 3);
    CHECK(pieces[1].data() == big[1].data());  // shared, not copied
    Framed reader;
    const FramingOutcome outcome = feed(reader, kHandshake + encoded(big));
    REQUIRE(outcome.messages.size() == 1);
    CHECK(outcome.messages[0] == big);
}

TEST_CASE("whatever comes, however cut, is decoded alike and within its bounds") {
    const std::string good = kHandshake + encoded(chunks_of({"a", "", "bc"})) +
                             encoded(chunks_of({std::string(300, 'x')})) + number(0) +
                             encoded(chunks_of({"b"})) +
                             encoded(chunks_of({"x", std::string(6000, 'y'), "z"}));
    std::mt19937 pick(20);
    for (int i = 0; i < 3000; ++i) {
        CAPTURE(i);
        tests::check_framing<Framed>(static_cast<char>(i % 256) + tests::mutated(good, pick),
                                     kHandshake);
    }
}
