// Answers the oracle: for each pickle on stdin, what we write after reading it, or why we do not.
// CLASSES in the environment is the setting.
//
//   request  = use:u8 size:u32 pickle        use: see PickleUse; numbers little endian
//   answer   = kind:u8 size:u32 text         kind: 0 our pickle, 1 refused because, 2 our own bug

#include <array>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

#include "common/pickle_classes.h"
#include "tests/support/pickle_property.h"

namespace {

bool read_exactly(std::string& text, std::size_t size) {
    text.resize(size);
    return static_cast<bool>(std::cin.read(text.data(), static_cast<std::streamsize>(size)));
}

void answer(char kind, std::string_view text) {
    const auto size = static_cast<std::uint32_t>(text.size());
    std::cout.put(kind);
    for (unsigned shift = 0; shift < 32; shift += 8) {
        std::cout.put(static_cast<char>(size >> shift & 0xffU));
    }
    std::cout << text << std::flush;
}

}  // namespace

int main() {
    if (const char* classes = std::getenv("CLASSES")) {
        common::allow_classes(common::read_class_list(classes).value());
    }
    std::ios::sync_with_stdio(false);
    std::string head;
    std::string pickle;
    while (read_exactly(head, 5)) {
        std::uint32_t size = 0;
        for (std::size_t i = 4; i > 0; --i) {
            size = size << 8 | static_cast<unsigned char>(head[i]);
        }
        if (!read_exactly(pickle, size)) {
            return 1;
        }
        const auto use = static_cast<common::PickleUse>(head[0]);
        const common::Bytes bytes(pickle);
        common::Bytes rewritten;
        const std::string broken = tests::broken_pickle_property(bytes, use, &rewritten);
        const auto checked = common::check_pickle(bytes, use);
        if (!broken.empty()) {
            answer(2, broken);
        } else if (!checked) {
            answer(1, checked.error().what);
        } else {
            answer(0, rewritten.view());
        }
    }
    return 0;
}
