#pragma once
// Numbers, encodes and chains every mutation, and keeps the recent ones in a ring bounded in bytes,
// from which a snapshotter that missed some gets its tail.

#include <cstddef>
#include <deque>
#include <optional>

#include "common/feed.h"
#include "common/ids.h"
#include "common/mutation.h"

namespace broker {

class Publisher {
public:
    explicit Publisher(std::size_t ring_bytes_max);

    // A new epoch that goes on from `parent` (zero Position: a fresh session) whose lineage was
    // `before`. The ring is emptied; the epoch's first record, EpochStarted, is returned to be
    // sent. `epoch` must be one that was never used: also after a late restore, when this broker
    // started another one before. `last_work`: the restored holding's last_mutation.
    const common::feed::Frames& start(common::Epoch epoch, const common::Position& parent,
                                      common::Lineage before, common::WallTime now,
                                      common::WallTime last_work = {});
    bool started() const { return position_.epoch != common::Epoch{}; }

    // The record of one mutation, to be sent on the feed before anything that follows from it goes
    // to a client. Valid until the next call.
    const common::feed::Frames& publish(const common::Mutation& mutation,
                                        const common::UserName& user, common::WallTime now);

    const common::Position& position() const { return position_; }
    const common::Lineage& lineage() const { return lineage_; }
    // Of the last mutation that is somebody's work (common::is_work).
    common::WallTime last_mutation() const { return last_mutation_; }

    // What the ring holds. `chain_at`: the chain after the record `seq`, also for the position just
    // before the oldest record; none: no longer (or not yet) known.
    std::optional<common::Hash128> chain_at(common::Seq seq) const;
    const common::feed::Frames* record_at(common::Seq seq) const;
    std::size_t ring_bytes() const { return ring_bytes_; }

private:
    const common::feed::Frames& append(const common::Mutation& mutation,
                                       const common::UserName& user, common::WallTime now);

    struct Entry {
        common::Hash128 chain;
        common::feed::Frames frames;
        std::size_t bytes;
    };
    std::size_t ring_bytes_max_;
    std::size_t ring_bytes_ = 0;
    common::Position position_;
    common::Position ring_start_;  // the position before the oldest record in the ring
    common::Lineage lineage_;
    common::WallTime last_mutation_{};
    std::deque<Entry> ring_;
};

}  // namespace broker
