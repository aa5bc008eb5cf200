#include "common/bytes.h"

#include <doctest/doctest.h>

using common::Bytes;

TEST_CASE("a slice shares the memory of the whole") {
    Bytes whole(std::string("hello world, this is long enough to be on the heap"));
    Bytes part = whole.slice(6, 5);
    CHECK(part.view() == "world");
    CHECK(part.data() == whole.data() + 6);
    whole = Bytes();
    CHECK(part.view() == "world");
}

TEST_CASE("the total of no chunks is zero") {
    CHECK(common::total_size({}) == 0);
    CHECK(common::total_size({Bytes(std::string("ab")), Bytes(), Bytes(std::string("c"))}) == 3);
}

TEST_CASE("numbers, the most significant byte first") {
    std::string out;
    common::append_big_endian(out, 0x01020304, 4);
    CHECK(out == "\x01\x02\x03\x04");
    CHECK(common::read_big_endian(out) == 0x01020304);
}
