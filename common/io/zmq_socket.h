#pragma once
// ZeroMQ sockets, as feed and link use them: nothing blocks, every queue has a bound, a message is
// a list of frames. The only place that knows libzmq; its exceptions stop here.
//
// A socket belongs to one thread. It must be gone before its context.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/bytes.h"
#include "common/ids.h"
#include "common/result.h"

namespace common::io {

// libzmq's own threads. One per process; outlives its sockets.
class ZmqContext {
public:
    ZmqContext();
    ~ZmqContext();
    ZmqContext(const ZmqContext&) = delete;
    ZmqContext& operator=(const ZmqContext&) = delete;

private:
    friend class ZmqSocket;
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

enum class ZmqKind { Pub, Sub, Router, Dealer };

struct ZmqOptions {
    // Messages that may wait for each peer, out and in. PUB drops what is over it, the others say
    // WouldBlock. 0 would be "without bound", and is refused.
    int send_messages_max = 1000;
    int receive_messages_max = 1000;
    // A longer frame from a peer closes its connection.
    std::int64_t frame_bytes_max = std::int64_t{1} << 30;
    // A message of more frames, or bytes in all, is dropped and reported by receive().
    std::size_t frames_max = 1'000'000;
    std::size_t message_bytes_max = std::size_t{1} << 30;
    // How long closing the socket and its context may take to send what still waits.
    Millis linger{0};
    // Dealer: its name at the router; a reconnect under the same name takes its place. Empty: the
    // router makes one up at each connect.
    std::string routing_id = {};
};

enum class Sent {
    Done,         // handed to libzmq whole
    WouldBlock,   // nothing was: the queue is full or nobody is connected; try later
    Unreachable,  // Router only; nothing was: no such peer
};

class ZmqSocket {
public:
    using Frames = std::vector<Bytes>;

    // A Sub hears everything. A Router takes the peer's routing id as frame 0 of what it sends,
    // gives it as frame 0 of what it receives, and refuses to send to those it does not know. A
    // Dealer queues nothing while it is not connected, so that no peer gets what was meant for
    // another, earlier one.
    static Result<std::unique_ptr<ZmqSocket>> open(ZmqContext& context, ZmqKind kind,
                                                   const ZmqOptions& options);
    ~ZmqSocket();
    ZmqSocket(const ZmqSocket&) = delete;
    ZmqSocket& operator=(const ZmqSocket&) = delete;

    // Busy: the address is in use.
    Result<void> bind(const std::string& endpoint);
    // Connects by itself, and again, whenever the peer is there.
    Result<void> connect(const std::string& endpoint);
    // Where a bind to port * or 0 ended up.
    Result<std::string> endpoint() const;

    // At least one frame. Frames above a kilobyte are not copied but kept alive until they are
    // sent, so this may be called for many peers with the same bytes.
    Result<Sent> send(const Frames& frames);

    // The next message, or nothing if there is none now. Limit: one was over a bound and is
    // dropped; go on receiving.
    Result<std::optional<Frames>> receive();

private:
    struct Impl;
    explicit ZmqSocket(std::unique_ptr<Impl> impl);
    friend Result<int> poll(std::span<struct PollItem> items, Millis timeout);
    std::unique_ptr<Impl> impl_;
};

// One thing to wait for: a socket, or a descriptor if `socket` is null.
struct PollItem {
    ZmqSocket* socket = nullptr;
    int descriptor = -1;
    bool want_read = true;
    bool want_write = false;
    // Filled by poll().
    bool can_read = false;
    bool can_write = false;
    bool has_error = false;
};

// Waits until something is ready or the time is over (negative: for ever); gives how many are
// ready. A signal makes it return early with 0.
Result<int> poll(std::span<PollItem> items, Millis timeout);

}  // namespace common::io
