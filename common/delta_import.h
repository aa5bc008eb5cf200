#pragma once
// Values of a delta on their way into the base, and how large the base gets by them.

#include <unordered_map>
#include <vector>

#include "common/delta.h"
#include "common/limits.h"
#include "common/value.h"

namespace common {

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

// Copies the mutable parts of values of one delta. Parts that the delta holds twice stay one, as
// they would be in Python.
class Importer {
public:
    explicit Importer(const Value& delta) : delta_(delta) {}

    Value import(const Value& value) { return import(value, 1); }

    // How much was imported so far, but for what was shared.
    const Extent& brought() const { return brought_; }

    // True if something was imported that the delta holds twice.
    bool any_shared() const { return !copies_.empty(); }
    // True if that is a part of the delta's own frame: then folding would change the delta itself.
    bool frame_shared() const { return frame_shared_; }

    // The deepest level of containers since the last reset, and whether there was one among them
    // that had been imported before.
    std::size_t depth() const { return depth_; }
    bool reused() const { return reused_; }
    void reset() {
        depth_ = 0;
        reused_ = false;
    }

private:
    Value import(const Value& value, std::size_t level);
    Value copy(const Value& value, std::size_t level);
    std::vector<Value> copy_items(const std::vector<Value>& items, std::size_t level);
    bool is_frame(const void* address) const;

    const Value& delta_;
    std::unordered_map<const void*, Value> copies_;
    std::size_t depth_ = 0;
    Extent brought_;
    bool frame_shared_ = false;
    bool reused_ = false;
};

}  // namespace common
