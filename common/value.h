#pragma once
// Value: the Python values that clients send, as Python would hold them.
//
// Mutable containers (list, dict, set, bytearray) are shared by reference, as in Python: copying a
// Value copies the reference. Immutable ones may be shared freely. A Value that came through the
// pickle machine is at most limits::kPickleDepthMax deep and holds no cycle of references: where a
// container is inside itself stands a BackReference. So code over it may recurse.
//
// Equality and hashing are Python's: 1 == 1.0 == True, nan != nan unless it is the same object, a
// list never equals a tuple, set order does not matter, dict order does not matter.
// `identical` is the exact comparison of tests: types, dict order, float bits.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "common/bytes.h"

namespace common {

class Value;
class Dict;
class Set;

struct None {
    friend bool operator==(None, None) = default;
};

// An int outside int64: two's complement, little endian, as short as possible (as pickle's LONG1).
struct BigInt {
    std::string bytes;
};

// A class, named and never run: {"builtins", "str"} as it stands in a delta's type_changes.
struct ClassRef {
    std::string module;
    std::string name;
    friend bool operator==(const ClassRef&, const ClassRef&) = default;
};

// In a value that is inside itself: the list, dict or object so many levels above, where only those
// three count; 1 is the one that this stands in. What it equals only Python knows.
struct BackReference {
    std::uint32_t levels = 1;
    friend bool operator==(const BackReference&, const BackReference&) = default;
};

struct List;       // std::vector<Value> items
struct Tuple;      // std::vector<Value> items
struct ByteArray;  // std::string bytes
struct Object;     // an instance of a listed class: deepdiff's Opcode, SetOrdered

using StrRef = std::shared_ptr<const std::string>;  // UTF-8; lone surrogates as 3 bytes each
using BytesRef = std::shared_ptr<const Bytes>;
using BigIntRef = std::shared_ptr<const BigInt>;
using ByteArrayRef = std::shared_ptr<ByteArray>;
using ListRef = std::shared_ptr<List>;
using TupleRef = std::shared_ptr<const Tuple>;
using DictRef = std::shared_ptr<Dict>;
using SetRef = std::shared_ptr<Set>;
using FrozenSetRef = std::shared_ptr<const Set>;
using ClassPtr = std::shared_ptr<const ClassRef>;
using ObjectRef = std::shared_ptr<Object>;

template <typename T, typename Variant>
inline constexpr bool kIsAlternative = false;
template <typename T, typename... Types>
inline constexpr bool kIsAlternative<T, std::variant<Types...>> = (std::is_same_v<T, Types> || ...);

class Value {
public:
    // The order is that of the alternatives of `Storage`.
    enum class Type : std::uint8_t {
        None,
        Bool,
        Int,
        BigInt,
        Float,
        Str,
        Bytes,
        ByteArray,
        List,
        Tuple,
        Dict,
        Set,
        FrozenSet,
        Class,
        Object,
        BackReference
    };
    using Storage = std::variant<None, bool, std::int64_t, BigIntRef, double, StrRef, BytesRef,
                                 ByteArrayRef, ListRef, TupleRef, DictRef, SetRef, FrozenSetRef,
                                 ClassPtr, ObjectRef, BackReference>;

    Value() = default;  // None
    template <typename T>
    requires kIsAlternative<T, Storage> Value(T storage)
        : storage_(std::in_place_type<T>, std::move(storage)) {}

    static Value str(std::string_view text);
    static Value bytes(Bytes bytes);
    static Value list(std::vector<Value> items = {});
    static Value tuple(std::vector<Value> items = {});
    static Value dict(std::vector<std::pair<Value, Value>> items = {});  // later keys win
    static Value integer(std::int64_t number) { return Value(number); }
    static Value boolean(bool truth) { return Value(truth); }
    static Value real(double number) { return Value(number); }

    Type type() const { return static_cast<Type>(storage_.index()); }
    bool is(Type wanted) const { return type() == wanted; }
    bool is_none() const { return type() == Type::None; }

    // Null unless the Value is of that type.
    const std::string* as_str() const;
    const Bytes* as_bytes() const;
    List* as_list() const;
    const Tuple* as_tuple() const;
    Dict* as_dict() const;
    Set* as_set() const;
    const Set* as_frozen_set() const;
    const ClassRef* as_class() const;
    Object* as_object() const;
    ByteArray* as_byte_array() const;
    std::optional<std::int64_t> as_int() const;  // not for bool
    std::optional<bool> as_bool() const;
    std::optional<double> as_float() const;

    // `dict[key]` where the Value is a dict and has the str key, else null.
    const Value* find(std::string_view key) const;

    const Storage& storage() const { return storage_; }

private:
    Storage storage_;
};

// Python's `a == b`, and a hash that agrees with it for hashable values (another one in each
// process: nothing may be ordered or written by it).
bool equal(const Value& a, const Value& b);
bool is_hashable(const Value& value);
std::size_t hash(const Value& value);  // the value must be hashable

// Same types, same order of dicts, same bits of floats, same sharing of mutable containers.
bool identical(const Value& a, const Value& b);

// copy.deepcopy: mutable containers are new, sharing among them is kept, immutable leaves shared.
Value deep_copy(const Value& value);

// About the bytes of memory that the value holds, big shared byte strings included.
std::size_t memory_bytes(const Value& value);

// Python's repr, with types told apart; for tests, logs and inspection. Cut at `length_max` bytes.
std::string repr(const Value& value, std::size_t length_max = 200);

struct List {
    std::vector<Value> items;
};
struct Tuple {
    std::vector<Value> items;
};
struct ByteArray {
    std::string bytes;
};
// An instance as Python's pickler wrote it; never made by us. `cls(*args)` by NEWOBJ, or, for a
// class that the setting CLASSES allows, also by one of the other ways; then `state` is a tuple of
// what the pickle puts into it afterwards: a list of items, a list of keys and values, and what
// BUILD gives.
struct Object {
    enum class Call : std::uint8_t { New, Reduce, NewWithNames };

    ClassPtr cls;
    Value args;   // a tuple; with names: a tuple of that and a dict
    Value state;  // what BUILD gave it, or None
    Call call = Call::New;
    bool opaque = false;  // of a class that the setting allows
};

// The index behind Dict and Set: entries in insertion order; small ones are searched in a row.
class ValueIndex {
public:
    static constexpr std::size_t npos = static_cast<std::size_t>(-1);

protected:
    // `Row` is the vector of entries: `slot_of` finds an equal key in it or npos; `appended` and
    // `remove` follow its changes.
    template <typename Row>
    std::size_t slot_of(const Row& row, const Value& key) const;
    template <typename Row>
    std::size_t slot_of(const Row& row, std::string_view key) const;
    template <typename Row>
    void appended(const Row& row);
    void remove(std::size_t slot);

private:
    template <typename Matches>
    std::size_t find_slot(std::size_t key_hash, const Matches& matches) const;
    void enter(std::size_t key_hash, std::size_t slot);
    void append(std::size_t key_hash);
    void rebuild();

    std::vector<std::size_t> hashes_;   // of each entry; empty while small
    std::vector<std::uint32_t> table_;  // slot + 1, or 0
};

// A Python dict: insertion order, keys by Python's equality (the first key of equal ones stays).
// Keys must be hashable.
class Dict : ValueIndex {
public:
    struct Entry {
        Value key;
        Value value;
    };
    const Value* find(const Value& key) const;
    Value* find(const Value& key);
    const Value* find(std::string_view str_key) const;
    Value* find(std::string_view str_key);
    void set(Value key, Value value);
    bool erase(const Value& key);
    std::size_t size() const { return entries_.size(); }
    void reserve(std::size_t size) { entries_.reserve(size); }
    const std::vector<Entry>& entries() const { return entries_; }
    std::vector<Entry>& entries_for_values() { return entries_; }  // change values only, not keys

private:
    std::vector<Entry> entries_;
};

// A Python set: iteration in the order of insertion (Python's own order is arbitrary).
class Set : ValueIndex {
public:
    bool contains(const Value& item) const;
    bool add(Value item);  // false: an equal one was there and stays
    bool erase(const Value& item);
    std::size_t size() const { return items_.size(); }
    const std::vector<Value>& items() const { return items_; }

private:
    std::vector<Value> items_;
};

}  // namespace common
