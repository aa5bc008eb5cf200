// How deepdiff applies a delta, kept step by step (its Delta.__add__, with default options):
// values, sets, types, opcodes, removed items, added items, items without order, dictionaries,
// attributes, and at last the tuples that had to become lists become tuples again. Whatever cannot
// be found is logged and gone over. What raises is an error here.
//
// The base is changed in place. Every change is written down first in `undo_`, so that an error can
// take all of it back; nothing is copied that the delta does not touch.
//
// A fold could make what the pickle machine refuses to read: values too deep or too large, and
// values that are contained in themselves. Depth follows from the path, and what a delta brings is
// counted; where something is shared, in the base or in the delta, what came was not counted, or
// the count says that it may be too much, the whole value is measured afterwards.

#include "common/delta.h"

#include "common/delta_actions.h"
#include "common/delta_folder.h"

namespace common {

Result<void> check_delta(const Value& delta) {
    TRY(read_actions(delta));
    return {};
}

Result<FoldReport> fold_delta(Value& base, const Value& delta, Extent& extent) {
    const Actions actions = TRY(read_actions(delta));
    return Folder(base, delta, actions, extent).run();
}

Result<FoldReport> fold_delta(Value& base, const Value& delta) {
    Extent extent = extent_of(base);
    return fold_delta(base, delta, extent);
}

}  // namespace common
