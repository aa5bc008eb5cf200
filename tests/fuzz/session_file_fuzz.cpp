// Whatever the bytes: one decision, one graph, and what is accepted is written and read as the
// same. The input's form and the properties: tests/support/session_file_property.h.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tests/support/session_file_property.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string broken = support::broken_session_file_property(
        std::string_view(reinterpret_cast<const char*>(data), size));
    if (!broken.empty()) {
        std::fprintf(stderr, "session_file_fuzz: %s\n", broken.c_str());
        std::abort();
    }
    return 0;
}
