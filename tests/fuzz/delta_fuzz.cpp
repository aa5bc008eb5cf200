// A fold changes the base wholly or not at all, the delta never, and what it makes can be written
// and read. Paths are read without a failure other than "unsupported", and their steps lie within.
//
// The first byte of the input says what the others are: a path, or decisions that make a base and a
// delta.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "common/delta_path.h"
#include "tests/support/delta_property.h"

namespace {

void stop(const std::string& broken) {
    std::fprintf(stderr, "delta_fuzz: %s\n", broken.c_str());
    std::abort();
}

void read_path(std::string_view path) {
    std::vector<common::PathStep> steps;
    const auto done = common::parse_delta_path(path, steps);
    if (!done && done.error().kind != common::ErrorKind::Unsupported) {
        stop("a path was refused: " + done.error().what);
    }
    for (const common::PathStep& step : steps) {
        const bool inside =
            step.text.empty() || (step.text.data() >= path.data() &&
                                  step.text.data() + step.text.size() <= path.data() + path.size());
        if (step.is_text && !inside) {
            stop("a step lies outside of its path");
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    if (input.empty()) {
        return 0;
    }
    if (input[0] == 'P') {
        read_path(input.substr(1));
        return 0;
    }
    tests::DeltaMaker maker(input.substr(1));
    const common::Value base = maker.base();
    const common::Value delta = maker.delta();
    if (const std::string broken = tests::broken_delta_property(base, delta); !broken.empty()) {
        stop(broken + "\nbase:  " + common::repr(base, 2000) +
             "\ndelta: " + common::repr(delta, 2000));
    }
    return 0;
}
