#pragma once
// Comparing passwords without telling by the time it takes how much of a guess was right.

#include <cstddef>
#include <string_view>

namespace common {

// Takes the same time for any two strings of the same lengths. That the lengths differ can be seen
// from the time: a length is no secret worth padding for.
inline bool constant_time_equal(std::string_view a, std::string_view b) {
    // volatile: the compiler must not leave the loop as soon as it knows the answer.
    volatile unsigned char difference = a.size() == b.size() ? 0 : 1;
    for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
        const int changed = static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
        difference = static_cast<unsigned char>(difference | changed);
    }
    return difference == 0;
}

}  // namespace common
