#pragma once
// holdfast-snapshotter --save-now: asks the running snapshotter, through the broker's link, for a
// save, and waits until it is done.

#include "common/config.h"

namespace snapshotter::commands {

// Prints what came of it. The exit code: 0 saved, 1 not.
int save_now(const common::Settings& settings);

}  // namespace snapshotter::commands
