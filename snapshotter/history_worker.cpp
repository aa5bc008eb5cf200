#include "snapshotter/history_worker.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "common/io/clock.h"
#include "common/verify.h"

namespace snapshotter {

using common::Instant;
using common::Millis;

namespace {

constexpr Millis kPruneEvery{60'000};

}  // namespace

struct HistoryWorker::State {
    History& history;
    int event = -1;

    mutable std::mutex mutex;  // for all below
    std::condition_variable wake;
    HistoryQueue queue;
    HistoryReport report;
    HistorySize size;
    bool ending = false;

    std::optional<Instant> pruned;  // the thread's alone
    std::thread thread;

    State(History& where, HistoryQueue what) : history(where), queue(std::move(what)) {}

    // Something for take_report().
    void announce() const {
        const std::uint64_t one = 1;
        VERIFY(::write(event, &one, sizeof one) == sizeof one);
    }

    // The next group, when it is due; null: it is over.
    std::shared_ptr<const HistoryGroup> next_group() {
        std::unique_lock lock(mutex);
        while (true) {
            const Instant now = common::io::instant_now();
            if (auto group = queue.take(now)) {
                return group;
            }
            if (ending) {
                return nullptr;
            }
            if (const auto due = queue.next_due()) {
                wake.wait_for(lock, *due - now);
            } else {
                wake.wait(lock);
            }
        }
    }

    void run() {
        while (const auto group = next_group()) {
            const auto appended = history.append(group->begin, group->rows, common::io::wall_now());
            take_outcome(*group, appended);
            if (appended) {
                look_after_files();
            } else if (is_ending()) {
                return;
            }
        }
    }

    bool is_ending() {
        const std::lock_guard lock(mutex);
        return ending;
    }

    void take_outcome(const HistoryGroup& group, const common::Result<void>& appended) {
        const std::lock_guard lock(mutex);
        if (const auto durable = queue.ended(group, appended, common::io::instant_now())) {
            report.durable = durable;
        }
        if (!appended) {
            report.error = appended.error().what;
        }
        announce();
    }

    // Whoever waits for the group knows already.
    void look_after_files() {
        const auto tidied = history.tidy_up();
        const std::vector<std::string> removed = prune();
        const HistorySize now_there = history.size();
        const std::lock_guard lock(mutex);
        size = now_there;
        report.removed.insert(report.removed.end(), removed.begin(), removed.end());
        if (!tidied) {
            report.error = tidied.error().what;
            announce();
        }
    }

    std::vector<std::string> prune() {
        const Instant now = common::io::instant_now();
        if (pruned && now - *pruned < kPruneEvery) {
            return {};
        }
        pruned = now;
        const auto removed = history.prune(common::io::wall_now());
        if (removed) {
            return *removed;
        }
        const std::lock_guard lock(mutex);
        report.error = "old history was not removed: " + removed.error().what;
        return {};
    }
};

HistoryWorker::HistoryWorker(History& history, HistoryQueue queue)
    : state_(std::make_unique<State>(history, std::move(queue))) {
    state_->event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    VERIFY(state_->event >= 0);
    state_->size = history.size();
    state_->thread = std::thread([state = state_.get()] { state->run(); });
}

HistoryWorker::~HistoryWorker() {
    {
        const std::lock_guard lock(state_->mutex);
        state_->ending = true;
        state_->queue.hurry();
    }
    state_->wake.notify_one();
    state_->thread.join();
    ::close(state_->event);
}

void HistoryWorker::add(AppliedRecord record, Instant now) {
    const std::lock_guard lock(state_->mutex);
    const auto due = state_->queue.next_due();
    state_->queue.add(std::move(record), now);
    if (state_->queue.next_due() != due) {
        state_->wake.notify_one();
    }
}

void HistoryWorker::on_replaced(const common::Position& position) {
    const std::lock_guard lock(state_->mutex);
    state_->queue.on_replaced(position);
}

void HistoryWorker::save_begins(const HistoryBase& base) {
    const std::lock_guard lock(state_->mutex);
    state_->queue.save_begins(base);
}

void HistoryWorker::save_ended(bool in_place) {
    const std::lock_guard lock(state_->mutex);
    state_->queue.save_ended(in_place);
    state_->wake.notify_one();
}

int HistoryWorker::descriptor() const {
    return state_->event;
}

HistoryReport HistoryWorker::take_report() {
    std::uint64_t count = 0;
    static_cast<void>(::read(state_->event, &count, sizeof count));
    const std::lock_guard lock(state_->mutex);
    state_->report.wants_save = state_->queue.wants_save();
    return std::exchange(state_->report, {});
}

HistoryStatus HistoryWorker::status(Instant now) const {
    const std::lock_guard lock(state_->mutex);
    return {state_->queue.age(now), state_->queue.bytes(), state_->queue.flowing(), state_->size};
}

}  // namespace snapshotter
