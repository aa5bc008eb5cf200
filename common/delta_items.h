#pragma once
// Items of values, as Python's `value[key]` and `len(value)` find them.

#include <cstdint>

#include "common/delta_path.h"
#include "common/limits.h"
#include "common/value.h"

namespace common {

inline constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);

// What a key is to a list: a place in it, one outside of any list, or none at all (TypeError).
struct Index {
    enum class Kind { Place, Outside, None } kind = Kind::None;
    std::int64_t number = 0;  // may be negative
};

Index index_of(const PathStep& step);
bool is_number(const Value& key);  // an int, a bool or a float

// The place that `sequence[index]` means, or kNowhere (IndexError).
std::size_t place_in(std::size_t size, const Index& index);

// `len(value)`, or kNowhere (TypeError, or a value that is not plain).
std::size_t length_of(const Value& value);

// Values that have behaviour of their own, which we do not follow.
bool is_foreign(const Value& value);

// Whether the value is or holds an object of a class that the setting CLASSES allows, or a back
// reference: only Python knows what it equals.
bool holds_opaque(const Value& value);

// Characters of values in the log lines that a delta makes every client write: what is large in
// few bytes by sharing, or is written once more for each of many items, must not take its memory.
inline constexpr std::size_t kLoggedMax = limits::operator""_MiB(64);

// What the value may have in characters as Python writes it into a log line; kLoggedMax + 1 if that
// is more than kLoggedMax.
std::size_t logged_size(const Value& value);

// True if getattr finds `name` on some plain value, so that a path could go on behind it. deepdiff
// never writes such a path for plain values.
bool is_attribute(std::string_view name);

// `value[step]`, or null where Python raises. Points into the value or, for a piece of a str or
// bytes, to `scratch`. Not for attributes, nor for foreign values.
const Value* item_of(const Value& value, const PathStep& step, Value& scratch);

// The place in a list of the item equal to `wanted` that is nearest to the key, a number, or
// kNowhere.
std::size_t nearest_item(const List& list, const Value& key, const Value& wanted);

Value* find_in(Dict& dict, const PathStep& step);

// The place of the entry that holds `value`, which a find of `dict` gave.
std::size_t entry_index(const Dict& dict, const Value* value);

}  // namespace common
