#include "common/delta_import.h"

#include <algorithm>

#include "common/limits.h"

namespace common {
namespace {

using Type = Value::Type;

bool holds_mutable(const Value& value) {
    const Tuple* tuple = value.as_tuple();
    if (tuple != nullptr) {
        return std::any_of(tuple->items.begin(), tuple->items.end(), holds_mutable);
    }
    return value.is(Type::List) || value.is(Type::Dict) || value.is(Type::Set) ||
           value.is(Type::ByteArray) || value.is(Type::Object);
}

std::size_t weigh_key(const Value& key, Extent& extent);

// The depth of a value that holds nothing mutable; what it weighs is added to `extent`.
std::size_t weigh(const Value& value, Extent& extent) {
    add(extent, extent_of_one(value));
    const Tuple* tuple = value.as_tuple();
    const Set* frozen = value.as_frozen_set();
    if (tuple == nullptr && frozen == nullptr) {
        return 0;
    }
    std::size_t depth = 0;
    for (const Value& item : tuple != nullptr ? tuple->items : frozen->items()) {
        depth = std::max(depth, frozen != nullptr ? weigh_key(item, extent) : weigh(item, extent));
    }
    return depth + 1;
}

std::size_t weigh_key(const Value& key, Extent& extent) {
    add(extent, extent_as_key(key));
    return weigh(key, extent);
}

}  // namespace

Value Importer::import(const Value& value, std::size_t level) {
    if (!holds_mutable(value)) {
        const std::size_t depth = weigh(value, brought_);
        if (depth > 0) {
            depth_ = std::max(depth_, level - 1 + depth);
        }
        return value;
    }
    depth_ = std::max(depth_, level);
    const Reference shared = reference_of(value);
    if (shared.count < 2) {
        return copy(value, level);
    }
    const auto known = copies_.find(shared.address);
    if (known != copies_.end()) {
        reused_ = true;
        return known->second;
    }
    frame_shared_ = frame_shared_ || is_frame(shared.address);
    Value result = copy(value, level);
    copies_.emplace(shared.address, result);
    return result;
}

std::vector<Value> Importer::copy_items(const std::vector<Value>& items, std::size_t level) {
    std::vector<Value> result;
    result.reserve(items.size());
    for (const Value& item : items) {
        result.push_back(import(item, level + 1));
    }
    return result;
}

Value Importer::copy(const Value& value, std::size_t level) {
    add(brought_, extent_of_one(value));
    if (const List* list = value.as_list()) {
        return Value::list(copy_items(list->items, level));
    }
    if (const Tuple* tuple = value.as_tuple()) {
        return Value::tuple(copy_items(tuple->items, level));
    }
    if (const Dict* dict = value.as_dict()) {
        auto result = std::make_shared<Dict>();
        for (const auto& entry : dict->entries()) {
            weigh_key(entry.key, brought_);
            result->set(entry.key, import(entry.value, level + 1));
        }
        return Value(DictRef(std::move(result)));
    }
    if (const Set* set = value.as_set()) {
        for (const Value& item : set->items()) {
            weigh_key(item, brought_);
        }
        return Value(SetRef(std::make_shared<Set>(*set)));
    }
    if (value.is(Type::Object)) {
        depth_ = std::max(depth_, level + Measure().levels_of(value) - 1);
        add(brought_, Measure().of(value));
    }
    return deep_copy(value);  // a bytearray or an object
}

bool Importer::is_frame(const void* address) const {
    if (reference_of(delta_).address == address) {
        return true;
    }
    for (const auto& action : delta_.as_dict()->entries()) {
        if (reference_of(action.value).address == address) {
            return true;
        }
        const Dict* items = action.value.as_dict();
        const std::string* name = action.key.as_str();
        // Below these names the entries are values themselves, not descriptions of changes.
        const bool plain = name == nullptr || name->find("_item_added") != name->npos ||
                           name->find("_item_removed") != name->npos ||
                           *name == "attribute_added" || *name == "attribute_removed";
        if (items == nullptr || plain) {
            continue;
        }
        for (const auto& item : items->entries()) {
            if (reference_of(item.value).address == address) {
                return true;
            }
        }
    }
    return false;
}

}  // namespace common
