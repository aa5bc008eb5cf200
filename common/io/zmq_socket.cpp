#include "common/io/zmq_socket.h"

#include <cerrno>
#include <utility>
#include <zmq.hpp>

#include "common/verify.h"

namespace common::io {

namespace {

// Below these sizes a copy is cheaper than the bookkeeping. Received small frames must be copied:
// libzmq lets several of them share one receive buffer of 8 KiB, and we may keep one for days.
constexpr std::size_t kSendCopyBytesMax = 1024;
constexpr std::size_t kReceiveCopyBytesMax = 16 * 1024;

// A connection without life is given up after this, so that a machine that vanished is noticed.
// Long enough for a peer that was stopped for a while by its debugger or its swap.
constexpr int kHeartbeatMs = 2'000;
constexpr int kHeartbeatTimeoutMs = 10'000;
constexpr int kReconnectMs = 100;
constexpr int kReconnectMsMax = 1'000;

zmq::socket_type type_of(ZmqKind kind) {
    switch (kind) {
        case ZmqKind::Pub:
            return zmq::socket_type::pub;
        case ZmqKind::Sub:
            return zmq::socket_type::sub;
        case ZmqKind::Router:
            return zmq::socket_type::router;
        case ZmqKind::Dealer:
            return zmq::socket_type::dealer;
    }
    VERIFY(false);
}

tl::unexpected<Error> zmq_failure(const std::string& doing, const zmq::error_t& error) {
    const ErrorKind kind = error.num() == EADDRINUSE ? ErrorKind::Busy : ErrorKind::Io;
    return fail(kind, doing + ": " + error.what());
}

void release_owner(void*, void* hint) {
    delete static_cast<std::shared_ptr<const void>*>(hint);
}

zmq::message_t to_message(const Bytes& frame) {
    if (frame.size() <= kSendCopyBytesMax) {
        return zmq::message_t(frame.data(), frame.size());
    }
    // libzmq frees a message by a C function with one pointer, from a thread of its own: the owner
    // travels on the heap. It never writes to the data.
    auto owner = std::make_unique<std::shared_ptr<const void>>(frame.owner());
    zmq::message_t message(const_cast<char*>(frame.data()), frame.size(), release_owner,
                           owner.get());
    owner.release();
    return message;
}

Bytes to_bytes(zmq::message_t&& message) {
    if (message.size() <= kReceiveCopyBytesMax) {
        return Bytes::copy_of(message.to_string_view());
    }
    auto owner = std::make_shared<zmq::message_t>(std::move(message));
    const std::string_view view = owner->to_string_view();
    return Bytes(std::move(owner), view);
}

}  // namespace

struct ZmqContext::Impl {
    zmq::context_t context{1};
};

ZmqContext::ZmqContext() : impl_(std::make_unique<Impl>()) {}
ZmqContext::~ZmqContext() = default;

struct ZmqSocket::Impl {
    zmq::socket_t socket;
    ZmqOptions options;
};

ZmqSocket::ZmqSocket(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ZmqSocket::~ZmqSocket() = default;

Result<std::unique_ptr<ZmqSocket>> ZmqSocket::open(ZmqContext& context, ZmqKind kind,
                                                   const ZmqOptions& options) {
    VERIFY(options.send_messages_max > 0 && options.receive_messages_max > 0);
    try {
        zmq::socket_t socket(context.impl_->context, type_of(kind));
        socket.set(zmq::sockopt::sndhwm, options.send_messages_max);
        socket.set(zmq::sockopt::rcvhwm, options.receive_messages_max);
        socket.set(zmq::sockopt::maxmsgsize, options.frame_bytes_max);
        socket.set(zmq::sockopt::linger, static_cast<int>(options.linger.count()));
        socket.set(zmq::sockopt::ipv6, true);
        if (kind == ZmqKind::Sub || kind == ZmqKind::Dealer) {
            socket.set(zmq::sockopt::heartbeat_ivl, kHeartbeatMs);
            socket.set(zmq::sockopt::heartbeat_timeout, kHeartbeatTimeoutMs);
            socket.set(zmq::sockopt::reconnect_ivl, kReconnectMs);
            socket.set(zmq::sockopt::reconnect_ivl_max, kReconnectMsMax);
        }
        if (kind == ZmqKind::Router) {
            socket.set(zmq::sockopt::router_mandatory, true);
            socket.set(zmq::sockopt::router_handover, true);
        }
        if (kind == ZmqKind::Dealer) {
            socket.set(zmq::sockopt::immediate, true);
            if (!options.routing_id.empty()) {
                socket.set(zmq::sockopt::routing_id, options.routing_id);
            }
        }
        if (kind == ZmqKind::Sub) {
            socket.set(zmq::sockopt::subscribe, "");
        }
        return std::unique_ptr<ZmqSocket>(
            new ZmqSocket(std::make_unique<Impl>(Impl{std::move(socket), options})));
    } catch (const zmq::error_t& error) {
        return zmq_failure("cannot make a ZeroMQ socket", error);
    }
}

Result<void> ZmqSocket::bind(const std::string& endpoint) {
    try {
        impl_->socket.bind(endpoint);
    } catch (const zmq::error_t& error) {
        return zmq_failure("cannot listen at " + endpoint, error);
    }
    return {};
}

Result<void> ZmqSocket::connect(const std::string& endpoint) {
    try {
        impl_->socket.connect(endpoint);
    } catch (const zmq::error_t& error) {
        return zmq_failure("cannot connect to " + endpoint, error);
    }
    return {};
}

Result<std::string> ZmqSocket::endpoint() const {
    try {
        return impl_->socket.get(zmq::sockopt::last_endpoint);
    } catch (const zmq::error_t& error) {
        return zmq_failure("cannot ask a ZeroMQ socket for its address", error);
    }
}

Result<Sent> ZmqSocket::send(const Frames& frames) {
    VERIFY(!frames.empty());
    try {
        for (std::size_t i = 0; i < frames.size(); ++i) {
            zmq::message_t message = to_message(frames[i]);
            const auto flags = i + 1 < frames.size()
                                   ? zmq::send_flags::sndmore | zmq::send_flags::dontwait
                                   : zmq::send_flags::dontwait;
            if (!impl_->socket.send(message, flags)) {
                // libzmq decides at the first frame whether there is room for all of them.
                if (i == 0) {
                    return Sent::WouldBlock;
                }
                return fail(ErrorKind::Io, "ZeroMQ took only a part of a message");
            }
        }
    } catch (const zmq::error_t& error) {
        if (error.num() == EHOSTUNREACH) {
            return Sent::Unreachable;
        }
        return zmq_failure("cannot send", error);
    }
    return Sent::Done;
}

Result<std::optional<ZmqSocket::Frames>> ZmqSocket::receive() {
    Frames frames;
    std::size_t frame_count = 0;
    std::size_t byte_count = 0;
    try {
        zmq::message_t message;
        do {
            // After the first frame the others are there: libzmq hands out whole messages.
            if (!impl_->socket.recv(message, zmq::recv_flags::dontwait)) {
                VERIFY(frame_count == 0);
                return std::nullopt;
            }
            const bool more = message.more();
            frame_count += 1;
            byte_count += message.size();
            if (frame_count > impl_->options.frames_max ||
                byte_count > impl_->options.message_bytes_max) {
                frames.clear();
            } else {
                frames.push_back(to_bytes(std::move(message)));
            }
            if (!more) {
                break;
            }
            message.rebuild();
        } while (true);
    } catch (const zmq::error_t& error) {
        if (error.num() == EINTR) {
            return std::nullopt;
        }
        return zmq_failure("cannot receive", error);
    }
    if (frames.size() != frame_count) {
        return fail(ErrorKind::Limit, "a message of " + std::to_string(frame_count) +
                                          " frames and " + std::to_string(byte_count) +
                                          " bytes is over the bound");
    }
    return frames;
}

Result<int> poll(std::span<PollItem> items, Millis timeout) {
    std::vector<zmq_pollitem_t> raw(items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
        const PollItem& item = items[i];
        const int events = (item.want_read ? ZMQ_POLLIN : 0) | (item.want_write ? ZMQ_POLLOUT : 0);
        raw[i].socket = item.socket != nullptr ? item.socket->impl_->socket.handle() : nullptr;
        raw[i].fd = item.descriptor;
        raw[i].events = static_cast<short>(events);
    }
    int ready = 0;
    try {
        ready = zmq::poll(raw.data(), raw.size(), timeout);
    } catch (const zmq::error_t& error) {
        if (error.num() != EINTR) {
            return zmq_failure("cannot wait for events", error);
        }
        for (zmq_pollitem_t& item : raw) {
            item.revents = 0;
        }
    }
    for (std::size_t i = 0; i < items.size(); ++i) {
        items[i].can_read = (raw[i].revents & ZMQ_POLLIN) != 0;
        items[i].can_write = (raw[i].revents & ZMQ_POLLOUT) != 0;
        items[i].has_error = (raw[i].revents & ZMQ_POLLERR) != 0;
    }
    return ready;
}

}  // namespace common::io
