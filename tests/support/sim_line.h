#pragma once
// An ordered connection between two parts of a simulation: what goes in comes out later, or, when
// it is reset, never.

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "common/feed.h"
#include "common/ids.h"

namespace support {

class SimLine {
public:
    void send(common::feed::Frames frames, common::Instant due) {
        if (!queue_.empty()) {
            due = std::max(due, queue_.back().due);
        }
        queue_.push_back({due, std::move(frames)});
    }
    std::optional<common::feed::Frames> receive(common::Instant now) {
        if (queue_.empty() || queue_.front().due > now) {
            return std::nullopt;
        }
        common::feed::Frames frames = std::move(queue_.front().frames);
        queue_.pop_front();
        return frames;
    }
    void reset() { queue_.clear(); }

private:
    struct Item {
        common::Instant due;
        common::feed::Frames frames;
    };
    std::deque<Item> queue_;
};

}  // namespace support
