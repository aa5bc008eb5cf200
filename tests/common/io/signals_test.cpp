#include "common/io/signals.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

// In children, because signals belong to a whole process. A child tells its result by exit code.

namespace {

constexpr int kGenerousMs = 20'000;

template <typename Body>
int exit_code_of_child(Body body) {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        std::signal(SIGHUP, SIG_DFL);  // also where the tests run under nohup
        _exit(body());
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

bool arrives(common::io::Signals& signals, const std::string& name) {
    pollfd item{signals.descriptor(), POLLIN, 0};
    return poll(&item, 1, kGenerousMs) == 1 && signals.take() == name;
}

}  // namespace

TEST_CASE("stop signals arrive at the descriptor, by name") {
    CHECK(exit_code_of_child([] {
              const auto signals = common::io::Signals::open().value();
              if (signals->take().has_value()) {
                  return 1;
              }
              kill(getpid(), SIGHUP);
              if (!arrives(*signals, "SIGHUP")) {
                  return 2;
              }
              kill(getpid(), SIGTERM);
              return arrives(*signals, "SIGTERM") ? 0 : 3;
          }) == 0);
    CHECK(exit_code_of_child([] {
              const auto signals = common::io::Signals::open().value();
              kill(getpid(), SIGINT);
              return arrives(*signals, "SIGINT") ? 0 : 1;
          }) == 0);
}

TEST_CASE("a SIGINT that comes along with the first signal is the same Ctrl-C") {
    CHECK(exit_code_of_child([] {
              const auto signals = common::io::Signals::open().value();
              kill(getpid(), SIGTERM);
              if (!arrives(*signals, "SIGTERM")) {
                  return 1;
              }
              kill(getpid(), SIGINT);
              return 0;
          }) == 0);
}

TEST_CASE("a later SIGINT ends the process at once, though its loop hangs") {
    CHECK(exit_code_of_child([] {
              const auto signals = common::io::Signals::open().value();
              kill(getpid(), SIGINT);
              if (!arrives(*signals, "SIGINT")) {
                  return 1;
              }
              // An impatient user: presses until it ends.
              for (;;) {
                  kill(getpid(), SIGINT);
                  usleep(10'000);
              }
          }) == 130);
}

TEST_CASE("writing to a closed pipe is an error, not the end") {
    CHECK(exit_code_of_child([] {
              const auto signals = common::io::Signals::open().value();
              int ends[2];
              if (pipe(ends) != 0) {
                  return 1;
              }
              close(ends[0]);
              return write(ends[1], "x", 1) == -1 && errno == EPIPE ? 0 : 2;
          }) == 0);
}
