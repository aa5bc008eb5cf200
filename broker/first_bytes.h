#pragma once
// Who knocks at a client port, judged by the first bytes it sends. Pure.
//
// Ports that are open are found: by scanners, by browsers, by clients of another generation. None
// of them is an error of the server. Each is counted by its kind, and the first of a kind gets a
// line that says what it was and what it should have used.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace broker {

enum class Visitor : std::uint8_t {
    Silent,   // went without a word: a port scan, a health check
    Zmtp,     // ZeroMQ as we speak it (4.0 and later)
    OldZmtp,  // ZeroMQ of before 4.0
    Framed,   // the plain TCP of replication 0.9.12 and later
    Tls,
    Http,
    Ssh,
    Other,
};
inline constexpr std::size_t kVisitors = 8;

// One lower-case word, for counters: "tls".
const char* name(Visitor visitor);
// In words: "a TLS client (https?)".
const char* what(Visitor visitor);

// So many bytes are enough for any verdict.
inline constexpr std::size_t kFirstBytesMax = 12;

// The verdict on what a peer has sent so far; nothing while more bytes could still change it. That
// a peer is Zmtp is told from a whole signature: one that says no more yet is taken at its word.
std::optional<Visitor> classify(std::string_view first_bytes);

// The verdict on a peer that says no more.
Visitor classify_last(std::string_view first_bytes);

// What it was and what it should do, as a sentence without a full stop. `zmtp` and `framed` are the
// ports of the two generations of clients, 0 for one that is not offered.
struct ClientPorts {
    std::uint16_t zmtp = 0;
    std::uint16_t framed = 0;
};
std::string advice(Visitor visitor, const ClientPorts& ports);

}  // namespace broker
