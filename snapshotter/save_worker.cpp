#include "snapshotter/save_worker.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <variant>

#include "common/io/scheduling.h"
#include "common/verify.h"

namespace snapshotter {

namespace {

struct SaveJob {
    SaveRequest request;
};
struct PinJob {
    SaveRequest request;
};
struct ProbeJob {};
struct CheckJob {
    common::WallTime now{};
};
using Job = std::variant<SaveJob, PinJob, ProbeJob, CheckJob>;

WorkerDone perform(Store& store, const SaveJob& job) {
    return SaveDone{job.request.reason, store.save(job.request)};
}
WorkerDone perform(Store& store, const PinJob& job) {
    return PinDone{job.request.reason, store.pin(job.request)};
}
WorkerDone perform(Store& store, const ProbeJob&) {
    return ProbeDone{store.probe()};
}
WorkerDone perform(Store& store, const CheckJob& job) {
    return CheckDone{store.check(job.now)};
}

}  // namespace

struct SaveWorker::State {
    std::unique_ptr<Store> store;  // the thread's alone
    int event = -1;

    mutable std::mutex mutex;  // for all below
    std::condition_variable wake;
    std::deque<Job> jobs;
    std::vector<WorkerDone> done;
    std::size_t pending = 0;
    std::optional<common::Progress> progress;
    bool ending = false;

    std::thread thread;

    void add(Job job) {
        {
            const std::lock_guard lock(mutex);
            jobs.push_back(std::move(job));
            ++pending;
        }
        wake.notify_one();
    }

    void run() {
        common::io::let_others_first();
        while (true) {
            Job job = ProbeJob{};
            {
                std::unique_lock lock(mutex);
                wake.wait(lock, [this] { return ending || !jobs.empty(); });
                if (jobs.empty()) {
                    return;
                }
                job = std::move(jobs.front());
                jobs.pop_front();
            }
            WorkerDone outcome =
                std::visit([this](const auto& one) { return perform(*store, one); }, job);
            job = ProbeJob{};  // its nodes go before anybody hears of the end
            {
                const std::lock_guard lock(mutex);
                progress.reset();
                done.push_back(std::move(outcome));
            }
            const std::uint64_t one = 1;
            VERIFY(::write(event, &one, sizeof one) == sizeof one);
        }
    }
};

SaveWorker::SaveWorker(std::unique_ptr<Store> store) : state_(std::make_unique<State>()) {
    VERIFY(store != nullptr);
    state_->store = std::move(store);
    state_->store->tell_progress([state = state_.get()](const common::Progress& progress) {
        const std::lock_guard lock(state->mutex);
        state->progress = progress;
    });
    state_->event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    VERIFY(state_->event >= 0);
    state_->thread = std::thread([state = state_.get()] { state->run(); });
}

SaveWorker::~SaveWorker() {
    {
        const std::lock_guard lock(state_->mutex);
        state_->ending = true;
    }
    state_->wake.notify_one();
    state_->thread.join();
    ::close(state_->event);
}

void SaveWorker::submit(SaveRequest request) {
    state_->add(SaveJob{std::move(request)});
}

void SaveWorker::pin(SaveRequest request) {
    state_->add(PinJob{std::move(request)});
}

void SaveWorker::probe() {
    state_->add(ProbeJob{});
}

void SaveWorker::check(common::WallTime now) {
    state_->add(CheckJob{now});
}

int SaveWorker::descriptor() const {
    return state_->event;
}

std::vector<WorkerDone> SaveWorker::take_done() {
    std::uint64_t count = 0;
    // Before the list: what comes in between is announced again.
    static_cast<void>(::read(state_->event, &count, sizeof count));
    const std::lock_guard lock(state_->mutex);
    state_->pending -= state_->done.size();
    return std::exchange(state_->done, {});
}

std::size_t SaveWorker::pending() const {
    const std::lock_guard lock(state_->mutex);
    return state_->pending;
}

std::optional<common::Progress> SaveWorker::progress() const {
    const std::lock_guard lock(state_->mutex);
    return state_->progress;
}

}  // namespace snapshotter
