#pragma once
// Values of a delta on their way into the base, and how large the base gets by them.

#include <unordered_map>
#include <vector>

#include "common/value.h"

namespace common {

// The address of the container and how many refer to it; null if the value holds none.
struct Reference {
    const void* address = nullptr;
    long count = 0;
};

Reference reference_of(const Value& value);

// Depth and size of the expanded tree against the bounds of limits.h. A value in itself is too
// deep.
class Measure {
public:
    // Takes from `steps_left`, and lets nothing fit when none are left: one fold must not measure
    // for ever.
    explicit Measure(std::size_t& steps_left) : steps_left_(steps_left) {}

    bool fits(const Value& value);

private:
    struct Extent {
        std::size_t depth = 0;
        std::size_t expanded = 1;
    };

    static void add(Extent& whole, const Extent& part);
    Extent measure(const Value& value, std::size_t level);
    Extent measure_items(const std::vector<Value>& items, std::size_t level);

    std::size_t& steps_left_;
    std::unordered_map<const void*, Extent> known_;
};

// Copies the mutable parts of values of one delta. Parts that the delta holds twice stay one, as
// they would be in Python.
class Importer {
public:
    explicit Importer(const Value& delta) : delta_(delta) {}

    Value import(const Value& value) { return import(value, 1); }

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
    bool frame_shared_ = false;
    bool reused_ = false;
};

}  // namespace common
