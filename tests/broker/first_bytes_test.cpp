#include "broker/first_bytes.h"

#include <doctest/doctest.h>

using broker::advice;
using broker::classify;
using broker::classify_last;
using broker::Visitor;
using namespace std::string_literals;

namespace {

struct Greeting {
    Visitor visitor;
    std::string bytes;
};

const Greeting kGreetings[] = {
    {Visitor::Zmtp, "\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL"s},
    {Visitor::Zmtp, "\xff\0\0\0\0\0\0\0\x00\x7f\x03\x00CURVE"s},
    {Visitor::OldZmtp, "\xff\0\0\0\0\0\0\0\x01\x7f\x01\x05"s},         // libzmq 3
    {Visitor::OldZmtp, "\xff\0\0\0\0\0\0\0\x01\x7f\x00\x00"s},         // libzmq 3, to an older one
    {Visitor::OldZmtp, "\xff\0\0\0\0\0\0\x01\x11\x00some identity"s},  // libzmq 2, long form
    {Visitor::OldZmtp, "\x01\0\x05\0hello"s},                          // libzmq 2, anonymous
    {Visitor::OldZmtp, "\x11\0sixteen bytes id"s},
    {Visitor::Framed, "\0\0\0\x10sixteen bytes idC"s},
    {Visitor::Framed, "\0\0\0\0C\0\0\0\x03"s},
    {Visitor::Framed, "\0\0\x01\0"s + std::string(256, 'i') + "D"},
    {Visitor::Tls, "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"s},
    {Visitor::Http, "GET / HTTP/1.1\r\n"},
    {Visitor::Http, "PRI * HTTP/2.0\r\n"},
    {Visitor::Http, "OPTIONS / HTTP/1.0\r\n"},
    {Visitor::Ssh, "SSH-2.0-OpenSSH_9.2\r\n"},
    {Visitor::Other, "\x03\0\0\x13\x0e\xe0\0\0"s},  // a remote desktop
    {Visitor::Other, "\0\0\0\x2f\xffSMBr\0\0\0"s},  // a Windows share
    {Visitor::Other, "\0\0\x02\0more than an identity"s},
    {Visitor::Other, "\0\0\0\0\0\0\0\0"s},
    {Visitor::Other, "\x05\x01\0\0"s.substr(0, 3) + "\x01"},  // SOCKS
    {Visitor::Other, "HELP\r\n"},
    {Visitor::Other, "\r\n\r\n"},
    {Visitor::Other, "\x80\x04K\x09."s},  // a bare pickle
};

}  // namespace

TEST_CASE("each visitor is known by its first bytes") {
    for (const Greeting& greeting : kGreetings) {
        CAPTURE(greeting.bytes);
        const auto verdict = classify(greeting.bytes);
        REQUIRE(verdict.has_value());
        CHECK(broker::name(*verdict) == std::string(broker::name(greeting.visitor)));
        CHECK(classify(greeting.bytes.substr(0, broker::kFirstBytesMax)) == greeting.visitor);
    }
}

TEST_CASE("a verdict from fewer bytes stays, but that ZeroMQ may turn out to be an old one") {
    for (const Greeting& greeting : kGreetings) {
        CAPTURE(greeting.bytes);
        for (std::size_t size = 0; size < greeting.bytes.size(); ++size) {
            const auto verdict = classify(std::string_view(greeting.bytes).substr(0, size));
            if (verdict && *verdict != Visitor::Zmtp) {
                CHECK(*verdict == greeting.visitor);
            }
        }
    }
}

TEST_CASE("who says no more is judged by what it said") {
    CHECK(classify_last("") == Visitor::Silent);
    CHECK(classify_last("G") == Visitor::Other);
    CHECK(classify_last("\xff\0"s) == Visitor::Other);
    CHECK(classify_last("\xff\0\0\0\0\0\0\0\x01\x7f"s) == Visitor::Zmtp);
    CHECK(classify_last("\x01\0"s) == Visitor::OldZmtp);
    CHECK(classify_last("\0\0\0\x02i"s) == Visitor::Framed);
    CHECK(classify_last("\0\0\0"s) == Visitor::Other);
}

TEST_CASE("advice names the port where a client belongs") {
    const broker::ClientPorts both{.zmtp = 5555, .framed = 5560};
    CHECK(advice(Visitor::Framed, both).ends_with("it belongs to port 5560"));
    CHECK(advice(Visitor::Zmtp, both).ends_with("it belongs to port 5555"));
    CHECK(advice(Visitor::Framed, {.zmtp = 5555}).ends_with("replication up to 0.9.10"));
    for (std::size_t i = 0; i < broker::kVisitors; ++i) {
        CHECK(!advice(static_cast<Visitor>(i), both).empty());
        CHECK(broker::name(static_cast<Visitor>(i)) != ""s);
        CHECK(advice(static_cast<Visitor>(i), both).starts_with(what(static_cast<Visitor>(i))));
    }
}
