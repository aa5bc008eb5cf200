// What must hold: any frames are refused, or decode to a message that encodes to frames which
// decode again to the same frames; nothing else happens (no crash, no leak, no memory by the word
// of a length).
//
// The input is frames: for each a 32-bit little endian length and its bytes; the last takes what is
// left. clang: -fsanitize=fuzzer; g++: tests/fuzz/replay_main.cpp.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/feed.h"
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Frames frames = frames_of({reinterpret_cast<const char*>(data), size});
    using namespace common::feed;
    check(frames, decode_record, encode_record);
    check(frames, decode_feed, [](const FeedMessage& message) { return encode(message); });
    check(frames, decode_link, [](const LinkMessage& message) { return encode(message); });
    return 0;
}
