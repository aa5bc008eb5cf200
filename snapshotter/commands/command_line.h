#pragma once
// The commands of holdfast-snapshotter and what may be given with each: one table, in
// command_line.cpp, which parse_command follows and --help prints. Settings are not among them:
// common/config.h has taken those out before. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/result.h"

namespace snapshotter::commands {

enum class Command { List, Verify, Inspect, Export, Import, Restore, Pin, Unpin, RemoveNode };

struct CommandLine {
    Command command{};
    bool help = false;                      // only its help is wanted; nothing else is checked
    std::string target;                     // what stands alone: a NAME, FILE or ID; may be empty
    std::optional<std::string> at;          // --at, as it was typed
    std::optional<std::uint64_t> position;  // --position
    std::vector<common::NodeId> nodes;      // --node
    std::string to;                         // --to
    bool changes = false;
    bool dry_run = false;
    bool json = false;
};

// `arguments` is Settings::command, not empty. BadInput: one line that says what is wrong and what
// would be right.
common::Result<CommandLine> parse_command(const std::vector<std::string>& arguments);

// Whether whoever gave these wants an answer in JSON, also where they cannot be understood.
bool asks_for_json(const std::vector<std::string>& arguments);

// All commands, a line each, for --help.
std::string commands_help();
// "restore NAME | --at TIME ...", and the options.
std::string help_of(Command command);

}  // namespace snapshotter::commands
