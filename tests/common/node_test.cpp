#include "common/node.h"

#include <doctest/doctest.h>

#include "common/limits.h"
#include "common/pickle.h"
#include "tests/support/graph_gen.h"

using common::Bytes;
using common::Dependencies;
using common::Node;
using common::Value;

namespace {

Bytes text(std::string_view bytes) {
    return Bytes::copy_of(bytes);
}

common::Chunks good_chunks() {
    return support::make_node("id-1", "ada", {"id-2", "id-3"}, 1).chunks();
}

}  // namespace

TEST_CASE("a node's chunks read back as the node") {
    const Node node = support::make_node("id-1", "ada", {"id-2", "id-3"}, 1);
    const auto read = common::read_node(node.chunks());
    REQUIRE(read);
    CHECK(read->id == "id-1");
    CHECK(read->owner == "ada");
    CHECK(read->dependencies.ids == std::vector<common::NodeId>{"id-2", "id-3"});
    CHECK(read->dependencies.pickled == node.dependencies.pickled);
    CHECK(read->data == node.data);
    CHECK(read->hash() == node.hash());
    CHECK(read->chunks() == node.chunks());
}

TEST_CASE("the type chunk is what Python's pickle.dumps(2, protocol=4) gives") {
    CHECK(good_chunks()[0] == text("\x80\x04K\x02."));
    CHECK(good_chunks()[0] == common::write_pickle(Value::integer(2)));
}

TEST_CASE("what would break a client is not a node") {
    auto chunks = good_chunks();
    SUBCASE("a chunk too few") {
        chunks.pop_back();
    }
    SUBCASE("a chunk too many") {
        chunks.push_back(text("x"));
    }
    SUBCASE("no chunks") {
        chunks.clear();
    }
    SUBCASE("another type") {
        chunks[0] = common::write_pickle(Value::integer(1));
    }
    SUBCASE("a type that is no pickle") {
        chunks[0] = text("2");
    }
    SUBCASE("an empty uuid") {
        chunks[1] = Bytes();
    }
    SUBCASE("a uuid that is too long") {
        chunks[1] = text(std::string(256, 'x'));
    }
    SUBCASE("a uuid that is not UTF-8") {
        chunks[1] = text("\xff");
    }
    SUBCASE("an empty owner") {
        chunks[2] = Bytes();
    }
    SUBCASE("an owner that is too long") {
        chunks[2] = text(std::string(256, 'x'));
    }
    SUBCASE("a tuple of dependencies") {
        chunks[3] = common::write_pickle(Value::tuple({Value::str("a")}));
    }
    SUBCASE("a dependency that is not a str") {
        chunks[3] = common::write_pickle(Value::list({Value::integer(1)}));
    }
    SUBCASE("dependencies that are no pickle") {
        chunks[3] = text("[]");
    }
    SUBCASE("data that is not a dict") {
        chunks[4] = common::write_pickle(Value::list());
    }
    SUBCASE("data without type_id") {
        chunks[4] = common::write_pickle(Value::dict());
    }
    SUBCASE("a type_id that is not a str") {
        chunks[4] = common::write_pickle(Value::dict({{Value::str("type_id"), Value()}}));
    }
    SUBCASE("data that is cut off") {
        chunks[4] = chunks[4].slice(0, chunks[4].size() - 1);
    }
    CHECK_FALSE(common::read_node(chunks));
}

TEST_CASE("dependencies are None or a list of str") {
    const auto none = Dependencies::read(Dependencies::of(std::nullopt).pickled);
    REQUIRE(none);
    CHECK_FALSE(none->ids);
    const auto empty = Dependencies::read(Dependencies::of(std::vector<std::string>{}).pickled);
    REQUIRE(empty);
    CHECK(empty->ids == std::vector<std::string>{});
    const std::vector<std::string> ids = {"b", "a", "b", "Zoë"};
    const auto some = Dependencies::read(Dependencies::of(ids).pickled);
    REQUIRE(some);
    CHECK(some->ids == ids);
}

TEST_CASE("the hash tells every part, and where one ends and the next begins") {
    const Node node = support::make_node("ab", "cd", {"x"}, 1);
    const auto differs = [&](auto change) {
        Node other = node;
        change(other);
        return other.hash() != node.hash();
    };
    CHECK(differs([](Node& n) { n.id = "abc"; }));
    CHECK(differs([](Node& n) { n.owner = "c"; }));
    CHECK(differs([](Node& n) { n.dependencies = Dependencies::of(std::nullopt); }));
    CHECK(differs([](Node& n) { n.data = Bytes(); }));
    CHECK(differs([](Node& n) {
        n.id = "abc";
        n.owner = "d";
    }));
}

TEST_CASE("UTF-8 is taken as strictly as Python takes it") {
    for (const char* good : {"", "a", "Zo\xc3\xab", "\xe2\x82\xac", "\xf0\x9f\x90\x92",
                             "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"}) {
        CAPTURE(good);
        CHECK(common::is_utf8(good));
    }
    for (const char* bad : {"\x80", "\xc0\xaf", "\xc1\xbf", "\xc3", "\xc3(", "\xe0\x9f\xbf",
                            "\xe2\x82", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf",
                            "\xf0\x9f\x90", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
        CAPTURE(bad);
        CHECK_FALSE(common::is_utf8(bad));
    }
    CHECK(common::is_utf8(std::string_view("a\0b", 3)));
}
