#include "snapshotter/storage/packing.h"

#include <utility>

#include "common/bytes.h"
#include "common/limits.h"

namespace snapshotter {

using common::Bytes;
using common::Result;
using common::feed::Frames;

namespace {

constexpr std::int64_t kAsTheyAre = 0;
constexpr std::int64_t kZlib = 1;

// Below, compressing gains too little to be worth another form. What larger ones cost:
// docs/decisions/0005-gzip-by-igzip.md.
constexpr std::size_t kCompressedFrom = 512;

// An envelope and the chunks of one client message.
constexpr std::uint64_t kUnpackedMax =
    common::limits::kMessageBytesMax + common::limits::kUserMetadataBytesMax;

constexpr std::size_t kLengthBytes = 4;

Result<Frames> split(const Bytes& text) {
    Frames frames;
    for (std::size_t at = 0; at < text.size();) {
        if (text.size() - at < kLengthBytes || frames.size() == common::limits::kMessageChunksMax) {
            return common::bad_input("its frames have no proper end");
        }
        const std::size_t length = common::read_big_endian(text.view().substr(at, kLengthBytes));
        at += kLengthBytes;
        if (text.size() - at < length) {
            return common::bad_input("a frame is longer than all of them");
        }
        frames.push_back(text.slice(at, length));
        at += length;
    }
    return frames;
}

}  // namespace

Packed Packer::pack(const Frames& frames) {
    std::string text;
    text.reserve(common::total_size(frames) + kLengthBytes * frames.size());
    for (const Bytes& frame : frames) {
        common::append_big_endian(text, frame.size(), kLengthBytes);
        text += frame.view();
    }
    if (text.size() >= kCompressedFrom) {
        // If it gains less than a tenth, who reads it need not inflate it.
        if (auto compressed = zlib_.compress(text, text.size() - text.size() / 10)) {
            return {kZlib, text.size(), std::move(*compressed)};
        }
    }
    const std::uint64_t size = text.size();
    return {kAsTheyAre, size, std::move(text)};
}

Result<Frames> Packer::unpack(std::int64_t packing, std::uint64_t unpacked_bytes,
                              std::string_view blob) {
    if (unpacked_bytes > kUnpackedMax) {
        return common::fail(common::ErrorKind::Limit, "its frames are too long");
    }
    if (packing == kAsTheyAre && blob.size() == unpacked_bytes) {
        return split(Bytes::copy_of(blob));
    }
    // What zlib can make of so few bytes at most: nothing is allocated for a number alone.
    if (packing == kZlib && unpacked_bytes / 1100 <= blob.size()) {
        return split(Bytes(TRY(zlib_.decompress(blob, unpacked_bytes))));
    }
    return common::bad_input("its frames are not packed in a known way");
}

}  // namespace snapshotter
