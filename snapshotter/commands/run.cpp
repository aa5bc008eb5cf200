#include "snapshotter/commands/run.h"

#include <cstdio>
#include <string>

#include "common/io/clock.h"
#include "common/io/random.h"
#include "common/log.h"
#include "common/progress.h"
#include "snapshotter/commands/commands.h"
#include "snapshotter/commands/report.h"
#include "snapshotter/commands/time_text.h"
#include "snapshotter/storage/posix_file_system.h"

namespace snapshotter::commands {

using common::ErrorKind;
using common::Result;

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitInUse = 3;

int exit_code_of(ErrorKind kind) {
    switch (kind) {
        case ErrorKind::NotFound:
            return kExitNotThere;
        case ErrorKind::Busy:
            return kExitInUse;
        case ErrorKind::BadInput:
        case ErrorKind::Limit:
        case ErrorKind::Unsupported:
        case ErrorKind::Io:
            return kExitFailed;
    }
    return kExitFailed;
}

int report(const common::Error& error, bool json, int exit_code) {
    if (json) {
        std::fputs(error_json(error).c_str(), stdout);
    } else {
        std::fprintf(stderr, "holdfast-snapshotter: %s\n", error.what.c_str());
    }
    return exit_code;
}

template <typename Outcome>
int report(const Result<Outcome>& outcome, const Surroundings& around, const CommandLine& line) {
    if (!outcome) {
        return report(outcome.error(), line.json, exit_code_of(outcome.error().kind));
    }
    const std::string text = line.json ? to_json(*outcome, around) : to_text(*outcome, around);
    std::fputs(text.c_str(), stdout);
    return 0;
}

int report_verification(const Surroundings& around, const CommandLine& line) {
    const Result<Verification> outcome = verify(around);
    const int exit_code = report(outcome, around, line);
    return outcome && !outcome->good ? kExitDamage : exit_code;
}

int carry_out(const Surroundings& around, const CommandLine& line) {
    switch (line.command) {
        case Command::List:
            return report(list(around), around, line);
        case Command::Verify:
            return report_verification(around, line);
        case Command::Inspect:
            return report(inspect(around, line), around, line);
        case Command::Export:
            return report(export_session(around, line), around, line);
        case Command::Import:
            return report(import_session(around, line), around, line);
        case Command::Restore:
            return report(restore(around, line), around, line);
        case Command::Pin:
            return report(pin(around, line), around, line);
        case Command::Unpin:
            return report(unpin(around, line), around, line);
        case Command::RemoveNode:
            return report(remove_node(around, line), around, line);
    }
    return kExitFailed;
}

}  // namespace

int run(const common::Settings& settings) {
    const Result<CommandLine> line = parse_command(settings.command);
    if (!line) {
        return report(line.error(), asks_for_json(settings.command), kExitUsage);
    }
    if (line->help) {
        std::fputs(help_of(line->command).c_str(), stdout);
        return 0;
    }
    const common::WallTime now = common::io::wall_now();
    if (line->at) {  // a time that is none is a wrong option, not a failure
        const Result<common::WallTime> time = read_time(*line->at, now);
        if (!time) {
            return report(time.error(), line->json, kExitUsage);
        }
    }
    PosixFileSystem files;
    common::ProgressLog progress_log;
    const Surroundings around{
        .files = files,
        .data_dir = settings.data_dir,
        .now = now,
        .fresh = common::Epoch{common::io::random_id()},
        .tell = [&](const common::Progress& progress) {
            if (const auto text = progress_log.at(progress, common::io::instant_now())) {
                std::fprintf(stderr, "%s\n", common::log_text(*text).c_str());
            }
        }};
    const int exit_code = carry_out(around, *line);
    if (std::fflush(stdout) != 0) {
        std::fprintf(stderr, "holdfast-snapshotter: standard output cannot be written\n");
        return kExitFailed;
    }
    return exit_code;
}

}  // namespace snapshotter::commands
