#pragma once
// What must hold for every base and every delta, and bases and deltas made from bytes. Used by the
// fuzzer and by the unit test.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/delta.h"
#include "common/limits.h"
#include "common/pickle.h"

namespace tests {

// What is broken, or nothing.
inline std::string broken_delta_property(const common::Value& base, const common::Value& delta) {
    common::Value folded = common::deep_copy(base);
    common::Value again = common::deep_copy(base);
    const common::Value delta_before = common::deep_copy(delta);
    const auto checked = common::check_delta(delta);
    common::Extent extent = common::extent_of(base);
    const auto report = common::fold_delta(folded, delta, extent);
    if (!common::identical(delta, delta_before)) {
        return "the fold changed the delta";
    }
    if (!checked && report) {
        return "a delta was folded that the check refuses: " + checked.error().what;
    }
    if (!report) {
        return common::identical(folded, base)
                   ? ""
                   : "an error changed the base: " + report.error().what;
    }
    if (report->first_skipped.empty() != (report->skipped == 0)) {
        return "skipped without saying what";
    }
    if (!common::fold_delta(again, delta) || !common::identical(folded, again)) {
        return "folding the same again gives another value";
    }
    const common::Bytes pickle = common::write_pickle(folded);
    const auto read = common::read_pickle(pickle);
    if (!read) {
        return "the folded value cannot be read: " + read.error().what;
    }
    const common::Extent exact = common::extent_of(folded);
    if (extent.values < exact.values || extent.containers < exact.containers ||
        extent.bytes < exact.bytes) {
        return "the folded value is larger than was counted";
    }
    if (exact.bytes + 16 < pickle.size()) {
        return "the pickle is longer than was said";
    }
    return common::identical(*read, folded) ? "" : "the folded value is read as another one";
}

// Takes decisions from bytes; when they run out, every decision is the first one.
class Decisions {
public:
    explicit Decisions(std::string_view bytes) : bytes_(bytes) {}

    std::size_t below(std::size_t bound) {
        if (at_ == bytes_.size()) {
            return 0;
        }
        return static_cast<unsigned char>(bytes_[at_++]) % bound;
    }

private:
    std::string_view bytes_;
    std::size_t at_ = 0;
};

// Values and deltas over them, with shared parts.
class DeltaMaker {
public:
    explicit DeltaMaker(std::string_view bytes) : decide_(bytes) {}

    common::Value base() {
        common::Value value = container(0);
        shared_.clear();  // what base and delta share does not come out of pickles
        walk(value, "root");
        return value;
    }

    // For the base that was made last.
    common::Value delta() {
        common::Value delta = common::Value::dict();
        for (std::size_t count = 1 + decide_.below(4); count > 0; --count) {
            action(*delta.as_dict());
        }
        return delta;
    }

private:
    using Value = common::Value;

    static constexpr std::size_t kDepthMax = 5;

    Value text() {
        static constexpr std::array<std::string_view, 8> kTexts = {
            "a", "b", "name", "", "it's", "back\\slash", "\xc3\xa9", "1"};
        return Value::str(kTexts[decide_.below(kTexts.size())]);
    }

    Value leaf() {
        switch (decide_.below(7)) {
            case 0:
                return Value::integer(static_cast<std::int64_t>(decide_.below(4)));
            case 1:
                return text();
            case 2:
                return Value::real(1.5);
            case 3:
                return Value();
            case 4:
                return Value::boolean(true);
            case 5:
                return Value::bytes(common::Bytes("\xff"));
            default:
                return Value::integer(-1);
        }
    }

    Value value(std::size_t depth) {
        if (!shared_.empty() && decide_.below(5) == 1) {
            return shared_[decide_.below(shared_.size())];
        }
        return depth >= kDepthMax || decide_.below(3) == 0 ? leaf() : container(depth);
    }

    Value container(std::size_t depth) {
        const std::size_t kind = decide_.below(6);
        std::size_t size = decide_.below(4);
        Value made;
        if (kind < 2) {
            made = Value::dict();
            for (; size > 0; --size) {
                Value key = decide_.below(4) == 1 ? leaf() : text();
                made.as_dict()->set(std::move(key), value(depth + 1));
            }
        } else if (kind < 5) {
            std::vector<Value> items;
            for (; size > 0; --size) {
                items.push_back(value(depth + 1));
            }
            made = kind == 4 ? Value::tuple(std::move(items)) : Value::list(std::move(items));
        } else {
            made = set(size);
        }
        if (!made.is(Value::Type::Tuple) && decide_.below(4) == 1) {
            shared_.push_back(made);
        }
        return made;
    }

    Value set(std::size_t size) {
        auto items = std::make_shared<common::Set>();
        for (; size > 0; --size) {
            items->add(leaf());
        }
        return decide_.below(3) == 0 ? Value(common::FrozenSetRef(std::move(items)))
                                     : Value(common::SetRef(std::move(items)));
    }

    void walk(const Value& value, const std::string& path) {
        if (paths_.size() > 100) {
            return;
        }
        paths_.push_back(path);
        const auto walk_items = [&](const std::vector<Value>& items) {
            for (std::size_t i = 0; i < items.size(); ++i) {
                walk(items[i], path + "[" + std::to_string(i) + "]");
            }
        };
        if (const common::Dict* dict = value.as_dict()) {
            for (const auto& [key, item] : dict->entries()) {
                walk(item, path + "[" + common::repr(key) + "]");
            }
        } else if (const common::List* list = value.as_list()) {
            walk_items(list->items);
        } else if (const common::Tuple* tuple = value.as_tuple()) {
            walk_items(tuple->items);
        }
    }

    std::string path() {
        static constexpr std::array<std::string_view, 14> kMore = {
            "[0]", "[1]",   "[-1]",   "['a']",    "[\"b\"]", "[None]", "[1.5]",
            "[7]", ".name", "[True]", "[(1, 2)]", "['it",    "[",      "[-9]"};
        std::string path = paths_[decide_.below(paths_.size())];
        while (decide_.below(3) == 1) {
            path += kMore[decide_.below(kMore.size())];
        }
        return path;
    }

    Value class_of() {
        static constexpr std::array<std::string_view, 11> kNames = {
            "str",  "int", "float", "bool",     "list",   "tuple",
            "dict", "set", "bytes", "NoneType", "complex"};
        return Value(std::make_shared<const common::ClassRef>(
            common::ClassRef{"builtins", std::string(kNames[decide_.below(kNames.size())])}));
    }

    Value opcode() {
        static constexpr std::array<std::string_view, 4> kTags = {"equal", "insert", "replace",
                                                                  "delete"};
        const auto number = [&] {
            return Value::integer(static_cast<std::int64_t>(decide_.below(6)) - 1);
        };
        std::vector<Value> fields = {Value::str(kTags[decide_.below(kTags.size())])};
        for (int i = 0; i < 4; ++i) {
            fields.push_back(number());
        }
        fields.emplace_back();
        fields.push_back(value(3));
        return Value(std::make_shared<common::Object>(common::Object{
            std::make_shared<const common::ClassRef>(common::ClassRef{"deepdiff.helper", "Opcode"}),
            Value::tuple(std::move(fields)), Value()}));
    }

    static Value named(std::string_view name, Value value) {
        return Value::dict({{Value::str(name), std::move(value)}});
    }

    Value indexed() {
        Value items = Value::dict();
        for (std::size_t count = decide_.below(4); count > 0; --count) {
            items.as_dict()->set(leaf(), value(2));
        }
        return items;
    }

    void action(common::Dict& delta) {
        static constexpr std::array<std::string_view, 14> kActions = {
            "values_changed",
            "type_changes",
            "dictionary_item_added",
            "dictionary_item_removed",
            "iterable_item_added",
            "iterable_item_removed",
            "_iterable_opcodes",
            "iterable_items_added_at_indexes",
            "iterable_items_removed_at_indexes",
            "iterable_item_moved",
            "set_item_added",
            "set_item_removed",
            "attribute_added",
            "attribute_removed"};
        const std::size_t which = decide_.below(kActions.size());
        Value items = Value::dict();
        for (std::size_t count = 1 + decide_.below(4); count > 0; --count) {
            items.as_dict()->set(Value::str(path()), change(which));
        }
        delta.set(Value::str(kActions[which]), std::move(items));
    }

    Value change(std::size_t which) {
        switch (which) {
            case 0:
                return named("new_value", value(2));
            case 1: {
                Value change = named("new_type", class_of());
                if (decide_.below(3) == 1) {
                    change.as_dict()->set(Value::str("new_value"), value(2));
                }
                return change;
            }
            case 6: {
                std::vector<Value> opcodes;
                for (std::size_t count = decide_.below(4); count > 0; --count) {
                    opcodes.push_back(opcode());
                }
                return Value::list(std::move(opcodes));
            }
            case 7:
            case 8:
                return indexed();
            case 9: {
                Value move = named("new_path", Value::str(path()));
                move.as_dict()->set(Value::str("value"), value(2));
                return move;
            }
            case 10:
            case 11:
                return set(decide_.below(3));
            default:
                return value(2);
        }
    }

    Decisions decide_;
    std::vector<Value> shared_;
    std::vector<std::string> paths_;
};

}  // namespace tests
