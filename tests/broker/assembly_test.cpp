#include "broker/assembly.h"

#include <doctest/doctest.h>

#include <array>

using broker::MessageAssembly;
using broker::MessageLayout;
using common::Bytes;
using common::Chunks;

TEST_CASE("a whole message is one piece of memory") {
    const std::array<std::string_view, 3> chunks{"one", "", "three"};
    const Chunks message = broker::whole_message(chunks);
    REQUIRE(message.size() == 3);
    CHECK(message[0].view() == "one");
    CHECK(message[1].empty());
    CHECK(message[2].view() == "three");
    CHECK(message[0].owner() == message[2].owner());
    CHECK(broker::whole_message({}).empty());
}

TEST_CASE("a message is put together of pieces, once and again") {
    MessageAssembly assembly;
    for (int turn = 0; turn < 2; ++turn) {
        assembly.append("on", 3);
        assembly.append("e", 1);
        assembly.end_chunk();
        assembly.end_chunk();  // an empty one
        assembly.append(std::string(10'000, 'x'), 10'000);
        assembly.end_chunk();
        CHECK(assembly.bytes() == 10'003);
        CHECK(assembly.chunks() == 3);
        const Chunks message = assembly.take();
        REQUIRE(message.size() == 3);
        CHECK(message[0].view() == "one");
        CHECK(message[1].empty());
        CHECK(message[2].size() == 10'000);
        CHECK(assembly.bytes() == 0);
        CHECK(assembly.chunks() == 0);
    }
    CHECK(assembly.take().empty());
}

TEST_CASE("small chunks are laid out together, big ones are shared") {
    const Chunks chunks{Bytes(std::string("small")), Bytes(std::string(5'000, 'b')),
                        Bytes(std::string("end"))};
    MessageLayout layout(chunks, 1);
    for (const Bytes& chunk : chunks) {
        layout.text() += '|';
        layout.add(chunk);
    }
    const Chunks pieces = layout.take();
    REQUIRE(pieces.size() == 3);
    CHECK(pieces[0].view() == "|small|");
    CHECK(pieces[1].data() == chunks[1].data());
    CHECK(pieces[2].view() == "|end");
}

TEST_CASE("foreign text") {
    CHECK(broker::quoted("it's\n") == "'it\\x27s\\x0a'");
    CHECK(broker::quoted(std::string(50, 'a')) == "'" + std::string(40, 'a') + "...'");
}
