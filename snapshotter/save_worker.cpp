#include "snapshotter/save_worker.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "common/verify.h"

namespace snapshotter {

namespace {

struct Job {
    bool pins = false;
    SaveRequest request;
};

WorkerDone perform(Store& store, const Job& job) {
    const SaveRequest& request = job.request;
    if (job.pins) {
        return PinDone{request.reason, store.pin(request)};
    }
    return SaveDone{request.reason, store.save(request)};
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
        while (true) {
            Job job;
            {
                std::unique_lock lock(mutex);
                wake.wait(lock, [this] { return ending || !jobs.empty(); });
                if (jobs.empty()) {
                    return;
                }
                job = std::move(jobs.front());
                jobs.pop_front();
            }
            WorkerDone outcome = perform(*store, job);
            job = {};  // its nodes go before anybody hears of the end
            {
                const std::lock_guard lock(mutex);
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
    state_->add({false, std::move(request)});
}

void SaveWorker::pin(SaveRequest request) {
    state_->add({true, std::move(request)});
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

}  // namespace snapshotter
