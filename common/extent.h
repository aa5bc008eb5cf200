#pragma once
// How large a value is, counted as the pickle machine counts.

#include <cstddef>
#include <unordered_map>
#include <vector>

#include "common/limits.h"
#include "common/value.h"

namespace common {

// A dict of Python takes keys one after the other when all have one hash: minutes for some ten
// thousand. The hashes of str and bytes are secrets of each process, and of ints of 64 bits and
// floats only a few have the same. Any other key or item of a set counts as so many values: there
// cannot be more than some thousand.
inline constexpr std::size_t kHardKeyWeight = 4'000;

// At most how much a value is, counted as the pickle machine counts: what is shared counts each
// time it is reached.
struct Extent {
    std::size_t values = 0;
    std::size_t containers = 0;  // of them, those that can change
    std::size_t bytes = 0;       // pickled
    std::size_t back_references = 0;
};
Extent extent_of(const Value& value);

// The address of the container and how many refer to it; null if the value holds none.
struct Reference {
    const void* address = nullptr;
    long count = 0;
};

Reference reference_of(const Value& value);

// What is no more than this, and not too deep, can be pickled, read again, and sent: values and
// memo slots are within the bounds of the machine (which keeps two boxes that are not of a
// value's), and it fits into a message.
inline constexpr Extent kReadable{limits::kPickleExpandedMax - 2, limits::kPickleMemoMax,
                                  limits::kMessageBytesMax - limits::operator""_MiB(1)};
bool is_readable(const Extent& extent);

// The value itself, without what is in it.
Extent extent_of_one(const Value& value);
// What it weighs more as a key or an item of a set (pickle_opcodes.h).
bool is_hard_key(const Value& value);
Extent extent_as_key(const Value& value);
void add(Extent& whole, const Extent& part);

// Depth and size of the expanded tree. A value in itself is too deep.
class Measure {
public:
    Measure() = default;
    // Takes from `steps_left`, and lets nothing fit when none are left: one fold must not measure
    // for ever.
    explicit Measure(std::size_t& steps_left) : steps_left_(&steps_left) {}

    Extent of(const Value& value) { return measure(value, 1).extent; }
    std::size_t levels_of(const Value& value) { return measure(value, 1).depth; }
    // Whether it is not too deep, and readable; `extent` says how large.
    bool fits(const Value& value, Extent& extent);

private:
    struct Tree {
        std::size_t depth = 0;
        Extent extent;
    };

    static void add_child(Tree& whole, const Tree& part);
    Tree measure(const Value& value, std::size_t level);
    void measure_inside(const Value& value, Tree& tree, std::size_t level);
    void measure_items(const std::vector<Value>& items, Tree& tree, std::size_t level);
    static void add_keys(const std::vector<Value>& items, Tree& tree);

    std::size_t all_steps_ = limits::kPickleExpandedMax;
    std::size_t* steps_left_ = &all_steps_;
    std::unordered_map<const void*, Tree> known_;
};

// How many levels above a value its back references reach: 0 if all lead to what is in it. What is
// in a value that was asked for must not change afterwards.
class LevelsAbove {
public:
    std::size_t of(const Value& value);

private:
    std::size_t of_items(const Value& value);
    std::size_t of_dict(const Dict& dict);
    std::size_t inside(const Object& object);
    std::size_t highest(const std::vector<Value>& items);

    std::unordered_map<const void*, std::size_t> known_;
};

}  // namespace common
