#pragma once
// All that the session may ask of the loop. Effects are performed in the order in which they stand:
// a Publish stands before every Send that follows from it, so that what a client has seen has left
// for the snapshotter.

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "broker/channel.h"
#include "common/bytes.h"
#include "common/ids.h"
#include "common/mutation.h"

namespace broker {

// A client's identity, numbered by the loop: the same for its three connections, and for those
// that it makes anew.
enum class ClientId : std::uint64_t {};

// Number, encode, keep and send on the feed. The graph has changed already.
struct Publish {
    common::Mutation mutation;
    common::UserName user;
};

// One message to several clients, encoded once.
struct Send {
    std::vector<ClientId> to;
    Channel channel{};
    std::shared_ptr<const common::Chunks> chunks;
};

// Closes all connections of a client, after what is queued has left (within 2 s) or at once.
struct Close {
    ClientId client{};
    bool after_flush = true;
};

// It has logged in: messages up to limits::kMessageBytesMax may come; or it is a stranger again.
struct Trust {
    ClientId client{};
    bool trusted = true;
};

struct Log {
    enum class Level : std::uint8_t { Debug, Info, Warning, Error } level{};
    std::string text;
    // The address of who can cause such lines as often as he likes: they are limited. Empty: not.
    std::string source = {};
};

using Effect = std::variant<Publish, Send, Close, Trust, Log>;
using Effects = std::vector<Effect>;

}  // namespace broker
