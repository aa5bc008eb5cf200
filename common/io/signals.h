#pragma once
// The signals that stop a process, as a descriptor that its loop polls. SIGPIPE is ignored.
//
// SIGINT, SIGTERM and SIGHUP ask for an orderly end (SIGHUP not if it was ignored at start, as
// under nohup). After the first of them a SIGINT ends the process at once, with exit code 130,
// whatever its loop is doing. Not in the first second, though: Ctrl-C on a process group often
// arrives twice.

#include <memory>
#include <optional>
#include <string>

#include "common/result.h"

namespace common::io {

class Signals {
public:
    // Call before any thread is started: threads inherit that the signals are kept from them.
    // One object per process.
    static Result<std::unique_ptr<Signals>> open();
    ~Signals();
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;

    // Readable when one has arrived.
    int descriptor() const { return descriptor_; }

    // The name of the signal that has arrived ("SIGTERM"), or nothing. Call it in the thread that
    // called open().
    std::optional<std::string> take();

private:
    explicit Signals(int descriptor) : descriptor_(descriptor) {}
    int descriptor_;
};

}  // namespace common::io
