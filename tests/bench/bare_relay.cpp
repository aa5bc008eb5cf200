// A relay with nothing in it: one ROUTER that gives every message to all other peers it has heard
// of. No login, no checks, no graph, no heartbeat. What it reaches is what ZeroMQ and the machine
// allow; bench.py measures the broker beside it.
//
//     bare_relay PORT      speaks on PORT + 1, the data port of the client protocol
//
// A peer's first message is its hello: it comes back to it, and is given to nobody.

#include <zmq.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

constexpr int kMessagesPerTurn = 1000;
constexpr int kQueueMessagesMax = 100'000;

using Message = std::vector<zmq::message_t>;  // without the identity frame

// False when nothing is waiting.
bool receive(zmq::socket_t& router, std::string& identity, Message& message) {
    zmq::message_t first;
    if (!router.recv(first, zmq::recv_flags::dontwait)) {
        return false;
    }
    identity = first.to_string();
    message.clear();
    bool more = first.more();
    while (more) {
        zmq::message_t chunk;
        if (!router.recv(chunk, zmq::recv_flags::none)) {
            break;
        }
        more = chunk.more();
        message.push_back(std::move(chunk));
    }
    return true;
}

// Copies count references; the bytes stay where they are.
void send(zmq::socket_t& router, const std::string& identity, Message& message) {
    router.send(zmq::buffer(identity), zmq::send_flags::sndmore);
    for (std::size_t at = 0; at < message.size(); ++at) {
        zmq::message_t copy;
        copy.copy(message[at]);
        router.send(std::move(copy),
                    at + 1 < message.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
    }
}

void relay(zmq::socket_t& router) {
    std::vector<std::string> peers;
    std::string from;
    Message message;
    zmq::pollitem_t item{router.handle(), 0, ZMQ_POLLIN, 0};
    for (;;) {
        zmq::poll(&item, 1);
        for (int turn = 0; turn < kMessagesPerTurn && receive(router, from, message); ++turn) {
            bool known = false;
            for (const std::string& peer : peers) {
                known = known || peer == from;
            }
            if (!known) {
                peers.push_back(from);
                send(router, from, message);
                continue;
            }
            for (const std::string& peer : peers) {
                if (peer != from) {
                    send(router, peer, message);
                }
            }
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: bare_relay PORT\n");
        return 2;
    }
    zmq::context_t context;
    zmq::socket_t router(context, zmq::socket_type::router);
    router.set(zmq::sockopt::sndhwm, kQueueMessagesMax);
    router.set(zmq::sockopt::rcvhwm, kQueueMessagesMax);
    router.bind("tcp://127.0.0.1:" + std::to_string(std::atoi(argv[1]) + 1));
    std::printf("relaying\n");
    std::fflush(stdout);
    relay(router);
}
