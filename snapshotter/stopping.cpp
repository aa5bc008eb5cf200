#include "snapshotter/stopping.h"

namespace snapshotter {

using common::Instant;

bool Stopping::heard_all(Instant now) const {
    switch (broker_) {
        case Broker::Stopped:
            return true;
        case Broker::Stopping:
            return false;
        case Broker::Absent:
            // The mirror has waited for it already, before it called it lost.
            return true;
        case Broker::Unknown:
        case Broker::Present:
            return now - *asked_ >= kListenMs;
    }
    return true;
}

bool Stopping::start_save(Instant now) {
    if (!asked_ || save_started_ || !heard_all(now)) {
        return false;
    }
    save_started_ = now;
    return true;
}

void Stopping::on_save_failed(Instant now) {
    if (save_started_ && !first_failure_) {
        first_failure_ = now;
    }
}

bool Stopping::give_up(Instant now) const {
    return first_failure_ && now - *first_failure_ >= kSavePatienceMs;
}

}  // namespace snapshotter
