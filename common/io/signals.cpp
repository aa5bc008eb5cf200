#include "common/io/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

#include "common/verify.h"

namespace common::io {

namespace {

constexpr int kExitInterrupted = 130;  // 128 + SIGINT, as shells say it

// Read in a signal handler, hence a plain number: when the first signal was taken.
volatile std::sig_atomic_t g_first_signal_seconds = 0;

std::sig_atomic_t monotonic_seconds() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::sig_atomic_t>(now.tv_sec);
}

// Only what is allowed in a handler: clock_gettime and _exit.
void exit_on_second_interrupt(int) {
    if (monotonic_seconds() - g_first_signal_seconds > 1) {
        _exit(kExitInterrupted);
    }
}

// From here on SIGINT is no longer an event for the loop, which may hang.
void arm_second_interrupt() {
    g_first_signal_seconds = monotonic_seconds();
    struct sigaction action {};
    action.sa_handler = exit_on_second_interrupt;
    action.sa_flags = SA_RESTART;
    VERIFY(sigaction(SIGINT, &action, nullptr) == 0);
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    VERIFY(pthread_sigmask(SIG_UNBLOCK, &interrupt, nullptr) == 0);
}

}  // namespace

Result<std::unique_ptr<Signals>> Signals::open() {
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    struct sigaction before {};
    VERIFY(sigaction(SIGHUP, nullptr, &before) == 0);
    if (before.sa_handler != SIG_IGN) {
        sigaddset(&wanted, SIGHUP);
    }
    VERIFY(pthread_sigmask(SIG_BLOCK, &wanted, nullptr) == 0);
    VERIFY(std::signal(SIGPIPE, SIG_IGN) != SIG_ERR);

    const int descriptor = signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC);
    if (descriptor < 0) {
        return fail(ErrorKind::Io,
                    std::string("cannot listen for signals: ") + std::strerror(errno));
    }
    return std::unique_ptr<Signals>(new Signals(descriptor));
}

Signals::~Signals() {
    close(descriptor_);
}

std::optional<std::string> Signals::take() {
    signalfd_siginfo info{};
    if (read(descriptor_, &info, sizeof info) != sizeof info) {
        return std::nullopt;
    }
    arm_second_interrupt();
    switch (info.ssi_signo) {
        case SIGINT:
            return "SIGINT";
        case SIGHUP:
            return "SIGHUP";
        default:
            return "SIGTERM";
    }
}

}  // namespace common::io
