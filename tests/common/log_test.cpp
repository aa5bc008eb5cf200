#include "common/log.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

using common::Log;
using common::log_text;
using common::LogLevel;
using common::LogOptions;

namespace {

constexpr std::chrono::seconds kGenerous{20};

struct Pipe {
    int read_end = -1;
    int write_end = -1;
    Pipe() {
        int ends[2];
        REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
        read_end = ends[0];
        write_end = ends[1];
    }
    ~Pipe() {
        close(read_end);
        close(write_end);
    }
    // Up to the line that contains `last`.
    std::string read_until(const std::string& last) const {
        std::string text;
        char buffer[4096];
        while (text.find(last) == std::string::npos || text.back() != '\n') {
            const ssize_t got = read(read_end, buffer, sizeof buffer);
            REQUIRE(got > 0);
            text.append(buffer, static_cast<std::size_t>(got));
        }
        return text;
    }
};

// Keeps of each line what comes after the time.
std::string without_time(const std::string& text) {
    std::string rest;
    std::size_t begin = 0;
    while (begin < text.size()) {
        const std::size_t end = text.find('\n', begin);
        REQUIRE(end != std::string::npos);
        REQUIRE(end - begin >= 24);
        rest += text.substr(begin + 24, end - begin - 24 + 1);
        begin = end + 1;
    }
    return rest;
}

}  // namespace

TEST_CASE("a line has time, level and text; what is below the level is not there") {
    Pipe terminal;
    auto log = Log::open({.level = LogLevel::Info, .terminal = terminal.write_end}).value();
    log->debug("invisible");
    log->info("Session saved to disk (reason: auto-save)");
    log->warning("{} is text, not a format");
    log->error("three");
    const std::string text = terminal.read_until("three");
    CHECK(without_time(text) ==
          "INFO  Session saved to disk (reason: auto-save)\n"
          "WARN  {} is text, not a format\n"
          "ERROR three\n");
    // 2026-11-23 10:42:01.123
    CHECK(text.substr(4, 1) + text.substr(7, 1) + text.substr(10, 1) == "-- ");
    CHECK(text.substr(13, 1) + text.substr(16, 1) + text.substr(19, 1) == "::.");
    CHECK_FALSE(log->shows(LogLevel::Debug));
    CHECK(log->shows(LogLevel::Info));
    CHECK(log->lost() == 0);
}

TEST_CASE("a long line is cut") {
    Pipe terminal;
    auto log = Log::open({.terminal = terminal.write_end}).value();
    log->info(std::string(1'000'000, 'x'));
    log->info("end");
    CHECK(terminal.read_until("end").size() < 10'000);
}

TEST_CASE("a terminal that takes nothing stops neither the caller nor the file") {
    char folder[] = "/tmp/holdfast_log_test_XXXXXX";
    REQUIRE(mkdtemp(folder) != nullptr);
    const std::string file = std::string(folder) + "/log.txt";
    Pipe terminal;
    auto log = Log::open({.file = file, .terminal = terminal.write_end, .lines_max = 100}).value();
    // More than pipe and queue hold. If write() waited, this would never end.
    const std::string filler(200, 'x');
    for (int i = 0; i < 5000; ++i) {
        log->info(filler);
    }
    log->info("the last line");
    CHECK(log->lost() > 1000);

    const auto deadline = std::chrono::steady_clock::now() + kGenerous;
    const auto file_has_last_line = [&] {
        std::ifstream stream(file);
        const std::string kept{std::istreambuf_iterator<char>(stream), {}};
        return kept.find("the last line") != std::string::npos;
    };
    while (!file_has_last_line()) {
        REQUIRE(std::chrono::steady_clock::now() < deadline);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }

    // The terminal goes on: what was queued comes, and how much is missing is said.
    const std::string text = terminal.read_until("the last line");
    const std::string words = " log lines are missing here";
    std::uint64_t missing = 0;
    for (std::size_t at = text.find(words); at != std::string::npos;
         at = text.find(words, at + 1)) {
        const std::size_t number = text.rfind(' ', at - 1) + 1;
        missing += std::stoull(text.substr(number, at - number));
    }
    const auto came = static_cast<std::uint64_t>(std::count(text.begin(), text.end(), 'I'));
    CHECK(missing + came == 5001);  // each line that came has one I, in INFO
    log.reset();
    std::filesystem::remove_all(folder);
}

TEST_CASE("a process can end while its terminal is stopped") {
    Pipe terminal;
    auto log = Log::open({.terminal = terminal.write_end}).value();
    const std::string filler(1000, 'x');
    for (int i = 0; i < 200; ++i) {
        log->info(filler);
    }
    log->info("the last line");
    log.reset();  // if it waited for the terminal, this would never end
    // The thread that was left behind goes on when the pipe is read, and must be through before
    // the pipe's number goes to another test.
    terminal.read_until("the last line");
}

TEST_CASE("a full disk is counted, not waited for") {
    const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    REQUIRE(full >= 0);
    {
        auto log = Log::open({.terminal = full}).value();
        log->info("one");
        log->info("two");
        CHECK(log->flush(kGenerous));
        CHECK(log->lost() == 2);
    }
    close(full);
    Pipe terminal;
    auto log = Log::open({.file = "/dev/full", .terminal = terminal.write_end}).value();
    log->info("one");
    CHECK(log->flush(kGenerous));
    CHECK(log->lost() == 1);
    CHECK(without_time(terminal.read_until("one")) == "INFO  one\n");
}

TEST_CASE("a log file that cannot be opened is an error") {
    const auto result = Log::open({.file = "/dev/null/log.txt"});
    REQUIRE_FALSE(result);
    CHECK(result.error().kind == common::ErrorKind::Io);
}

TEST_CASE("foreign text stays on one line") {
    CHECK(log_text("Ana") == "Ana");
    CHECK(log_text("Zoë \xF0\x9F\x8E\xA8") == "Zoë \xF0\x9F\x8E\xA8");
    CHECK(log_text("a\nb\r\tc\\d") == "a\\nb\\r\\tc\\\\d");
    CHECK(log_text(std::string_view("\0\x1b[2J\x7f", 6)) == "\\x00\\x1b[2J\\x7f");
    CHECK(log_text("\xC2\x9B") == "\\xc2\\x9b");           // a C1 control character
    CHECK(log_text("\xE2\x80\xA8") == "\\xe2\\x80\\xa8");  // a line separator
    CHECK(log_text("\xFF\xC0\xAF\xE2\x82") == "\\xff\\xc0\\xaf\\xe2\\x82");  // not UTF-8
    CHECK(log_text("") == "");
}

TEST_CASE("foreign text is cut at its bound, never inside a character") {
    CHECK(log_text("12345", 5) == "12345");
    CHECK(log_text("123456", 5) == "12345...");
    CHECK(log_text("1234\xC3\xAB", 5) == "1234...");
    CHECK(log_text("1234\n", 5) == "1234...");
    CHECK(log_text(std::string(1'000'000, '\n')).size() == 203);
}
