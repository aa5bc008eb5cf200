#pragma once
// One connection of the benchmark's clients to a server, in either generation of the protocol.

#include <zmq.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

using Message = std::vector<std::string>;  // chunks

[[noreturn]] void fail(const std::string& what);

struct Server {
    bool framed = false;  // one port and roles; else ZeroMQ on three ports
    int port = 0;
};

class Line {
public:
    // `offset`: 0 command, 1 data, 2 heartbeat.
    static std::unique_ptr<Line> open(zmq::context_t& context, const Server& server, int offset,
                                      const std::string& identity);
    virtual ~Line() = default;

    virtual void send(const Message& message) = 0;
    // False when no whole message is there. The chunks live until the next call.
    virtual bool receive(std::vector<std::string_view>& chunks) = 0;
    // To wait for; readable when receive() may have something, once it has said that it has not.
    virtual zmq::pollitem_t item() = 0;
};

}  // namespace bench
