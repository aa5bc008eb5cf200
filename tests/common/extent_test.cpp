#include "common/extent.h"

#include <doctest/doctest.h>

using common::Value;

TEST_CASE("what is shared counts each time, keys that Python hashes alike count more") {
    const Value list = Value::list({Value::integer(1), Value::integer(2)});
    CHECK(common::extent_of(list).values == 3);
    CHECK(common::extent_of(Value::tuple({list, list})).values == 7);
    CHECK(common::extent_of(Value::tuple({list, list})).containers == 2);
    const Value key = Value::tuple({Value::integer(1)});
    CHECK(common::extent_of(Value::dict({{key, Value()}})).values == 4 + common::kHardKeyWeight);
    CHECK(common::extent_of(Value::str("abc")).bytes >= 5);
}

TEST_CASE("back references are counted and are no levels") {
    const Value circle = Value::list({Value(common::BackReference{1})});
    CHECK(common::extent_of(Value::list({circle, circle})).back_references == 2);
    CHECK(common::Measure().levels_of(circle) == 1);
}

TEST_CASE("what is too deep does not fit, whatever it weighs") {
    Value value = Value::list();
    for (std::size_t i = 1; i < common::limits::kPickleDepthMax; ++i) {
        value = Value::list({value});
    }
    common::Extent extent;
    CHECK(common::Measure().fits(value, extent));
    CHECK_FALSE(common::Measure().fits(Value::list({value}), extent));
    std::size_t steps = 10;
    CHECK_FALSE(common::Measure(steps).fits(value, extent));
}

TEST_CASE("how far back references reach above a value") {
    const auto up = [](std::uint32_t levels) { return Value(common::BackReference{levels}); };
    CHECK(common::LevelsAbove().of(Value::list({up(1)})) == 0);
    CHECK(common::LevelsAbove().of(up(2)) == 2);
    CHECK(common::LevelsAbove().of(Value::tuple({up(1), up(3)})) == 3);
    CHECK(common::LevelsAbove().of(Value::list({Value::tuple({up(3)}), up(1)})) == 2);
    CHECK(common::LevelsAbove().of(Value::dict({{Value(), Value::list({up(2)})}})) == 0);
}
