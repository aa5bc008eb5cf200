#pragma once
// Classes of a studio's own add-ons that node data may hold: the setting CLASSES. Their objects are
// kept as their pickles say, and never made or run. Deltas hold only those of them that deepdiff at
// the clients reads too.
//
// One table for the process, set by main before anything is read: the gate is the same for
// everything that passes it, wherever it is called from.

#include <string>
#include <string_view>
#include <vector>

#include "common/pickle.h"
#include "common/result.h"

namespace common {

// "module.qualname, module.qualname". BadInput: not such a list, or a class of `builtins`, which
// has a table of its own.
Result<std::vector<std::string>> read_class_list(std::string_view text);

void allow_classes(std::vector<std::string> names);

namespace pickle {

bool is_allowed_class(std::string_view module, std::string_view name, PickleUse use);
bool has_allowed_classes();

}  // namespace pickle

}  // namespace common
