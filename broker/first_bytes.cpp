#include "broker/first_bytes.h"

#include <algorithm>

#include "common/verify.h"

namespace broker {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t kSignatureBytes = 10;
constexpr std::size_t kFramedIdentityBytesMax = 256;
constexpr unsigned char kZmtp3 = 3;

constexpr std::array kHttpStarts = {"GET "sv, "HEAD"sv, "POST"sv, "PUT "sv, "OPTI"sv,
                                    "CONN"sv, "PATC"sv, "DELE"sv, "TRAC"sv, "PRI "sv};

unsigned byte_at(std::string_view bytes, std::size_t index) {
    return static_cast<unsigned char>(bytes[index]);
}

// FF, eight bytes, and one whose lowest bit says that a version follows.
std::optional<Visitor> classify_signature(std::string_view bytes) {
    if (bytes.size() < kSignatureBytes) {
        return std::nullopt;
    }
    if ((byte_at(bytes, kSignatureBytes - 1) & 1) == 0) {
        return Visitor::OldZmtp;  // the long form of a ZMTP 1.0 identity
    }
    const bool is_old = bytes.size() > kSignatureBytes && byte_at(bytes, kSignatureBytes) < kZmtp3;
    return is_old ? Visitor::OldZmtp : Visitor::Zmtp;
}

}  // namespace

const char* name(Visitor visitor) {
    switch (visitor) {
        case Visitor::Silent:
            return "silent";
        case Visitor::Zmtp:
            return "zmtp";
        case Visitor::OldZmtp:
            return "old_zmtp";
        case Visitor::Framed:
            return "framed";
        case Visitor::Tls:
            return "tls";
        case Visitor::Http:
            return "http";
        case Visitor::Ssh:
            return "ssh";
        case Visitor::Other:
            return "other";
    }
    VERIFY(false);
}

std::optional<Visitor> classify(std::string_view bytes) {
    if (bytes.empty()) {
        return std::nullopt;
    }
    if (byte_at(bytes, 0) == 0xff) {
        return classify_signature(bytes);
    }
    if (bytes.size() < 4) {
        return std::nullopt;
    }
    const std::string_view start = bytes.substr(0, 4);
    if (start.starts_with("\x16\x03"sv)) {
        return Visitor::Tls;
    }
    if (std::ranges::find(kHttpStarts, start) != kHttpStarts.end()) {
        return Visitor::Http;
    }
    if (start == "SSH-"sv) {
        return Visitor::Ssh;
    }
    if (start.starts_with("\0\0"sv)) {
        const std::size_t length = byte_at(start, 2) << 8 | byte_at(start, 3);
        if (length > kFramedIdentityBytesMax) {
            return Visitor::Other;
        }
        // A Windows share is asked for with such a length as well, and with its own name after it.
        if (bytes.size() < 8) {
            return std::nullopt;
        }
        const bool is_role = "CDT"sv.find(bytes[4]) != std::string_view::npos;
        const bool is_share = bytes.substr(5, 3) == "SMB"sv;
        return is_share || (length == 0 && !is_role) ? Visitor::Other : Visitor::Framed;
    }
    // The short form of a ZMTP 1.0 identity: its length, and no flags. (Remote desktops begin with
    // 03 00 00.)
    if (byte_at(start, 0) != 0 && byte_at(start, 1) == 0 && !start.starts_with("\x03\0\0"sv)) {
        return Visitor::OldZmtp;
    }
    return Visitor::Other;
}

Visitor classify_last(std::string_view bytes) {
    if (bytes.empty()) {
        return Visitor::Silent;
    }
    const std::optional<Visitor> verdict = classify(bytes);
    if (verdict) {
        return *verdict;
    }
    // The handshake of a framed client with a short identity, cut off.
    const bool is_framed = bytes.size() >= 4 && bytes.starts_with("\0\0"sv);
    // libzmq 2 without an identity says no more than this.
    const bool is_old = bytes == "\x01\0"sv;
    return is_framed ? Visitor::Framed : is_old ? Visitor::OldZmtp : Visitor::Other;
}

const char* what(Visitor visitor) {
    switch (visitor) {
        case Visitor::Silent:
            return "somebody without a word (a port scan, a health check)";
        case Visitor::Zmtp:
            return "a client of Multi-User with replication up to 0.9.10 (ZeroMQ)";
        case Visitor::OldZmtp:
            return "a ZeroMQ of before 4.0 (ZMTP 1 or 2)";
        case Visitor::Framed:
            return "a client of Multi-User with replication 0.9.12 or later (framed TCP)";
        case Visitor::Tls:
            return "a TLS client (https?)";
        case Visitor::Http:
            return "an HTTP client (a browser?)";
        case Visitor::Ssh:
            return "an SSH client";
        case Visitor::Other:
            return "something that is no Multi-User client";
    }
    VERIFY(false);
}

std::string advice(Visitor visitor, const ClientPorts& ports) {
    const auto belongs_to = [](std::uint16_t port, const char* otherwise) {
        return port != 0 ? "it belongs to port " + std::to_string(port) : std::string(otherwise);
    };
    std::string should;
    switch (visitor) {
        case Visitor::Silent:
            should = "to see whether the server is well, ask its /health address";
            break;
        case Visitor::Zmtp:
            should = belongs_to(ports.zmtp, "this server is for later ones");
            break;
        case Visitor::OldZmtp:
            should = "this server speaks ZMTP 3, with libzmq 4.0 or later";
            break;
        case Visitor::Framed:
            should = belongs_to(ports.framed, "this server speaks with replication up to 0.9.10");
            break;
        case Visitor::Tls:
        case Visitor::Http:
            should =
                "this port is for Blender, without encryption; the health page is plain http "
                "on another port";
            break;
        case Visitor::Ssh:
            should = "this is no SSH server, its port is usually 22";
            break;
        case Visitor::Other:
            should = "this port is for Blender";
            break;
    }
    return std::string(what(visitor)) + " connected: " + should;
}

}  // namespace broker
