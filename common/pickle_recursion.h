#pragma once
// Recursive values as the pickle machine makes them, with references that lead in circles, become
// trees: in the place of what it stands in comes a BackReference.

#include <cstddef>
#include <limits>
#include <unordered_map>
#include <vector>

#include "common/result.h"
#include "common/value.h"

namespace common::pickle {

// For one value.
class CircleCutter {
public:
    // The lists, dicts and objects of `value` are changed in place; on an error some circles are
    // left in them. Limit: too deep. BadInput: what stands inside itself is reached in two ways,
    // and clients would find exponentially many through it.
    Result<Value> cut(const Value& value);

    // Whether the list, dict or object was found in the value.
    bool reached(const Value& container) const;

private:
    struct Seen {
        enum class Is { Entered, Closed, Open } is = Is::Entered;  // Open: refers to what it is in
        std::size_t level = 0;  // how many lists, dicts and objects it is in
        bool exists = true;     // false of an object that still has to be made
        bool again = false;     // of a tuple: it was entered inside itself
        Value tree;             // of a closed tuple
    };
    static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

    Result<Value> cut_tuple(const Value& value);
    Result<Value> cut_container(const Value& value);
    Result<void> cut_inside(const Value& value, Seen& seen);
    Result<void> cut_items(std::vector<Value>& items);

    std::unordered_map<const void*, Seen> seen_;
    std::size_t depth_ = 0;
    std::size_t level_ = 0;
    std::size_t outermost_ = kNone;  // level of what is referred to, of what is being cut
};

// Takes out what is in a list, dict or object.
void empty(const Value& container);

}  // namespace common::pickle
