#pragma once
// The frames of a record as one blob, compressed where that gains anything (pure).
//
//   blob   = frames as they are (packing 0), or as a zlib stream (packing 1)
//   frames = one after the other: length (4 bytes, big endian), bytes

#include <cstdint>
#include <string>
#include <string_view>

#include "common/feed.h"
#include "common/gzip.h"
#include "common/result.h"

namespace snapshotter {

struct Packed {
    std::int64_t packing = 0;
    std::uint64_t unpacked_bytes = 0;
    std::string blob;
};

// Keeps what compressing works with: one for many records. Used by one thread.
class Packer {
public:
    Packed pack(const common::feed::Frames& frames);

    // BadInput: it is not what pack() makes. Allocates `unpacked_bytes`, which is bounded first.
    common::Result<common::feed::Frames> unpack(std::int64_t packing, std::uint64_t unpacked_bytes,
                                                std::string_view blob);

private:
    common::ZlibBlocks zlib_;
};

}  // namespace snapshotter
