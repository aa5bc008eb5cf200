#pragma once
// The clients' side of the broker: listening sockets, all connections, and who is who on them.
//
// Everything hangs on one epoll descriptor, which any other poller can wait for. The loop calls,
// each turn: poll(), then send() and the like as the session decides, then flush(). It must come
// round while pending(), when the descriptor is readable, and at least every kSweepMs (deadlines).
//
// Events of one connection come in the order Opened, Message..., Closed; what a client sent before
// its connection ended is delivered before Closed, however it ended, but for close_after_flush().
// A peer that never became a client is Refused. Whose identity is not trusted, by
// set_message_bytes_max(), is a stranger: it has little time, may send little, and gives way to
// newcomers when all places are taken. Identities are unique on a channel: a new
// connection takes the identity over, the old one is read empty and Closed before the new one
// Opens. On a port of the ZMTP generation all connections are of one channel; on that of the framed
// generation each says in its handshake which channel it is.

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/channel.h"
#include "broker/connection.h"
#include "broker/feed_sender.h"
#include "broker/first_bytes.h"
#include "broker/gatekeeper.h"
#include "common/bytes.h"
#include "common/ids.h"
#include "common/limits.h"
#include "common/result.h"

namespace broker {

// Never used again in the life of a listener.
enum class ConnectionId : std::uint64_t {};

struct Incoming {
    enum class Kind { Opened, Message, Closed, Refused };
    Kind kind;
    ConnectionId connection;
    Generation generation;
    Channel channel;  // Refused of the framed generation: not known, Command
    // 16 random bytes if the client did not choose one; empty in Refused. The two generations'
    // identities are apart, whatever the clients say.
    std::string identity;
    std::string peer;                 // "127.0.0.1:40312"
    common::Chunks chunks;            // Message
    std::string reason;               // Closed, Refused
    ConnectionStatistics statistics;  // Closed: what had been handed over, and what had not
    Ending ending = Ending::Lost;     // Closed
    Visitor visitor{};                // Refused
};

struct ListenerOptions {
    std::size_t queue_bytes_max = common::limits::kClientQueueBytesMax;
    std::int64_t stall_ms_max = common::limits::kClientStallMsMax;
    std::int64_t handshake_ms_max = common::limits::kHandshakeMsMax;
    std::int64_t framed_handshake_ms_max = common::limits::kFramedHandshakeMsMax;
    std::size_t connections_max = common::limits::kConnectionsMax;
    std::uint32_t connections_per_second = 0;  // of one address, see ConnectionGate; 0: any number
    // What a connection may do before its client has logged in.
    std::int64_t stranger_ms_max = 30'000;
    std::size_t stranger_messages_max = 100;
    std::size_t stranger_bytes_max = 256 << 10;
};

struct ListenerCounters {
    std::uint64_t accepted = 0;
    std::uint64_t opened = 0;
    std::uint64_t refused = 0;
    std::uint64_t too_fast = 0;     // closed at once: connections_per_second
    std::uint64_t too_many = 0;     // closed at once: connections_max, all of members
    std::uint64_t crowded_out = 0;  // strangers that were closed to make room for newcomers
    std::uint64_t too_long = 0;     // strangers that did not log in in time
    std::uint64_t too_much = 0;     // strangers that sent too much
    std::array<std::uint64_t, kVisitors> visitors{};  // of those who never became clients
    std::uint64_t accept_failures = 0;                // mostly: out of descriptors
    std::uint64_t replaced = 0;
    std::uint64_t overflowed = 0;
    std::uint64_t stalled = 0;
    std::uint64_t messages_in = 0;
    std::uint64_t messages_out = 0;  // queued for a client
};

class Listener {
public:
    static constexpr std::int64_t kSweepMs = 250;

    explicit Listener(ListenerOptions options);
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    ~Listener();

    // Opens a port for one channel of the ZMTP generation, or for all of the framed one, and
    // returns it (port 0: any free one).
    common::Result<std::uint16_t> listen(Channel channel, const std::string& host,
                                         std::uint16_t port);
    common::Result<std::uint16_t> listen_framed(const std::string& host, std::uint16_t port);
    void stop_listening();

    // To wait for; readable when poll() has work. Not for reading.
    int epoll_descriptor() const { return epoll_; }
    bool pending() const { return !ready_.empty() || !dirty_.empty() || !events_.empty(); }

    // Appends what has happened, at most `messages_max` messages of all connections in turn.
    void poll(common::Instant now, std::size_t messages_max, std::vector<Incoming>& out);

    // False: nobody with this identity is connected on this channel, or it is on its way out. One
    // whose queue is too full is Closed with reason "outgoing queue full".
    bool send(Channel channel, std::string_view identity, const EncodedMessage& message);

    // Hands everything that was queued to the kernel, as far as it takes it: the only way by which
    // bytes reach a client.
    void flush(FeedSender::Left, common::Instant now);

    // The bound for whole messages of this client, on its connections of all channels, now and
    // later: after its login, when it is no stranger any more. forget() makes it one again.
    void set_message_bytes_max(std::string_view identity, std::size_t bytes);
    void forget(std::string_view identity, common::Instant now);

    // Writes what is queued, then closes; unread input is thrown away. Closed follows with the next
    // poll(), and the identity is free at once. After `deadline` it is cut off. The heartbeat
    // connection of the framed generation is only cut off, or closed by the client: when it ends,
    // so does the client, and would not read its last words on the command connection.
    void close_after_flush(Channel channel, std::string_view identity, std::string reason,
                           common::Instant deadline);

    // While paused, nothing is read: the kernel's buffers fill, and the client waits.
    void pause_reading(Channel channel, std::string_view identity);
    void resume_reading(Channel channel, std::string_view identity);

    // Of the present connection.
    std::optional<ConnectionStatistics> statistics(Channel channel,
                                                   std::string_view identity) const;
    // Messages of the present connection that the client's machine has; 0 without one.
    std::uint64_t arrived_messages(Channel channel, std::string_view identity) const;
    bool connected(Channel channel, std::string_view identity) const;

    // All descriptors that are open, also those of peers that are being refused or closed.
    std::size_t connections() const { return entries_.size(); }
    const ListenerCounters& counters() const { return counters_; }

private:
    enum class State {
        Handshake,  // not a client yet
        Held,       // a client whose identity is still in use: waits until that one is read empty
        Open,
        Retiring,   // is lost or thrown out: read empty, then Closed
        Lingering,  // Closed or Refused already: last words, then gone
    };
    struct Entry;
    struct Socket {
        int descriptor;
        Generation generation;
        Channel channel;  // Zmtp
    };
    struct TextHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const {
            return std::hash<std::string_view>()(text);
        }
    };
    template <typename Value>
    using ByIdentity = std::unordered_map<std::string, Value, TextHash, std::equal_to<>>;

    common::Result<std::uint16_t> listen(Socket socket, const std::string& host,
                                         std::uint16_t port);
    void collect_ready(common::Instant now, std::vector<Incoming>& out);
    void accept_some(const Socket& socket, common::Instant now, std::vector<Incoming>& out);
    void set_accepting(bool accepting);
    void serve(Entry& entry, common::Instant now, std::size_t& messages_left,
               std::size_t& bytes_left, std::vector<Incoming>& out);
    void sweep(common::Instant now, std::vector<Incoming>& out);
    void on_established(Entry& entry, std::vector<Incoming>& out);
    void open(Entry& entry, std::vector<Incoming>& out);
    void retire(Entry& entry, Ending ending, std::string reason);
    void finish(Entry& entry, common::Instant now, std::vector<Incoming>& out);
    void refuse(Entry& entry, std::string reason, common::Instant now, std::vector<Incoming>& out);
    void linger(Entry& entry, common::Instant deadline);
    void release_identity(Entry& entry, std::vector<Incoming>& out);
    void erase(Entry& entry);
    void become_stranger(Entry& entry, common::Instant now);
    bool make_room(std::vector<Incoming>& out);
    Entry* oldest_stranger();
    void check_stranger(Entry& entry, common::Instant now, std::vector<Incoming>& out);
    void cut_off(Entry& entry, std::string reason, common::Instant now, std::vector<Incoming>& out);
    bool trusted(const Entry& entry) const;

    Entry* find(ConnectionId id) const;
    Entry* find(Channel channel, std::string_view identity) const;
    Incoming event(Incoming::Kind kind, const Entry& entry, std::string reason = {}) const;
    void add_ready(Entry& entry);
    void add_dirty(Entry& entry);
    void update_interest(Entry& entry);
    std::size_t message_bytes_max(std::string_view identity) const;
    common::Millis handshake_max(Generation generation) const;

    const ListenerOptions options_;
    const int epoll_;
    std::vector<Socket> sockets_;
    std::optional<common::Instant> accept_again_at_;  // out of descriptors
    std::unordered_map<ConnectionId, std::unique_ptr<Entry>> entries_;
    std::array<ByIdentity<ConnectionId>, kChannels> by_identity_;
    ByIdentity<std::size_t> message_bytes_max_;
    std::uint64_t last_id_ = 0;
    ConnectionGate gate_;
    // Who has not logged in, since when, oldest first; also some that have, or are gone, by now.
    std::deque<std::pair<ConnectionId, common::Instant>> strangers_;

    std::deque<ConnectionId> ready_;   // may have something to read
    std::vector<ConnectionId> dirty_;  // have something to write
    std::vector<Incoming> events_;     // for the next poll()
    std::vector<char> scratch_;
    std::vector<common::Chunks> messages_;  // of one connection's turn
    common::Instant swept_at_{};
    ListenerCounters counters_;
};

}  // namespace broker
