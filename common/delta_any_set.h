#pragma once
// deepdiff's AnySet: a set of any values, the unhashable ones by content as its DeepHash sees it,
// which is not Python's equality: [1, 2] is [2, 1] is [1, 2, 2], and None is 'NONE'.

#include <optional>
#include <string>
#include <unordered_set>

#include "common/result.h"
#include "common/value.h"

namespace common {

class AnySet {
public:
    // BadInput: deepdiff raises (bytes that are no UTF-8 in something unhashable).
    Result<void> add(const Value& item);
    Result<bool> contains(const Value& item);

private:
    using Digest = std::string;

    Result<Digest> digest(const Value& value);
    Result<Digest> digest_new(const Value& value);
    Result<std::string> describe_items(const char* type, const std::vector<Value>& items);
    Result<std::string> describe_dict(const Dict& dict);

    Set hashable_;
    std::unordered_set<Digest> digests_;
    // What a hashable value was first digested as serves for all that are equal to it (1 for 1.0),
    // but for bools.
    Dict digest_by_value_;
    std::optional<Digest> digest_by_bool_[2];
};

}  // namespace common
