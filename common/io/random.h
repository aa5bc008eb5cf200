#pragma once
// Randomness from the operating system.

#include <cstdint>
#include <string>

namespace common::io {

// Never 0, which stands for "none" wherever such an id is used.
std::uint64_t random_id();

// 20 characters without look-alikes (no 0 O 1 l I), in groups of five: over 110 bits, and can be
// read out over a table.
std::string random_password();

}  // namespace common::io
