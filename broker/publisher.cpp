#include "broker/publisher.h"

#include <utility>

#include "common/limits.h"
#include "common/verify.h"

namespace broker {

using common::Hash128;
using common::Mutation;
using common::Seq;
using common::UserName;
using common::WallTime;
using common::feed::Frames;

namespace {

// About what a record costs beside its bytes.
constexpr std::size_t kRecordBytes = 256;

}  // namespace

Publisher::Publisher(std::size_t ring_bytes_max) : ring_bytes_max_(ring_bytes_max) {}

const Frames& Publisher::start(common::Epoch epoch, const common::Position& parent,
                               common::Lineage before, WallTime now, WallTime last_work) {
    VERIFY(epoch != common::Epoch{});
    VERIFY(epoch != position_.epoch);
    lineage_ = std::move(before);
    if (lineage_.size() >= common::limits::kLineageMax) {
        const auto too_many = lineage_.size() - common::limits::kLineageMax + 1;
        lineage_.erase(lineage_.begin(), lineage_.begin() + static_cast<std::ptrdiff_t>(too_many));
    }
    lineage_.push_back({epoch, parent});
    ring_.clear();
    ring_bytes_ = 0;
    ring_start_ = parent;
    last_mutation_ = last_work;
    position_ = {epoch, parent.seq, parent.chain};
    return append(common::EpochStarted{parent}, {}, now);
}

const Frames& Publisher::publish(const Mutation& mutation, const UserName& user, WallTime now) {
    VERIFY(started());
    if (common::is_work(mutation)) {
        last_mutation_ = now;
    }
    return append(mutation, user, now);
}

const Frames& Publisher::append(const Mutation& mutation, const UserName& user, WallTime now) {
    const Seq seq = common::next(position_.seq);
    Frames frames = common::feed::encode_record({position_.epoch, seq, now, user, mutation});
    const Hash128 chain = common::feed::chain_after(position_.chain, frames);
    const std::size_t bytes = common::total_size(frames) + kRecordBytes;
    position_ = {position_.epoch, seq, chain};
    ring_.push_back({chain, std::move(frames), bytes});
    ring_bytes_ += bytes;
    while (ring_bytes_ > ring_bytes_max_ && ring_.size() > 1) {
        ring_bytes_ -= ring_.front().bytes;
        ring_start_ = {position_.epoch, common::next(ring_start_.seq), ring_.front().chain};
        ring_.pop_front();
    }
    return ring_.back().frames;
}

std::optional<Hash128> Publisher::chain_at(Seq seq) const {
    if (!started() || seq < ring_start_.seq || seq > position_.seq) {
        return std::nullopt;
    }
    if (seq == ring_start_.seq) {
        return ring_start_.chain;
    }
    return ring_[number(seq) - number(ring_start_.seq) - 1].chain;
}

const Frames* Publisher::record_at(Seq seq) const {
    if (!started() || seq <= ring_start_.seq || seq > position_.seq) {
        return nullptr;
    }
    return &ring_[number(seq) - number(ring_start_.seq) - 1].frames;
}

}  // namespace broker
