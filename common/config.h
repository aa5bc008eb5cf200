#pragma once
// The settings of both programs: one table (kSettings in config.cpp) with each setting's flag,
// environment variable, default and meaning, which --help prints and parse_settings follows.
//
// A flag wins over the environment, the environment over the default. An empty value counts as not
// set, because compose files pass "" for what nobody filled in. Both programs take every setting
// (and check it), so that one command line or one .env file can serve both; each uses its own.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/result.h"

namespace common {

enum class Program { Broker, Snapshotter };
const char* name_of(Program program);  // "holdfast-broker"

enum class LogLevel { Trace, Debug, Info, Warning, Error };

// Where an HTTP endpoint listens. Port 0: off.
struct HostPort {
    std::string host;
    std::uint16_t port = 0;
    bool off() const { return port == 0; }
};
std::string to_string(const HostPort& address);  // "host:port" or "off"

// What the program was started for.
enum class Action {
    Run,
    Help,     // print help_text(), exit 0
    Version,  // print version_text(), exit 0
    Health,   // ask the running process whether it is well, exit 0 or 1
    SaveNow,  // snapshotter: ask the running process for a save and wait for it
    Command,  // snapshotter: `command` is to be carried out
};

struct Settings {
    Action action = Action::Run;
    std::string save_reason;           // of --save-now; may be empty
    std::vector<std::string> command;  // its name and what was given with it that is no setting

    std::uint16_t port = 0;
    std::uint16_t framed_port = 0;
    bool zmtp_clients = false;    // whether those of the ZMTP generation are served, on `port`
    bool framed_clients = false;  // the same for the framed generation, on `framed_port`
    std::string bind;
    std::chrono::milliseconds timeout{};
    std::string admin_password;   // empty: none was set
    std::string server_password;  // empty: none was set
    LogLevel log_level = LogLevel::Info;
    std::string log_file;  // empty: none
    std::string data_dir;
    std::chrono::seconds save_interval{};
    std::uint32_t backups_max = 0;
    std::uint32_t keep_hourly = 0;
    std::uint32_t keep_daily = 0;
    std::uint32_t keep_weekly = 0;
    std::uint32_t history_days = 0;
    std::uint64_t history_bytes_max = 0;
    std::chrono::milliseconds history_sync{};
    std::string feed;  // a ZeroMQ endpoint: the broker binds it, the snapshotter connects to it
    std::string link;
    HostPort health;                 // of this program
    std::uint32_t snapshotters = 0;  // expected at start
    std::chrono::seconds shutdown_wait{};
    std::uint64_t client_queue_bytes_max = 0;
    std::chrono::milliseconds client_stall{};
    std::uint32_t connections_per_second = 0;  // from one address; 0: any number
    std::uint32_t login_attempts = 0;          // wrong ones, from one address; 0: any number
    bool allow_unprotected = false;
    std::vector<std::string> classes;  // that node data may hold: see pickle_classes.h
};

using Environment = std::map<std::string, std::string>;
using FileReader = std::function<Result<std::string>(const std::string& path)>;

// `arguments` is argv without the program's name. `read_file` is asked for *_FILE settings only. An
// error is one line that names the setting, the value (never a password's) and what is allowed.
//
// The snapshotter also takes a command: a word that is no flag, such as "list". What is no setting
// is then the command's, in the order in which it was given, --help behind it included.
Result<Settings> parse_settings(Program program, const std::vector<std::string>& arguments,
                                const Environment& environment, const FileReader& read_file);

std::string help_text(Program program);
std::string version_text(Program program);
const char* version();

// For main(): parse_settings with the process's own environment and files. Prints help, version or
// the error (on stderr) and exits (0, or 2 for an error) unless the action is one of the others.
// `commands_help` is printed behind the help.
Settings settings_or_exit(Program program, int argc, char** argv,
                          const std::string& commands_help = {});

}  // namespace common
