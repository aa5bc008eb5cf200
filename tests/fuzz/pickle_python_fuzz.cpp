// What we accept Python loads, and from what we write of it Python loads the same value: types,
// bits, order and sharing. For deltas deepdiff is asked, where it is installed.
//
// HOLDFAST_PYTHON names the Python, by default python3; it runs pickle_python.py beside this file,
// which has the grammar of what goes through the pipes.

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/pickle.h"

namespace {

[[noreturn]] void stop(std::string_view why) {
    std::fprintf(stderr, "pickle_python_fuzz: %.*s\n", static_cast<int>(why.size()), why.data());
    std::abort();
}

// A child that answers questions, for as long as this process lives.
class Python {
public:
    Python() {
        int questions[2];
        int answers[2];
        if (::pipe(questions) != 0 || ::pipe(answers) != 0) {
            stop("no pipe");
        }
        std::signal(SIGPIPE, SIG_IGN);
        const char* const given = std::getenv("HOLDFAST_PYTHON");
        const char* const python = given != nullptr ? given : "python3";
        const pid_t child = ::fork();
        if (child == 0) {
            ::dup2(questions[0], STDIN_FILENO);
            ::dup2(answers[1], STDOUT_FILENO);
            for (const int end : {questions[0], questions[1], answers[0], answers[1]}) {
                ::close(end);
            }
            ::execlp(python, python, PICKLE_PYTHON, static_cast<char*>(nullptr));
            ::_exit(127);
        }
        if (child < 0) {
            stop("no child");
        }
        ::close(questions[0]);
        ::close(answers[1]);
        questions_ = questions[1];
        answers_ = answers[0];
    }

    // What is different in Python's eyes, or nothing.
    std::string ask(common::PickleUse use, std::string_view given, std::string_view written) const {
        std::string question(1, use == common::PickleUse::Delta ? '\1' : '\0');
        for (const std::string_view pickle : {given, written}) {
            for (unsigned shift = 0; shift < 32; shift += 8) {
                question.push_back(static_cast<char>(pickle.size() >> shift & 0xffU));
            }
            question.append(pickle);
        }
        write_all(question);
        const std::string head = read_exactly(4);
        std::size_t size = 0;
        for (std::size_t i = 4; i > 0; --i) {
            size = size << 8 | static_cast<unsigned char>(head[i - 1]);
        }
        return read_exactly(size);
    }

private:
    void write_all(std::string_view bytes) const {
        while (!bytes.empty()) {
            const ssize_t written = ::write(questions_, bytes.data(), bytes.size());
            if (written < 0 && errno == EINTR) {  // libFuzzer's clock
                continue;
            }
            if (written <= 0) {
                stop("Python has ended");
            }
            bytes.remove_prefix(static_cast<std::size_t>(written));
        }
    }
    std::string read_exactly(std::size_t size) const {
        std::string bytes(size, '\0');
        for (std::size_t at = 0; at < size;) {
            const ssize_t got = ::read(answers_, bytes.data() + at, size - at);
            if (got < 0 && errno == EINTR) {
                continue;
            }
            if (got <= 0) {
                stop("Python has ended");
            }
            at += static_cast<std::size_t>(got);
        }
        return bytes;
    }

    int questions_ = -1;
    int answers_ = -1;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Python python;
    const common::Bytes pickle(std::string(reinterpret_cast<const char*>(data), size));
    for (const auto use : {common::PickleUse::Any, common::PickleUse::Delta}) {
        const auto value = common::read_pickle(pickle, use);
        if (!value) {
            continue;
        }
        const std::string different =
            python.ask(use, pickle.view(), common::write_pickle(*value).view());
        if (!different.empty()) {
            stop(different);
        }
    }
    return 0;
}
