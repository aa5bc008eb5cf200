#pragma once
// Runs the command that was named: with the real disk and clock, standard output, an exit code.

#include "common/config.h"

namespace snapshotter::commands {

// Exit codes, beside those of the server: 0 done, 1 it failed, 2 it was given wrongly, 3 the
// session is in use.
inline constexpr int kExitNotThere = 5;  // no such backup, node, moment or file
inline constexpr int kExitDamage = 6;    // verify: something is damaged

int run(const common::Settings& settings);

}  // namespace snapshotter::commands
