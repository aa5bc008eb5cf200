#include "snapshotter/storage/packing.h"

#include <zlib.h>

#include "common/bytes.h"
#include "common/limits.h"
#include "common/verify.h"

namespace snapshotter {

using common::Bytes;
using common::Result;
using common::feed::Frames;

namespace {

constexpr std::int64_t kAsTheyAre = 0;
constexpr std::int64_t kZlib = 1;

// Below, a zlib stream costs more time than its bytes are worth.
constexpr std::size_t kCompressedFrom = 512;

// An envelope and the chunks of one client message.
constexpr std::uint64_t kUnpackedMax =
    common::limits::kMessageBytesMax + common::limits::kUserMetadataBytesMax;

constexpr std::size_t kLengthBytes = 4;

void append_length(std::string& text, std::size_t length) {
    for (int shift = 24; shift >= 0; shift -= 8) {
        text.push_back(static_cast<char>((length >> shift) & 0xff));
    }
}

std::size_t read_length(std::string_view text) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < kLengthBytes; ++i) {
        length = (length << 8) | static_cast<unsigned char>(text[i]);
    }
    return length;
}

// Empty if it gains less than a tenth: who reads it then need not inflate it.
std::string compress(std::string_view text) {
    std::string out(compressBound(static_cast<uLong>(text.size())), '\0');
    uLongf size = static_cast<uLongf>(out.size());
    VERIFY(compress2(reinterpret_cast<Bytef*>(out.data()), &size,
                     reinterpret_cast<const Bytef*>(text.data()), static_cast<uLong>(text.size()),
                     Z_BEST_SPEED) == Z_OK);
    if (size > text.size() - text.size() / 10) {
        return {};
    }
    out.resize(size);
    return out;
}

Result<Bytes> inflate_all(std::string_view blob, std::uint64_t size) {
    std::string text(size, '\0');
    uLongf written = static_cast<uLongf>(size);
    uLong read = static_cast<uLong>(blob.size());
    const int code = uncompress2(reinterpret_cast<Bytef*>(text.data()), &written,
                                 reinterpret_cast<const Bytef*>(blob.data()), &read);
    if (code != Z_OK || written != size || read != blob.size()) {
        return common::bad_input("its frames cannot be decompressed");
    }
    return Bytes(std::move(text));
}

Result<Frames> split(const Bytes& text) {
    Frames frames;
    for (std::size_t at = 0; at < text.size();) {
        if (text.size() - at < kLengthBytes || frames.size() == common::limits::kMessageChunksMax) {
            return common::bad_input("its frames have no proper end");
        }
        const std::size_t length = read_length(text.view().substr(at));
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

Packed pack(const Frames& frames) {
    std::string text;
    text.reserve(common::total_size(frames) + kLengthBytes * frames.size());
    for (const Bytes& frame : frames) {
        append_length(text, frame.size());
        text += frame.view();
    }
    if (text.size() >= kCompressedFrom) {
        if (std::string compressed = compress(text); !compressed.empty()) {
            return {kZlib, text.size(), std::move(compressed)};
        }
    }
    const std::uint64_t size = text.size();
    return {kAsTheyAre, size, std::move(text)};
}

Result<Frames> unpack(std::int64_t packing, std::uint64_t unpacked_bytes, std::string_view blob) {
    if (unpacked_bytes > kUnpackedMax) {
        return common::fail(common::ErrorKind::Limit, "its frames are too long");
    }
    if (packing == kAsTheyAre && blob.size() == unpacked_bytes) {
        return split(Bytes::copy_of(blob));
    }
    // What zlib can make of so few bytes at most: nothing is allocated for a number alone.
    if (packing == kZlib && unpacked_bytes / 1100 <= blob.size()) {
        const Bytes text = TRY(inflate_all(blob, unpacked_bytes));
        return split(text);
    }
    return common::bad_input("its frames are not packed in a known way");
}

}  // namespace snapshotter
