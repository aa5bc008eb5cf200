#include "common/stream_hash.h"

#include <doctest/doctest.h>

#include <string>

using namespace common;

TEST_CASE("the hash does not depend on how the bytes are cut, and on every one of them") {
    std::string text(10'000, 'x');
    text[5000] = 'y';
    StreamHash whole;
    whole.add(text);
    StreamHash pieces;
    for (std::size_t at = 0; at < text.size(); at += 7) {
        pieces.add(std::string_view(text).substr(at, 7));
    }
    CHECK(pieces.hash() == whole.hash());
    StreamHash other;
    text[5001] = 'y';
    other.add(text);
    CHECK(other.hash() != whole.hash());
    CHECK(StreamHash().hash() == StreamHash().hash());
}
