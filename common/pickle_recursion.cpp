#include "common/pickle_recursion.h"

#include <algorithm>
#include <utility>

#include "common/extent.h"
#include "common/limits.h"

namespace common::pickle {

namespace {

Result<Value> two_ways() {
    return bad_input("pickle: recursive value that is reached in two ways");
}

bool is_same(const Value& a, const Value& b) {
    return a.type() == b.type() && reference_of(a).address == reference_of(b).address;
}

}  // namespace

Result<Value> CircleCutter::cut(const Value& value) {
    if (depth_ > limits::kPickleDepthMax) {
        return fail(ErrorKind::Limit, "pickle: too deep");
    }
    switch (value.type()) {
        case Value::Type::Tuple:
            return cut_tuple(value);
        case Value::Type::List:
        case Value::Type::Dict:
        case Value::Type::Object:
            return cut_container(value);
        default:
            return value;
    }
}

bool CircleCutter::reached(const Value& container) const {
    return seen_.contains(reference_of(container).address);
}

// A tuple is written after what is in it, so nothing can refer back to it: inside itself it stands
// once more, and what is in that refers back.
Result<Value> CircleCutter::cut_tuple(const Value& value) {
    const auto [entry, is_new] = seen_.try_emplace(reference_of(value).address);
    Seen& seen = entry->second;
    if (seen.is == Seen::Is::Closed) {
        return seen.tree;
    }
    if (!is_new && (seen.again || seen.is == Seen::Is::Open)) {
        return two_ways();
    }
    seen.again = !is_new;
    const std::size_t outer = std::exchange(outermost_, kNone);
    std::vector<Value> items = value.as_tuple()->items;
    TRY(cut_items(items));
    const bool changed =
        !std::equal(items.begin(), items.end(), value.as_tuple()->items.begin(), is_same);
    Value tree = changed ? Value::tuple(std::move(items)) : value;
    seen.is = outermost_ == kNone ? Seen::Is::Closed : Seen::Is::Open;
    seen.tree = tree;
    outermost_ = std::min(outer, outermost_);
    return tree;
}

Result<Value> CircleCutter::cut_container(const Value& value) {
    const auto [entry, is_new] = seen_.try_emplace(reference_of(value).address);
    Seen& seen = entry->second;
    if (!is_new) {
        if (seen.is == Seen::Is::Closed) {
            return value;
        }
        if (seen.is == Seen::Is::Open) {
            return two_ways();
        }
        if (!seen.exists) {
            return bad_input("pickle: recursive value: an object made with itself");
        }
        outermost_ = std::min(outermost_, seen.level);
        return Value(BackReference{static_cast<std::uint32_t>(level_ - seen.level)});
    }
    seen.level = level_;
    const std::size_t outer = std::exchange(outermost_, kNone);
    TRY(cut_inside(value, seen));
    const bool is_open = outermost_ < seen.level;
    seen.is = is_open ? Seen::Is::Open : Seen::Is::Closed;
    outermost_ = is_open ? std::min(outer, outermost_) : outer;
    return value;
}

Result<void> CircleCutter::cut_inside(const Value& value, Seen& seen) {
    if (Object* object = value.as_object()) {
        seen.exists = false;
        ++depth_;
        object->args = TRY(cut(object->args));
        --depth_;
        seen.exists = true;
    }
    ++level_;
    if (List* list = value.as_list()) {
        TRY(cut_items(list->items));
    } else if (Dict* dict = value.as_dict()) {
        ++depth_;
        for (Dict::Entry& entry : dict->entries_for_values()) {
            entry.value = TRY(cut(entry.value));
        }
        --depth_;
    } else if (Object* object = value.as_object(); object->opaque) {
        const std::vector<Value>& parts = object->state.as_tuple()->items;
        TRY(cut_items(parts[0].as_list()->items));
        TRY(cut_items(parts[1].as_list()->items));
        ++depth_;
        object->state = Value::tuple({parts[0], parts[1], TRY(cut(parts[2]))});
        --depth_;
    } else {
        ++depth_;
        object->state = TRY(cut(object->state));
        --depth_;
    }
    --level_;
    return {};
}

Result<void> CircleCutter::cut_items(std::vector<Value>& items) {
    ++depth_;
    for (Value& item : items) {
        item = TRY(cut(item));
    }
    --depth_;
    return {};
}

void empty(const Value& container) {
    if (List* list = container.as_list()) {
        list->items.clear();
    } else if (Dict* dict = container.as_dict()) {
        *dict = Dict();
    } else if (Object* object = container.as_object()) {
        object->args = Value();
        object->state = Value();
    }
}

}  // namespace common::pickle
