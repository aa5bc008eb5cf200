// The clients of the benchmark: raw libzmq DEALERs that speak the client protocol with messages
// that bench.py has pickled beforehand, so that no Python is in the way of what is measured.
//
//     relay_load PORT DIRECTORY host      logs in, initialises the session, leaves
//     relay_load PORT DIRECTORY join      logs in, fetches the whole graph, leaves
//     relay_load PORT DIRECTORY relay CLIENTS SECONDS RATE
//                                         the first initialises the session if there is none; all
//                                         join; the first one sends commits, the others count
//     relay_load PORT DIRECTORY bare CLIENTS SECONDS RATE
//                                         the same beside bare_relay, which knows no logins
//
// RATE is commits a second; 0 is as fast as possible with at most kWindow commits that not every
// reader has yet. (An open window would measure who drops most: the Python server's queues hold
// 1,000 messages for a reader and lose the rest silently.) Every commit carries the time at which
// it was sent inside its delta, where the file has a row of '@'.
//
// One line of JSON on stdout says what was measured. Files of DIRECTORY: for client N login_N,
// request_N, gets_N, done_N; for all: upload_init, upload_sets, upload_end, commit. A file is a row
// of messages: u32 number of chunks, and for each u32 length and bytes, little-endian.
//
// Threads: heartbeats; the sender; the readers; main talks on the command connections.

#include <zmq.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Message = std::vector<std::string>;

constexpr std::uint64_t kWindow = 1000;
constexpr auto kWarmUp = std::chrono::seconds(1);
constexpr int kPatienceMs = 120'000;  // for any one answer
constexpr std::string_view kTimeMark = "@@@@@@@@@@@@@@@@";

// Numbers of the protocol's objects, as they stand in chunk 0: P(n) is 80 04 4b n 2e.
enum class Kind : unsigned char { Snapshot = 7, ServerSnapshot = 8, Auth = 9 };

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "relay_load: %s\n", what.c_str());
    std::exit(1);
}

std::int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
        .count();
}

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<Message> read_messages(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    std::size_t at = 0;
    const auto number = [&] {
        if (at + 4 > bytes.size()) {
            fail(path + " is missing or ends early");
        }
        std::uint32_t value = 0;
        std::memcpy(&value, bytes.data() + at, 4);
        at += 4;
        return value;
    };
    std::vector<Message> messages;
    do {
        Message message(number());
        for (std::string& chunk : message) {
            const std::uint32_t size = number();
            if (at + size > bytes.size()) {
                fail(path + " ends early");
            }
            chunk = bytes.substr(at, size);
            at += size;
        }
        messages.push_back(std::move(message));
    } while (at < bytes.size());
    return messages;
}

void send(zmq::socket_t& socket, const Message& message) {
    for (std::size_t at = 0; at < message.size(); ++at) {
        const bool last = at + 1 == message.size();
        socket.send(zmq::buffer(message[at]),
                    last ? zmq::send_flags::none : zmq::send_flags::sndmore);
    }
}

// False when nothing is waiting.
bool receive(zmq::socket_t& socket, std::vector<zmq::message_t>& message) {
    message.clear();
    zmq::message_t chunk;
    if (!socket.recv(chunk, zmq::recv_flags::dontwait)) {
        return false;
    }
    while (chunk.more()) {
        message.push_back(std::move(chunk));
        chunk = zmq::message_t();
        if (!socket.recv(chunk, zmq::recv_flags::none)) {
            fail("a message ended early");
        }
    }
    message.push_back(std::move(chunk));
    return true;
}

void wait_readable(zmq::socket_t& socket) {
    zmq::pollitem_t item{socket.handle(), 0, ZMQ_POLLIN, 0};
    if (zmq::poll(&item, 1, std::chrono::milliseconds(kPatienceMs)) == 0) {
        fail("no answer from the server");
    }
}

struct Peer {
    Peer(zmq::context_t& context, int port, const std::string& files, int index)
        : command(context, zmq::socket_type::dealer),
          data(context, zmq::socket_type::dealer),
          directory(files),
          suffix("_" + std::to_string(index)) {
        std::random_device random;
        for (int i = 0; i < 16; ++i) {
            identity.push_back(static_cast<char>(random() & 0xff));
        }
        identity[0] = 'L';  // libzmq wants no zero byte first
        open(command, port);
        open(data, port + 1);
    }

    void open(zmq::socket_t& socket, int port) {
        socket.set(zmq::sockopt::routing_id, identity);
        socket.set(zmq::sockopt::linger, 1000);
        // Readers take all they can get: only the server's queues count.
        socket.set(zmq::sockopt::rcvhwm, 0);
        socket.set(zmq::sockopt::sndhwm, 0);
        socket.connect("tcp://127.0.0.1:" + std::to_string(port));
    }

    std::vector<Message> messages(const std::string& name) const {
        return read_messages(directory + "/" + name + suffix);
    }

    // The payload of the next command of the given kind; all others are passed over.
    std::string await(Kind kind) {
        std::vector<zmq::message_t> message;
        for (;;) {
            while (!receive(command, message)) {
                wait_readable(command);
            }
            if (message.size() == 3 && message[0].size() >= 4 &&
                static_cast<const unsigned char*>(message[0].data())[3] ==
                    static_cast<unsigned char>(kind)) {
                return message[2].to_string();
            }
        }
    }

    // True when a session is running, false when one has to be initialised.
    bool login() {
        send(command, messages("login")[0]);
        const std::string answer = await(Kind::Auth);
        const bool running = answer.find("RUNNING") != std::string::npos;
        if (!running && answer.find("LOBBY") == std::string::npos) {
            fail("login was answered: " + answer);
        }
        return running;
    }

    void enter() { login() ? static_cast<void>(join()) : host(); }

    void host() {
        send(command, read_messages(directory + "/upload_init")[0]);
        if (await(Kind::ServerSnapshot).find("ACCEPTED") == std::string::npos) {
            fail("the upload was rejected");
        }
        for (const Message& set : read_messages(directory + "/upload_sets")) {
            send(command, set);
        }
        send(command, read_messages(directory + "/upload_end")[0]);
        await(Kind::ServerSnapshot);
    }

    // After a login. One GET at a time, as the library does it. Returns the number of nodes.
    std::size_t join() {
        send(command, messages("request")[0]);
        await(Kind::Snapshot);
        const std::vector<Message> gets = messages("gets");
        for (const Message& get : gets) {
            send(command, get);
            await(Kind::Snapshot);
        }
        send(command, messages("done")[0]);
        return gets.size();
    }

    // bare_relay: it answers the first message of a peer.
    void greet() {
        send(data, {"hello"});
        wait_readable(data);
        std::vector<zmq::message_t> message;
        receive(data, message);
    }

    zmq::socket_t command;
    zmq::socket_t data;
    std::string identity;
    std::string directory;
    std::string suffix;
};

using Peers = std::vector<std::unique_ptr<Peer>>;

// Answers the server's pings for all peers, until `stop`.
void beat(zmq::context_t& context, int port, const Peers& peers, const std::atomic<bool>& stop) {
    std::vector<zmq::socket_t> sockets;
    std::vector<zmq::pollitem_t> items;
    for (const auto& peer : peers) {
        sockets.emplace_back(context, zmq::socket_type::dealer);
        peer->open(sockets.back(), port + 2);
        sockets.back().send(zmq::str_buffer("INIT"));
    }
    for (zmq::socket_t& socket : sockets) {
        items.push_back({socket.handle(), 0, ZMQ_POLLIN, 0});
    }
    std::vector<zmq::message_t> message;
    while (!stop) {
        zmq::poll(items, std::chrono::milliseconds(100));
        for (zmq::socket_t& socket : sockets) {
            while (receive(socket, message)) {
                socket.send(zmq::str_buffer("PONG"));
            }
        }
    }
}

// What sender and readers share.
struct Run {
    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> sent = 0;
    std::atomic<std::uint64_t> everywhere = 0;  // commits that every reader has
};

void stamp_time(Message& commit, std::size_t mark_at) {
    char digits[kTimeMark.size() + 1];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(now_ns()));
    commit.back().replace(mark_at, kTimeMark.size(), digits, kTimeMark.size());
}

void run_sender(Peer& peer, int rate, Run& run) {
    Message commit = read_messages(peer.directory + "/commit")[0];
    const std::size_t mark_at = commit.back().find(kTimeMark);
    if (mark_at == std::string::npos) {
        fail("the commit has no place for the time");
    }
    const auto start = Clock::now();
    for (std::uint64_t number = 0; !run.stop; ++number) {
        if (rate > 0) {
            std::this_thread::sleep_until(
                start + std::chrono::nanoseconds(1'000'000'000LL *
                                                 static_cast<std::int64_t>(number) / rate));
        }
        for (std::uint64_t there = run.everywhere;
             rate == 0 && number >= there + kWindow && !run.stop; there = run.everywhere) {
            run.everywhere.wait(there);
        }
        stamp_time(commit, mark_at);
        send(peer.data, commit);
        run.sent = number + 1;
    }
}

struct Reading {
    std::uint64_t deliveries = 0;  // after the warm-up
    double seconds = 0;
    std::vector<std::int64_t> latencies_ns;  // only at a fixed rate
};

void run_readers(const Peers& peers, int rate, std::size_t mark_at, Run& run, Reading& reading) {
    std::vector<zmq::pollitem_t> items;
    std::vector<std::uint64_t> counts(peers.size() - 1, 0);
    for (std::size_t i = 1; i < peers.size(); ++i) {
        items.push_back({peers[i]->data.handle(), 0, ZMQ_POLLIN, 0});
    }
    const auto measure_from = Clock::now() + kWarmUp;
    auto first = Clock::time_point();
    std::vector<zmq::message_t> message;
    while (!run.stop) {
        zmq::poll(items, std::chrono::milliseconds(100));
        for (std::size_t i = 0; i < items.size(); ++i) {
            if ((items[i].revents & ZMQ_POLLIN) == 0) {
                continue;
            }
            for (int turn = 0; turn < 1000 && receive(peers[i + 1]->data, message); ++turn) {
                ++counts[i];
                const auto now = Clock::now();
                if (now < measure_from) {
                    continue;
                }
                if (first == Clock::time_point()) {
                    first = now;
                }
                ++reading.deliveries;
                if (rate > 0) {
                    const std::string digits(message.back().data<char>() + mark_at,
                                             kTimeMark.size());
                    reading.latencies_ns.push_back(now_ns() -
                                                   std::strtoll(digits.c_str(), nullptr, 16));
                }
            }
        }
        run.everywhere = *std::min_element(counts.begin(), counts.end());
        run.everywhere.notify_all();
    }
    reading.seconds = first == Clock::time_point() ? 0 : seconds_since(first);
}

double percentile_ms(std::vector<std::int64_t>& sorted, double part) {
    if (sorted.empty()) {
        return 0;
    }
    const auto at = static_cast<std::size_t>(part * static_cast<double>(sorted.size() - 1));
    return static_cast<double>(sorted[at]) / 1e6;
}

void relay(const Peers& peers, int seconds, int rate) {
    const std::string delta = read_messages(peers[0]->directory + "/commit")[0].back();
    Run run;
    Reading reading;
    std::thread readers([&] { run_readers(peers, rate, delta.find(kTimeMark), run, reading); });
    std::thread sender([&] { run_sender(*peers[0], rate, run); });

    // Meanwhile what the server says on the command connections is read and passed over.
    const auto end = Clock::now() + kWarmUp + std::chrono::seconds(seconds);
    std::vector<zmq::pollitem_t> items;
    for (const auto& peer : peers) {
        items.push_back({peer->command.handle(), 0, ZMQ_POLLIN, 0});
    }
    std::vector<zmq::message_t> message;
    while (Clock::now() < end) {
        zmq::poll(items, std::chrono::milliseconds(50));
        for (const auto& peer : peers) {
            while (receive(peer->command, message)) {
            }
        }
    }
    run.stop = true;
    readers.join();
    run.everywhere = UINT64_MAX / 2;  // a sender that waits for its window goes on, and sees `stop`
    run.everywhere.notify_all();
    sender.join();

    std::vector<std::int64_t>& latencies = reading.latencies_ns;
    std::sort(latencies.begin(), latencies.end());
    std::printf(
        "{\"deliveries_per_second\": %.1f, \"deliveries\": %llu, \"sent\": %llu, "
        "\"p50_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f}\n",
        static_cast<double>(reading.deliveries) / std::max(reading.seconds, 1e-9),
        static_cast<unsigned long long>(reading.deliveries),
        static_cast<unsigned long long>(run.sent.load()), percentile_ms(latencies, 0.5),
        percentile_ms(latencies, 0.99), percentile_ms(latencies, 1.0));
}

int number_argument(int argc, char** argv, int at) {
    if (at >= argc) {
        fail("arguments: PORT DIRECTORY host | join | relay CLIENTS SECONDS RATE | bare ...");
    }
    return std::atoi(argv[at]);
}

}  // namespace

int main(int argc, char** argv) {
    const int port = number_argument(argc, argv, 1);
    const std::string mode = argc > 3 ? argv[3] : "";
    const std::string directory = argc > 2 ? argv[2] : "";
    const bool relays = mode == "relay" || mode == "bare";
    const int clients = relays ? number_argument(argc, argv, 4) : 1;

    zmq::context_t context;
    Peers peers;
    for (int index = 0; index < clients; ++index) {
        peers.push_back(std::make_unique<Peer>(context, port, directory, index));
    }
    std::atomic<bool> stop = false;
    std::thread heart;
    if (mode != "bare") {
        heart = std::thread([&] { beat(context, port, peers, stop); });
    }

    const auto start = Clock::now();
    if (mode == "host") {
        if (peers[0]->login()) {
            fail("a session is running already");
        }
        peers[0]->host();
        std::printf("{\"seconds\": %.4f}\n", seconds_since(start));
    } else if (mode == "join") {
        if (!peers[0]->login()) {
            fail("no session is running");
        }
        const std::size_t nodes = peers[0]->join();
        std::printf("{\"seconds\": %.4f, \"nodes\": %zu}\n", seconds_since(start), nodes);
    } else if (relays) {
        for (const auto& peer : peers) {
            mode == "bare" ? peer->greet() : peer->enter();
        }
        relay(peers, number_argument(argc, argv, 5), number_argument(argc, argv, 6));
    } else {
        fail("unknown mode " + mode);
    }
    stop = true;
    if (heart.joinable()) {
        heart.join();
    }
}
