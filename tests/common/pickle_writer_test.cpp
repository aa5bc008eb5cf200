#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "common/limits.h"
#include "common/pickle.h"

using common::Bytes;
using common::Value;
using namespace std::string_literals;

namespace {

std::string written(const Value& value) {
    return std::string(common::write_pickle(value).view());
}

Value round_trip(const Value& value) {
    const Bytes once = common::write_pickle(value);
    const auto back = common::read_pickle(once);
    if (!back) {
        FAIL(back.error().what);
    }
    CHECK(common::identical(value, *back));
    CHECK(common::write_pickle(*back) == once);
    return *back;
}

Value text(std::size_t size, char fill) {
    return Value::str(std::string(size, fill));
}

}  // namespace

TEST_CASE("small values are the bytes that Python writes") {
    CHECK(written(Value()) == "\x80\x04N.");
    CHECK(written(Value::integer(5)) == "\x80\x04K\x05.");
    CHECK(written(Value::str("uuid")) == "\x80\x04\x95\x08\0\0\0\0\0\0\0\x8c\x04uuid\x94."s);
    CHECK(written(Value::list()) == "\x80\x04]."s);
}

TEST_CASE("every type comes back as it was") {
    auto set = std::make_shared<common::Set>();
    set->add(Value::integer(1));
    set->add(Value::str("x"));
    auto frozen = std::make_shared<common::Set>(*set);
    const auto cls = [](const char* module, const char* name) {
        return Value(common::ClassPtr(
            std::make_shared<const common::ClassRef>(common::ClassRef{module, name})));
    };
    const auto object = [&](const char* name, Value args, Value state) {
        return Value(std::make_shared<common::Object>(
            common::Object{std::get<common::ClassPtr>(cls("deepdiff.helper", name).storage()),
                           std::move(args), std::move(state)}));
    };
    const Value opcode_args =
        Value::tuple({Value::str("insert"), Value::integer(0), Value::integer(0), Value::integer(0),
                      Value::integer(1), Value(), Value::list({Value::integer(7)})});
    const std::vector<Value> values = {
        Value(),
        Value::boolean(true),
        Value::boolean(false),
        Value::integer(0),
        Value::integer(255),
        Value::integer(256),
        Value::integer(65535),
        Value::integer(65536),
        Value::integer(-1),
        Value::integer(INT32_MIN),
        Value::integer(std::int64_t{INT32_MIN} - 1),
        Value::integer(INT64_MAX),
        Value::integer(INT64_MIN),
        Value(common::BigIntRef(
            std::make_shared<const common::BigInt>(common::BigInt{std::string(300, '\x11')}))),
        Value::real(-0.0),
        Value::real(std::nan("")),
        Value::real(HUGE_VAL),
        Value::str(""),
        Value::str("\xed\xa0\x80"),
        text(255, 'a'),
        text(256, 'b'),
        text(100'000, 'c'),
        Value::bytes(Bytes()),
        Value::bytes(Bytes(std::string(70'000, 'd'))),
        Value(std::make_shared<common::ByteArray>()),
        Value(std::make_shared<common::ByteArray>(common::ByteArray{"abc"})),
        Value(set),
        Value(std::make_shared<common::Set>()),
        Value(common::FrozenSetRef(frozen)),
        cls("builtins", "str"),
        cls("builtins", "str"),
        cls("builtins", "NoneType"),
        object("Opcode", opcode_args, Value()),
        object("SetOrdered", Value::tuple(), Value::list({Value::integer(1)})),
        object("SetOrdered", Value::tuple(), Value::tuple({Value()})),
        Value::dict({{Value::str("a"), Value::dict({{Value::integer(1), Value()}})},
                     {Value::tuple({Value::str("a")}), Value::list()}}),
    };
    for (const Value& value : values) {
        CAPTURE(common::repr(value));
        round_trip(value);
    }
    round_trip(Value::list(values));
    round_trip(Value::tuple(values));
}

TEST_CASE("shared containers stay shared, whatever they are in") {
    const Value list = Value::list({Value::integer(1)});
    const Value array = Value(std::make_shared<common::ByteArray>(common::ByteArray{"abc"}));
    const Value set = Value(std::make_shared<common::Set>());
    const Value dict = Value::dict({{Value::str("k"), list}});
    round_trip(Value::list({list, dict, Value::tuple({list, array}), set, array, set, dict}));
    // A list with a single owner, a tuple, that is itself reached twice.
    const Value tuple = Value::tuple({Value::tuple({Value::list()})});
    round_trip(Value::list({tuple, tuple}));
}

TEST_CASE("a back reference is written as Python writes the container") {
    const Value up(common::BackReference{1});
    CHECK(written(Value::list({up})) == "\x80\x04\x95\x06\0\0\0\0\0\0\0]\x94h\0a."s);
    round_trip(Value::dict({{text(1, 'a'), Value::list({Value(common::BackReference{2})})},
                            {text(1, 'b'), Value::tuple({up})}}));
    const Value closed = Value::list({up});
    round_trip(Value::list({closed, closed, Value::tuple({closed, up})}));
}

TEST_CASE("the bytes do not tell who else holds a container") {
    const Value list = Value::list({Value::list()});
    const std::string alone = written(list);
    const Value held_too = list.as_list()->items[0];
    CHECK(written(list) == alone);
}

TEST_CASE("equal texts are written once, shared or not") {
    const std::string name(40, 'n');
    std::vector<Value> items;
    for (int i = 0; i < 300; ++i) {
        items.push_back(Value::dict({{Value::str(name), Value::str("v" + std::to_string(i))}}));
    }
    const Value value = round_trip(Value::list(std::move(items)));
    CHECK(written(value).size() < 300 * 20);

    // A text is not bytes, and long ones are told apart by content, not by address.
    round_trip(Value::list({Value::str("ab"), Value::bytes(Bytes("ab"s)), text(2000, 'x'),
                            Value::bytes(Bytes(std::string(2000, 'x'))), text(2000, 'y'),
                            text(2000, 'x')}));
}

TEST_CASE("a big byte string that is reached a million times is written once") {
    const Value bytes = Value::bytes(Bytes(std::string(1'000'000, 'x')));
    const Value value = Value::list(std::vector<Value>(100'000, bytes));
    CHECK(written(value).size() < 1'400'000);
}

TEST_CASE("frames, batches, and texts outside of frames") {
    std::vector<Value> items;
    for (int i = 0; i < 30'000; ++i) {
        items.push_back(Value::str("item " + std::to_string(i)));
        if (i % 10'000 == 0) {
            items.push_back(text(65'536 + static_cast<std::size_t>(i), 'L'));
        }
    }
    round_trip(Value::list(items));
    std::vector<std::pair<Value, Value>> pairs;
    auto set = std::make_shared<common::Set>();
    for (Value& item : items) {
        set->add(item);
        pairs.emplace_back(item, Value());
    }
    round_trip(Value(set));
    round_trip(Value::dict(std::move(pairs)));
}

TEST_CASE("values as deep as they may be") {
    Value value = Value::list();
    for (std::size_t depth = 1; depth < common::limits::kPickleDepthMax; ++depth) {
        value = depth % 3 == 0   ? Value::list({value})
                : depth % 3 == 1 ? Value::tuple({value})
                                 : Value::dict({{Value::integer(1), value}});
    }
    round_trip(value);
}
