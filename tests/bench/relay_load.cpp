// The clients of the benchmark: they speak the client protocol, in either generation, with messages
// that bench.py has pickled beforehand, so that no Python is in the way of what is measured. PORT
// is zmtp:5555 or framed:5560.
//
//     relay_load PORT DIRECTORY host      logs in, initialises the session, leaves
//     relay_load PORT DIRECTORY join      logs in, fetches the whole graph, leaves
//     relay_load PORT DIRECTORY relay CLIENTS SECONDS RATE
//                                         the first initialises the session if there is none; all
//                                         join; the first one sends commits, the others count
//     relay_load PORT DIRECTORY bare CLIENTS SECONDS RATE
//                                         the same beside bare_relay, which knows no logins
//
// RATE is commits a second; 0 is as fast as possible with at most kWindow commits, and
// kWindowBytes, that not every reader has yet. (An open window would measure who drops most: the
// Python server's queues hold 1,000 messages for a reader and lose the rest silently.) Every commit
// carries the time at which it was sent inside its delta, where the file has a row of '@'.
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

#include "tests/bench/line.h"

namespace {

using bench::fail;
using bench::Line;
using bench::Message;
using Clock = std::chrono::steady_clock;
using Chunks = std::vector<std::string_view>;

constexpr std::uint64_t kWindow = 1000;
constexpr std::uint64_t kWindowBytes = 32 << 20;
constexpr auto kWarmUp = std::chrono::seconds(1);
constexpr int kPatienceMs = 120'000;  // for any one answer
constexpr std::string_view kTimeMark = "@@@@@@@@@@@@@@@@";

// Numbers of the protocol's objects, as they stand in chunk 0: P(n) is 80 04 4b n 2e.
enum class Kind : unsigned char { Snapshot = 7, ServerSnapshot = 8, Auth = 9 };

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

void wait_readable(Line& line) {
    zmq::pollitem_t item = line.item();
    if (zmq::poll(&item, 1, std::chrono::milliseconds(kPatienceMs)) == 0) {
        fail("no answer from the server");
    }
}

struct Peer {
    Peer(zmq::context_t& context, const bench::Server& server, const std::string& files, int index)
        : directory(files), suffix("_" + std::to_string(index)) {
        std::random_device random;
        for (int i = 0; i < 16; ++i) {
            identity.push_back(static_cast<char>(random() & 0xff));
        }
        identity[0] = 'L';  // libzmq wants no zero byte first
        command = Line::open(context, server, 0, identity);
        data = Line::open(context, server, 1, identity);
    }

    std::vector<Message> messages(const std::string& name) const {
        return read_messages(directory + "/" + name + suffix);
    }

    // The payload of the next command of the given kind; all others are passed over.
    std::string await(Kind kind) {
        Chunks message;
        for (;;) {
            while (!command->receive(message)) {
                wait_readable(*command);
            }
            if (message.size() == 3 && message[0].size() >= 4 &&
                static_cast<unsigned char>(message[0][3]) == static_cast<unsigned char>(kind)) {
                return std::string(message[2]);
            }
        }
    }

    // True when a session is running, false when one has to be initialised.
    bool login() {
        command->send(messages("login")[0]);
        const std::string answer = await(Kind::Auth);
        const bool running = answer.find("RUNNING") != std::string::npos;
        if (!running && answer.find("LOBBY") == std::string::npos) {
            fail("login was answered: " + answer);
        }
        return running;
    }

    void enter() { login() ? static_cast<void>(join()) : host(); }

    void host() {
        command->send(read_messages(directory + "/upload_init")[0]);
        if (await(Kind::ServerSnapshot).find("ACCEPTED") == std::string::npos) {
            fail("the upload was rejected");
        }
        for (const Message& set : read_messages(directory + "/upload_sets")) {
            command->send(set);
        }
        command->send(read_messages(directory + "/upload_end")[0]);
        await(Kind::ServerSnapshot);
    }

    // After a login. One GET at a time, as the library does it. Returns the number of nodes.
    std::size_t join() {
        command->send(messages("request")[0]);
        await(Kind::Snapshot);
        const std::vector<Message> gets = messages("gets");
        for (const Message& get : gets) {
            command->send(get);
            await(Kind::Snapshot);
        }
        command->send(messages("done")[0]);
        return gets.size();
    }

    // bare_relay: it answers the first message of a peer.
    void greet() {
        data->send({"hello"});
        wait_readable(*data);
        Chunks message;
        data->receive(message);
    }

    std::unique_ptr<Line> command;
    std::unique_ptr<Line> data;
    std::string identity;
    std::string directory;
    std::string suffix;
};

using Peers = std::vector<std::unique_ptr<Peer>>;

// Answers the server's pings for all peers, until `stop`.
void beat(zmq::context_t& context, const bench::Server& server, const Peers& peers,
          const std::atomic<bool>& stop) {
    std::vector<std::unique_ptr<Line>> lines;
    std::vector<zmq::pollitem_t> items;
    for (const auto& peer : peers) {
        lines.push_back(Line::open(context, server, 2, peer->identity));
        lines.back()->send({"INIT"});
        items.push_back(lines.back()->item());
    }
    Chunks message;
    while (!stop) {
        zmq::poll(items, std::chrono::milliseconds(100));
        for (const auto& line : lines) {
            while (line->receive(message)) {
                line->send({"PONG"});
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
    std::uint64_t commit_bytes = 0;
    for (const std::string& chunk : commit) {
        commit_bytes += chunk.size();
    }
    const std::uint64_t window = std::clamp<std::uint64_t>(kWindowBytes / commit_bytes, 2, kWindow);
    const auto start = Clock::now();
    for (std::uint64_t number = 0; !run.stop; ++number) {
        if (rate > 0) {
            std::this_thread::sleep_until(
                start + std::chrono::nanoseconds(1'000'000'000LL *
                                                 static_cast<std::int64_t>(number) / rate));
        }
        for (std::uint64_t there = run.everywhere;
             rate == 0 && number >= there + window && !run.stop; there = run.everywhere) {
            run.everywhere.wait(there);
        }
        stamp_time(commit, mark_at);
        peer.data->send(commit);
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
        items.push_back(peers[i]->data->item());
    }
    const auto measure_from = Clock::now() + kWarmUp;
    auto first = Clock::time_point();
    Chunks message;
    while (!run.stop) {
        zmq::poll(items, std::chrono::milliseconds(100));
        for (std::size_t i = 0; i < items.size(); ++i) {
            if ((items[i].revents & ZMQ_POLLIN) == 0) {
                continue;
            }
            for (int turn = 0; turn < 1000 && peers[i + 1]->data->receive(message); ++turn) {
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
                    const std::string digits(message.back().substr(mark_at, kTimeMark.size()));
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
        items.push_back(peer->command->item());
    }
    Chunks message;
    while (Clock::now() < end) {
        zmq::poll(items, std::chrono::milliseconds(50));
        for (const auto& peer : peers) {
            while (peer->command->receive(message)) {
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
    const std::string address = argc > 1 ? argv[1] : "";
    const bench::Server server{address.starts_with("framed:"),
                               std::atoi(address.c_str() + address.find(':') + 1)};
    const std::string mode = argc > 3 ? argv[3] : "";
    const std::string directory = argc > 2 ? argv[2] : "";
    const bool relays = mode == "relay" || mode == "bare";
    const int clients = relays ? number_argument(argc, argv, 4) : 1;

    zmq::context_t context;
    Peers peers;
    for (int index = 0; index < clients; ++index) {
        peers.push_back(std::make_unique<Peer>(context, server, directory, index));
    }
    std::atomic<bool> stop = false;
    std::thread heart;
    if (mode != "bare") {
        heart = std::thread([&] { beat(context, server, peers, stop); });
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
