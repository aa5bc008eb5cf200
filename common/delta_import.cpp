#include "common/delta_import.h"

#include <algorithm>

#include "common/limits.h"

namespace common {
namespace {

using Type = Value::Type;

template <typename Ref>
Reference reference(const Value& value) {
    const Ref& ref = *std::get_if<Ref>(&value.storage());
    return {ref.get(), ref.use_count()};
}

bool holds_mutable(const Value& value) {
    const Tuple* tuple = value.as_tuple();
    if (tuple != nullptr) {
        return std::any_of(tuple->items.begin(), tuple->items.end(), holds_mutable);
    }
    return value.is(Type::List) || value.is(Type::Dict) || value.is(Type::Set) ||
           value.is(Type::ByteArray) || value.is(Type::Object);
}

std::size_t depth_of(const Value& value) {
    std::size_t depth = 0;
    if (const Tuple* tuple = value.as_tuple()) {
        for (const Value& item : tuple->items) {
            depth = std::max(depth, depth_of(item));
        }
        return depth + 1;
    }
    if (const Set* frozen = value.as_frozen_set()) {
        for (const Value& item : frozen->items()) {
            depth = std::max(depth, depth_of(item));
        }
        return depth + 1;
    }
    return 0;
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

bool Measure::fits(const Value& value) {
    const Extent extent = measure(value, 1);
    return extent.depth <= limits::kPickleDepthMax && extent.expanded <= limits::kPickleExpandedMax;
}

void Measure::add(Extent& whole, const Extent& part) {
    whole.depth = std::max(whole.depth, part.depth + 1);
    // Both are bounded, or have been found too large: the sum does not overflow.
    whole.expanded = std::min(whole.expanded + part.expanded, limits::kPickleExpandedMax + 1);
}

Measure::Extent Measure::measure(const Value& value, std::size_t level) {
    if (level > limits::kPickleDepthMax + 1 || steps_left_ == 0) {
        return {limits::kPickleDepthMax + 1, 1};
    }
    --steps_left_;
    const Reference shared = reference_of(value);
    if (shared.count > 1) {
        const auto known = known_.find(shared.address);
        if (known != known_.end()) {
            return known->second;
        }
    }
    Extent extent;
    if (const List* list = value.as_list()) {
        extent = measure_items(list->items, level);
    } else if (const Tuple* tuple = value.as_tuple()) {
        extent = measure_items(tuple->items, level);
    } else if (const Dict* dict = value.as_dict()) {
        extent.depth = 1;
        for (const auto& entry : dict->entries()) {
            add(extent, measure(entry.key, level + 1));
            add(extent, measure(entry.value, level + 1));
        }
    } else if (const Set* set = value.as_set()) {
        extent = measure_items(set->items(), level);
    } else if (const Set* frozen = value.as_frozen_set()) {
        extent = measure_items(frozen->items(), level);
    } else if (const Object* object = value.as_object()) {
        extent = measure(object->args, level + 1);
        add(extent, measure(object->state, level + 1));
    }
    if (shared.count > 1) {
        known_[shared.address] = extent;
    }
    return extent;
}

Measure::Extent Measure::measure_items(const std::vector<Value>& items, std::size_t level) {
    Extent extent{1, 1};
    for (const Value& item : items) {
        add(extent, measure(item, level + 1));
    }
    return extent;
}

Value Importer::import(const Value& value, std::size_t level) {
    if (!holds_mutable(value)) {
        if (value.is(Type::Tuple) || value.is(Type::FrozenSet)) {
            depth_ = std::max(depth_, level - 1 + depth_of(value));
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
    if (const List* list = value.as_list()) {
        return Value::list(copy_items(list->items, level));
    }
    if (const Tuple* tuple = value.as_tuple()) {
        return Value::tuple(copy_items(tuple->items, level));
    }
    if (const Dict* dict = value.as_dict()) {
        auto result = std::make_shared<Dict>();
        for (const auto& entry : dict->entries()) {
            result->set(entry.key, import(entry.value, level + 1));
        }
        return Value(DictRef(std::move(result)));
    }
    if (const Set* set = value.as_set()) {
        return Value(SetRef(std::make_shared<Set>(*set)));
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
