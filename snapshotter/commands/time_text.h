#pragma once
// Times as people type and read them: local, with the zone said. Pure but for the zone, which is
// the process's own.
//
//   time  = [date (" " | "T")] clock [zone]         without a date: today
//   date  = YYYY-MM-DD
//   clock = HH:MM[:SS[.mmm]]                        without seconds: as the minute begins
//   zone  = "Z" | ("+" | "-") HH:MM                 without one: local time

#include <string>
#include <string_view>

#include "common/ids.h"
#include "common/result.h"

namespace snapshotter::commands {

// The last millisecond that `text` can mean: names and listings show whole seconds, so a save made
// at 10:42:17.350 is there "at 10:42:17". BadInput, with what would be right: another grammar, a
// time in the future of `now`, one that the clocks left out or passed twice when they changed.
common::Result<common::WallTime> read_time(std::string_view text, common::WallTime now);

// "2026-11-23 10:42:17"
std::string show_time(common::WallTime time);

// "CET, UTC+01:00", as it is at that time.
std::string show_zone(common::WallTime time);

}  // namespace snapshotter::commands
