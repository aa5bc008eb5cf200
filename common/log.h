#pragma once
// The log of a process: one line per event, to the terminal and, if wished, to a rotating file.
//
// Whoever logs never waits. Terminal and file each have a bounded queue and a thread of their own
// (spdlog's), so that a terminal that is stopped (Ctrl-S, a pipe nobody reads) stops neither a
// loop nor the file, and a full disk stops nothing. What overruns a queue or cannot be written is
// dropped, the oldest first, and counted; when lines come through again, one says how many are
// missing.
//
// Text that comes from others (names, reasons) must pass log_text() on its way into a line.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/config.h"
#include "common/result.h"

namespace common {

struct LogOptions {
    LogLevel level = LogLevel::Info;
    std::string file = {};         // empty: none
    int terminal = 1;              // the descriptor of the terminal; stays open, is never changed
    std::size_t lines_max = 8192;  // in each queue
};

class Log {
public:
    // Io: the file cannot be opened.
    static Result<std::unique_ptr<Log>> open(const LogOptions& options);

    // Writes what still waits, but waits at most a second for a terminal or disk that does not take
    // it. A thread that hangs in one is left behind for the end of the process, which a stopped
    // terminal does not hold up either, because no lock of stdio is held while writing to it.
    ~Log();
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;

    // Lines longer than limits::kLogLineBytesMax are cut. Any thread may call these.
    void write(LogLevel level, std::string_view line);
    void trace(std::string_view line) { write(LogLevel::Trace, line); }
    void debug(std::string_view line) { write(LogLevel::Debug, line); }
    void info(std::string_view line) { write(LogLevel::Info, line); }
    void warning(std::string_view line) { write(LogLevel::Warning, line); }
    void error(std::string_view line) { write(LogLevel::Error, line); }

    // For those who want to spare the making of a line that nobody will see.
    bool shows(LogLevel level) const;

    // Lines that did not reach the terminal or the file, whichever lost more.
    std::uint64_t lost() const;

    // Waits until all that was written so far is out, or lost, or the time is over.
    bool flush(std::chrono::milliseconds wait_max);

private:
    struct Impl;
    explicit Log(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

// Foreign text made safe for one line: control characters, newlines and what is not UTF-8 become
// \n, \t or \xHH, a backslash is doubled; over `bytes_max` bytes it is cut and ends in "...".
std::string log_text(std::string_view text, std::size_t bytes_max = 200);

}  // namespace common
