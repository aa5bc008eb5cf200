#include "common/ids.h"

#include <doctest/doctest.h>

using namespace common;

TEST_CASE("a hash in hex has 32 digits, the high half first") {
    CHECK(hex(Hash128{0x0123456789abcdef, 0xf}) == "0123456789abcdef000000000000000f");
    CHECK(hex(Hash128{}) == std::string(32, '0'));
}

TEST_CASE("a position for log lines: the beginnings of epoch and chain, the whole number") {
    const Position position{Epoch{0xabcdef0123456789}, Seq{18'446'744'073'709'551'615U},
                            Hash128{0x1122334455667788, 0x99}};
    CHECK(to_string(position) == "abcdef01:18446744073709551615:11223344");
    CHECK(to_string(Position{}) == "00000000:0:00000000");
}

TEST_CASE("positions are equal only if epoch, number and chain are") {
    const Position position{Epoch{1}, Seq{2}, Hash128{3, 4}};
    CHECK(position == Position{Epoch{1}, Seq{2}, Hash128{3, 4}});
    CHECK(position != Position{Epoch{2}, Seq{2}, Hash128{3, 4}});
    CHECK(position != Position{Epoch{1}, Seq{3}, Hash128{3, 4}});
    CHECK(position != Position{Epoch{1}, Seq{2}, Hash128{3, 5}});
    CHECK(next(Seq{2}) == Seq{3});
}
