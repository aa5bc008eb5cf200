#include "common/delta.h"

#include <doctest/doctest.h>

#include <random>

#include "common/delta_folder.h"
#include "common/limits.h"
#include "tests/support/delta_property.h"

using common::ErrorKind;
using common::fold_delta;
using common::Value;

namespace {

using Pairs = std::vector<std::pair<Value, Value>>;

Value text(std::string_view s) {
    return Value::str(s);
}
Value number(std::int64_t n) {
    return Value::integer(n);
}
Value dict(std::vector<std::pair<std::string_view, Value>> items) {
    Pairs pairs;
    for (auto& [key, value] : items) {
        pairs.emplace_back(text(key), std::move(value));
    }
    return Value::dict(std::move(pairs));
}
Value ints(std::vector<std::int64_t> numbers) {
    std::vector<Value> items;
    for (const std::int64_t n : numbers) {
        items.push_back(number(n));
    }
    return Value::list(std::move(items));
}
Value set_of(std::vector<Value> items) {
    auto set = std::make_shared<common::Set>();
    for (Value& item : items) {
        set->add(std::move(item));
    }
    return Value(common::SetRef(set));
}
Value class_of(std::string_view name) {
    return Value(
        std::make_shared<const common::ClassRef>(common::ClassRef{"builtins", std::string(name)}));
}
Value opcode(std::string_view tag, std::int64_t begin, std::int64_t end, Value values) {
    return Value(std::make_shared<common::Object>(common::Object{
        std::make_shared<const common::ClassRef>(common::ClassRef{"deepdiff.helper", "Opcode"}),
        Value::tuple({text(tag), number(begin), number(end), number(0), number(0), Value(),
                      std::move(values)}),
        Value()}));
}
Value change(Value value) {
    return dict({{"new_value", std::move(value)}});
}
Value delta(std::string_view action, std::string_view path, Value value) {
    return dict({{action, dict({{path, std::move(value)}})}});
}

// Folds, and says what came out or why nothing did; after an error the base must be as before.
std::string folded(Value& base, const Value& change, std::size_t skipped = 0) {
    const Value before = common::deep_copy(base);
    const Value delta_before = common::deep_copy(change);
    const auto report = fold_delta(base, change);
    CHECK(identical(change, delta_before));
    if (!report) {
        CHECK(identical(base, before));
        return report.error().kind == ErrorKind::Unsupported ? "refused"
               : report.error().kind == ErrorKind::Limit     ? "too much"
                                                             : "raises";
    }
    CHECK(report->skipped == skipped);
    CHECK(report->first_skipped.empty() == (skipped == 0));
    return common::repr(base);
}
std::string folded(Value&& base, const Value& change, std::size_t skipped = 0) {
    return folded(base, change, skipped);
}

}  // namespace

TEST_CASE("values changed") {
    CHECK(folded(dict({{"a", ints({1, 2})}}),
                 delta("values_changed", "root['a'][1]", change(number(5)))) == "{'a': [1, 5]}");
    CHECK(folded(number(1), delta("values_changed", "root", change(text("x")))) == "'x'");
    CHECK(folded(ints({1}), delta("values_changed", "root[-1]", change(number(2)))) == "[2]");
}

TEST_CASE("what is not there is gone over, the rest applies") {
    const Value both = dict({{"values_changed", dict({{"root['x']['y']", change(number(1))},
                                                      {"root['x']", change(number(2))},
                                                      {"root['a']", change(number(3))}})}});
    CHECK(folded(dict({{"a", number(0)}}), both, 2) == "{'a': 3}");
    CHECK(folded(text("abc"), delta("values_changed", "root[1]", change(text("x"))), 1) == "'abc'");
}

TEST_CASE("an object that is put in is as deep as what is in it") {
    Value deep = number(1);
    for (int i = 0; i < 60; ++i) {
        deep = Value::list({deep});
    }
    const auto put = [&](std::size_t levels) {
        Value base = number(0);
        std::string path = "root";
        for (std::size_t i = 0; i < levels; ++i) {
            base = Value::list({base});
            path += "[0]";
        }
        const Value made = opcode("insert", 0, 0, deep);
        return folded(base, delta("values_changed", path, change(made)));
    };
    CHECK(put(10) != "too much");
    CHECK(put(90) == "too much");
}

TEST_CASE("types change with a value and without") {
    CHECK(folded(dict({{"a", number(1)}}),
                 delta("type_changes", "root['a']", dict({{"new_type", class_of("str")}}))) ==
          "{'a': '1'}");
    CHECK(folded(dict({{"a", number(1)}}),
                 delta("type_changes", "root['a']",
                       dict({{"new_type", class_of("str")}, {"new_value", text("x")}}))) ==
          "{'a': 'x'}");
    CHECK(folded(dict({{"a", text("x")}}),
                 delta("type_changes", "root['a']", dict({{"new_type", class_of("int")}})),
                 1) == "{'a': 'x'}");
    CHECK(folded(text("x"), delta("type_changes", "root", dict({{"new_type", class_of("int")}}))) ==
          "raises");
    CHECK(folded(text("x"), delta("type_changes", "root",
                                  dict({{"new_type", class_of("complex")}}))) == "refused");
}

TEST_CASE("items of sets") {
    CHECK(folded(dict({{"s", set_of({number(1)})}}),
                 delta("set_item_added", "root['s']", set_of({number(2)}))) == "{'s': {1, 2}}");
    CHECK(folded(dict({{"s", set_of({number(1), number(2)})}}),
                 delta("set_item_removed", "root['s']", set_of({number(2)}))) == "{'s': {1}}");
    CHECK(folded(dict({{"s", ints({1})}}),
                 delta("set_item_added", "root['s']", set_of({number(2)}))) == "raises");
    CHECK(folded(dict({}), delta("set_item_added", "root['s']", set_of({number(2)}))) == "raises");
}

TEST_CASE("items of lists are inserted in the order of their indexes, removed from the end") {
    const Value added =
        dict({{"iterable_item_added", dict({{"root[2]", number(30)}, {"root[0]", number(10)}})}});
    CHECK(folded(ints({1, 2}), added) == "[10, 1, 30, 2]");
    const Value removed =
        dict({{"iterable_item_removed", dict({{"root[0]", number(1)}, {"root[2]", number(3)}})}});
    CHECK(folded(ints({1, 2, 3}), removed) == "[2]");
}

TEST_CASE("many items of one container at once are as one by one") {
    std::vector<std::int64_t> numbers;
    Pairs keys;
    for (std::int64_t i = 0; i < 30; ++i) {
        numbers.push_back(i);
        keys.emplace_back(number(i), number(i));
    }
    const auto paths = [](const std::vector<std::int64_t>& places, std::int64_t more) {
        Pairs items;
        for (const std::int64_t place : places) {
            items.emplace_back(text("root[" + std::to_string(place) + "]"), number(place + more));
        }
        return Value::dict(std::move(items));
    };
    const std::vector<std::int64_t> most = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
                                            13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 29, 40};
    const Value removed = dict({{"iterable_item_removed", paths(most, 0)}});
    CHECK(folded(ints(numbers), removed) == "[23, 24, 25, 26, 27, 28]");
    const Value keys_removed = dict({{"dictionary_item_removed", paths(most, 0)}});
    CHECK(folded(Value::dict(keys), keys_removed) ==
          "{23: 23, 24: 24, 25: 25, 26: 26, 27: 27, 28: 28}");
    const Value added =
        dict({{"iterable_item_added", paths({0, 2, 3, 4, 5, 6, 7, 9, 12, 20}, 100)}});
    CHECK(folded(ints({1, 2, 3}), added, 2) == "[100, 1, 102, 103, 104, 105, 106, 107, 2, 109, 3]");
    // Nothing of it remains when something later raises.
    const Value raises = dict({{"iterable_item_removed", paths(most, 0)},
                               {"dictionary_item_removed", dict({{"root['a']", number(1)}})}});
    CHECK(folded(ints(numbers), raises) == "raises");
}

TEST_CASE("an item that has moved is removed where it is nearest") {
    CHECK(folded(ints({5, 1, 2, 5}), delta("iterable_item_removed", "root[2]", number(5))) ==
          "[5, 1, 2]");
    CHECK(folded(ints({1, 2}), delta("iterable_item_removed", "root[0]", number(9))) == "[1, 2]");
    CHECK(folded(ints({1, 2}), delta("iterable_item_removed", "root['a']", number(9))) == "raises");
}

TEST_CASE("an index beyond the end") {
    CHECK(folded(ints({1}), delta("iterable_item_added", "root[1]", number(2))) == "[1, 2]");
    CHECK(folded(ints({1}), delta("iterable_item_added", "root[5]", number(2)), 1) == "[1]");
    // The placeholder goes before the last item, and then the last item is set.
    CHECK(folded(ints({1, 2}), delta("iterable_item_added", "root[-1]", number(9))) ==
          "[1, None, 9]");
}

TEST_CASE("items that moved") {
    const Value moved = delta("iterable_item_moved", "root[0]",
                              dict({{"new_path", text("root[2]")}, {"value", number(1)}}));
    CHECK(folded(ints({1, 2, 3}), moved) == "[2, 3, 1]");
}

TEST_CASE("dictionary items") {
    CHECK(folded(dict({{"a", number(1)}}),
                 delta("dictionary_item_added", "root['b']", number(2))) == "{'a': 1, 'b': 2}");
    CHECK(folded(dict({{"a", number(1)}, {"b", number(2)}}),
                 delta("dictionary_item_removed", "root['a']", number(7))) == "{'b': 2}");
    CHECK(folded(dict({{"a", number(1)}}),
                 delta("dictionary_item_removed", "root['z']", number(7))) == "{'a': 1}");
    CHECK(folded(Value::dict({{Value(), number(1)}}),
                 delta("dictionary_item_removed", "root[None]", number(1))) == "{None: 1}");
    CHECK(folded(text("abc"), delta("dictionary_item_removed", "root[0]", text("a"))) == "raises");
    CHECK(folded(dict({}), delta("dictionary_item_removed", "root", dict({}))) == "raises");
}

TEST_CASE("attributes of plain values") {
    CHECK(folded(dict({}), delta("attribute_added", "root.name", number(1)), 1) == "{}");
    CHECK(folded(dict({}), delta("attribute_removed", "root.name", number(1))) == "{}");
    CHECK(folded(dict({}), delta("values_changed", "root.keys", change(number(1)))) == "refused");
}

TEST_CASE("opcodes") {
    const Value codes =
        Value::list({opcode("equal", 0, 1, Value()), opcode("delete", 1, 2, Value()),
                     opcode("insert", 2, 2, ints({7, 8})), opcode("equal", 2, 3, Value())});
    CHECK(folded(dict({{"a", ints({1, 2, 3})}}), delta("_iterable_opcodes", "root['a']", codes)) ==
          "{'a': [1, 7, 8, 3]}");
    CHECK(folded(dict({}), delta("_iterable_opcodes", "root['a']", codes)) == "raises");
    // deepdiff puts a tuple, unchanged, where the container of it was.
    CHECK(folded(dict({{"a", Value::tuple({number(1)})}}),
                 delta("_iterable_opcodes", "root['a']", codes)) == "(1,)");
}

TEST_CASE("lists compared without order") {
    const auto at = [](std::vector<std::pair<int, int>> items) {
        Pairs pairs;
        for (const auto& [index, item] : items) {
            pairs.emplace_back(number(index), number(item));
        }
        return Value::dict(std::move(pairs));
    };
    const Value both =
        dict({{"iterable_items_added_at_indexes", dict({{"root", at({{0, 7}, {4, 8}})}})},
              {"iterable_items_removed_at_indexes", dict({{"root", at({{4, 6}, {0, 5}})}})}});
    CHECK(folded(ints({5, 1, 1, 1, 6}), both) == "[7, 1, 1, 1, 8]");
    CHECK(folded(ints({}), both, 1) == "[7, 8]");
    CHECK(folded(ints({9}), both, 2) == "[7, 9, 8]");
}

TEST_CASE("a tuple is changed and stays a tuple") {
    const Value base = dict({{"t", Value::tuple({number(1), number(2)})}});
    Value one = common::deep_copy(base);
    CHECK(folded(one, delta("values_changed", "root['t'][0]", change(number(5)))) ==
          "{'t': (5, 2)}");
    CHECK(folded(one, delta("iterable_item_added", "root['t'][2]", number(3))) ==
          "{'t': (5, 2, 3)}");
    CHECK(folded(one, delta("iterable_item_removed", "root['t'][0]", number(5))) ==
          "{'t': (2, 3)}");
    CHECK(folded(one, delta("iterable_item_added", "root['t'][0]", number(3))) == "raises");
    Value nested = Value::tuple({Value::tuple({number(1)})});
    CHECK(folded(nested, delta("values_changed", "root[0][0]", change(number(5)))) == "raises");
}

TEST_CASE(
    "a tuple below a float that is a whole number is left alone: clients would stumble later") {
    const auto below = [](double key) {
        return Value::dict({{Value::real(key), Value::tuple({number(5)})}});
    };
    const Value nine = change(number(9));
    CHECK(folded(below(1), delta("values_changed", "root[1.0][0]", nine)) == "refused");
    CHECK(folded(below(-0.0), delta("iterable_item_removed", "root[0.0][0]", number(5))) ==
          "refused");
    CHECK(folded(below(1.5), delta("values_changed", "root[1.5][0]", nine)) == "{1.5: (9,)}");
    CHECK(folded(below(1e20), delta("values_changed", "root[1e20][0]", nine)) == "{1e+20: (9,)}");
}

TEST_CASE("what is shared in the base stays shared") {
    const Value list = ints({1});
    Value base = dict({{"a", list}, {"b", list}});
    CHECK(folded(base, delta("values_changed", "root['a'][0]", change(number(5)))) ==
          "{'a': [5], 'b': [5]}");
}

TEST_CASE("what the delta holds twice is one thing in the base, and not the delta's") {
    const Value list = ints({1});
    const Value twice = dict(
        {{"values_changed", dict({{"root['a']", change(list)}, {"root['b']", change(list)}})}});
    Value base = dict({{"a", Value()}, {"b", Value()}});
    CHECK(folded(base, twice) == "{'a': [1], 'b': [1]}");
    CHECK(base.find("a")->as_list() == base.find("b")->as_list());
    CHECK(base.find("a")->as_list() != list.as_list());
}

TEST_CASE("a value cannot get into itself") {
    const Value list = ints({1});
    const Value inside = dict({{"values_changed", dict({{"root['a']", change(list)}})},
                               {"iterable_item_added", dict({{"root['a'][0]", list}})}});
    CHECK(folded(dict({{"a", Value()}}), inside) == "too much");
}

TEST_CASE("a value in itself is found before anything goes down into it") {
    const Value list = ints({1});
    const Value at = Value::dict({{number(0), Value::list()}});
    const Value compared =
        dict({{"values_changed", dict({{"root['a']", change(list)}})},
              {"iterable_item_added", dict({{"root['a'][0]", Value::list({list})}})},
              {"iterable_items_added_at_indexes", dict({{"root['a']", at}})}});
    CHECK(folded(dict({{"a", Value()}}), compared) == "too much");
}

TEST_CASE("a base that is inside itself is changed where nothing has to be compared") {
    const auto base = [] {
        const Value item = dict({{"in", Value(common::BackReference{2})}, {"n", number(1)}});
        return dict({{"items", Value::list({item})}, {"pair", Value::tuple({number(1)})}});
    };
    CHECK(folded(base(), delta("values_changed", "root['items'][0]['n']", change(number(2)))) ==
          "{'items': [{'in': ..., 'n': 2}], 'pair': (1,)}");
    CHECK(folded(base(), delta("dictionary_item_removed", "root['items'][0]['in']", number(1))) ==
          "{'items': [{'n': 1}], 'pair': (1,)}");
    CHECK(folded(base(), delta("values_changed", "root['pair'][0]", change(number(2)))) ==
          "{'items': [{'in': ..., 'n': 1}], 'pair': (2,)}");
    // No path leads through it, it is equal to nothing, and its list is not made anew.
    CHECK(folded(base(), delta("values_changed", "root['items'][0]['in']['n']",
                               change(number(2)))) == "refused");
    CHECK(folded(base(), delta("iterable_item_removed", "root['items'][0]", number(1))) ==
          "refused");
    CHECK(folded(base(), delta("iterable_items_added_at_indexes", "root['items']",
                               Value::dict({{number(0), number(1)}}))) == "refused");
    CHECK(folded(base(), delta("type_changes", "root['items']",
                               dict({{"new_type", class_of("tuple")}}))) == "refused");
    Value in_tuple = Value::list({Value::tuple({Value(common::BackReference{1}), number(1)})});
    CHECK(folded(in_tuple, delta("values_changed", "root[0][1]", change(number(2)))) == "refused");
    // deepdiff puts a tuple with opcodes in the place of what it is in.
    CHECK(folded(in_tuple, delta("_iterable_opcodes", "root[0]", Value::list())) == "refused");
}

TEST_CASE("a delta brings values that are inside themselves, but not its own frame") {
    const Value circle = Value::list({Value(common::BackReference{1})});
    CHECK(folded(ints({1}), delta("iterable_item_added", "root[1]", circle)) == "[1, [...]]");
    CHECK(folded(ints({1}), delta("iterable_item_added", "root[1]",
                                  Value(common::BackReference{1}))) == "refused");
    const Value inserted = Value::list({Value(common::BackReference{1}), circle});
    CHECK(folded(ints({1}), delta("_iterable_opcodes", "root",
                                  Value::list({opcode("insert", 0, 0, inserted)}))) == "refused");
}

TEST_CASE("a delta cannot nest its own parts without end") {
    // Each list is put into the next, whose path is short, while that one goes deeper and deeper.
    Pairs values;
    Pairs added;
    std::vector<Value> lists;
    Value base = Value::dict();
    for (int i = 0; i < 600; ++i) {
        lists.push_back(ints({}));
        base.as_dict()->set(number(i), Value());
        values.emplace_back(text("root[" + std::to_string(i) + "]"), change(lists.back()));
    }
    for (std::size_t i = 1; i < lists.size(); ++i) {
        added.emplace_back(text("root[" + std::to_string(i - 1) + "][0]"), lists[i]);
    }
    CHECK(folded(base, dict({{"values_changed", Value::dict(std::move(values))},
                             {"iterable_item_added", Value::dict(std::move(added))}})) ==
          "too much");
}

TEST_CASE("a delta cannot make every client write log lines without end") {
    const Value bytes = Value::bytes(common::Bytes(std::string(1'000'000, 'x')));
    const auto holds = [&](std::size_t count) {
        return dict({{"a", Value::list(std::vector<Value>(count, bytes))}});
    };
    const Value convert = delta("type_changes", "root['a']", dict({{"new_type", class_of("int")}}));
    CHECK(folded(holds(10), convert, 1) != "too much");
    CHECK(folded(holds(20), convert) == "too much");
    const Value tuple = Value::tuple(std::vector<Value>(20, bytes));
    const auto at = [](std::size_t first, std::size_t count, const Value& item) {
        Pairs pairs;
        for (std::size_t i = 0; i < count; ++i) {
            pairs.emplace_back(number(static_cast<std::int64_t>(first + i)), item);
        }
        return Value::dict(std::move(pairs));
    };
    const Value other = at(0, 1, number(5));
    CHECK(folded(dict({{"a", Value::list({tuple})}}),
                 delta("iterable_items_removed_at_indexes", "root['a']", other)) == "too much");
    const Value wanted = at(0, 1, tuple);
    CHECK(folded(dict({{"a", ints({1})}}),
                 delta("iterable_items_removed_at_indexes", "root['a']", wanted)) == "too much");
    // All that is still to be added stands in the line of each.
    const auto add = [&](std::size_t first, std::size_t count) {
        return delta("iterable_items_added_at_indexes", "root['a']", at(first, count, number(7)));
    };
    CHECK(folded(dict({{"a", ints({})}}), add(0, 10'000)) != "too much");
    CHECK(folded(dict({{"a", ints({})}}), add(1, 1'000), 1'000) != "too much");
    CHECK(folded(dict({{"a", ints({})}}), add(20'000, 10'000)) == "too much");
}

TEST_CASE("a delta cannot go through a large container again and again") {
    // Forty times a large one; the real bound is higher.
    constexpr std::size_t kLarge = 1'000;
    const auto is_too_much = [](Value base, const Value& change) {
        common::Extent extent = common::extent_of(base);
        const Value before = common::deep_copy(base);
        const common::Actions actions = common::read_actions(change).value();
        const auto done = common::Folder(base, change, actions, extent, 40 * kLarge).run();
        CHECK((done || identical(base, before)));
        INFO((done ? "folded" : done.error().what));
        const bool limit = !done && done.error().kind == ErrorKind::Limit &&
                           done.error().what.find("busy") != std::string::npos;
        CHECK((done || limit));
        return limit;
    };
    // root[0], root[00], root[0_0]: one place in as many spellings as one likes.
    const auto often = [](std::string_view action, std::string_view prefix, const auto& value,
                          std::size_t count = 100) {
        Pairs pairs;
        for (std::size_t i = 0; i < count; ++i) {
            std::string zeros = "0";
            for (std::size_t bit = 0; bit < 7; ++bit) {
                zeros += (i >> bit & 1) != 0 ? "_0" : "0";
            }
            pairs.emplace_back(text(std::string(prefix) + "[" + zeros + "]"), value(i));
        }
        return dict({{action, Value::dict(std::move(pairs))}});
    };
    const auto at_each = [](std::string_view action, std::string_view prefix, std::int64_t step,
                            const Value& value, std::int64_t count) {
        Pairs pairs;
        for (std::int64_t i = 0; i < count; ++i) {
            pairs.emplace_back(text(std::string(prefix) + "[" + std::to_string(i * step) + "]"),
                               value);
        }
        return dict({{action, Value::dict(std::move(pairs))}});
    };
    const auto same = [](const Value& value) { return [value](std::size_t) { return value; }; };
    const std::vector<Value> items(kLarge, number(1));
    std::vector<Value> many;
    for (std::size_t i = 0; i < kLarge; ++i) {
        many.push_back(number(static_cast<std::int64_t>(i)));
    }
    const auto list = [&] { return Value::list(items); };
    const auto in_list = [&] { return Value::list({list()}); };
    const auto set = [&] { return Value::list({set_of(many)}); };
    CHECK(is_too_much(Value::list({Value::tuple({Value::tuple(items)})}),
                      at_each("values_changed", "root[0][0]", 1, change(number(2)), 100)));
    for (const char* action : {"set_item_added", "set_item_removed"}) {
        CHECK(is_too_much(set(), often(action, "root", same(ints({})))));
        CHECK_FALSE(is_too_much(set(), often(action, "root", same(ints({})), 2)));
    }
    const Value all = Value::list({opcode("equal", 0, kLarge, Value())});
    CHECK(is_too_much(in_list(), often("_iterable_opcodes", "root", same(all))));
    CHECK_FALSE(is_too_much(in_list(), often("_iterable_opcodes", "root", same(all), 2)));
    const auto types = [](std::size_t i) {
        return dict({{"new_type", class_of(i % 2 == 0 ? "tuple" : "list")}});
    };
    CHECK(is_too_much(in_list(), often("type_changes", "root", types)));
    CHECK_FALSE(is_too_much(in_list(), often("type_changes", "root", types, 2)));
    CHECK(is_too_much(list(), at_each("iterable_item_removed", "root", 1, number(7), 100)));
    CHECK_FALSE(is_too_much(list(), at_each("iterable_item_removed", "root", 1, number(1), 100)));
    CHECK(is_too_much(list(), at_each("iterable_item_added", "root", -1, number(7), 900)));
    const Value one = Value::dict({{number(0), number(5)}});
    CHECK(is_too_much(in_list(), often("iterable_items_added_at_indexes", "root", same(one))));
    CHECK_FALSE(
        is_too_much(in_list(), often("iterable_items_added_at_indexes", "root", same(one), 2)));
    const Value bytes = dict({{"a", Value::bytes(common::Bytes(std::string(20'000, 'x')))}});
    CHECK(is_too_much(bytes, delta("iterable_items_added_at_indexes", "root['a']", one)));
    const Value letters = dict({{"a", text(std::string(20'000, 'x'))}});
    CHECK(is_too_much(letters, at_each("values_changed", "root['a']", 1, change(number(2)), 100)));
    CHECK(is_too_much(letters, delta(
                                   "dictionary_item_removed",
                                   "root" +
                                       [] {
                                           std::string steps;
                                           for (int i = 0; i < 2'000; ++i) {
                                               steps += "[0]";
                                           }
                                           return steps;
                                       }(),
                                   number(1))));
}

TEST_CASE("many small deltas do not bring keys of one hash without end") {
    Value base = dict({{"a", Value::dict({})}, {"b", set_of({})}});
    std::string last;
    for (std::int64_t i = 0; i < 12 && last != "too much"; ++i) {
        Pairs pairs;
        for (std::int64_t j = 0; j < 400; ++j) {
            pairs.emplace_back(
                text("root['a'][(" + std::to_string(i) + ", " + std::to_string(j) + ")]"),
                number(1));
        }
        last = folded(base, dict({{"dictionary_item_added", Value::dict(std::move(pairs))}}));
    }
    CHECK(last == "too much");
    CHECK(base.find("a")->as_dict()->size() > 3'000);
    CHECK(folded(base, delta("dictionary_item_added", "root['a']['x']", number(1))) != "too much");
    base = dict({{"b", set_of({})}});
    for (std::int64_t i = 0; i < 12; ++i) {
        std::vector<Value> items;
        for (std::int64_t j = 0; j < 400; ++j) {
            items.push_back(Value::tuple({number(i), number(j)}));
        }
        last = folded(base, delta("set_item_added", "root['b']", Value::list(std::move(items))));
    }
    CHECK(last == "too much");
}

TEST_CASE("what is large and folded in one go is not too much") {
    constexpr std::int64_t kLarge = 10'000;
    std::vector<Value> items;
    Pairs removed;
    Pairs changed;
    for (std::int64_t i = 0; i < kLarge; ++i) {
        items.push_back(number(i));
        const std::string path = "root['modifiers'][0]['points'][" + std::to_string(i) + "]";
        changed.emplace_back(text(path), change(number(i + 1)));
        if (i % 2 == 0) {
            removed.emplace_back(text(path), number(i));
        }
    }
    const Value base = dict({{"modifiers", Value::list({dict({{"points", Value::list(items)}})})}});
    CHECK(folded(common::deep_copy(base),
                 dict({{"values_changed", Value::dict(std::move(changed))}})) != "too much");
    CHECK(folded(common::deep_copy(base),
                 dict({{"iterable_item_removed", Value::dict(removed)}})) != "too much");
    CHECK(folded(common::deep_copy(base), dict({{"iterable_item_added", Value::dict(removed)}})) !=
          "too much");
    Value set = Value::list({set_of(items)});
    CHECK(folded(set, delta("set_item_removed", "root[0]", Value::list(items))) == "[set()]");
}

TEST_CASE("many small deltas do not nest without end") {
    Value base = ints({0});
    std::string path = "root[0]";
    std::string last;
    for (std::size_t i = 0; i < common::limits::kPickleDepthMax && last != "too much"; ++i) {
        last = folded(base, delta("values_changed", path, change(ints({0}))));
        path += "[0]";
    }
    CHECK(last == "too much");
}

TEST_CASE("an error takes back what was done before it, in order") {
    const Value list = ints({1, 2, 3});
    const Value base = dict({{"l", list},
                             {"d", dict({{"x", number(1)}, {"y", number(2)}, {"z", number(3)}})},
                             {"t", Value::tuple({number(1)})},
                             {"o", ints({4, 5})}});
    const Value much = dict(
        {{"values_changed",
          dict({{"root['l'][0]", change(ints({9}))}, {"root['t'][0]", change(number(2))}})},
         {"_iterable_opcodes", dict({{"root['o']", Value::list({})}})},
         {"iterable_item_removed", dict({{"root['l'][1]", number(2)}})},
         {"iterable_item_added", dict({{"root['l'][0]", number(8)}, {"root['l'][3]", number(8)}})},
         {"dictionary_item_added", dict({{"root['n']", number(1)}, {"root['d']['x']", number(7)}})},
         {"dictionary_item_removed",
          dict({{"root['d']['y']", number(2)}, {"root['d']['z']", number(2)}})},
         {"attribute_removed", dict({{"root['l']['x']", number(1)}})}});
    Value copy = common::deep_copy(base);
    CHECK(folded(copy, much) == "raises");
    CHECK(identical(copy, base));
}

TEST_CASE("deltas of another shape are refused") {
    const Value bad[] = {
        number(1),
        Value::dict({{text("values_changed"), ints({1})}}),
        dict({{"values_changed", Value::dict({{number(1), change(number(1))}})}}),
        delta("values_changed", "root", dict({})),
        delta("type_changes", "root", dict({{"new_type", text("int")}})),
        delta("set_item_added", "root", text("abc")),
        delta("_iterable_opcodes", "root", Value::list({number(1)})),
        delta("iterable_item_moved", "root", number(1)),
        delta("_numpy_paths", "root", text("float")),
    };
    for (const Value& one : bad) {
        CAPTURE(common::repr(one));
        CHECK_FALSE(common::check_delta(one));
        CHECK(folded(dict({}), one) == "refused");
    }
    CHECK(common::check_delta(dict({{"unknown", number(1)}})));
    CHECK(folded(dict({}), dict({{"unknown", number(1)}})) == "{}");
}

TEST_CASE("whatever the base and the delta are: all or nothing, and it can be written and read") {
    std::mt19937 random(4);
    std::size_t folded_count = 0;
    for (int i = 0; i < 4000; ++i) {
        std::string bytes(random() % 200, '\0');
        for (char& byte : bytes) {
            byte = static_cast<char>(random());
        }
        tests::DeltaMaker maker(bytes);
        const Value base = maker.base();
        const Value delta = maker.delta();
        CAPTURE(common::repr(base, 1000));
        CAPTURE(common::repr(delta, 1000));
        CHECK(tests::broken_delta_property(base, delta) == "");
        Value copy = common::deep_copy(base);
        folded_count += fold_delta(copy, delta).has_value() ? 1U : 0U;
    }
    CHECK(folded_count > 1000);
    CHECK(folded_count < 3500);
}
