#pragma once
// The three connections of a client, and the two generations of clients.

#include <cstddef>
#include <cstdint>

namespace broker {

enum class Channel : std::uint8_t { Command, Data, Heartbeat };
inline constexpr std::size_t kChannels = 3;
constexpr const char* name(Channel channel) {
    constexpr const char* kNames[kChannels] = {"command", "data", "heartbeat"};
    return kNames[static_cast<std::size_t>(channel)];
}

// What a client speaks beneath the messages, and how it behaves in a few points.
enum class Generation : std::uint8_t {
    Zmtp,   // replication 0.9.10: ZeroMQ, a port for each channel
    Framed  // replication 0.9.12 and later: plain TCP, one port, the client names the channel
};
inline constexpr std::size_t kGenerations = 2;

// Why a connection is no more.
enum class Ending : std::uint8_t {
    Lost,      // the client closed it, or the network did, or its time to log in was over
    AtFault,   // closed by us: what it sent was no message, or too much of a stranger
    TooSlow,   // closed by us: its queue was full, or it took nothing for too long
    Replaced,  // closed by us: the client has made a new one
};

}  // namespace broker
