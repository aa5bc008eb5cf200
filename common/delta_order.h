#pragma once
// The order in which deepdiff 8.1.1 takes the items of an action: sorted by path, or backwards.
//
// Paths of keys that Python cannot compare (an int with a str) are sorted by a second rule, and
// what comes out then depends on which pairs a sort happens to compare, so the comparisons are made
// as CPython 3.11 makes them.

#include <string_view>
#include <vector>

#include "common/delta_path.h"
#include "common/result.h"

namespace common {

struct PathItem {
    std::string_view path;
    std::vector<PathStep> steps;  // of `path`
    Value value;
    bool lost = false;  // deepdiff could write no path, and wrote None
};

// BadInput: Python raises. Unsupported: a longer list than we can sort as CPython does, of keys
// that it cannot compare.
Result<void> sort_path_items(std::vector<PathItem>& items, bool backwards);

}  // namespace common
