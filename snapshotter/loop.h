#pragma once
// The snapshotter's one loop: waits for feed, link, workers, signals and time; hands them to
// mirror, schedule and stopping, and does what these say. It decides nothing itself.

#include <cstdint>
#include <deque>
#include <string>

#include "common/feed_stream.h"
#include "common/ids.h"
#include "common/io/http_server.h"
#include "common/io/signals.h"
#include "common/io/zmq_socket.h"
#include "common/log.h"
#include "common/progress.h"
#include "common/stall_watch.h"
#include "common/tidying.h"
#include "snapshotter/history_worker.h"
#include "snapshotter/mirror.h"
#include "snapshotter/save_worker.h"
#include "snapshotter/schedule.h"
#include "snapshotter/status.h"
#include "snapshotter/stopping.h"
#include "snapshotter/trouble.h"

namespace snapshotter {

// What main() made, for as long as the loop lives.
struct LoopParts {
    Mirror& mirror;
    Schedule& schedule;
    SaveWorker& worker;
    common::io::ZmqSocket& feed;
    common::io::ZmqSocket& link;
    common::io::Signals& signals;
    common::io::HttpServer* health;  // null: off
    common::Log& log;
    std::optional<DiskUse> disk = std::nullopt;  // at the start
    HistoryWorker* history = nullptr;            // null: none is written
};

// Changes that do not reach the disk for so long are worth a line in the log.
inline constexpr common::Millis kDurabilityPatience{5'000};

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitLocked = 3;   // another snapshotter has the data directory
inline constexpr int kExitUnsaved = 4;  // stopped without being able to save

class Loop {
public:
    Loop(LoopParts parts, const std::string& data_dir);

    // Until a signal asks for the end, and the last save is done or given up. The exit code.
    int run();

private:
    bool turn();  // false: it is over
    bool wait();
    void receive_feed(common::Instant now);
    void receive_records(const common::feed::Packet& packet, common::Instant now);
    void receive_link(common::Instant now);
    void receive_done(common::Instant now);
    void receive_history(common::Instant now);
    HistoryStatus history_status(common::Instant now) const;
    void start_due_save(common::Instant now);
    void look_after_saves(common::Instant now);
    void publish_health(common::Instant now);
    void count_malformed(const std::string& what);

    void on_save_done(const SaveDone& done, common::Instant now);
    void on_pin_done(const PinDone& done);
    void on_check_done(const CheckDone& done);
    void on_saved(const SaveReport& report, common::Instant now);

    // Each takes one kind of effect of the mirror.
    void perform_all(MirrorEffects& effects, common::Instant now);
    void perform(SendLink effect, common::Instant now);
    void perform(AppliedRecord effect, common::Instant now);
    void perform(GraphReplaced effect, common::Instant now);
    void perform(PinBackup effect, common::Instant now);
    void perform(WantSave effect, common::Instant now);
    void perform(BrokerLost effect, common::Instant now);
    void perform(BrokerBack effect, common::Instant now);
    void perform(BrokerStopping effect, common::Instant now);
    void perform(BrokerStopped effect, common::Instant now);
    void perform(Resynced effect, common::Instant now);
    void perform(MirrorLog effect, common::Instant now);
    void send_link(common::Instant now);

    LoopParts parts_;
    common::feed::PacketReader packets_;
    Stopping stopping_;
    Trouble trouble_;
    common::ProgressLog progress_log_;
    common::Instant started_;
    common::Instant health_published_{};
    common::Instant history_error_said_{};
    Status status_;
    common::Position saving_;  // of the save that is running
    common::StallWatch durability_{kDurabilityPatience};
    common::Tidying tidying_;
    int exit_code_ = kExitOk;

    // What the link does not take just now. What waits for long is of no use any more: the mirror
    // says again what matters, and the broker may be another one by then.
    struct Waiting {
        common::feed::Frames frames;
        common::Instant expires;
    };
    std::deque<Waiting> outbox_;
};

}  // namespace snapshotter
