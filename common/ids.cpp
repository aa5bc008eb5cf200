#include "common/ids.h"

#include <cstdio>

namespace common {

std::string hex(std::uint64_t number) {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
    return text;
}

std::string hex(const Hash128& hash) {
    return hex(hash.high) + hex(hash.low);
}

std::string to_string(const Position& position) {
    char text[64];
    std::snprintf(text, sizeof text, "%08llx:%llu:%08llx",
                  static_cast<unsigned long long>(number(position.epoch) >> 32),
                  static_cast<unsigned long long>(number(position.seq)),
                  static_cast<unsigned long long>(position.chain.high >> 32));
    return text;
}

}  // namespace common
