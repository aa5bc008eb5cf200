#include "common/delta_any_set.h"

#include <doctest/doctest.h>

using common::AnySet;
using common::Value;

namespace {

Value ints(std::vector<int> numbers) {
    std::vector<Value> items;
    for (const int number : numbers) {
        items.push_back(Value::integer(number));
    }
    return Value::list(std::move(items));
}

}  // namespace

TEST_CASE("what can be hashed is found by equality") {
    AnySet set;
    REQUIRE(set.add(Value::integer(1)));
    REQUIRE(set.add(Value::str("a")));
    CHECK(*set.contains(Value::real(1.0)));
    CHECK(*set.contains(Value::str("a")));
    CHECK_FALSE(*set.contains(Value()));
}

TEST_CASE("what cannot is found by content, without order and repetition") {
    AnySet set;
    REQUIRE(set.add(ints({1, 2})));
    REQUIRE(set.add(
        Value::dict({{Value::str("name"), Value()}, {Value::str("__x"), Value::integer(1)}})));
    CHECK(*set.contains(ints({2, 1, 1})));
    CHECK_FALSE(*set.contains(ints({1})));
    CHECK_FALSE(*set.contains(ints({1, 2, 3})));
    CHECK(*set.contains(Value::dict({{Value::str("name"), Value::str("NONE")}})));
    CHECK_FALSE(*set.contains(Value::dict({{Value::str("name"), Value::str("none")}})));
}

TEST_CASE("numbers that are equal are one, bools are not numbers") {
    AnySet set;
    REQUIRE(set.add(ints({1})));
    CHECK(*set.contains(Value::list({Value::real(1.0)})));
    CHECK_FALSE(*set.contains(Value::list({Value::boolean(true)})));
}

TEST_CASE("deepdiff cannot hash bytes that are no UTF-8 inside of a list") {
    AnySet set;
    const Value bytes = Value::bytes(common::Bytes("\xff"));
    CHECK(set.add(bytes));
    CHECK_FALSE(set.add(Value::list({bytes})));
}
