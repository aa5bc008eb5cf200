#include "common/extent.h"

#include <algorithm>
#include <limits>

namespace common {
namespace {

using Type = Value::Type;

template <typename Ref>
Reference reference(const Value& value) {
    const Ref& ref = *std::get_if<Ref>(&value.storage());
    return {ref.get(), ref.use_count()};
}

}  // namespace

Reference reference_of(const Value& value) {
    switch (value.type()) {
        case Type::List:
            return reference<ListRef>(value);
        case Type::Tuple:
            return reference<TupleRef>(value);
        case Type::Dict:
            return reference<DictRef>(value);
        case Type::Set:
            return reference<SetRef>(value);
        case Type::Object:
            return reference<ObjectRef>(value);
        case Type::ByteArray:
            return reference<ByteArrayRef>(value);
        default:
            return {};
    }
}

// More bytes than the writer takes: the longest opcodes, and a part of its marks and frames.
Extent extent_of_one(const Value& value) {
    const auto text = [](std::size_t size) { return size + size / 1024 + 10; };
    if (const std::string* str = value.as_str()) {
        return {1, 0, text(str->size())};
    }
    if (const Bytes* bytes = value.as_bytes()) {
        return {1, 0, text(bytes->size())};
    }
    if (const ByteArray* array = value.as_byte_array()) {
        return {1, 1, text(array->bytes.size()) + 20};
    }
    if (const auto* number = std::get_if<BigIntRef>(&value.storage())) {
        return {1 + (*number)->bytes.size() / 16, 0, (*number)->bytes.size() + 6};
    }
    const Object* object = value.as_object();
    const ClassRef* cls = object != nullptr ? object->cls.get() : value.as_class();
    if (cls != nullptr) {
        return {1, object != nullptr ? 1U : 0U, cls->module.size() + cls->name.size() + 32};
    }
    if (value.is(Type::BackReference)) {
        return {1, 0, 12, 1};
    }
    const bool can_change = value.is(Type::List) || value.is(Type::Dict) || value.is(Type::Set);
    return {1, can_change ? 1U : 0U, 12};
}

bool is_hard_key(const Value& value) {
    return value.is(Type::BigInt) || value.is(Type::Tuple) || value.is(Type::FrozenSet);
}

Extent extent_as_key(const Value& value) {
    return {is_hard_key(value) ? kHardKeyWeight : 0, 0, 0};
}

void add(Extent& whole, const Extent& part) {
    constexpr std::size_t kFar = std::numeric_limits<std::size_t>::max() / 2;
    whole.values = std::min(whole.values + part.values, kFar);
    whole.containers = std::min(whole.containers + part.containers, kFar);
    whole.bytes = std::min(whole.bytes + part.bytes, kFar);
    whole.back_references = std::min(whole.back_references + part.back_references, kFar);
}

bool is_readable(const Extent& extent) {
    return extent.values <= kReadable.values && extent.containers <= kReadable.containers &&
           extent.bytes <= kReadable.bytes;
}

bool Measure::fits(const Value& value, Extent& extent) {
    const Tree tree = measure(value, 1);
    extent = tree.extent;
    return tree.depth <= limits::kPickleDepthMax && is_readable(extent);
}

void Measure::add_child(Tree& whole, const Tree& part) {
    whole.depth = std::max(whole.depth, part.depth + 1);
    add(whole.extent, part.extent);
}

Measure::Tree Measure::measure(const Value& value, std::size_t level) {
    if (level > limits::kPickleDepthMax + 1 || *steps_left_ == 0) {
        return {limits::kPickleDepthMax + 1, {1, 0, 0}};
    }
    --*steps_left_;
    const Reference shared = reference_of(value);
    if (shared.count > 1) {
        const auto known = known_.find(shared.address);
        if (known != known_.end()) {
            return known->second;
        }
    }
    Tree tree{0, extent_of_one(value)};
    measure_inside(value, tree, level);
    if (shared.count > 1) {
        known_[shared.address] = tree;
    }
    return tree;
}

void Measure::measure_inside(const Value& value, Tree& tree, std::size_t level) {
    if (const List* list = value.as_list()) {
        measure_items(list->items, tree, level);
    } else if (const Tuple* tuple = value.as_tuple()) {
        measure_items(tuple->items, tree, level);
    } else if (const Dict* dict = value.as_dict()) {
        tree.depth = 1;
        for (const auto& entry : dict->entries()) {
            add_child(tree, measure(entry.key, level + 1));
            add(tree.extent, extent_as_key(entry.key));
            add_child(tree, measure(entry.value, level + 1));
        }
    } else if (const Set* set = value.as_set()) {
        measure_items(set->items(), tree, level);
        add_keys(set->items(), tree);
    } else if (const Set* frozen = value.as_frozen_set()) {
        measure_items(frozen->items(), tree, level);
        add_keys(frozen->items(), tree);
    } else if (const Object* object = value.as_object()) {
        add_child(tree, measure(object->args, level + 1));
        add_child(tree, measure(object->state, level + 1));
        if (const List* items = object->state.as_list()) {  // of a SetOrdered
            add_keys(items->items, tree);
        }
    }
}

void Measure::add_keys(const std::vector<Value>& items, Tree& tree) {
    for (const Value& item : items) {
        add(tree.extent, extent_as_key(item));
    }
}

void Measure::measure_items(const std::vector<Value>& items, Tree& tree, std::size_t level) {
    tree.depth = 1;
    for (const Value& item : items) {
        add_child(tree, measure(item, level + 1));
    }
}

Extent extent_of(const Value& value) {
    return Measure().of(value);
}

std::size_t LevelsAbove::of(const Value& value) {
    if (const auto* reference = std::get_if<BackReference>(&value.storage())) {
        return reference->levels;
    }
    const bool holds_values = value.is(Type::List) || value.is(Type::Tuple) ||
                              value.is(Type::Dict) || value.is(Type::Object);
    if (!holds_values) {
        return 0;
    }
    const void* address = reference_of(value).address;
    if (const auto known = known_.find(address); known != known_.end()) {
        return known->second;
    }
    const std::size_t levels = of_items(value);
    known_.emplace(address, levels);
    return levels;
}

std::size_t LevelsAbove::of_items(const Value& value) {
    const auto outside = [](std::size_t levels) { return levels > 0 ? levels - 1 : 0; };
    if (const Tuple* tuple = value.as_tuple()) {
        return highest(tuple->items);
    }
    if (const List* list = value.as_list()) {
        return outside(highest(list->items));
    }
    if (const Dict* dict = value.as_dict()) {
        return outside(of_dict(*dict));
    }
    const Object& object = *value.as_object();
    return std::max(of(object.args), outside(inside(object)));
}

std::size_t LevelsAbove::of_dict(const Dict& dict) {
    std::size_t levels = 0;
    for (const Dict::Entry& entry : dict.entries()) {
        levels = std::max(levels, of(entry.value));
    }
    return levels;
}

std::size_t LevelsAbove::inside(const Object& object) {
    if (!object.opaque) {
        return of(object.state);
    }
    const std::vector<Value>& parts = object.state.as_tuple()->items;
    return std::max(
        {highest(parts[0].as_list()->items), highest(parts[1].as_list()->items), of(parts[2])});
}

std::size_t LevelsAbove::highest(const std::vector<Value>& items) {
    std::size_t levels = 0;
    for (const Value& item : items) {
        levels = std::max(levels, of(item));
    }
    return levels;
}

}  // namespace common
