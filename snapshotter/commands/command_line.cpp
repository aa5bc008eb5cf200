#include "snapshotter/commands/command_line.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string_view>

namespace snapshotter::commands {

using common::bad_input;
using common::Result;

namespace {

enum class Target { None, Optional, Wanted };

struct Row {
    Command command;
    std::string_view name;
    std::string_view usage;  // behind the name
    Target target;
    std::string_view options;  // that it takes, each between blanks; --json is taken by all
    std::string_view meaning;
};

// THE table of commands.
const Row kCommands[] = {
    {Command::List, "list", "", Target::None, " ",
     "shows the session, its backups, pinned ones, and the span of the history"},
    {Command::Verify, "verify", "", Target::None, " ",
     "reads everything on disk and says what is good and what is damaged"},
    {Command::Inspect, "inspect", "[NAME | FILE]", Target::Optional,
     " --at --position --node --changes ",
     "shows the nodes of the session, of a backup, of a session file, or of a moment"},
    {Command::Export, "export", "[NAME] --to FILE", Target::Optional,
     " --to --at --position --node ", "writes a session file that Blender opens"},
    {Command::Import, "import", "FILE", Target::Wanted, " --dry-run ",
     "makes a session file, such as one that Blender saved, the session"},
    {Command::Restore, "restore", "NAME | --at TIME | --position N", Target::Optional,
     " --at --position --dry-run ", "goes back to a backup, a time or a position"},
    {Command::Pin, "pin", "NAME", Target::Wanted, " ", "keeps a backup for ever"},
    {Command::Unpin, "unpin", "NAME", Target::Wanted, " ",
     "lets a pinned backup go when its time comes"},
    {Command::RemoveNode, "remove-node", "ID", Target::Wanted, " --dry-run ",
     "takes one node out of the session"},
};

struct Option {
    std::string_view flag;
    std::string_view value;  // what follows it; empty: it stands alone
    std::string_view meaning;
};

const Option kOptions[] = {
    {"--at", "TIME", "as it was then: \"2026-11-23 10:42\", 10:42, or with a zone, ...+01:00"},
    {"--position", "N", "as it was after change number N, as list and inspect show them"},
    {"--node", "ID", "only this node (may be repeated); export takes what it depends on as well"},
    {"--to", "FILE", "the file to write; one that is there already is not overwritten"},
    {"--changes", "", "who changed what, and when, as far back as the history reaches"},
    {"--dry-run", "", "shows what would change, and changes nothing"},
    {"--json", "", "answers in JSON, for scripts"},
};

const Row* find_row(std::string_view name) {
    const Row* const found = std::find_if(std::begin(kCommands), std::end(kCommands),
                                          [&](const Row& row) { return row.name == name; });
    return found == std::end(kCommands) ? nullptr : found;
}

const Row& row_of(Command command) {
    return *std::find_if(std::begin(kCommands), std::end(kCommands),
                         [&](const Row& row) { return row.command == command; });
}

bool takes(const Row& row, std::string_view flag) {
    return flag == "--json" || row.options.find(" " + std::string(flag) + " ") != std::string::npos;
}

const Option* find_option(const Row& row, std::string_view flag) {
    const Option* const found = std::find_if(std::begin(kOptions), std::end(kOptions),
                                             [&](const Option& one) { return one.flag == flag; });
    return found == std::end(kOptions) || !takes(row, flag) ? nullptr : found;
}

std::string usage_of(const Row& row) {
    std::string text = "holdfast-snapshotter " + std::string(row.name);
    if (!row.usage.empty()) {
        text += " " + std::string(row.usage);
    }
    return text;
}

Result<void> apply_value(std::string_view flag, const std::string& value, CommandLine& line) {
    if (value.empty()) {
        return bad_input(std::string(flag) + ": its value is empty");
    }
    if (flag == "--at") {
        line.at = value;
    } else if (flag == "--to") {
        line.to = value;
    } else if (flag == "--node") {
        line.nodes.push_back(value);
    } else {
        std::uint64_t number = 0;
        const char* const end = value.data() + value.size();
        const auto [stopped, error] = std::from_chars(value.data(), end, number);
        if (error != std::errc() || stopped != end) {
            return bad_input("--position: '" + value + "' is not a whole number");
        }
        line.position = number;
    }
    return {};
}

void apply_switch(std::string_view flag, CommandLine& line) {
    if (flag == "--changes") {
        line.changes = true;
    } else if (flag == "--dry-run") {
        line.dry_run = true;
    } else {
        line.json = true;
    }
}

// One option with its value, which may be the next argument: `index` is then moved on to it.
Result<void> read_option(const Row& row, const std::vector<std::string>& arguments,
                         std::size_t& index, CommandLine& line) {
    const std::string& argument = arguments[index];
    const std::size_t equals = argument.find('=');
    const std::string flag = argument.substr(0, equals);
    const Option* const option = find_option(row, flag);
    if (option == nullptr) {
        return bad_input(flag + ": " + std::string(row.name) + " has no such option; see " +
                         "holdfast-snapshotter " + std::string(row.name) + " --help");
    }
    if (option->value.empty()) {
        if (equals != std::string::npos) {
            return bad_input(flag + " takes no value");
        }
        apply_switch(flag, line);
        return {};
    }
    if (equals != std::string::npos) {
        return apply_value(flag, argument.substr(equals + 1), line);
    }
    if (index + 1 == arguments.size()) {
        return bad_input(flag + ": " + std::string(option->value) + " must follow");
    }
    return apply_value(flag, arguments[++index], line);
}

// Which state is meant is said in one way, or not at all.
Result<void> check(const Row& row, const CommandLine& line) {
    const std::string usage = "; usage: " + usage_of(row);
    if (row.target == Target::Wanted && line.target.empty()) {
        return bad_input(std::string(row.name) + ": " + std::string(row.usage) + " is missing" +
                         usage);
    }
    const int ways = (line.target.empty() ? 0 : 1) + (line.at ? 1 : 0) + (line.position ? 1 : 0);
    if (ways > 1) {
        return bad_input(std::string(row.name) + ": only one of a name, --at and --position" +
                         usage);
    }
    if (row.command == Command::Restore && ways == 0) {
        return bad_input("restore: say to which state, by a backup's name, a time or a position" +
                         usage);
    }
    if (row.command == Command::Export && line.to.empty()) {
        return bad_input("export: --to FILE is missing" + usage);
    }
    return {};
}

std::string padded(std::string text, std::size_t width) {
    text.resize(std::max(width, text.size() + 2), ' ');
    return text;
}

}  // namespace

Result<CommandLine> parse_command(const std::vector<std::string>& arguments) {
    const Row* const row = find_row(arguments.front());
    if (row == nullptr) {
        return bad_input("'" + arguments.front() +
                         "': neither a flag nor a command; --help lists them all");
    }
    CommandLine line;
    line.command = row->command;
    line.help = std::any_of(arguments.begin(), arguments.end(),
                            [](const std::string& one) { return one == "--help" || one == "-h"; });
    if (line.help) {
        return line;
    }
    for (std::size_t i = 1; i < arguments.size(); ++i) {
        const std::string& argument = arguments[i];
        if (argument.starts_with("-") && argument != "-") {
            TRY(read_option(*row, arguments, i, line));
        } else if (row->target == Target::None || !line.target.empty() || argument.empty()) {
            return bad_input("'" + argument + "' is one too many; usage: " + usage_of(*row));
        } else {
            line.target = argument;
        }
    }
    TRY(check(*row, line));
    return line;
}

bool asks_for_json(const std::vector<std::string>& arguments) {
    return std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
}

std::string commands_help() {
    std::string text =
        "\nCommands. They work on DATA_DIR; each has its own --help, and --json for scripts. "
        "Those\n"
        "that change the session need broker and snapshotter to be stopped.\n\n";
    for (const Row& row : kCommands) {
        text += padded(std::string(row.name) + " " + std::string(row.usage), 48);
        text += std::string(row.meaning) + "\n";
    }
    return text;
}

std::string help_of(Command command) {
    const Row& row = row_of(command);
    std::string text = "usage: " + usage_of(row) + " [option]... [setting]...\n";
    text += "It " + std::string(row.meaning) + ".\n\n";
    for (const Option& option : kOptions) {
        if (takes(row, option.flag)) {
            text += padded(std::string(option.flag) + " " + std::string(option.value), 24);
            text += std::string(option.meaning) + "\n";
        }
    }
    text += padded("--data-dir DIR", 24) + "the data directory; and all other settings\n";
    return text;
}

}  // namespace snapshotter::commands
