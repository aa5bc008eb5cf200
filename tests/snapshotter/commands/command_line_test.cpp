#include "snapshotter/commands/command_line.h"

#include <doctest/doctest.h>

using namespace snapshotter::commands;

namespace {

CommandLine parsed(const std::vector<std::string>& arguments) {
    const auto line = parse_command(arguments);
    REQUIRE_MESSAGE(line.has_value(), (line ? "" : line.error().what));
    return *line;
}

std::string refusal(const std::vector<std::string>& arguments) {
    const auto line = parse_command(arguments);
    REQUIRE_FALSE(line.has_value());
    CHECK(line.error().kind == common::ErrorKind::BadInput);
    return line.error().what;
}

}  // namespace

TEST_CASE("a command with its target and options, in any order") {
    CHECK(parsed({"list"}).command == Command::List);
    const CommandLine inspect = parsed({"inspect", "--json", "a.db", "--node", "n1", "--node=n2"});
    CHECK(inspect.command == Command::Inspect);
    CHECK(inspect.json);
    CHECK(inspect.target == "a.db");
    CHECK(inspect.nodes == std::vector<common::NodeId>{"n1", "n2"});
    const CommandLine restore = parsed({"restore", "--at", "2026-11-23 10:42", "--dry-run"});
    CHECK(restore.at == "2026-11-23 10:42");
    CHECK(restore.dry_run);
    CHECK(parsed({"restore", "--position=17"}).position == 17);
    CHECK(parsed({"export", "--to", "-"}).to == "-");
    CHECK(parsed({"remove-node", "id"}).target == "id");
}

TEST_CASE("help is given whatever else is wrong") {
    CHECK(parsed({"restore", "--nonsense", "--help"}).help);
    CHECK(parsed({"list", "-h"}).help);
}

TEST_CASE("what cannot be meant is refused, with what would be right") {
    CHECK(refusal({"5555"}).find("neither a flag nor a command") != std::string::npos);
    CHECK(refusal({"list", "x"}).find("one too many") != std::string::npos);
    CHECK(refusal({"pin"}).find("pin NAME") != std::string::npos);
    CHECK(refusal({"pin", "a", "b"}).find("one too many") != std::string::npos);
    CHECK(refusal({"pin", ""}).find("one too many") != std::string::npos);
    CHECK(refusal({"restore"}).find("say to which state") != std::string::npos);
    CHECK(refusal({"restore", "a", "--at", "10:42"}).find("one of") != std::string::npos);
    CHECK(refusal({"restore", "--at", "1", "--position", "2"}).find("one of") != std::string::npos);
    CHECK(refusal({"restore", "--position", "1x"}).find("whole number") != std::string::npos);
    CHECK(refusal({"restore", "--position", "-1"}).find("whole number") != std::string::npos);
    CHECK(refusal({"restore", "--at"}).find("TIME must follow") != std::string::npos);
    CHECK(refusal({"restore", "--at="}).find("empty") != std::string::npos);
    CHECK(refusal({"restore", "a", "--to", "b"}).find("no such option") != std::string::npos);
    CHECK(refusal({"restore", "a", "--dry-run=yes"}).find("no value") != std::string::npos);
    CHECK(refusal({"export"}).find("--to FILE is missing") != std::string::npos);
}

TEST_CASE("who asks for JSON gets it for what is refused as well") {
    CHECK(asks_for_json({"restore", "--json"}));
    CHECK(asks_for_json({"--json", "nonsense", "--at"}));
    CHECK_FALSE(asks_for_json({"restore", "json"}));
}

TEST_CASE("help names every command, and what each takes") {
    for (const char* name : {"list", "verify", "inspect", "export", "import", "restore", "pin",
                             "unpin", "remove-node"}) {
        CAPTURE(name);
        CHECK(commands_help().find(std::string("\n") + name + " ") != std::string::npos);
        CHECK(help_of(parsed({name, "--help"}).command).find("--json") != std::string::npos);
    }
    CHECK(help_of(Command::Restore).find("--at TIME") != std::string::npos);
    CHECK(help_of(Command::Restore).find("--to") == std::string::npos);
}
