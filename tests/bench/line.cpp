#include "tests/bench/line.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bench {

void fail(const std::string& what) {
    std::fprintf(stderr, "relay_load: %s\n", what.c_str());
    std::exit(1);
}

namespace {

class ZmtpLine final : public Line {
public:
    ZmtpLine(zmq::context_t& context, int port, const std::string& identity)
        : socket_(context, zmq::socket_type::dealer) {
        socket_.set(zmq::sockopt::routing_id, identity);
        socket_.set(zmq::sockopt::linger, 1000);
        // Readers take all they can get: only the server's queues count.
        socket_.set(zmq::sockopt::rcvhwm, 0);
        socket_.set(zmq::sockopt::sndhwm, 0);
        socket_.connect("tcp://127.0.0.1:" + std::to_string(port));
    }

    void send(const Message& message) override {
        for (std::size_t at = 0; at < message.size(); ++at) {
            const bool last = at + 1 == message.size();
            socket_.send(zmq::buffer(message[at]),
                         last ? zmq::send_flags::none : zmq::send_flags::sndmore);
        }
    }

    bool receive(std::vector<std::string_view>& chunks) override {
        received_.clear();
        chunks.clear();
        bool more = true;
        while (more) {
            zmq::message_t chunk;
            const auto flags =
                received_.empty() ? zmq::recv_flags::dontwait : zmq::recv_flags::none;
            if (!socket_.recv(chunk, flags)) {
                return false;
            }
            more = chunk.more();
            received_.push_back(std::move(chunk));
        }
        for (const zmq::message_t& chunk : received_) {
            chunks.push_back(chunk.to_string_view());
        }
        return true;
    }

    zmq::pollitem_t item() override { return {socket_.handle(), 0, ZMQ_POLLIN, 0}; }

private:
    zmq::socket_t socket_;
    std::vector<zmq::message_t> received_;
};

void append_number(std::string& out, std::size_t number) {
    const std::uint32_t ordered = htonl(static_cast<std::uint32_t>(number));
    out.append(reinterpret_cast<const char*>(&ordered), sizeof ordered);
}

class FramedLine final : public Line {
public:
    FramedLine(int port, char role, const std::string& identity)
        : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const int on = 1;
        ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (::connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
            fail("no connection to port " + std::to_string(port));
        }
        std::string handshake;
        append_number(handshake, identity.size());
        write(handshake + identity + role);
    }
    FramedLine(const FramedLine&) = delete;
    FramedLine& operator=(const FramedLine&) = delete;
    ~FramedLine() override { ::close(descriptor_); }

    // Waits as long as the server takes nothing.
    void send(const Message& message) override {
        text_.clear();
        append_number(text_, message.size());
        for (const std::string& chunk : message) {
            append_number(text_, chunk.size());
            text_ += chunk;
        }
        write(text_);
    }

    bool receive(std::vector<std::string_view>& chunks) override {
        while (!parse(chunks)) {
            if (taken_ > 0) {
                buffer_.erase(0, taken_);
                taken_ = 0;
            }
            const std::size_t size = buffer_.size();
            buffer_.resize(size + kReadBytes);
            const ssize_t got =
                ::recv(descriptor_, buffer_.data() + size, kReadBytes, MSG_DONTWAIT);
            buffer_.resize(size + (got > 0 ? static_cast<std::size_t>(got) : 0));
            if (got < 0 && errno == EAGAIN) {
                return false;
            }
            if (got <= 0) {
                fail("the server has closed the connection");
            }
        }
        return true;
    }

    zmq::pollitem_t item() override { return {nullptr, descriptor_, ZMQ_POLLIN, 0}; }

private:
    static constexpr std::size_t kReadBytes = 256 << 10;

    void write(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent < 0) {
                fail(std::string("cannot send: ") + std::strerror(errno));
            }
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
    }

    bool number(std::size_t& at, std::size_t& value) const {
        if (buffer_.size() < at + 4) {
            return false;
        }
        std::uint32_t ordered = 0;
        std::memcpy(&ordered, buffer_.data() + at, sizeof ordered);
        value = ntohl(ordered);
        at += 4;
        return true;
    }

    bool parse(std::vector<std::string_view>& chunks) {
        chunks.clear();
        std::size_t at = taken_;
        std::size_t count = 0;
        if (!number(at, count)) {
            return false;
        }
        for (; count > 0; --count) {
            std::size_t size = 0;
            if (!number(at, size) || buffer_.size() < at + size) {
                return false;
            }
            chunks.emplace_back(buffer_.data() + at, size);
            at += size;
        }
        taken_ = at;
        return true;
    }

    const int descriptor_;
    std::string text_;
    std::string buffer_;
    std::size_t taken_ = 0;
};

}  // namespace

std::unique_ptr<Line> Line::open(zmq::context_t& context, const Server& server, int offset,
                                 const std::string& identity) {
    if (server.framed) {
        return std::make_unique<FramedLine>(server.port, "CDT"[offset], identity);
    }
    return std::make_unique<ZmtpLine>(context, server.port + offset, identity);
}

}  // namespace bench
