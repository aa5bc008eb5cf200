#include "common/value.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using common::BigInt;
using common::BigIntRef;
using common::Dict;
using common::Set;
using common::SetRef;
using common::Value;

namespace {

Value big(std::string bytes) {
    return Value(BigIntRef(std::make_shared<const BigInt>(BigInt{std::move(bytes)})));
}

Value set_of(std::vector<Value> items) {
    auto set = std::make_shared<Set>();
    for (Value& item : items) {
        set->add(std::move(item));
    }
    return Value(SetRef(set));
}

Value frozen(std::vector<Value> items) {
    return Value(common::FrozenSetRef(std::get<SetRef>(set_of(std::move(items)).storage())));
}

Value two_to_the_70() {
    return big(std::string(8, '\0') + '\x40');
}

}  // namespace

TEST_CASE("numbers that are equal are one key, whatever their type") {
    const std::vector<Value> ones = {Value::integer(1), Value::real(1.0), Value::boolean(true)};
    for (const Value& a : ones) {
        for (const Value& b : ones) {
            CHECK(common::equal(a, b));
            CHECK(common::hash(a) == common::hash(b));
        }
    }
    CHECK_FALSE(common::equal(Value::integer(1), Value::integer(2)));
    CHECK_FALSE(common::equal(Value::integer(1), Value::str("1")));
    CHECK_FALSE(common::equal(Value::integer(0), Value()));
}

TEST_CASE("an int that no float can hold equals none") {
    const std::int64_t odd = (std::int64_t{1} << 53) + 1;
    CHECK_FALSE(common::equal(Value::integer(odd), Value::real(9007199254740992.0)));
    CHECK(common::equal(Value::integer(odd - 1), Value::real(9007199254740992.0)));
    CHECK_FALSE(common::equal(Value::integer(std::numeric_limits<std::int64_t>::max()),
                              Value::real(9223372036854775808.0)));
    CHECK(common::equal(Value::integer(std::numeric_limits<std::int64_t>::min()),
                        Value::real(-9223372036854775808.0)));
}

TEST_CASE("a big int equals the float that it is, and hashes alike") {
    const Value number = two_to_the_70();
    CHECK(common::equal(number, Value::real(std::ldexp(1.0, 70))));
    CHECK(common::hash(number) == common::hash(Value::real(std::ldexp(1.0, 70))));
    CHECK_FALSE(common::equal(number, Value::real(std::ldexp(1.0, 71))));
    // -(2 ** 63) - 1 has no float.
    CHECK_FALSE(common::equal(big(std::string(7, '\xff') + "\x7f\xff"),
                              Value::real(-9223372036854775808.0)));
    // 2 ** 1024 is beyond all floats.
    CHECK_FALSE(common::equal(big(std::string(128, '\0') + '\x01'),
                              Value::real(std::numeric_limits<double>::infinity())));
}

TEST_CASE("nan equals nothing, but what holds it finds itself") {
    const Value nan = Value::real(std::nan(""));
    CHECK_FALSE(common::equal(nan, nan));
    const Value holder = Value::tuple({nan});
    CHECK(common::equal(holder, holder));
    CHECK_FALSE(common::equal(holder, Value::tuple({nan})));
    Dict dict;
    dict.set(holder, Value::integer(1));
    dict.set(nan, Value::integer(2));
    dict.set(nan, Value::integer(3));
    CHECK(dict.size() == 3);
    for (std::int64_t i = 0; i < 20; ++i) {  // now with an index
        dict.set(Value::tuple({nan}), Value::integer(i));
    }
    CHECK(dict.size() == 23);
    REQUIRE(dict.find(holder) != nullptr);
    CHECK(dict.find(holder)->as_int() == 1);
}

TEST_CASE("a dict keeps the first key, the last value and the order, small or indexed") {
    for (const std::int64_t size : {3, 500}) {
        Dict dict;
        for (std::int64_t i = 0; i < size; ++i) {
            dict.set(Value::integer(i), Value::str(std::to_string(i)));
        }
        dict.set(Value::boolean(true), Value::str("one"));
        dict.set(Value::real(2.0), Value::str("two"));
        REQUIRE(dict.size() == static_cast<std::size_t>(size));
        CHECK(dict.entries()[1].key.as_int() == 1);
        CHECK(*dict.entries()[1].value.as_str() == "one");
        CHECK(dict.erase(Value::real(0.0)));
        CHECK_FALSE(dict.erase(Value::integer(0)));
        CHECK(dict.entries()[0].key.as_int() == 1);
        for (std::int64_t i = 1; i < size; ++i) {
            const Value* value = dict.find(Value::integer(i));
            REQUIRE(value != nullptr);
            CHECK(*value->as_str() == (i == 1 ? "one" : i == 2 ? "two" : std::to_string(i)));
        }
        CHECK(dict.find(Value::integer(size)) == nullptr);
        CHECK(dict.find("1") == nullptr);
    }
}

TEST_CASE("a str key is found by its text") {
    Dict dict;
    for (int i = 0; i < 100; ++i) {
        dict.set(Value::str("key" + std::to_string(i)), Value::integer(i));
    }
    REQUIRE(dict.find("key57") != nullptr);
    CHECK(dict.find("key57")->as_int() == 57);
    CHECK(dict.find("key100") == nullptr);
    const Value value = Value::dict({{Value::str("a"), Value::integer(1)}});
    REQUIRE(value.find("a") != nullptr);
    CHECK(value.find("a")->as_int() == 1);
    CHECK(Value::list().find("a") == nullptr);
}

TEST_CASE("sets: equal whatever the order and the kind, items by equality") {
    const Value a = set_of({Value::integer(1), Value::str("x"), Value::real(1.0)});
    const Value b = frozen({Value::str("x"), Value::boolean(true)});
    CHECK(a.as_set()->size() == 2);
    CHECK(common::equal(a, b));
    CHECK_FALSE(common::identical(a, b));
    CHECK(common::is_hashable(b));
    CHECK_FALSE(common::is_hashable(a));
    CHECK(common::hash(b) == common::hash(frozen({Value::integer(1), Value::str("x")})));
    CHECK(a.as_set()->erase(Value::str("x")));
    CHECK_FALSE(common::equal(a, b));
}

TEST_CASE("bytes and bytearray compare by content, list and tuple do not") {
    const Value bytes = Value::bytes(common::Bytes::copy_of("ab"));
    const Value array = Value(std::make_shared<common::ByteArray>(common::ByteArray{"ab"}));
    CHECK(common::equal(bytes, array));
    CHECK_FALSE(common::equal(bytes, Value::str("ab")));
    CHECK_FALSE(common::is_hashable(array));
    CHECK_FALSE(common::equal(Value::list(), Value::tuple()));
    CHECK(common::is_hashable(Value::tuple({bytes})));
    CHECK_FALSE(common::is_hashable(Value::tuple({Value::tuple({array})})));
}

TEST_CASE("identical tells types, float bits, dict order and sharing apart") {
    CHECK(common::identical(Value::real(std::nan("")), Value::real(std::nan(""))));
    CHECK_FALSE(common::identical(Value::real(0.0), Value::real(-0.0)));
    CHECK_FALSE(common::identical(Value::integer(1), Value::boolean(true)));
    const auto pair = [](const char* first, const char* second) {
        return Value::dict({{Value::str(first), Value()}, {Value::str(second), Value()}});
    };
    CHECK(common::equal(pair("a", "b"), pair("b", "a")));
    CHECK_FALSE(common::identical(pair("a", "b"), pair("b", "a")));
    const Value shared = Value::list();
    const Value together = Value::list({shared, shared});
    const Value apart = Value::list({Value::list(), Value::list()});
    CHECK(common::equal(together, apart));
    CHECK_FALSE(common::identical(together, apart));
    CHECK_FALSE(common::identical(apart, together));
    CHECK(common::identical(set_of({Value::integer(1), Value::integer(2)}),
                            set_of({Value::integer(2), Value::integer(1)})));
}

TEST_CASE("a deep copy is new where things can change and keeps the sharing") {
    const Value shared = Value::list({Value::integer(1)});
    const Value text = Value::str("leaf");
    const Value original = Value::dict({{Value::str("a"), shared},
                                        {Value::str("b"), Value::tuple({shared, text})},
                                        {Value::str("c"), Value::tuple({text})}});
    const Value copy = common::deep_copy(original);
    CHECK(common::identical(original, copy));
    copy.find("a")->as_list()->items.push_back(Value());
    CHECK(shared.as_list()->items.size() == 1);
    CHECK(copy.find("b")->as_tuple()->items[0].as_list()->items.size() == 2);
    CHECK(copy.find("c")->as_tuple() == original.find("c")->as_tuple());
}

TEST_CASE("a back reference is copied and compared as such, and can be no key") {
    const auto up = [](std::uint32_t levels) { return Value(common::BackReference{levels}); };
    CHECK_FALSE(common::is_hashable(Value::tuple({up(1)})));
    CHECK(common::identical(Value::list({up(1)}), common::deep_copy(Value::list({up(1)}))));
    CHECK_FALSE(common::identical(Value::list({up(1)}), Value::list({up(2)})));
}

TEST_CASE("the memory of a value counts what is shared once") {
    const Value text = Value::str(std::string(1000, 'x'));
    const std::size_t once = common::memory_bytes(Value::list({text}));
    const std::size_t twice = common::memory_bytes(Value::list({text, text}));
    CHECK(once > 1000);
    CHECK(twice < once + 100);
}

TEST_CASE("repr reads as Python's") {
    const Value value = Value::dict(
        {{Value::str("it's"), Value::list({Value::real(1.0), Value::real(0.1), Value::real(1e16),
                                           Value::real(1e-5), Value::real(123456.5)})},
         {Value::integer(-3), Value::tuple({Value::boolean(true)})},
         {Value::bytes(common::Bytes::copy_of(std::string("\0a'", 3))), set_of({})}});
    CHECK(common::repr(value) ==
          "{\"it's\": [1.0, 0.1, 1e+16, 1e-05, 123456.5], -3: (True,), b\"\\x00a'\": set()}");
    CHECK(common::repr(two_to_the_70()) == "1180591620717411303424");
    CHECK(common::repr(big(std::string(8, '\0') + '\xc0')) == "-1180591620717411303424");
    CHECK(common::repr(Value::str(std::string(500, 'x')), 20) ==
          "'" + std::string(16, 'x') + "...");
}
