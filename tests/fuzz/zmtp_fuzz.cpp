// What must hold: any bytes, however cut, give the same messages, the same replies and the same
// error as when they come at once; no message exceeds its bounds; what was decoded, encoded again,
// decodes to itself.
//
// The first byte of the input seeds how the rest is cut. clang++ -fsanitize=fuzzer makes a fuzzer
// of it; tests/broker/zmtp_test.cpp runs it over mutations of a good conversation.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "broker/zmtp.h"
#include "common/limits.h"
#include "common/verify.h"

namespace {

using broker::Zmtp;
using common::Chunks;
namespace limits = common::limits;

struct Outcome {
    std::vector<Chunks> messages;
    std::string reply;
    std::string error;
    std::string identity;
    friend bool operator==(const Outcome&, const Outcome&) = default;
};

void feed(Zmtp& zmtp, std::string_view bytes, std::size_t messages_max, Outcome& outcome) {
    while (!bytes.empty() && outcome.error.empty()) {
        std::size_t before = outcome.messages.size();
        auto taken = zmtp.receive(bytes, messages_max, outcome.messages, outcome.reply);
        VERIFY(outcome.messages.size() - before <= messages_max);
        if (taken) {
            VERIFY(*taken > 0 && *taken <= bytes.size());
            bytes.remove_prefix(*taken);
        } else {
            outcome.error = taken.error().what;
            VERIFY(!outcome.error.empty());
        }
    }
    outcome.identity = zmtp.identity();
}

void check_messages(const std::vector<Chunks>& messages) {
    Zmtp peer;
    Outcome again;
    feed(peer, std::string_view("\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL", 16), 1, again);
    feed(peer, std::string(48, '\0'), 1, again);
    feed(peer,
         std::string_view("\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06"
                          "DEALER",
                          30),
         1, again);
    VERIFY(peer.established());
    for (const Chunks& message : messages) {
        VERIFY(!message.empty() && message.size() <= limits::kMessageChunksMax);
        VERIFY(common::total_size(message) <= limits::kMessageBytesMaxBeforeLogin);
        for (const common::Bytes& piece : peer.encode(message)) {
            VERIFY(!piece.empty());
            feed(peer, piece.view(), 1, again);
        }
    }
    VERIFY(again.error.empty());
    VERIFY(again.messages == messages);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    Zmtp at_once;
    Outcome expected;
    feed(at_once, bytes, SIZE_MAX, expected);

    Zmtp in_pieces;
    Outcome outcome;
    std::mt19937 pick(data[0]);
    while (!bytes.empty() && outcome.error.empty()) {
        std::size_t piece = 1 + pick() % (pick() % 4 == 0 ? 1000 : 10);
        feed(in_pieces, bytes.substr(0, piece), 1 + pick() % 3, outcome);
        bytes.remove_prefix(std::min(piece, bytes.size()));
    }
    VERIFY(outcome == expected);
    check_messages(outcome.messages);
    return 0;
}
