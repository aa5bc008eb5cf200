#pragma once
// What is on its way from the mirror into the history (pure): which records belong there, in which
// groups they are written, and what waits since when.
//
//   waiting ──a save begins──▶ held ──it is in place──▶ flowing
//      ▲ ▲──────it failed───────┘                          │
//      └──── a gap, another graph, too much waits ─────────┘
//
// History must be able to go on from something that is on disk: what was recovered, a save, or
// nothing at all (a fresh session). So after anything else it waits for a save, and what the save
// holds already is not written. Held: the records that follow the save being written are kept.
//
// Bounded: if more than `bytes_max` waits, the disk cannot follow. All of it is dropped,
// wants_save() says so, and history goes on after a whole save. The same if what it went on from
// was removed from the disk.

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "common/ids.h"
#include "common/limits.h"
#include "common/result.h"
#include "snapshotter/mirror.h"
#include "snapshotter/storage/history_segment.h"

namespace snapshotter {

// One transaction.
struct HistoryGroup {
    std::optional<HistoryBase> begin;
    std::vector<HistoryRow> rows;
    std::size_t bytes = 0;
    common::Instant arrived{};  // its first record
    common::Position last;      // durable once it is committed
};

struct HistoryQueueOptions {
    // A record waits at most so long for others to share its sync; half of what is promised, the
    // other half is for the disk.
    common::Millis delay{50};
    // Where more comes than this, 10 MiB a second, no more is waited for once there is as much as
    // comes in `delay` at that rate: it is worth a sync, and written when the next part is there.
    std::size_t enough_bytes_per_ms = 10 << 10;
    std::size_t bytes_max = common::limits::kHistoryWaitingBytesMax;
    std::size_t group_bytes = common::limits::kHistoryGroupBytesMax;
    std::size_t group_rows = common::limits::kHistoryGroupRecordsMax;
};

// Why history does not go on.
enum class HistoryStop {
    Behind,   // the disk cannot follow
    Removed,  // what it went on from is not on the disk any more
};

class HistoryQueue {
public:
    // `base`: what was recovered, if history can go on from there. None: waiting.
    HistoryQueue(HistoryQueueOptions options, std::optional<HistoryBase> base);

    void add(AppliedRecord record, common::Instant now);
    // The mirror's graph was replaced by another one, at this position.
    void on_replaced(const common::Position& position);
    // A save of what the mirror holds now begins; it ended, and is in place and in the history.
    void save_begins(const HistoryBase& base);
    void save_ended(bool in_place);
    // Once, when only a save lets history go on and nobody may have asked for one: why.
    std::optional<HistoryStop> wants_save();

    // What is to be written now; the same again until ended(). Null: nothing.
    std::shared_ptr<const HistoryGroup> take(common::Instant now);
    // When take() has something if nothing else happens.
    std::optional<common::Instant> next_due() const;
    // What came of writing it: committed(), lost() if that says NotFound, else failed(). Returns
    // what committed() does.
    std::optional<common::Position> ended(const HistoryGroup& group,
                                          const common::Result<void>& outcome, common::Instant now);
    // The position that is durable now; none if the group is out of date.
    std::optional<common::Position> committed(const HistoryGroup& group);
    void failed(const HistoryGroup& group, common::Instant now);
    // It failed, and so would the same again: what it goes on from is not there any more.
    void lost(const HistoryGroup& group);
    // No more waiting for others: the end.
    void hurry() { hurrying_ = true; }

    // For how long the oldest change that is not on disk has been waiting; none: all are.
    std::optional<common::Millis> age(common::Instant now) const;
    std::size_t bytes() const { return bytes_; }
    bool flowing() const { return last_.has_value() && !held_; }

private:
    struct Item {
        std::optional<HistoryBase> begin;  // or:
        HistoryRow row;
        std::size_t bytes = 0;
        common::Instant arrived{};
    };
    void wait_for_save();
    void push_base(const HistoryBase& base);
    void drop_all();
    bool is_enough() const;

    HistoryQueueOptions options_;
    std::optional<common::Position> last_;  // of what was taken in; none: waiting
    bool held_ = false;
    std::optional<HistoryStop> wants_save_;
    bool hurrying_ = false;
    std::deque<Item> items_;
    std::size_t bytes_ = 0;  // items and the group under way
    std::shared_ptr<const HistoryGroup> group_;
    std::optional<common::Instant> retry_at_;
    std::optional<common::Instant> missed_;  // the first record that came while waiting
};

}  // namespace snapshotter
