// What must hold: tests/support/framing_property.h. The first byte of the input seeds how the rest
// is cut.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "broker/zmtp.h"
#include "tests/support/framing_property.h"

using namespace std::string_literals;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const std::string kHandshake = "\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL"s +
                                          std::string(48, '\0') +
                                          "\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06"
                                          "DEALER"s;
    tests::check_framing<broker::Zmtp>(std::string_view(reinterpret_cast<const char*>(data), size),
                                       kHandshake);
    return 0;
}
