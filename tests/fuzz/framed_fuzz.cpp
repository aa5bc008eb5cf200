// What must hold: tests/support/framing_property.h. The first byte of the input seeds how the rest
// is cut.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "broker/framed.h"
#include "tests/support/framing_property.h"

using namespace std::string_view_literals;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    tests::check_framing<broker::Framed>(
        std::string_view(reinterpret_cast<const char*>(data), size), "\0\0\0\x02meC"sv);
    return 0;
}
