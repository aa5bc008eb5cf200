#include "snapshotter/loop.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <thread>

#include "common/io/clock.h"
#include "common/session_file.h"
#include "snapshotter/storage/posix_file_system.h"
#include "snapshotter/storage/store.h"
#include "tests/support/graph_gen.h"

// The loop with all its real parts, in a thread, and a broker played by the test at the other end
// of real sockets on 127.0.0.1.

using common::Bytes;
using common::Instant;
using common::Millis;
using common::Mutation;
using common::Position;
using common::feed::BrokerState;
using common::io::ZmqContext;
using common::io::ZmqKind;
using common::io::ZmqSocket;
using namespace snapshotter;

namespace {

constexpr Millis kGenerous{30'000};

struct Folder {
    std::string path;
    Folder() {
        char name[] = "/tmp/holdfast_loop_test_XXXXXX";
        REQUIRE(mkdtemp(name) != nullptr);
        path = name;
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::string file(const std::string& name) const {
        std::ifstream stream(path + "/" + name, std::ios::binary);
        return {std::istreambuf_iterator<char>(stream), {}};
    }
};

class PlayedBroker {
public:
    PlayedBroker() {
        feed_ = ZmqSocket::open(context_, ZmqKind::Pub, {}).value();
        link_ = ZmqSocket::open(context_, ZmqKind::Router, {}).value();
        REQUIRE(feed_->bind("tcp://127.0.0.1:*"));
        REQUIRE(link_->bind("tcp://127.0.0.1:*"));
        position_.epoch = common::Epoch{77};
        lineage_ = {{position_.epoch, Position{}}};
        publish(common::EpochStarted{});
    }

    std::string feed() const { return feed_->endpoint().value(); }
    std::string link() const { return link_->endpoint().value(); }

    void publish(const Mutation& mutation) {
        const common::feed::Record record{position_.epoch, next(position_.seq),
                                          common::io::wall_now(), "alice", mutation};
        records_.push_back(common::feed::encode_record(record));
        position_ = {position_.epoch, record.seq,
                     common::feed::chain_after(position_.chain, records_.back())};
        std::vector<common::feed::Packet> packets;
        packets_.add(records_.back(), packets);
        REQUIRE(packets.empty());
        REQUIRE(feed_->send(common::feed::encode(packets_.flush().value())));
    }

    void say(BrokerState state) { state_ = state; }

    void send(const common::feed::LinkMessage& message) {
        common::feed::Frames frames = common::feed::encode(message);
        frames.insert(frames.begin(), Bytes::copy_of(peer_));
        REQUIRE(link_->send(frames).value() == common::io::Sent::Done);
    }

    // Plays the broker until `happened()`.
    template <typename Happened>
    void play_until(Happened happened) {
        const Instant end = common::io::instant_now() + kGenerous;
        while (!happened()) {
            REQUIRE(common::io::instant_now() < end);
            const common::feed::Beat beat{position_, state_, std::nullopt};
            REQUIRE(feed_->send(common::feed::encode(common::feed::FeedMessage(beat))));
            common::io::PollItem item{.socket = link_.get()};
            REQUIRE(common::io::poll({&item, 1}, Millis(20)));
            while (auto frames = link_->receive().value()) {
                peer_ = frames->front().view();
                frames->erase(frames->begin());
                auto message = common::feed::decode_link(*frames).value();
                std::visit([this](const auto& one) { on(one); }, message);
            }
        }
    }
    void play_until_durable() {
        play_until([this] { return durable.has_value() && *durable == position_; });
    }

    std::optional<Position> durable;
    std::optional<common::feed::Saved> saved;
    bool said_bye = false;

private:
    template <typename Message>
    void on(const Message&) {}
    void on(const common::feed::Durable& message) { durable = message.position; }
    void on(const common::feed::Saved& message) { saved = message; }
    void on(const common::feed::Bye&) { said_bye = true; }
    void on(const common::feed::Hello& message) {
        wanted_from_ = message.holding ? number(message.holding->position.seq) : 0;
        common::feed::Verdict verdict;
        verdict.kind = wanted_from_ == number(position_.seq) ? common::feed::Verdict::Kind::UpToDate
                                                             : common::feed::Verdict::Kind::Tail;
        verdict.stream = ++stream_;
        verdict.lineage = lineage_;
        send(verdict);
    }
    void on(const common::feed::Pull& pull) {
        if (pull.stream != stream_ || wanted_from_ == number(position_.seq)) {
            return;
        }
        common::feed::Piece piece;
        piece.stream = stream_;
        piece.last = true;
        piece.records.assign(records_.begin() + static_cast<std::ptrdiff_t>(wanted_from_),
                             records_.end());
        wanted_from_ = number(position_.seq);
        send(piece);
    }

    ZmqContext context_;
    std::unique_ptr<ZmqSocket> feed_;
    std::unique_ptr<ZmqSocket> link_;
    Position position_;
    common::Lineage lineage_;
    BrokerState state_ = BrokerState::Waiting;
    common::feed::PacketWriter packets_{5};
    std::vector<common::feed::Frames> records_;
    std::string peer_;
    std::uint64_t stream_ = 0;
    std::uint64_t wanted_from_ = 0;
};

struct Nowhere {
    int descriptor = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ~Nowhere() { close(descriptor); }
};

// The process, but for main's lines.
class Running {
public:
    Running(const std::string& directory, const std::string& feed, const std::string& link) {
        std::promise<void> ready;
        auto is_ready = ready.get_future();
        exit_code_ = code_.get_future();
        thread_ = std::thread([this, directory, feed, link, &ready] {
            // In this thread: the signals are blocked here, and meant for it alone.
            const auto signals = common::io::Signals::open().value();
            ready.set_value();
            code_.set_value(run(directory, feed, link, *signals));
        });
        is_ready.wait();
    }
    ~Running() {
        if (thread_.joinable()) {
            stop();
            thread_.join();
        }
    }
    void stop() { pthread_kill(thread_.native_handle(), SIGTERM); }
    int join() {
        thread_.join();
        return exit_code_.get();
    }

private:
    static int run(const std::string& directory, const std::string& feed_address,
                   const std::string& link_address, common::io::Signals& signals) {
        const Nowhere nowhere;
        const auto log = common::Log::open({.level = common::LogLevel::Debug,
                                            .file = directory + "/log.txt",
                                            .terminal = nowhere.descriptor})
                             .value();
        PosixFileSystem files;
        auto store =
            Store::open(files, {.directory = directory + "/data", .version = "test"}).value();
        auto recovered = store->recover(common::io::wall_now(), common::Epoch{5}).value();
        std::optional<common::Whole> stored;
        if (recovered.session) {
            stored.emplace();
            stored->graph = recovered.session->graph;
            stored->holding = {recovered.stamp.position,   recovered.stamp.lineage,
                               stored->graph.timeline,     stored->graph.initialised,
                               stored->graph.nodes.size(), recovered.stamp.last_mutation};
        }
        ZmqContext context;
        const auto feed = ZmqSocket::open(context, ZmqKind::Sub, {}).value();
        const auto link =
            ZmqSocket::open(context, ZmqKind::Dealer, {.linger = Millis(5000)}).value();
        if (!feed->connect(feed_address) || !link->connect(link_address)) {
            return -1;
        }
        Mirror mirror(9, "test", std::move(stored));
        Schedule schedule(Millis(3'600'000), common::io::instant_now());
        SaveWorker worker(std::move(store));
        Loop loop({mirror, schedule, worker, *feed, *link, signals, nullptr, *log}, directory);
        return loop.run();
    }

    std::promise<int> code_;
    std::future<int> exit_code_;
    std::thread thread_;
};

common::GraphCopy saved_graph(const Folder& folder) {
    return common::read_session_file(Bytes(folder.file("data/session_snapshot.db"))).value().graph;
}

}  // namespace

TEST_CASE("a session is followed, saved when it begins, when users leave, on demand, at the end") {
    Folder folder;
    PlayedBroker broker;
    Running snapshotter(folder.path, broker.feed(), broker.link());

    broker.publish(common::UserJoined{"alice"});
    for (const char* id : {"a", "b", "c"}) {
        broker.publish(common::PutNode{support::make_node(id, "alice", {}, 1)});
    }
    broker.publish(common::Initialised{common::Timeline{77}});
    broker.say(BrokerState::Active);
    broker.play_until_durable();
    CHECK(saved_graph(folder).nodes.size() == 3);

    broker.publish(support::make_patch("b", {}, 4.5));
    broker.publish(common::UserLeft{"alice", "left"});
    broker.play_until_durable();
    CHECK(folder.file("data/session_metadata.json").find("user_disconnect:alice") !=
          std::string::npos);

    broker.send(common::feed::SaveNow{7, "before the talk"});
    broker.play_until([&] { return broker.saved.has_value(); });
    CHECK(broker.saved->request == 7);
    CHECK(broker.saved->ok);

    // Both are stopped, the snapshotter first: it hears the broker out.
    snapshotter.stop();
    broker.publish(common::PutNode{support::make_node("d", "alice", {"a"}, 1)});
    broker.say(BrokerState::Stopping);
    broker.publish(common::DeleteNode{"a"});
    broker.say(BrokerState::Stopped);
    broker.play_until_durable();
    broker.play_until([&] { return broker.said_bye; });
    CHECK(snapshotter.join() == kExitOk);

    const common::GraphCopy graph = saved_graph(folder);
    CHECK(graph.nodes.size() == 3);
    CHECK(graph.nodes.back()->id == "d");
    const std::string log = folder.file("log.txt");
    for (const char* phrase : {"User joined: alice", "User disconnected: alice",
                               "Session saved to disk (reason: user_disconnect:alice)",
                               "before the talk", "Session saved to disk (reason: shutdown)"}) {
        CAPTURE(phrase);
        CHECK(log.find(phrase) != std::string::npos);
    }
}

TEST_CASE("without a broker it ends when asked to, and what it holds stays") {
    Folder folder;
    {
        PlayedBroker broker;
        Running snapshotter(folder.path, broker.feed(), broker.link());
        broker.publish(common::PutNode{support::make_node("a", "alice", {}, 1)});
        broker.publish(common::Initialised{common::Timeline{77}});
        broker.play_until_durable();
        // The broker vanishes without a word.
    }
    CHECK(saved_graph(folder).nodes.size() == 1);
    Running again(folder.path, "tcp://127.0.0.1:1", "tcp://127.0.0.1:2");
    again.stop();
    CHECK(again.join() == kExitOk);
    CHECK(saved_graph(folder).nodes.size() == 1);
}
