#pragma once
// One client's TCP connection: a descriptor, its framing, and what is on its way in and out.
//
// Nothing here blocks, and nothing is dropped silently: what does not fit into the outgoing queue
// is refused, what cannot be written is reported. The listener owns connections and decides what
// happens to them; a connection knows no other and no channel.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "broker/framing.h"
#include "common/bytes.h"
#include "common/ids.h"

namespace broker {

struct ConnectionStatistics {
    std::uint64_t messages_in = 0;
    std::uint64_t bytes_in = 0;         // of the wire, like bytes_out
    std::uint64_t messages_out = 0;     // handed to the kernel completely
    std::uint64_t bytes_out = 0;        // handed to the kernel
    std::uint64_t messages_queued = 0;  // not, or not completely
    std::uint64_t bytes_queued = 0;
};

class Connection {
public:
    // Owns the descriptor, which must be a non-blocking stream socket. `peer` is its address, for
    // log lines.
    Connection(int descriptor, std::string peer, std::unique_ptr<Framing> framing,
               std::size_t queue_bytes_max, common::Instant now);
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection();

    enum class Reading {
        More,   // there may be more: call again without waiting
        Empty,  // wait until the descriptor is readable
        Ended,  // all that came is delivered, nothing more will come: see end()
    };
    // Reads once at most, through `scratch`, and decodes up to `messages_max` messages. Returns
    // More after the handshake, before any message.
    Reading read(std::span<char> scratch, std::size_t messages_max, common::Instant now,
                 std::vector<common::Chunks>& messages);

    struct End {
        std::string reason;
        bool fault = false;  // the peer sent what it must not
    };
    const End& end() const { return end_; }

    // False: it does not fit, nothing was queued. Takes nothing after drop_output().
    bool enqueue(const EncodedMessage& message);

    enum class Writing {
        Done,
        More,     // the share of this turn is used up: call again without waiting
        Blocked,  // wait until the descriptor is writable
    };
    // Hands to the kernel what is queued. A failure to write drops the queue and shows as Done:
    // what was received before is still to be read.
    Writing write(common::Instant now);
    // Why nothing can be written any more; empty while it can.
    const std::string& write_failure() const { return write_failure_; }

    // Nothing more will be written; what is queued counts as queued until the end.
    void drop_output();

    // From now on what comes is thrown away, and nothing more is queued.
    void discard();
    // That, and when the queue is empty the peer is told the end. Then read() says Ended as soon as
    // the peer has closed, too.
    void close_after_flush();

    // Messages of which the peer's machine has acknowledged every byte.
    std::uint64_t arrived_messages();

    bool has_output() const { return !queue_.empty(); }
    // How long the queue has been waiting without the kernel taking a byte.
    common::Millis stalled_for(common::Instant now) const;
    common::Millis silent_for(common::Instant now) const { return now - last_received_; }

    int descriptor() const { return descriptor_; }
    const std::string& peer() const { return peer_; }
    Framing& framing() { return *framing_; }
    const Framing& framing() const { return *framing_; }
    const ConnectionStatistics& statistics() const { return statistics_; }
    // What came first, kFirstBytesMax at most.
    const std::string& first_bytes() const { return first_bytes_; }

private:
    struct Piece {
        common::Bytes bytes;
        bool ends_message;
    };

    struct Decoded {
        std::size_t taken = 0;
        bool handshake_done = false;
        bool failed = false;
    };

    Decoded decode(std::string_view bytes, std::size_t messages_max,
                   std::vector<common::Chunks>& messages);
    bool has_room_for(std::size_t bytes, std::size_t pieces) const;
    void queue_own_words(std::string words);
    void take_from_queue(std::size_t bytes);
    void finish_output();
    Reading ended(std::string reason);

    const int descriptor_;
    const std::string peer_;
    const std::unique_ptr<Framing> framing_;
    const std::size_t queue_bytes_max_;

    std::string first_bytes_;
    std::string undecoded_;  // received, and not decoded because a turn was over
    std::size_t undecoded_taken_ = 0;
    bool discards_input_ = false;
    bool closes_after_flush_ = false;
    End end_;

    std::deque<Piece> queue_;
    std::size_t front_taken_ = 0;  // of the first piece
    bool takes_output_ = true;
    bool output_finished_ = false;
    std::string write_failure_;

    // What had been handed over when it was asked for: so many messages in so many bytes.
    struct HandedOver {
        std::uint64_t bytes;
        std::uint64_t messages;
    };
    std::deque<HandedOver> unacknowledged_;
    std::uint64_t arrived_messages_ = 0;

    common::Instant last_received_;
    common::Instant last_progress_;
    bool waiting_began_ =
        false;  // the queue was empty and is not: progress counts from the next write

    ConnectionStatistics statistics_;
};

}  // namespace broker
