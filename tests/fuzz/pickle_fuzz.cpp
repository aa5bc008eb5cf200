// Reader and checker decide alike; what is accepted is written, read and written again to the same.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/support/pickle_property.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const common::Bytes pickle(std::string(reinterpret_cast<const char*>(data), size));
    for (const auto use : {common::PickleUse::Any, common::PickleUse::Delta}) {
        const std::string broken = tests::broken_pickle_property(pickle, use);
        if (!broken.empty()) {
            std::fprintf(stderr, "pickle_fuzz: %s\n", broken.c_str());
            std::abort();
        }
    }
    return 0;
}
