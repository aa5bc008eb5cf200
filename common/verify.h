#pragma once
// VERIFY(condition): what must hold if our own code is right. Always on, in release builds too:
// prints the place and the condition to stderr and aborts. Never used on foreign bytes.

#include <cstdio>
#include <cstdlib>

namespace common {

[[noreturn]] inline void verify_failed(const char* condition, const char* file, int line) {
    std::fprintf(stderr, "holdfast: our own bug: VERIFY(%s) at %s:%d\n", condition, file, line);
    std::abort();
}

}  // namespace common

#define VERIFY(...)                                                    \
    do {                                                               \
        if (!(__VA_ARGS__)) [[unlikely]] {                             \
            ::common::verify_failed(#__VA_ARGS__, __FILE__, __LINE__); \
        }                                                              \
    } while (false)
