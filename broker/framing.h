#pragma once
// What the bytes of a client's connection mean: the one seam between connections and wire formats.
//
// A framing is pure: bytes in, messages and replies out. It has no socket and no clock, belongs to
// one connection, and reserves nothing because of a length it was merely told: memory grows with
// the bytes that have arrived, up to bounds that are checked before.

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/channel.h"
#include "common/bytes.h"
#include "common/ids.h"
#include "common/result.h"

namespace broker {

class Framing {
public:
    Framing() = default;
    Framing(const Framing&) = delete;
    Framing& operator=(const Framing&) = delete;
    virtual ~Framing() = default;

    virtual Generation generation() const = 0;

    // What to write as soon as the connection is there. Called once.
    virtual std::string hello() = 0;

    // Takes the next bytes, cut anywhere, and returns how many it took. It takes all of them, but
    // stops after `messages_max` messages, and once when the handshake is done, so that the owner
    // can look at the identity before anything else happens. Appends whole messages to `messages`
    // and what is to be written back to `reply`, also when it fails: the messages came before what
    // is wrong, the reply says to the peer what that is. After an error it must not be called
    // again.
    virtual common::Result<std::size_t> receive(std::string_view bytes, std::size_t messages_max,
                                                std::vector<common::Chunks>& messages,
                                                std::string& reply) = 0;

    // The handshake is done: identity() is what the peer says it is (perhaps empty), and messages
    // may be sent.
    virtual bool established() const = 0;
    virtual const std::string& identity() const = 0;
    // What the peer wants this connection to be, where the port does not say so. After the
    // handshake only.
    virtual std::optional<Channel> channel() const { return std::nullopt; }

    // The bound for the bytes of a whole message, all chunks together; at first
    // limits::kMessageBytesMaxBeforeLogin. Holds from the next frame on.
    virtual void set_message_bytes_max(std::size_t bytes) = 0;

    // The peer asked to be taken for dead when it is silent for longer than this. Zero: it did not.
    virtual common::Millis silence_max() const = 0;

    // A message as it is to be written. Big chunks are shared, not copied. Has no state: what one
    // connection encodes, another of the same generation may send.
    virtual common::Chunks encode(const common::Chunks& chunks) const = 0;
};

// A message on its way out, encoded at most once for each generation, however many get it.
// For one thread.
class EncodedMessage {
public:
    explicit EncodedMessage(std::shared_ptr<const common::Chunks> chunks)
        : chunks_(std::move(chunks)) {}
    explicit EncodedMessage(common::Chunks chunks)
        : EncodedMessage(std::make_shared<const common::Chunks>(std::move(chunks))) {}

    const common::Chunks& chunks() const { return *chunks_; }

    const common::Chunks& pieces(const Framing& framing) const {
        common::Chunks& pieces = pieces_[static_cast<std::size_t>(framing.generation())];
        if (pieces.empty()) {
            pieces = framing.encode(*chunks_);
        }
        return pieces;
    }

private:
    std::shared_ptr<const common::Chunks> chunks_;
    mutable std::array<common::Chunks, kGenerations> pieces_;
};

}  // namespace broker
