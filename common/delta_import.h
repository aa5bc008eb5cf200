#pragma once
// Values of a delta on their way into the base, and how large the base gets by them.

#include <unordered_map>
#include <vector>

#include "common/extent.h"
#include "common/value.h"

namespace common {

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
