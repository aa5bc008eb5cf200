#include "broker/zmtp.h"

#include <doctest/doctest.h>

#include <random>

#include "common/limits.h"
#include "tests/support/framing_property.h"

using broker::EncodedMessage;
using broker::Zmtp;
using common::Bytes;
using common::Chunks;
using common::ErrorKind;
namespace limits = common::limits;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

// Byte vectors by hand, from RFC 23 and RFC 37.
const std::string kSignature = "\xff\0\0\0\0\0\0\0\x01\x7f"s;
const std::string kGreetingRest = "\x03\x01NULL"s + std::string(48, '\0');
const std::string kGreeting = kSignature + kGreetingRest;
const std::string kReadyOfDealer =
    "\x04\x2b\x05READY"
    "\x0bSocket-Type\0\0\0\x06"
    "DEALER"
    "\x08Identity\0\0\0\x02me"s;
const std::string kReadyOfRouter =
    "\x04\x29\x05READY"
    "\x0bSocket-Type\0\0\0\x06ROUTER"
    "\x08Identity\0\0\0\0"s;

struct Outcome {
    std::vector<Chunks> messages;
    std::string reply;
    std::string error;
    ErrorKind kind{};
};

// Feeds all of `bytes`, as a connection would, at most `messages_max` messages a call.
Outcome feed(Zmtp& zmtp, std::string_view bytes, std::size_t messages_max = 1000) {
    Outcome outcome;
    while (!bytes.empty()) {
        auto taken = zmtp.receive(bytes, messages_max, outcome.messages, outcome.reply);
        if (!taken) {
            outcome.error = taken.error().what;
            outcome.kind = taken.error().kind;
            break;
        }
        REQUIRE(*taken <= bytes.size());
        REQUIRE(*taken > 0);
        bytes.remove_prefix(*taken);
    }
    return outcome;
}

Outcome feed_new(std::string_view bytes) {
    Zmtp zmtp;
    return feed(zmtp, bytes);
}

void establish(Zmtp& zmtp) {
    REQUIRE(feed(zmtp, kGreeting + kReadyOfDealer).error.empty());
    REQUIRE(zmtp.established());
}

std::string text(const Chunks& chunks) {
    std::string out;
    for (const Bytes& chunk : chunks) {
        out += "[" + std::string(chunk.view()) + "]";
    }
    return out;
}

std::string joined(const Chunks& pieces) {
    std::string out;
    for (const Bytes& piece : pieces) {
        out += piece.view();
    }
    return out;
}

std::string encoded(const Chunks& chunks) {
    return joined(Zmtp().encode(chunks));
}

Chunks chunks_of(std::initializer_list<std::string> texts) {
    Chunks chunks;
    for (const std::string& chunk : texts) {
        chunks.emplace_back(chunk);
    }
    return chunks;
}

}  // namespace

TEST_CASE("the greeting is answered step by step, READY after the peer's") {
    Zmtp zmtp;
    CHECK(zmtp.hello() == kSignature);
    CHECK(feed(zmtp, kSignature).reply == kGreetingRest.substr(0, 2));
    CHECK(feed(zmtp, kGreetingRest).reply == kGreetingRest.substr(2));
    CHECK(!zmtp.established());
    CHECK(feed(zmtp, kReadyOfDealer).reply == kReadyOfRouter);
    CHECK(zmtp.established());
    CHECK(zmtp.identity() == "me");
}

TEST_CASE("a peer of version 3.0, and one of a later version, are as good") {
    for (std::string version : {"\x03\0"s, "\x04\x02"s}) {
        Zmtp zmtp;
        std::string greeting = kGreeting;
        greeting.replace(10, 2, version);
        CHECK(feed(zmtp, greeting + kReadyOfDealer).error.empty());
        CHECK(zmtp.established());
    }
}

TEST_CASE("an identity is optional, binary, and its property's name has no case") {
    Zmtp without;
    feed(without, kGreeting +
                      "\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06"
                      "DEALER"s);
    CHECK(without.established());
    CHECK(without.identity().empty());
    Zmtp binary;
    feed(binary, kGreeting +
                     "\x04\x2d\x05READY\x0bsocket-type\0\0\0\x06"
                     "DEALER\x08IDENTITY\0\0\0\x04\0a\0\xff"s);
    CHECK(binary.established());
    CHECK(binary.identity() == "\0a\0\xff"s);
}

TEST_CASE("messages of short, long, empty and several frames") {
    Zmtp zmtp;
    establish(zmtp);
    std::string big(300, 'x');
    Outcome outcome = feed(zmtp,
                           "\x00\x05hello"
                           "\x01\x01"
                           "a\x01\x00\x00\x02"
                           "bc"
                           "\x00\x00"
                           "\x02\0\0\0\0\0\0\x01\x2c"s +
                               big + "\x02\0\0\0\0\0\0\0\x01z"s);
    REQUIRE(outcome.messages.size() == 5);
    CHECK(text(outcome.messages[0]) == "[hello]");
    CHECK(text(outcome.messages[1]) == "[a][][bc]");
    CHECK(text(outcome.messages[2]) == "[]");
    CHECK(text(outcome.messages[3]) == "[" + big + "]");
    CHECK(text(outcome.messages[4]) == "[z]");
    CHECK(outcome.reply.empty());
}

TEST_CASE("a message is one piece of memory") {
    Zmtp zmtp;
    establish(zmtp);
    Chunks message = feed(zmtp,
                          "\x01\x02"
                          "ab\x00\x03"
                          "cde"s)
                         .messages.at(0);
    CHECK(message[1].data() == message[0].data() + 2);
    CHECK(message[0].owner() == message[1].owner());
}

TEST_CASE("what we encode is what the RFC says") {
    CHECK(encoded(chunks_of({"hello"})) == "\x00\x05hello"s);
    CHECK(encoded(chunks_of({"a", "", "bc"})) ==
          "\x01\x01"
          "a\x01\x00\x00\x02"
          "bc"s);
    CHECK(encoded(chunks_of({std::string(255, 'x')})) == "\x00\xff"s + std::string(255, 'x'));
    CHECK(encoded(chunks_of({std::string(256, 'x'), "y"})) ==
          "\x03\0\0\0\0\0\0\x01\0"s + std::string(256, 'x') + "\x00\x01y"s);
}

TEST_CASE("a big chunk is shared by what is written, not copied") {
    Chunks chunks = chunks_of({"type", std::string(1 << 20, 'x'), std::string(5000, 'y'), "end"});
    Chunks pieces = Zmtp().encode(chunks);
    REQUIRE(pieces.size() == 5);
    CHECK(pieces[1].data() == chunks[1].data());
    CHECK(pieces[3].data() == chunks[2].data());
    Zmtp zmtp;
    establish(zmtp);
    zmtp.set_message_bytes_max(limits::kMessageBytesMax);
    CHECK(feed(zmtp, joined(pieces)).messages.at(0) == chunks);
}

TEST_CASE("a message is encoded once, however many get it") {
    Zmtp one;
    Zmtp other;
    EncodedMessage message(chunks_of({"a", "b"}));
    CHECK(message.pieces(one).at(0).data() == message.pieces(other).at(0).data());
}

TEST_CASE("every way to cut a conversation in two, and byte by byte, gives the same") {
    std::string big(700, 'q');
    std::string conversation = kGreeting + kReadyOfDealer + "\x00\x05hello"s +
                               "\x01\x01"
                               "a"s +
                               "\x04\x09\x04PING\0\x0a"
                               "cc"s +
                               "\x00\x02"
                               "bc"s +
                               "\x04\x07\x04PING\0\0"s + encoded(chunks_of({"x", big, "", "y"})) +
                               "\x04\x06\x04PONGz"s + "\x00\x00"s;
    auto check = [&](std::initializer_list<std::string_view> parts, std::size_t messages_max) {
        Zmtp zmtp;
        Outcome all;
        for (std::string_view part : parts) {
            Outcome outcome = feed(zmtp, part, messages_max);
            REQUIRE(outcome.error.empty());
            all.reply += outcome.reply;
            for (Chunks& message : outcome.messages) {
                all.messages.push_back(std::move(message));
            }
        }
        REQUIRE(all.messages.size() == 4);
        CHECK(text(all.messages[0]) == "[hello]");
        CHECK(text(all.messages[1]) == "[a][bc]");
        CHECK(text(all.messages[2]) == "[x][" + big + "][][y]");
        CHECK(text(all.messages[3]) == "[]");
        CHECK(all.reply ==
              kGreetingRest + kReadyOfRouter + "\x04\x07\x04PONGcc"s + "\x04\x05\x04PONG"s);
        CHECK(zmtp.silence_max() == common::Millis(0));
    };
    std::string_view whole = conversation;
    for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
        check({whole.substr(0, cut), whole.substr(cut)}, 1 + cut % 3);
    }
    Zmtp zmtp;
    Outcome all;
    for (char byte : conversation) {
        Outcome outcome = feed(zmtp, std::string_view(&byte, 1));
        REQUIRE(outcome.error.empty());
        for (Chunks& message : outcome.messages) {
            all.messages.push_back(std::move(message));
        }
    }
    REQUIRE(all.messages.size() == 4);
    CHECK(text(all.messages[2]) == "[x][" + big + "][][y]");
}

TEST_CASE("it stops after so many messages, and after the handshake") {
    Zmtp zmtp;
    std::vector<Chunks> messages;
    std::string reply;
    std::string bytes = kGreeting + kReadyOfDealer +
                        "\0\x01"
                        "a\0\x01"
                        "b\0\x01"
                        "c"s;
    std::size_t handshake = kGreeting.size() + kReadyOfDealer.size();
    CHECK(*zmtp.receive(bytes, 2, messages, reply) == handshake);
    CHECK(zmtp.established());
    CHECK(*zmtp.receive(bytes.substr(handshake), 2, messages, reply) == 6);
    CHECK(messages.size() == 2);
}

TEST_CASE("PING is answered with its context, its TTL is kept") {
    Zmtp zmtp;
    establish(zmtp);
    CHECK(feed(zmtp,
               "\x04\x0f\x04PING\x01\x2c"
               "12345678"s)
              .reply == "\x04\x0d\x04PONG12345678"s);
    CHECK(zmtp.silence_max() == common::Millis(30'000));
    CHECK(feed(zmtp, "\x04\x05\x04PING"s).error == "a ZMTP PING of a wrong size");
}

TEST_CASE("an unknown command is ignored, a nameless one is not") {
    Zmtp zmtp;
    establish(zmtp);
    CHECK(feed(zmtp,
               "\x04\x06\x05OTHER\0\x01"
               "a"s)
              .messages.size() == 1);
    CHECK(!feed(zmtp, "\x04\x03\x00zz"s).error.empty());
    Zmtp other;
    establish(other);
    CHECK(!feed(other, "\x04\x00"s).error.empty());
    Zmtp third;
    establish(third);
    CHECK(!feed(third, "\x04\x03\x09zz"s).error.empty());
}

TEST_CASE("impossible flags are refused") {
    for (std::string frame : {"\x08\x01x"s, "\x05\x05\x04PONG"s, "\xff\x01"s}) {
        Zmtp zmtp;
        establish(zmtp);
        CHECK(!feed(zmtp, frame + std::string(10, '\0')).error.empty());
    }
}

TEST_CASE("a message before READY is refused") {
    CHECK(!feed_new(kGreeting + "\x00\x01x"s).error.empty());
    CHECK(!feed_new(kGreeting + "\x04\x07\x04PING\0\0"s).error.empty());
}

TEST_CASE("who is no client is told apart") {
    auto refused = [](std::string_view bytes, std::string_view phrase) {
        Outcome outcome = feed_new(bytes);
        CAPTURE(outcome.error);
        CHECK(outcome.error.find(phrase) != std::string::npos);
    };
    refused("\x16\x03\x01\x02\x00\x01\x00"sv, "TLS");
    refused("GET / HTTP/1.1\r\n"sv, "HTTP");
    refused("SSH-2.0-OpenSSH"sv, "SSH");
    refused(
        "\0\0\0\x10"
        "0123456789abcdefC"sv,
        "framed TCP");
    refused("\x01\0\x01\0"sv, "ZMTP 1");
    refused(
        "\xff\0\0\0\0\0\0\0\x11\0"
        "0123456789abcdef"sv,
        "ZMTP 1.0");
    refused(kSignature + "\x01\x05\0\0"s, "ZMTP 2.0");
    refused("\x80\x81\x82\x83"sv, "'\\x80\\x81\\x82\\x83'");
    std::string plain = kGreeting;
    plain.replace(12, 5, "PLAIN");
    refused(plain, "'PLAIN'");
    std::string curve = kGreeting;
    curve.replace(12, 5, "CURVE");
    refused(curve, "'CURVE'");
}

TEST_CASE("another socket type is refused, and the peer is told so") {
    Outcome outcome = feed_new(kGreeting + "\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03REQ"s);
    CHECK(outcome.error.find("'REQ'") != std::string::npos);
    CHECK(outcome.kind == ErrorKind::Unsupported);
    CHECK(outcome.reply.substr(kGreetingRest.size()) ==
          "\x04\x2c\x05"
          "ERROR\x25this server takes DEALER sockets only"s);
    CHECK(feed_new(kGreeting + "\x04\x06\x05READY"s).error.find("''") != std::string::npos);
    CHECK(feed_new(kGreeting + "\x04\x0a\x05"
                               "ERROR\x03"
                               "400"s)
              .error.find("'400'") != std::string::npos);
}

TEST_CASE("properties that are cut off, or too long an identity, are refused") {
    CHECK(!feed_new(kGreeting + "\x04\x09\x05READY\x0bSo"s).error.empty());
    CHECK(!feed_new(kGreeting + "\x04\x16\x05READY\x0bSocket-Type\xff\xff\xff\xff"s).error.empty());
    auto ready = [](std::size_t identity_bytes) {
        std::string body =
            "\x05READY\x0bSocket-Type\0\0\0\x06"
            "DEALER\x08Identity\0\0"s;
        body += static_cast<char>(identity_bytes >> 8);
        body += static_cast<char>(identity_bytes & 0xff);
        body += std::string(identity_bytes, 'i');
        std::string frame = "\x06\0\0\0\0\0\0"s;
        frame += static_cast<char>(body.size() >> 8);
        frame += static_cast<char>(body.size() & 0xff);
        return frame + body;
    };
    CHECK(feed_new(kGreeting + ready(255)).error.empty());
    CHECK(feed_new(kGreeting + ready(256)).error.find("identity") != std::string::npos);
}

TEST_CASE("the bound of a message holds at the exact byte, before its body comes") {
    auto long_header = [](bool more, std::size_t length) {
        std::string header(more ? "\x03" : "\x02");
        for (int shift = 56; shift >= 0; shift -= 8) {
            header += static_cast<char>(length >> shift & 0xff);
        }
        return header;
    };
    const std::size_t bound = limits::kMessageBytesMaxBeforeLogin;
    for (std::size_t first : {std::size_t{0}, std::size_t{1}, std::size_t{1000}, bound}) {
        std::string start = long_header(true, first) + std::string(first, 'a');
        Zmtp fits;
        establish(fits);
        Outcome good =
            feed(fits, start + long_header(false, bound - first) + std::string(bound - first, 'b'));
        CHECK(good.error.empty());
        CHECK(good.messages.size() == 1);
        Zmtp over;
        establish(over);
        Outcome bad = feed(over, start + long_header(false, bound - first + 1));
        CHECK(bad.kind == ErrorKind::Limit);
        CHECK(bad.error.find(std::to_string(bound)) != std::string::npos);
    }
    Zmtp raised;
    establish(raised);
    raised.set_message_bytes_max(bound + 1);
    CHECK(
        feed(raised, long_header(false, bound + 1) + std::string(bound + 1, 'b')).messages.size() ==
        1);
    Zmtp huge;
    establish(huge);
    CHECK(feed(huge, long_header(true, 0) + "\x02\xff\xff\xff\xff\xff\xff\xff\xff"s).kind ==
          ErrorKind::Limit);
    Zmtp command;
    establish(command);
    CHECK(feed(command, "\x06\0\0\0\0\0\0\x20\x01"s).kind == ErrorKind::Limit);
}

TEST_CASE("frames with MORE without end are refused") {
    for (std::string body : {""s, "x"s}) {
        Zmtp zmtp;
        establish(zmtp);
        std::string frame = "\x01"s + static_cast<char>(body.size()) + body;
        for (std::size_t i = 0; i < limits::kMessageChunksMax; ++i) {
            REQUIRE(feed(zmtp, frame).error.empty());
        }
        CHECK(feed(zmtp, frame).kind == ErrorKind::Limit);
    }
    Zmtp whole;
    establish(whole);
    std::string last_is_too_many;
    for (std::size_t i = 0; i < limits::kMessageChunksMax; ++i) {
        last_is_too_many += "\x01\x00"s;
    }
    CHECK(feed(whole, last_is_too_many + "\x00\x00"s).kind == ErrorKind::Limit);
}

TEST_CASE("messages before what is wrong are not lost") {
    Zmtp zmtp;
    establish(zmtp);
    Outcome outcome = feed(zmtp,
                           "\0\x01"
                           "a\0\x01"
                           "b\x08\x01"
                           "c"s);
    CHECK(!outcome.error.empty());
    CHECK(outcome.messages.size() == 2);
}

TEST_CASE("mutations of a good conversation do what must hold for any bytes") {
    std::string ping =
        "\x04\x09\x04PING\0\x0a"
        "cc"s;
    std::string good = kGreeting + kReadyOfDealer + encoded(chunks_of({"a", "", "bc"})) + ping +
                       encoded(chunks_of({std::string(300, 'x')})) +
                       "\x01\x01"
                       "a"s +
                       ping + encoded(chunks_of({"b"})) +
                       encoded(chunks_of({"x", std::string(6000, 'y'), "z"}));
    std::mt19937 pick(20);
    for (int i = 0; i < 2000; ++i) {
        CAPTURE(i);
        tests::check_framing<Zmtp>(static_cast<char>(i % 256) + tests::mutated(good, pick),
                                   kGreeting + kReadyOfDealer);
    }
}
