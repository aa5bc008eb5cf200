#include "common/delta_convert.h"

#include <doctest/doctest.h>

#include <limits>

using common::convert_value;
using common::ErrorKind;
using common::python_str;
using common::Value;

namespace {

// repr of `type(value)`, "raises" or "refused".
std::string made(const char* type, const Value& value) {
    const auto result = convert_value({"builtins", type}, value);
    if (!result) {
        CHECK(result.error().kind == ErrorKind::Unsupported);
        return "refused";
    }
    return *result ? common::repr(**result) : "raises";
}

Value text(const char* s) {
    return Value::str(s);
}

Value set_of(std::vector<Value> items) {
    auto set = std::make_shared<common::Set>();
    for (Value& item : items) {
        set->add(std::move(item));
    }
    return Value(common::SetRef(set));
}

}  // namespace

TEST_CASE("numbers from numbers") {
    CHECK(made("int", Value::real(-2.9)) == "-2");
    CHECK(made("int", Value::real(1e30)) == "1000000000000000019884624838656");
    CHECK(made("int", Value::real(-9223372036854775808.0)) == "-9223372036854775808");
    CHECK(made("int", Value::real(std::numeric_limits<double>::infinity())) == "raises");
    CHECK(made("float", Value::integer(3)) == "3.0");
    CHECK(made("float", common::integer_from_digits("18446744073709551617", 10, true)) ==
          "-1.8446744073709552e+19");
    CHECK(made("float", common::integer_from_digits("1" + std::string(400, '0'), 10, false)) ==
          "raises");
    CHECK(made("bool", Value::real(0.0)) == "False");
    CHECK(made("int", Value::boolean(true)) == "1");
}

TEST_CASE("numbers from text") {
    CHECK(made("int", text(" -1_000\n")) == "-1000");
    CHECK(made("int", text("1__0")) == "raises");
    CHECK(made("int", text("1.0")) == "raises");
    CHECK(made("int", Value::bytes(common::Bytes("12"))) == "12");
    CHECK(made("float", text("-1.5e3")) == "-1500.0");
    CHECK(made("float", text("-Infinity")) == "-inf");
    CHECK(made("float", text(".")) == "raises");
    CHECK(made("int", text("\xd9\xa1")) == "refused");  // a digit of another script
}

TEST_CASE("text") {
    CHECK(made("str", Value()) == "'None'");
    CHECK(made("str", Value::real(1e16)) == "'1e+16'");
    CHECK(made("str", Value::real(0.0001)) == "'0.0001'");
    CHECK(made("str", Value::real(0.00001)) == "'1e-05'");
    CHECK(*python_str(Value::list({text("it's"), Value::tuple({Value::integer(1)})})) ==
          "[\"it's\", (1,)]");
    CHECK(*python_str(Value::dict({{text("k"), Value::bytes(common::Bytes("\x01'"))}})) ==
          "{'k': b\"\\x01'\"}");
    CHECK(*python_str(common::integer_from_digits("8000000000000000", 16, true)) ==
          "-9223372036854775808");
    CHECK_FALSE(python_str(set_of({Value::integer(1), Value::integer(2)})));
}

TEST_CASE("containers") {
    CHECK(made("list", text("h\xc3\xa9")) == "['h', '\xc3\xa9']");
    CHECK(made("tuple", Value::list({Value::integer(1)})) == "(1,)");
    CHECK(made("list", Value::dict({{text("a"), Value()}})) == "['a']");
    CHECK(made("list", set_of({Value::integer(1), Value::integer(2)})) == "refused");
    CHECK(made("set", Value::list({Value::list()})) == "raises");
    CHECK(made("dict", Value::list({Value::tuple({text("a"), Value::integer(1)}), text("bc")})) ==
          "{'a': 1, 'b': 'c'}");
    CHECK(made("dict", Value::list({Value::integer(1)})) == "raises");
    CHECK(made("bytes", Value::integer(2)) == R"(b'\x00\x00')");
    CHECK(made("bytes", Value::integer(1'000'000'000)) == "refused");
    CHECK(made("bytes", text("a")) == "raises");
    CHECK(made("NoneType", text("a")) == "raises");
    CHECK(made("complex", Value::integer(1)) == "refused");
}
