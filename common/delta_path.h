#pragma once
// A deepdiff path, `root['modifiers'][0]['name']`, as the steps that deepdiff 8.1.1 takes along it.
//
// deepdiff's parser is a loop over characters, not a grammar, and it never fails: what looks odd is
// read as something. A part in quotes is a str and its backslashes mean nothing; a part without is
// a Python literal or, if it is none, a str. Parts that begin with two underscores are left out,
// the first four characters are left out unseen.

#include <string_view>
#include <vector>

#include "common/result.h"
#include "common/value.h"

namespace common {

struct PathStep {
    bool attribute = false;  // `.name` rather than `[key]`
    bool is_text = false;    // the key is the str `text`, a piece of the path; else it is `key`
    std::string_view text;
    Value key;

    Value value() const { return is_text ? Value::str(text) : key; }
};

bool equal(const PathStep& a, const PathStep& b);

// Replaces `steps`; the root itself is not among them. The steps point into `path`. Unsupported: a
// literal that no Value holds (complex, Ellipsis, an unhashable set or dict). Limit: a path that is
// too long.
Result<void> parse_delta_path(std::string_view path, std::vector<PathStep>& steps);

}  // namespace common
