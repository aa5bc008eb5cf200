#pragma once
// What must hold for any bytes that a framing is given: however cut, they give the same messages,
// the same replies and the same error as when they come at once; no message exceeds its bounds;
// what was decoded, encoded again, decodes to itself. Used by the fuzzers and by the unit tests.

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "broker/framing.h"
#include "common/limits.h"
#include "common/verify.h"

namespace tests {

struct FramingOutcome {
    std::vector<common::Chunks> messages;
    std::string reply;
    std::string error;
    std::string identity;
    friend bool operator==(const FramingOutcome&, const FramingOutcome&) = default;
};

inline void feed_framing(broker::Framing& framing, std::string_view bytes, std::size_t messages_max,
                         FramingOutcome& outcome) {
    while (!bytes.empty() && outcome.error.empty()) {
        const std::size_t before = outcome.messages.size();
        const auto taken = framing.receive(bytes, messages_max, outcome.messages, outcome.reply);
        VERIFY(outcome.messages.size() - before <= messages_max);
        if (taken) {
            VERIFY(*taken > 0 && *taken <= bytes.size());
            bytes.remove_prefix(*taken);
        } else {
            outcome.error = taken.error().what;
            VERIFY(!outcome.error.empty());
        }
    }
    outcome.identity = framing.identity();
}

// The first byte seeds how the rest is cut; `handshake` is a good one, of any peer.
template <typename Kind>
void check_framing(std::string_view input, std::string_view handshake) {
    if (input.empty()) {
        return;
    }
    const std::string_view bytes = input.substr(1);
    Kind at_once;
    FramingOutcome expected;
    feed_framing(at_once, bytes, SIZE_MAX, expected);

    Kind in_pieces;
    FramingOutcome outcome;
    std::mt19937 pick(static_cast<unsigned char>(input[0]));
    for (std::string_view left = bytes; !left.empty() && outcome.error.empty();) {
        const std::size_t piece = 1 + pick() % (pick() % 4 == 0 ? 1000 : 10);
        feed_framing(in_pieces, left.substr(0, piece), 1 + pick() % 3, outcome);
        left.remove_prefix(std::min(piece, left.size()));
    }
    VERIFY(outcome == expected);

    Kind peer;
    FramingOutcome again;
    feed_framing(peer, handshake, 1, again);
    VERIFY(peer.established());
    std::erase_if(outcome.messages, [](const common::Chunks& message) { return message.empty(); });
    for (const common::Chunks& message : outcome.messages) {
        VERIFY(message.size() <= common::limits::kMessageChunksMax);
        VERIFY(common::total_size(message) <= common::limits::kMessageBytesMaxBeforeLogin);
        for (const common::Bytes& piece : peer.encode(message)) {
            VERIFY(!piece.empty());
            feed_framing(peer, piece.view(), 1, again);
        }
    }
    VERIFY(again.error.empty());
    VERIFY(again.messages == outcome.messages);
}

// A good conversation with some bytes changed, doubled or lost, mostly near its start.
inline std::string mutated(std::string bytes, std::mt19937& pick) {
    auto place = [&](std::size_t size) { return pick() % size; };
    for (std::size_t changes = place(4); changes > 0; --changes) {
        const std::size_t at =
            place(2) == 0 ? place(bytes.size()) : place(std::min<std::size_t>(200, bytes.size()));
        const std::size_t length = std::min(place(20), bytes.size() - at);
        switch (place(5)) {
            case 0:
                bytes[at] = static_cast<char>(bytes[at] ^ 1 << place(8));
                break;
            case 1:
                bytes[at] = static_cast<char>(place(256));
                break;
            case 2:
                bytes.erase(at, length);
                break;
            case 3:
                bytes.insert(at, bytes.substr(at, length));
                break;
            default:
                bytes.resize(at + 1);
        }
    }
    return bytes;
}

}  // namespace tests
