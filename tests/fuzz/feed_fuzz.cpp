// What must hold: any frames are refused, or decode to a message that encodes to frames which
// decode again to the same frames; nothing else happens (no crash, no leak, no memory by the word
// of a length). What is read of packets, packed again, is read again.
//
// The input is frames: for each a 32-bit little endian length and its bytes; the last takes what is
// left. clang: -fsanitize=fuzzer; g++: tests/fuzz/replay_main.cpp.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/feed_stream.h"
#include "common/limits.h"
#include "common/verify.h"

namespace {

using common::Bytes;
using common::feed::Frames;

constexpr std::size_t kFramesMax = 4096;

Frames frames_of(std::string_view input) {
    Frames frames;
    while (input.size() >= 4 && frames.size() < kFramesMax) {
        std::size_t size = 0;
        for (std::size_t i = 0; i < 4; ++i) {
            size |= static_cast<std::size_t>(static_cast<unsigned char>(input[i])) << (8 * i);
        }
        input.remove_prefix(4);
        size = size < input.size() ? size : input.size();
        frames.push_back(Bytes::copy_of(input.substr(0, size)));
        input.remove_prefix(size);
    }
    return frames;
}

template <typename Decode, typename Encode>
void check(const Frames& frames, const Decode& decode, const Encode& encode) {
    const auto message = decode(frames);
    if (!message) {
        return;
    }
    const Frames once = encode(*message);
    const auto again = decode(once);
    VERIFY(again.has_value());
    VERIFY(encode(*again) == once);
}

// The frames as payloads of packets that follow each other, once lost and once not.
void check_packets(const Frames& payloads) {
    common::feed::PacketReader reader;
    std::vector<Frames> records;
    std::uint64_t number = 0;
    for (const Bytes& payload : payloads) {
        const auto first = payload.empty() ? '\0' : payload.view().front();
        const std::uint64_t continued = static_cast<unsigned char>(first) % 32U;
        static_cast<void>(reader.read({number, continued, payload}, records));
        number += payload.size() % 7 == 0 ? 2U : 1U;
    }
    common::feed::PacketWriter writer(number);
    std::vector<common::feed::Packet> packets;
    for (const Frames& record : records) {
        writer.add(record, packets);
    }
    if (const auto last = writer.flush()) {
        packets.push_back(*last);
    }
    common::feed::PacketReader other;
    std::vector<Frames> again;
    for (const common::feed::Packet& packet : packets) {
        VERIFY(packet.payload.size() <= common::limits::kFeedPacketBytesMax);
        VERIFY(other.read(packet, again).has_value());
    }
    VERIFY(again == records);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Frames frames = frames_of({reinterpret_cast<const char*>(data), size});
    using namespace common::feed;
    check(frames, decode_record, encode_record);
    check(frames, decode_feed, [](const FeedMessage& message) { return encode(message); });
    check(frames, decode_link, [](const LinkMessage& message) { return encode(message); });
    check_packets(frames);
    return 0;
}
