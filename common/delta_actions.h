#pragma once
// The actions of a delta, checked for the shape that deepdiff writes: a dict from action to a dict
// from path to change. What deepdiff does not know it does not look at, and neither do we.

#include <string_view>

#include "common/result.h"
#include "common/value.h"

namespace common {

// Null: the delta has no such action, or nothing in it.
struct Actions {
    const Dict* values_changed = nullptr;
    const Dict* set_item_added = nullptr;
    const Dict* set_item_removed = nullptr;
    const Dict* type_changes = nullptr;
    const Dict* iterable_opcodes = nullptr;
    const Dict* iterable_item_removed = nullptr;
    const Dict* iterable_item_added = nullptr;
    const Dict* iterable_item_moved = nullptr;
    const Dict* items_added_at_indexes = nullptr;
    const Dict* items_removed_at_indexes = nullptr;
    const Dict* dictionary_item_added = nullptr;
    const Dict* dictionary_item_removed = nullptr;
    const Dict* attribute_added = nullptr;
    const Dict* attribute_removed = nullptr;
    bool compared_by_function = false;
};

// Points into `delta`. Unsupported: a delta of another shape, or of numpy arrays.
Result<Actions> read_actions(const Value& delta);

// The path of an entry. Where deepdiff could write none it wrote None, which leads nowhere: null.
inline const std::string* path_of(const Dict::Entry& entry) {
    return entry.key.as_str();
}
inline constexpr std::string_view kLostPath = "None";

// Python's `bool(value)`.
bool is_truth(const Value& value);
// A list, tuple, set or frozenset.
bool is_sequence_or_set(const Value& value);

}  // namespace common
