#include "snapshotter/restore_server.h"

#include <doctest/doctest.h>

using snapshotter::RestoreServer;

TEST_CASE("pieces come for credit of the stream that was begun, until all is given") {
    RestoreServer server;
    CHECK(server.on_pull({1, 5}).empty());
    server.begin(1, {}, {});
    CHECK(server.giving());
    CHECK(server.on_pull({2, 5}).empty());
    const auto pieces = server.on_pull({1, 5});
    REQUIRE(pieces.size() == 1);  // an empty graph is one piece, its head
    CHECK(pieces[0].last);
    CHECK(pieces[0].head.has_value());
    CHECK_FALSE(server.giving());
}

TEST_CASE("a new stream takes the place of one that was not finished") {
    RestoreServer server;
    server.begin(1, {}, {});
    server.begin(2, {}, {});
    CHECK(server.on_pull({1, 5}).empty());
    CHECK(server.on_pull({2, 1}).size() == 1);
}
