#include "common/pickle_recursion.h"

#include <doctest/doctest.h>

#include <string>

#include "common/pickle.h"
#include "tests/support/pickle_outcome.h"

using common::PickleUse;
using common::Value;
using namespace std::string_literals;
using namespace tests;

TEST_CASE("a recursive value refers back to what it is in") {
    const auto back_reference = [](const Value& value) {
        return std::get<common::BackReference>(value.storage()).levels;
    };
    const Value list =
        read(p4("]\x94h\x00"
                "a"s));
    CHECK(back_reference(list.as_list()->items[0]) == 1);
    const Value two =
        read(p4("]\x94]\x94h\x00"
                "aa"s));
    CHECK(back_reference(two.as_list()->items[0].as_list()->items[0]) == 2);
    CHECK(common::repr(read(p4("}\x94K\x01h\x00s"s))) == "{1: ...}");

    // A tuple is no level, and is there once more inside of itself.
    const Value in_tuple =
        read(p4("]\x94h\x00\x85"
                "a"s));
    CHECK(back_reference(in_tuple.as_list()->items[0].as_tuple()->items[0]) == 1);
    const std::string tuple =
        p4("]\x94h\x00\x85\x94"
           "a0h\x01"s);
    CHECK(outcome(tuple) == "([(...,)],)");
    CHECK(outcome(p4("(]\x94(h\x00K\x01K\x02K\x03t\x94"
                     "aK\x01K\x02K\x03\x31h\x01"s)) == "([(..., 1, 2, 3)], 1, 2, 3)");

    // What is thrown away is in circles too.
    CHECK(outcome(p4("]\x94h\x00"
                     "a0N"s)) == "None");
}

TEST_CASE("recursive values are refused where none can be or there are many ways through them") {
    const std::string list =
        p4("]\x94h\x00"
           "a"s);
    CHECK(outcome(list, PickleUse::NodeData) == "[...]");
    CHECK(outcome(list, PickleUse::Delta) == "[...]");
    CHECK(outcome(list, PickleUse::Plain).starts_with("refused: pickle: recursive value"));
    // a = [b], b = [a], both in one list.
    is_refused(p4("](]\x94]\x94h\x00"
                  "aah\x01"
                  "e"s),
               "reached in two ways");
    // What refers to itself alone may come twice.
    CHECK(outcome(p4("](]\x94h\x00"
                     "ah\x00"
                     "e"s)) == "[[...], [...]]");

    std::string deep =
        "]\x94h\x00"
        "a"s;
    for (int i = 0; i < 100'000; ++i) {
        deep = std::move(deep) + "\x85";
    }
    is_refused(p4(deep), "too deep");
    std::string nested;
    for (int i = 0; i < 200; ++i) {
        nested += "]\x94";
    }
    is_refused(p4(nested + "h\x00"s + std::string(200, 'a')), "too deep");
}

TEST_CASE("circles are cut in place, and emptied where nothing holds them any more") {
    const Value list = Value::list({Value::integer(1)});
    const Value dict = Value::dict({{Value(), list}});
    list.as_list()->items.push_back(Value::tuple({dict, list}));
    common::pickle::CircleCutter cutter;
    const auto tree = cutter.cut(dict);
    REQUIRE(tree);
    CHECK(common::repr(*tree) == "{None: [1, (..., ...)]}");
    CHECK(list.as_list()->items[0].as_int() == 1);
    CHECK(cutter.reached(list));

    const Value other = Value::list();
    other.as_list()->items.push_back(other);
    CHECK_FALSE(cutter.reached(other));
    common::pickle::empty(other);
    CHECK(common::repr(other) == "[]");
}
