#pragma once
// The three connections of a client, each on a port of its own.

#include <cstddef>
#include <cstdint>

namespace broker {

enum class Channel : std::uint8_t { Command, Data, Heartbeat };
inline constexpr std::size_t kChannels = 3;
const char* name(Channel channel);

}  // namespace broker
