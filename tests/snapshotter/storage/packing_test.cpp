#include "snapshotter/storage/packing.h"

#include <doctest/doctest.h>

using namespace snapshotter;
using common::Bytes;
using common::ErrorKind;
using common::feed::Frames;

namespace {

Frames sample(std::size_t bytes) {
    std::string text;
    for (std::size_t i = 0; i < bytes; ++i) {
        text.push_back(static_cast<char>('a' + i % 5));
    }
    return {Bytes(std::string("envelope")), Bytes(), Bytes(text)};
}

Packed pack(const Frames& frames) {
    return Packer().pack(frames);
}
common::Result<Frames> unpack(std::int64_t packing, std::uint64_t bytes, std::string_view blob) {
    return Packer().unpack(packing, bytes, blob);
}

}  // namespace

TEST_CASE("frames come back as they were") {
    for (const std::size_t bytes : {0UL, 1UL, 511UL, 512UL, 100'000UL}) {
        CAPTURE(bytes);
        const Frames frames = sample(bytes);
        const Packed packed = pack(frames);
        const auto back = unpack(packed.packing, packed.unpacked_bytes, packed.blob);
        REQUIRE(back.has_value());
        CHECK(*back == frames);
    }
    CHECK(unpack(0, 0, "")->empty());
}

TEST_CASE("what gains by it is compressed, what is small or random is not") {
    CHECK(pack(sample(100'000)).blob.size() < 2'000);
    CHECK(pack(sample(100)).packing == 0);
    std::string random;
    std::uint64_t state = 1;
    for (int i = 0; i < 10'000; ++i) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        random.push_back(static_cast<char>(state >> 56));
    }
    CHECK(pack({Bytes(random)}).packing == 0);
}

TEST_CASE("one packer is for many records, in any order") {
    Packer packer;
    for (const std::size_t bytes : {5'000UL, 2'000'000UL, 600UL, 100UL, 70'000UL, 600UL}) {
        const Packed packed = packer.pack(sample(bytes));
        CHECK(packed.blob == pack(sample(bytes)).blob);
        CHECK(packer.unpack(packed.packing, packed.unpacked_bytes, packed.blob) == sample(bytes));
        CHECK_FALSE(packer.unpack(packed.packing, packed.unpacked_bytes, "x").has_value());
    }
}

TEST_CASE("what is not packed in this way is refused") {
    const Packed packed = pack(sample(5'000));
    REQUIRE(packed.packing == 1);
    CHECK_FALSE(unpack(2, packed.unpacked_bytes, packed.blob).has_value());
    CHECK_FALSE(unpack(1, packed.unpacked_bytes + 1, packed.blob).has_value());
    CHECK_FALSE(unpack(1, packed.unpacked_bytes - 1, packed.blob).has_value());
    CHECK_FALSE(unpack(1, packed.unpacked_bytes, packed.blob + "x").has_value());
    CHECK_FALSE(unpack(0, packed.unpacked_bytes, packed.blob).has_value());
    CHECK_FALSE(unpack(1, 100'000'000, packed.blob).has_value());
    CHECK(unpack(0, std::uint64_t{1} << 40, "").error().kind == ErrorKind::Limit);
    CHECK_FALSE(unpack(0, 3, std::string_view("\0\0\0", 3)).has_value());
    CHECK_FALSE(unpack(0, 5, std::string_view("\0\0\0\2x", 5)).has_value());
    const std::string many(17 * 4, '\0');
    CHECK_FALSE(unpack(0, many.size(), many).has_value());
}
