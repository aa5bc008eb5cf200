#pragma once
// Applies a deepdiff delta to a value, as `deepdiff` 8.1.1's `base + Delta(bytes)` does with its
// default options: every client does the same, so where ours differs, ours is wrong.

#include <cstddef>
#include <string>
#include <vector>

#include "common/extent.h"
#include "common/result.h"
#include "common/value.h"

namespace common {

// What deepdiff would have logged and gone over: the rest of the delta still applied.
struct FoldReport {
    std::size_t skipped = 0;
    std::string first_skipped;  // a sentence, empty if none
};

// Checks the shape of a delta as far as that does not need the base: a dict; actions we fold.
// An action we do not fold exactly is refused (Unsupported).
Result<void> check_delta(const Value& delta);

// Changes `base` in place to what deepdiff would return; the containers of `base` belong to the
// caller alone. On an error (deepdiff would raise) `base` is unchanged. Parts of `delta` are
// copied, never shared into `base`, except immutable ones.
//
// What comes out can be pickled and read again, however many deltas were folded before: that is
// known from `extent`, which is that of the base and becomes that of the result, without looking at
// the whole of it each time. Too much: Limit.
Result<FoldReport> fold_delta(Value& base, const Value& delta, Extent& extent);
Result<FoldReport> fold_delta(Value& base, const Value& delta);

}  // namespace common
