#include "common/config.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include "common/pickle_classes.h"
#include "common/verify.h"

namespace common {

namespace {

enum class UsedBy { Both, Broker, Snapshotter };

// Puts a value into the settings and returns nothing, or says what would have been allowed.
using Allowed = const char*;
using Apply = std::optional<Allowed> (*)(const std::string& value, Settings& settings);

struct Row {
    std::string_view name;  // the environment variable
    std::string_view flag;
    std::string_view default_text;  // "": none; else applied as if given, unless it is in ()
    UsedBy used_by;
    std::string_view meaning;
    Apply apply;
    bool is_switch = false;  // the flag stands alone: --flag is --flag=on
    bool is_secret = false;  // never shown
};

template <typename Number>
bool parse_number(std::string_view text, Number low, Number high, Number& out) {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number < low || number > high) {
        return false;
    }
    out = number;
    return true;
}

std::string lowercase(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return text;
}

std::optional<bool> parse_switch(const std::string& value) {
    const std::string word = lowercase(value);
    if (word == "1" || word == "true" || word == "yes" || word == "on") {
        return true;
    }
    if (word == "0" || word == "false" || word == "no" || word == "off") {
        return false;
    }
    return std::nullopt;
}

bool parse_host_port(std::string_view text, HostPort& out) {
    const std::size_t colon = text.rfind(':');
    std::uint16_t port = 0;
    if (colon == std::string_view::npos || colon == 0 ||
        !parse_number<std::uint16_t>(text.substr(colon + 1), 1, 65535, port)) {
        return false;
    }
    std::string_view host = text.substr(0, colon);
    if (host.front() == '[' && host.back() == ']' && host.size() > 2) {
        host = host.substr(1, host.size() - 2);
    } else if (host.find(':') != std::string_view::npos) {
        return false;
    }
    out = HostPort{std::string(host), port};
    return true;
}

bool is_endpoint(std::string_view text) {
    HostPort ignored;
    return (text.starts_with("tcp://") && parse_host_port(text.substr(6), ignored)) ||
           (text.starts_with("ipc://") && text.size() > 6);
}

bool is_ip_address(const std::string& text) {
    std::array<unsigned char, sizeof(in6_addr)> ignored{};
    return inet_pton(AF_INET, text.c_str(), ignored.data()) == 1 ||
           inet_pton(AF_INET6, text.c_str(), ignored.data()) == 1;
}

std::optional<Allowed> apply_log_level(const std::string& value, Settings& settings) {
    static constexpr std::pair<std::string_view, LogLevel> kLevels[] = {
        {"trace", LogLevel::Trace},
        {"debug", LogLevel::Debug},
        {"info", LogLevel::Info},
        {"warning", LogLevel::Warning},
        {"error", LogLevel::Error}};
    for (const auto& [word, level] : kLevels) {
        if (lowercase(value) == word) {
            settings.log_level = level;
            return std::nullopt;
        }
    }
    return "trace, debug, info, warning or error";
}

std::optional<Allowed> apply_health(const std::string& value, Settings& settings) {
    if (lowercase(value) == "off") {
        settings.health = HostPort{};
        return std::nullopt;
    }
    if (parse_host_port(value, settings.health)) {
        return std::nullopt;
    }
    return "host:port, like 127.0.0.1:5561, or off";
}

std::optional<Allowed> apply_switch(const std::string& value, bool& out) {
    const std::optional<bool> on = parse_switch(value);
    if (!on) {
        return "on or off";
    }
    out = *on;
    return std::nullopt;
}

std::optional<Allowed> apply_endpoint(const std::string& value, std::string& out) {
    if (!is_endpoint(value)) {
        return "a ZeroMQ endpoint, like tcp://127.0.0.1:5558";
    }
    out = value;
    return std::nullopt;
}

std::optional<Allowed> apply_kept(const std::string& value, std::uint32_t& out) {
    if (parse_number<std::uint32_t>(value, 0, 10'000, out)) {
        return std::nullopt;
    }
    return "a whole number from 0 to 10000";
}

// The passwords' own values are put in place by resolve_password.
std::optional<Allowed> apply_nothing(const std::string&, Settings&) {
    return std::nullopt;
}

// THE table. A number's bounds stand once as numbers and once in words, side by side.
const Row kSettings[] = {
    {"PORT", "--port", "5555", UsedBy::Both,
     "what artists with Multi-User 0.8 (replication 0.9.10) type in Blender; the next two ports "
     "and, on this machine only, four more follow",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         if (parse_number<std::uint16_t>(value, 1, 65000, to.port)) {
             return std::nullopt;
         }
         return "a whole number from 1 to 65000";
     }},
    {"FRAMED_PORT", "--framed-port", "(PORT+5)", UsedBy::Broker,
     "what artists with a newer Multi-User (replication 0.9.12 to 0.10.3) type",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         if (parse_number<std::uint16_t>(value, 1, 65535, to.framed_port)) {
             return std::nullopt;
         }
         return "a whole number from 1 to 65535";
     }},
    {"ZMTP_CLIENTS", "--zmtp-clients", "on", UsedBy::Broker,
     "off: Multi-User 0.8 cannot connect, PORT and the next two stay closed",
     [](const std::string& value, Settings& to) { return apply_switch(value, to.zmtp_clients); }},
    {"FRAMED_CLIENTS", "--framed-clients", "on", UsedBy::Broker,
     "off: newer Multi-Users cannot connect, FRAMED_PORT stays closed",
     [](const std::string& value, Settings& to) { return apply_switch(value, to.framed_clients); }},
    {"BIND", "--bind", "0.0.0.0", UsedBy::Broker, "the address clients connect to",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         if (!is_ip_address(value)) {
             return "an IP address of this machine, or 0.0.0.0 for all";
         }
         to.bind = value;
         return std::nullopt;
     }},
    {"TIMEOUT", "--timeout", "10000", UsedBy::Broker,
     "milliseconds of silence after which a client is lost",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         std::int64_t number = 0;
         if (!parse_number<std::int64_t>(value, 500, 3'600'000, number)) {
             return "a whole number of milliseconds from 500 to 3600000";
         }
         to.timeout = std::chrono::milliseconds(number);
         return std::nullopt;
     }},
    {"ADMIN_PASSWORD", "--admin-password", "", UsedBy::Broker,
     "makes an artist an admin, who may press Init and kick; if not set, a random one is "
     "printed at start",
     apply_nothing, false, true},
    {"ADMIN_PASSWORD_FILE", "--admin-password-file", "", UsedBy::Broker,
     "a file that holds it, instead", apply_nothing},
    {"SERVER_PASSWORD", "--server-password", "", UsedBy::Broker,
     "what everybody must type to enter; if not set, anybody may", apply_nothing, false, true},
    {"SERVER_PASSWORD_FILE", "--server-password-file", "", UsedBy::Broker,
     "a file that holds it, instead", apply_nothing},
    {"LOG_LEVEL", "--log-level", "info", UsedBy::Both, "trace, debug, info, warning or error",
     apply_log_level},
    {"LOG_FILE", "--log-file", "", UsedBy::Both,
     "a file to log to as well; rotated at 10 MiB, five old ones are kept",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         to.log_file = value;
         return std::nullopt;
     }},
    {"DATA_DIR", "--data-dir", "./data", UsedBy::Snapshotter,
     "where the session, its backups and its history are kept",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         to.data_dir = value;
         return std::nullopt;
     }},
    {"SAVE_INTERVAL", "--save-interval", "120", UsedBy::Snapshotter, "seconds between auto-saves",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         std::int64_t number = 0;
         if (!parse_number<std::int64_t>(value, 1, 604'800, number)) {
             return "a whole number of seconds from 1 to 604800";
         }
         to.save_interval = std::chrono::seconds(number);
         return std::nullopt;
     }},
    {"MAX_BACKUPS", "--max-backups", "10", UsedBy::Snapshotter,
     "how many of the newest backups are kept",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         if (parse_number<std::uint32_t>(value, 1, 100'000, to.backups_max)) {
             return std::nullopt;
         }
         return "a whole number from 1 to 100000";
     }},
    {"KEEP_HOURLY", "--keep-hourly", "24", UsedBy::Snapshotter,
     "beside these, the last backup of each of so many hours with work in them",
     [](const std::string& value, Settings& to) { return apply_kept(value, to.keep_hourly); }},
    {"KEEP_DAILY", "--keep-daily", "7", UsedBy::Snapshotter, "the same for days",
     [](const std::string& value, Settings& to) { return apply_kept(value, to.keep_daily); }},
    {"KEEP_WEEKLY", "--keep-weekly", "4", UsedBy::Snapshotter, "the same for weeks",
     [](const std::string& value, Settings& to) { return apply_kept(value, to.keep_weekly); }},
    {"HISTORY_DAYS", "--history-days", "7", UsedBy::Snapshotter,
     "for how many days every single change is kept; a break counts as a day at most",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         if (parse_number<std::uint32_t>(value, 1, 3'650, to.history_days)) {
             return std::nullopt;
         }
         return "a whole number of days from 1 to 3650";
     }},
    {"HISTORY_MB", "--history-mb", "4096", UsedBy::Snapshotter,
     "MiB of single changes that are kept at most; the oldest go first",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         std::uint64_t number = 0;
         if (!parse_number<std::uint64_t>(value, 64, 100'000'000, number)) {
             return "a whole number of MiB from 64 to 100000000";
         }
         to.history_bytes_max = number << 20;
         return std::nullopt;
     }},
    {"HISTORY_SYNC_MS", "--history-sync-ms", "100", UsedBy::Snapshotter,
     "milliseconds within which a change is on disk; more spares the disk",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         std::int64_t number = 0;
         if (!parse_number<std::int64_t>(value, 0, 60'000, number)) {
             return "a whole number of milliseconds from 0 to 60000";
         }
         to.history_sync = std::chrono::milliseconds(number);
         return std::nullopt;
     }},
    {"FEED", "--feed", "(tcp://127.0.0.1:PORT+3)", UsedBy::Both,
     "the broker publishes every change here, the snapshotter listens; never open it to strangers",
     [](const std::string& value, Settings& to) { return apply_endpoint(value, to.feed); }},
    {"LINK", "--link", "(tcp://127.0.0.1:PORT+4)", UsedBy::Both,
     "where the two talk to each other; never open it to strangers",
     [](const std::string& value, Settings& to) { return apply_endpoint(value, to.link); }},
    {"HEALTH", "--health-address", "(127.0.0.1:PORT+6, the snapshotter PORT+7)", UsedBy::Both,
     "host:port of the program's GET /health, or off", apply_health},
    {"SNAPSHOTTERS", "--snapshotters", "1", UsedBy::Broker,
     "how many are expected at start; it restores when all have answered, or 3 s after the first",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         if (parse_number<std::uint32_t>(value, 1, 100, to.snapshotters)) {
             return std::nullopt;
         }
         return "a whole number from 1 to 100";
     }},
    {"SHUTDOWN_WAIT", "--shutdown-wait", "10", UsedBy::Broker,
     "seconds it waits when stopped until the snapshotter has everything",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         std::int64_t number = 0;
         if (!parse_number<std::int64_t>(value, 0, 3600, number)) {
             return "a whole number of seconds from 0 to 3600";
         }
         to.shutdown_wait = std::chrono::seconds(number);
         return std::nullopt;
     }},
    {"CLIENT_QUEUE_MB", "--client-queue-mb", "256", UsedBy::Broker,
     "MiB that may wait for one client before it is disconnected",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         std::uint64_t number = 0;
         if (!parse_number<std::uint64_t>(value, 1, 65'536, number)) {
             return "a whole number of MiB from 1 to 65536";
         }
         to.client_queue_bytes_max = number << 20;
         return std::nullopt;
     }},
    {"CLIENT_STALL", "--client-stall", "120", UsedBy::Broker,
     "seconds a client may take nothing before it is disconnected",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         std::int64_t number = 0;
         if (!parse_number<std::int64_t>(value, 1, 86'400, number)) {
             return "a whole number of seconds from 1 to 86400";
         }
         to.client_stall = std::chrono::seconds(number);
         return std::nullopt;
     }},
    {"CONNECTION_RATE", "--connection-rate", "100", UsedBy::Broker,
     "connections a second from one address (ten times as many at once); 0: any number",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         if (parse_number<std::uint32_t>(value, 0, 100'000, to.connections_per_second)) {
             return std::nullopt;
         }
         return "a whole number from 0 to 100000";
     }},
    {"LOGIN_ATTEMPTS", "--login-attempts", "10", UsedBy::Broker,
     "wrong passwords from one address before it must wait between two; 0: any number",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         if (parse_number<std::uint32_t>(value, 0, 1'000'000, to.login_attempts)) {
             return std::nullopt;
         }
         return "a whole number from 0 to 1000000";
     }},
    {"ALLOW_UNPROTECTED", "--allow-unprotected", "off", UsedBy::Broker,
     "serve without any snapshotter: nothing is kept",
     [](const std::string& value, Settings& to) {
         return apply_switch(value, to.allow_unprotected);
     },
     true},
    {"CLASSES", "--classes", "", UsedBy::Both,
     "Python classes (module.name,module.name) that node data may hold beside plain data",
     [](const std::string& value, Settings& to) -> std::optional<Allowed> {
         auto names = read_class_list(value);
         if (!names) {
             return "a list like studio.rig.Pose,studio.Tag, without builtins";
         }
         to.classes = std::move(*names);
         return std::nullopt;
     }},
};

struct Given {
    std::string value;
    std::string_view by;  // the flag or the variable, as the user knows it
};
// By the name of the setting. What is not in here was not set.
using GivenSettings = std::map<std::string_view, Given>;

const Row* find_flag(std::string_view flag) {
    const Row* const found = std::find_if(std::begin(kSettings), std::end(kSettings),
                                          [&](const Row& row) { return row.flag == flag; });
    return found == std::end(kSettings) ? nullptr : found;
}

Error wrong_value(const Row& row, const Given& given, std::string_view allowed) {
    std::string what(row.name);
    what += row.is_secret ? "" : ": '" + given.value + "'";
    what += " is not allowed (from ";
    what += given.by;
    what += "); allowed is ";
    what += allowed;
    return Error{ErrorKind::BadInput, std::move(what)};
}

struct CommandLine {
    Action action = Action::Run;
    std::vector<std::string> words;  // what is no flag; of a command also flags that are its own
    GivenSettings given;
};

bool is_flag(std::string_view argument) {
    return argument.starts_with("-") && argument != "-";
}

Result<CommandLine> read_command_line(Program program, const std::vector<std::string>& arguments) {
    CommandLine line;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& argument = arguments[i];
        if (!is_flag(argument)) {
            if (program == Program::Snapshotter && line.action == Action::Run) {
                line.action = Action::Command;
            }
            line.words.push_back(argument);
            continue;
        }
        if (argument == "--health") {
            line.action = Action::Health;
            continue;
        }
        if (argument == "--save-now" && program == Program::Snapshotter) {
            line.action = Action::SaveNow;
            continue;
        }
        const std::size_t equals = argument.find('=');
        const Row* row = find_flag(std::string_view(argument).substr(0, equals));
        if (row == nullptr && line.action == Action::Command) {
            line.words.push_back(argument);
            continue;
        }
        if (row == nullptr) {
            return bad_input(argument.substr(0, equals) + ": no such flag; --help lists them all");
        }
        std::string value;
        if (equals != std::string::npos) {
            value = argument.substr(equals + 1);
        } else if (row->is_switch) {
            value = "on";
        } else if (i + 1 < arguments.size()) {
            value = arguments[++i];
        } else {
            return bad_input(argument + ": a value must follow (" + std::string(row->meaning) +
                             ")");
        }
        if (!value.empty()) {
            line.given[row->name] = Given{std::move(value), row->flag};
        }
    }
    if (!line.words.empty() && line.action != Action::SaveNow && line.action != Action::Command) {
        return bad_input("'" + line.words.front() + "': not a flag; --help lists them all");
    }
    return line;
}

GivenSettings read_environment(const Environment& environment) {
    GivenSettings given;
    for (const Row& row : kSettings) {
        const auto found = environment.find(std::string(row.name));
        if (found != environment.end() && !found->second.empty()) {
            given[row.name] = Given{found->second, row.name};
        }
    }
    return given;
}

// A flag also wins over the other way to set the same password.
GivenSettings merge_flags_over(GivenSettings environment, const GivenSettings& flags) {
    constexpr std::pair<std::string_view, std::string_view> kPairs[] = {
        {"ADMIN_PASSWORD", "ADMIN_PASSWORD_FILE"}, {"SERVER_PASSWORD", "SERVER_PASSWORD_FILE"}};
    for (const auto& [direct, file] : kPairs) {
        if (flags.contains(direct) || flags.contains(file)) {
            environment.erase(direct);
            environment.erase(file);
        }
    }
    for (const auto& [name, given] : flags) {
        environment[name] = given;
    }
    return environment;
}

// The password, or "" if neither way to set it was used.
Result<std::string> resolve_password(const GivenSettings& given, std::string_view direct_name,
                                     std::string_view file_name, const FileReader& read_file) {
    const auto direct = given.find(direct_name);
    const auto file = given.find(file_name);
    if (direct != given.end() && file != given.end()) {
        return bad_input(std::string(direct_name) + " and " + std::string(file_name) +
                         " are both set (" + std::string(direct->second.by) + ", " +
                         std::string(file->second.by) + "): use one of them");
    }
    if (direct != given.end()) {
        return direct->second.value;
    }
    if (file == given.end()) {
        return std::string();
    }
    Result<std::string> content = read_file(file->second.value);
    if (!content) {
        return bad_input(std::string(file_name) + ": cannot read '" + file->second.value +
                         "': " + content.error().what);
    }
    if (content->ends_with('\n')) {
        content->pop_back();
    }
    if (content->ends_with('\r')) {
        content->pop_back();
    }
    if (content->empty()) {
        // Whoever names a file means a password: an empty one must not open the door.
        return bad_input(std::string(file_name) + ": '" + file->second.value + "' is empty");
    }
    return content;
}

// The defaults that follow from other settings.
void fill_addresses(Program program, Settings& settings, const GivenSettings& given) {
    const auto local_port = [&](int offset) {
        return std::string("tcp://127.0.0.1:") + std::to_string(settings.port + offset);
    };
    if (settings.feed.empty()) {
        settings.feed = local_port(3);
    }
    if (settings.link.empty()) {
        settings.link = local_port(4);
    }
    if (!given.contains("FRAMED_PORT")) {
        settings.framed_port = static_cast<std::uint16_t>(settings.port + 5);
    }
    if (!given.contains("HEALTH")) {
        const int offset = program == Program::Broker ? 6 : 7;
        settings.health = {"127.0.0.1", static_cast<std::uint16_t>(settings.port + offset)};
    }
}

Result<void> check_addresses(Program program, const Settings& settings) {
    if (!settings.zmtp_clients && !settings.framed_clients) {
        return bad_input("ZMTP_CLIENTS and FRAMED_CLIENTS are both off: nobody could connect");
    }
    if (settings.zmtp_clients && settings.framed_clients && settings.framed_port >= settings.port &&
        settings.framed_port <= settings.port + 2) {
        return bad_input("FRAMED_PORT: '" + std::to_string(settings.framed_port) +
                         "' is one of the three ports from PORT on; allowed is any other");
    }
    if (settings.feed == settings.link) {
        return bad_input("FEED and LINK are both '" + settings.feed + "': each needs its own");
    }
    if (program == Program::Snapshotter) {
        for (const std::string* endpoint : {&settings.feed, &settings.link}) {
            if (endpoint->starts_with("tcp://*:") || endpoint->starts_with("tcp://0.0.0.0:")) {
                return bad_input(std::string(endpoint == &settings.feed ? "FEED" : "LINK") + ": '" +
                                 *endpoint + "' names no machine the snapshotter could connect to" +
                                 "; allowed is the broker's address, like tcp://127.0.0.1:5558");
            }
        }
    }
    return {};
}

std::string padded(std::string text, std::size_t width) {
    text.resize(std::max(width, text.size() + 2), ' ');
    return text;
}

Result<std::string> read_whole_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        return fail(ErrorKind::Io, "it is not there or may not be read");
    }
    std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (file.bad()) {
        return fail(ErrorKind::Io, "reading failed");
    }
    return content;
}

}  // namespace

const char* name_of(Program program) {
    return program == Program::Broker ? "holdfast-broker" : "holdfast-snapshotter";
}

std::string to_string(const HostPort& address) {
    if (address.off()) {
        return "off";
    }
    const bool is_v6 = address.host.find(':') != std::string::npos;
    return (is_v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

Result<Settings> parse_settings(Program program, const std::vector<std::string>& arguments,
                                const Environment& environment, const FileReader& read_file) {
    Settings settings;
    // Whoever asks for help may have everything else wrong. Behind a command it is that one's help.
    for (const std::string& argument : arguments) {
        if (program == Program::Snapshotter && !is_flag(arguments.front())) {
            break;
        }
        if (argument == "--help" || argument == "-h") {
            settings.action = Action::Help;
            return settings;
        }
        if (argument == "--version") {
            settings.action = Action::Version;
            return settings;
        }
    }

    CommandLine line = TRY(read_command_line(program, arguments));
    const GivenSettings given = merge_flags_over(read_environment(environment), line.given);
    for (const Row& row : kSettings) {
        const auto found = given.find(row.name);
        if (found != given.end()) {
            if (const auto allowed = row.apply(found->second.value, settings)) {
                return tl::unexpected<Error>(wrong_value(row, found->second, *allowed));
            }
        } else if (!row.default_text.empty() && !row.default_text.starts_with('(')) {
            VERIFY(!row.apply(std::string(row.default_text), settings));
        }
    }
    settings.admin_password =
        TRY(resolve_password(given, "ADMIN_PASSWORD", "ADMIN_PASSWORD_FILE", read_file));
    settings.server_password =
        TRY(resolve_password(given, "SERVER_PASSWORD", "SERVER_PASSWORD_FILE", read_file));

    fill_addresses(program, settings, given);
    TRY(check_addresses(program, settings));

    settings.action = line.action;
    if (line.action == Action::Command) {
        settings.command = std::move(line.words);
        return settings;
    }
    for (const std::string& word : line.words) {
        settings.save_reason += (settings.save_reason.empty() ? "" : " ") + word;
    }
    return settings;
}

std::string help_text(Program program) {
    std::string text = version_text(program);
    text += program == Program::Broker ? "The session server that Blender Multi-User connects to.\n"
                                       : "Keeps the session of a holdfast-broker on disk.\n";
    text += "\nusage: " + std::string(name_of(program)) + " [--flag value | --flag=value]..." +
            (program == Program::Snapshotter ? " [command]" : "") + "\n\n";
    text += padded("--help", 24) + "this text\n";
    text += padded("--version", 24) + "the version\n";
    text += padded("--health", 24) +
            "ask the running program whether it is well: exit code 0 yes, 1 no\n";
    if (program == Program::Snapshotter) {
        text += padded("--save-now [reason]", 24) +
                "ask the running program for a save and wait until it is done\n";
    }
    text +=
        "\nSettings. A flag wins over the environment variable, that over the default; an empty\n"
        "value counts as not set. Both programs take them all, each uses its own.\n\n";
    text += padded("flag", 24) + padded("variable", 22) + padded("default", 46) +
            padded("used by", 13) + "meaning\n";
    for (const Row& row : kSettings) {
        std::string default_text(row.default_text.empty() ? "(none)" : row.default_text);
        const char* const used_by = row.used_by == UsedBy::Both     ? "both"
                                    : row.used_by == UsedBy::Broker ? "broker"
                                                                    : "snapshotter";
        text += padded(std::string(row.flag), 24) + padded(std::string(row.name), 22) +
                padded(std::move(default_text), 46) + padded(used_by, 13);
        text += row.meaning;
        text += '\n';
    }
    return text;
}

const char* version() {
    return HOLDFAST_VERSION;
}

std::string version_text(Program program) {
    return std::string(name_of(program)) + " " + version() + "\n";
}

Settings settings_or_exit(Program program, int argc, char** argv,
                          const std::string& commands_help) {
    std::vector<std::string> arguments;
    for (int i = 1; i < argc; ++i) {
        arguments.emplace_back(argv[i]);
    }
    Environment environment;
    for (const Row& row : kSettings) {
        const std::string name(row.name);
        if (const char* value = std::getenv(name.c_str())) {
            environment[name] = value;
        }
    }
    Result<Settings> settings = parse_settings(program, arguments, environment, read_whole_file);
    if (!settings) {
        std::fprintf(stderr, "%s: %s\n", name_of(program), settings.error().what.c_str());
        std::exit(2);
    }
    if (settings->action == Action::Help) {
        std::fputs((help_text(program) + commands_help).c_str(), stdout);
        std::exit(0);
    }
    if (settings->action == Action::Version) {
        std::fputs(version_text(program).c_str(), stdout);
        std::exit(0);
    }
    return std::move(*settings);
}

}  // namespace common
