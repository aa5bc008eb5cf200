#include "common/config.h"

#include <doctest/doctest.h>

using common::Action;
using common::Environment;
using common::Program;
using common::Result;
using common::Settings;

namespace {

Result<std::string> no_file(const std::string&) {
    return common::fail(common::ErrorKind::Io, "it is not there or may not be read");
}

Result<Settings> parse(const std::vector<std::string>& arguments,
                       const Environment& environment = {}, Program program = Program::Broker) {
    return common::parse_settings(program, arguments, environment, [](const std::string& path) {
        if (path == "secret.txt") {
            return Result<std::string>("hunter2\n");
        }
        if (path == "empty.txt") {
            return Result<std::string>("\n");
        }
        if (path == "bare.txt") {
            return Result<std::string>(" two words ");
        }
        return no_file(path);
    });
}

std::string error_of(const Result<Settings>& result) {
    return result ? "no error" : result.error().what;
}

}  // namespace

TEST_CASE("without flags and environment everything has its default") {
    const Settings broker = parse({}).value();
    CHECK(broker.action == Action::Run);
    CHECK(broker.port == 5555);
    CHECK(broker.bind == "0.0.0.0");
    CHECK(broker.timeout.count() == 10'000);
    CHECK(broker.admin_password.empty());
    CHECK(broker.server_password.empty());
    CHECK(broker.log_level == common::LogLevel::Info);
    CHECK(broker.log_file.empty());
    CHECK(broker.data_dir == "./data");
    CHECK(broker.save_interval.count() == 120);
    CHECK(broker.backups_max == 10);
    CHECK(broker.keep_hourly == 24);
    CHECK(broker.keep_daily == 7);
    CHECK(broker.keep_weekly == 4);
    CHECK(broker.feed == "tcp://127.0.0.1:5558");
    CHECK(broker.link == "tcp://127.0.0.1:5559");
    CHECK(to_string(broker.health) == "127.0.0.1:5561");
    CHECK(broker.shutdown_wait.count() == 10);
    CHECK(broker.client_queue_bytes_max == std::uint64_t{256} << 20);
    CHECK(broker.client_stall.count() == 120'000);
    CHECK(broker.connections_per_second == 100);
    CHECK(broker.login_attempts == 10);
    CHECK_FALSE(broker.allow_unprotected);

    const Settings snapshotter = parse({}, {}, Program::Snapshotter).value();
    CHECK(snapshotter.feed == broker.feed);
    CHECK(to_string(snapshotter.health) == "127.0.0.1:5562");
}

TEST_CASE("every setting can come from its flag and from its variable, and the flag wins") {
    struct Case {
        const char* name;
        const char* flag;
        const char* first;
        const char* second;
        std::string (*show)(const Settings&);
    };
    const Case cases[] = {
        {"PORT", "--port", "6000", "6001",
         [](const Settings& s) { return std::to_string(s.port); }},
        {"FRAMED_PORT", "--framed-port", "6560", "6561",
         [](const Settings& s) { return std::to_string(s.framed_port); }},
        {"ZMTP_CLIENTS", "--zmtp-clients", "off", "on",
         [](const Settings& s) { return std::string(s.zmtp_clients ? "on" : "off"); }},
        {"FRAMED_CLIENTS", "--framed-clients", "off", "on",
         [](const Settings& s) { return std::string(s.framed_clients ? "on" : "off"); }},
        {"BIND", "--bind", "127.0.0.1", "::1", [](const Settings& s) { return s.bind; }},
        {"TIMEOUT", "--timeout", "5000", "500",
         [](const Settings& s) { return std::to_string(s.timeout.count()); }},
        {"ADMIN_PASSWORD", "--admin-password", "a", "b c",
         [](const Settings& s) { return s.admin_password; }},
        {"SERVER_PASSWORD", "--server-password", "a", "b c",
         [](const Settings& s) { return s.server_password; }},
        {"LOG_FILE", "--log-file", "a.log", "b.log", [](const Settings& s) { return s.log_file; }},
        {"DATA_DIR", "--data-dir", "/a", "/b", [](const Settings& s) { return s.data_dir; }},
        {"SAVE_INTERVAL", "--save-interval", "1", "604800",
         [](const Settings& s) { return std::to_string(s.save_interval.count()); }},
        {"MAX_BACKUPS", "--max-backups", "1", "99",
         [](const Settings& s) { return std::to_string(s.backups_max); }},
        {"KEEP_HOURLY", "--keep-hourly", "0", "48",
         [](const Settings& s) { return std::to_string(s.keep_hourly); }},
        {"KEEP_DAILY", "--keep-daily", "0", "31",
         [](const Settings& s) { return std::to_string(s.keep_daily); }},
        {"KEEP_WEEKLY", "--keep-weekly", "0", "52",
         [](const Settings& s) { return std::to_string(s.keep_weekly); }},
        {"HISTORY_DAYS", "--history-days", "1", "30",
         [](const Settings& s) { return std::to_string(s.history_days); }},
        {"HISTORY_MB", "--history-mb", "64", "100000",
         [](const Settings& s) { return std::to_string(s.history_bytes_max >> 20); }},
        {"HISTORY_SYNC_MS", "--history-sync-ms", "0", "1000",
         [](const Settings& s) { return std::to_string(s.history_sync.count()); }},
        {"FEED", "--feed", "tcp://broker:5558", "tcp://10.0.0.1:1",
         [](const Settings& s) { return s.feed; }},
        {"LINK", "--link", "ipc:///run/link", "tcp://[::1]:7000",
         [](const Settings& s) { return s.link; }},
        {"HEALTH", "--health-address", "0.0.0.0:80", "off",
         [](const Settings& s) { return to_string(s.health); }},
        {"SHUTDOWN_WAIT", "--shutdown-wait", "0", "60",
         [](const Settings& s) { return std::to_string(s.shutdown_wait.count()); }},
        {"CLIENT_QUEUE_MB", "--client-queue-mb", "1", "1024",
         [](const Settings& s) { return std::to_string(s.client_queue_bytes_max >> 20); }},
        {"CLIENT_STALL", "--client-stall", "1", "30",
         [](const Settings& s) { return std::to_string(s.client_stall.count() / 1000); }},
        {"CONNECTION_RATE", "--connection-rate", "0", "7",
         [](const Settings& s) { return std::to_string(s.connections_per_second); }},
        {"LOGIN_ATTEMPTS", "--login-attempts", "0", "3",
         [](const Settings& s) { return std::to_string(s.login_attempts); }},
        {"CLASSES", "--classes", "studio.Pose", "a.B",
         [](const Settings& s) { return s.classes.empty() ? "" : s.classes.front(); }},
    };
    for (const Case& one : cases) {
        CAPTURE(one.name);
        CHECK(one.show(parse({}, {{one.name, one.first}}).value()) == one.first);
        CHECK(one.show(parse({one.flag, one.first}).value()) == one.first);
        CHECK(one.show(parse({one.flag, one.first}, {{one.name, one.second}}).value()) ==
              one.first);
        CHECK(one.show(parse({std::string(one.flag) + "=" + one.second}).value()) == one.second);
        // An empty value is none.
        CHECK(one.show(parse({}, {{one.name, ""}}).value()) == one.show(parse({}).value()));
        CHECK(one.show(parse({one.flag, ""}, {{one.name, one.second}}).value()) == one.second);
        // The last of two flags counts.
        CHECK(one.show(parse({one.flag, one.first, one.flag, one.second}).value()) == one.second);
    }
}

TEST_CASE("log levels and switches are words") {
    CHECK(parse({}, {{"LOG_LEVEL", "trace"}})->log_level == common::LogLevel::Trace);
    CHECK(parse({}, {{"LOG_LEVEL", "DEBUG"}})->log_level == common::LogLevel::Debug);
    CHECK(parse({"--log-level", "warning"})->log_level == common::LogLevel::Warning);
    CHECK(parse({"--log-level=error"})->log_level == common::LogLevel::Error);

    CHECK(parse({"--allow-unprotected"})->allow_unprotected);
    CHECK(parse({"--allow-unprotected", "--port", "7000"})->port == 7000);
    CHECK(parse({}, {{"ALLOW_UNPROTECTED", "1"}})->allow_unprotected);
    CHECK_FALSE(parse({}, {{"ALLOW_UNPROTECTED", "no"}})->allow_unprotected);
    CHECK_FALSE(
        parse({"--allow-unprotected=off"}, {{"ALLOW_UNPROTECTED", "1"}})->allow_unprotected);
}

TEST_CASE("addresses follow the port") {
    const Settings settings = parse({"--port", "7000"}).value();
    CHECK(settings.feed == "tcp://127.0.0.1:7003");
    CHECK(settings.link == "tcp://127.0.0.1:7004");
    CHECK(settings.framed_port == 7005);
    CHECK(to_string(settings.health) == "127.0.0.1:7006");
    CHECK(parse({"--port", "65000"}, {}, Program::Snapshotter)->health.port == 65007);
}

TEST_CASE("each generation of clients can be switched off, not both, and their ports differ") {
    CHECK(parse({})->framed_port == 5560);
    CHECK(error_of(parse({"--zmtp-clients", "off", "--framed-clients", "off"})) ==
          "ZMTP_CLIENTS and FRAMED_CLIENTS are both off: nobody could connect");
    CHECK(error_of(parse({"--port", "6000", "--framed-port", "6002"})) ==
          "FRAMED_PORT: '6002' is one of the three ports from PORT on; allowed is any other");
    CHECK(parse({"--framed-port", "5555", "--zmtp-clients", "off"}).has_value());
    CHECK(parse({"--framed-port", "5555", "--framed-clients", "off"}).has_value());
}

TEST_CASE("a wrong value names the setting, the value, where it came from and what is allowed") {
    CHECK(error_of(parse({}, {{"PORT", "70000"}})) ==
          "PORT: '70000' is not allowed (from PORT); allowed is a whole number from 1 to 65000");
    CHECK(error_of(parse({"--port", "0"})) ==
          "PORT: '0' is not allowed (from --port); allowed is a whole number from 1 to 65000");
    for (const auto& [name, values] : std::map<std::string, std::vector<std::string>>{
             {"PORT", {"65001", "-1", "5555x", " 5555", "5e3", "0x10", "999999999999999999999"}},
             {"BIND", {"localhost", "1.2.3", "1.2.3.4:5555"}},
             {"TIMEOUT", {"499", "3600001", "10s", "-5"}},
             {"LOG_LEVEL", {"loud", "warn ", "2"}},
             {"SAVE_INTERVAL", {"0", "-1", "1.5", "604801"}},
             {"MAX_BACKUPS", {"0", "-1", "ten"}},
             {"KEEP_HOURLY", {"-1", "10001", "all"}},
             {"HISTORY_DAYS", {"0", "3651", "x"}},
             {"HISTORY_MB", {"63", "100000001"}},
             {"HISTORY_SYNC_MS", {"-1", "60001", "1.5"}},
             {"FEED",
              {"127.0.0.1:5558", "tcp://127.0.0.1", "tcp://:5558", "tcp://h:0", "tcp://h:65536",
               "ipc://", "udp://h:1", "tcp://::1:5558"}},
             {"LINK", {"5559"}},
             {"HEALTH", {"5561", "localhost", "localhost:0", "on", ":5561"}},
             {"SHUTDOWN_WAIT", {"-1", "3601", "x"}},
             {"CLIENT_QUEUE_MB", {"0", "65537"}},
             {"CLIENT_STALL", {"0", "x"}},
             {"CONNECTION_RATE", {"-1", "x", "100001"}},
             {"LOGIN_ATTEMPTS", {"-1", "x", "1000001"}},
             {"ALLOW_UNPROTECTED", {"maybe", "2"}},
             {"CLASSES", {"Pose", "a.B,,", "builtins.eval"}},
         }) {
        for (const std::string& value : values) {
            const std::string error = error_of(parse({}, {{name, value}}));
            CAPTURE(error);
            CHECK(error.starts_with(name + ": '" + value + "' is not allowed"));
            CHECK(error.find('\n') == std::string::npos);
        }
    }
}

TEST_CASE("an unknown flag, a lost word and a missing value are errors") {
    CHECK(error_of(parse({"--prot", "1"})) == "--prot: no such flag; --help lists them all");
    CHECK(error_of(parse({"-p", "1"})) == "-p: no such flag; --help lists them all");
    CHECK(error_of(parse({"--prot=1"})) == "--prot: no such flag; --help lists them all");
    CHECK(error_of(parse({"5555"})) == "'5555': not a flag; --help lists them all");
    CHECK(error_of(parse({"--port"})).starts_with("--port: a value must follow"));
    CHECK_FALSE(parse({"--save-now"}));  // the broker saves nothing
}

TEST_CASE("a password can be in a file, without the newline at its end") {
    CHECK(parse({}, {{"ADMIN_PASSWORD_FILE", "secret.txt"}})->admin_password == "hunter2");
    CHECK(parse({"--server-password-file", "secret.txt"})->server_password == "hunter2");
    CHECK(parse({}, {{"SERVER_PASSWORD_FILE", "bare.txt"}})->server_password == " two words ");
    CHECK(error_of(parse({}, {{"SERVER_PASSWORD_FILE", "empty.txt"}})) ==
          "SERVER_PASSWORD_FILE: 'empty.txt' is empty");
    CHECK(error_of(parse({}, {{"ADMIN_PASSWORD_FILE", "nowhere"}})) ==
          "ADMIN_PASSWORD_FILE: cannot read 'nowhere': it is not there or may not be read");
}

TEST_CASE("a password in two places is an error, unless a flag decides") {
    CHECK(error_of(parse({}, {{"ADMIN_PASSWORD", "x"}, {"ADMIN_PASSWORD_FILE", "secret.txt"}})) ==
          "ADMIN_PASSWORD and ADMIN_PASSWORD_FILE are both set (ADMIN_PASSWORD, "
          "ADMIN_PASSWORD_FILE): use one of them");
    CHECK_FALSE(parse({"--server-password", "x", "--server-password-file", "secret.txt"}));
    CHECK(
        parse({"--admin-password", "x"}, {{"ADMIN_PASSWORD_FILE", "secret.txt"}})->admin_password ==
        "x");
    CHECK(parse({}, {{"ADMIN_PASSWORD", ""}, {"ADMIN_PASSWORD_FILE", "secret.txt"}})
              ->admin_password == "hunter2");
}

TEST_CASE("feed and link must differ and, for the snapshotter, name the broker's machine") {
    CHECK(error_of(parse({"--feed", "tcp://h:1", "--link", "tcp://h:1"})) ==
          "FEED and LINK are both 'tcp://h:1': each needs its own");
    CHECK(parse({"--feed", "tcp://0.0.0.0:5558", "--link", "tcp://*:5559"}));
    CHECK_FALSE(parse({"--feed", "tcp://0.0.0.0:5558"}, {}, Program::Snapshotter));
    CHECK_FALSE(parse({"--link", "tcp://*:5559"}, {}, Program::Snapshotter));
}

TEST_CASE("actions") {
    CHECK(parse({"--help"})->action == Action::Help);
    CHECK(parse({"--nonsense", "-h"})->action == Action::Help);
    CHECK(parse({"--version"}, {{"PORT", "x"}})->action == Action::Version);
    CHECK(parse({"--port", "7000", "--health"})->action == Action::Health);
    const Settings save =
        parse({"--save-now", "before", "the talk", "--port=7000"}, {}, Program::Snapshotter)
            .value();
    CHECK(save.action == Action::SaveNow);
    CHECK(save.save_reason == "before the talk");
    CHECK(save.port == 7000);
    CHECK(parse({"--save-now"}, {}, Program::Snapshotter)->save_reason.empty());
}

TEST_CASE("help shows every flag with its variable, in both programs alike") {
    const std::string broker = common::help_text(Program::Broker);
    const std::string snapshotter = common::help_text(Program::Snapshotter);
    const auto table = [](const std::string& text) { return text.substr(text.find("Settings.")); };
    CHECK(table(broker) == table(snapshotter));
    for (const char* word : {"--port ",
                             "PORT ",
                             "5555",
                             "--bind ",
                             "BIND ",
                             "--timeout ",
                             "TIMEOUT ",
                             "--admin-password ",
                             "ADMIN_PASSWORD ",
                             "--admin-password-file ",
                             "ADMIN_PASSWORD_FILE ",
                             "--server-password ",
                             "SERVER_PASSWORD ",
                             "--server-password-file ",
                             "SERVER_PASSWORD_FILE ",
                             "--log-level ",
                             "LOG_LEVEL ",
                             "--log-file ",
                             "LOG_FILE ",
                             "--data-dir ",
                             "DATA_DIR ",
                             "--save-interval ",
                             "SAVE_INTERVAL ",
                             "--max-backups ",
                             "MAX_BACKUPS ",
                             "--keep-hourly ",
                             "KEEP_HOURLY ",
                             "--keep-daily ",
                             "KEEP_DAILY ",
                             "--keep-weekly ",
                             "KEEP_WEEKLY ",
                             "HISTORY_DAYS ",
                             "HISTORY_MB ",
                             "HISTORY_SYNC_MS ",
                             "--feed ",
                             "FEED ",
                             "--link ",
                             "LINK ",
                             "--health-address ",
                             "HEALTH ",
                             "--shutdown-wait ",
                             "SHUTDOWN_WAIT ",
                             "--client-queue-mb ",
                             "CLIENT_QUEUE_MB ",
                             "--client-stall ",
                             "CLIENT_STALL ",
                             "CONNECTION_RATE ",
                             "LOGIN_ATTEMPTS ",
                             "--allow-unprotected ",
                             "ALLOW_UNPROTECTED ",
                             "--classes ",
                             "CLASSES "}) {
        CAPTURE(word);
        CHECK(broker.find(word) != std::string::npos);
    }
    CHECK(common::version_text(Program::Snapshotter).starts_with("holdfast-snapshotter "));
}
