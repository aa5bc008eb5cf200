#include "snapshotter/commands/commands.h"

namespace snapshotter::commands {

using common::Result;

namespace {

Listing::History history_of(const HistoryReader& reader) {
    Listing::History history;
    for (const HistorySegment& segment : reader.segments()) {
        ++history.segments;
        history.records += segment.records;
        if (segment.damage) {
            history.damage.push_back(segment.file + ": " + segment.damage->what);
        }
        if (segment.records > 0) {
            if (number(history.first) == 0) {
                history.first = segment.first_time;
            }
            history.last = segment.last_time;
        }
    }
    return history;
}

}  // namespace

Result<Listing> list(const Surroundings& around) {
    const Moments moments = TRY(open_moments(around));
    Listing listing;
    listing.saves = moments.saves();
    listing.history = history_of(moments.history());
    listing.disk = TRY(disk_use(around.files, around.data_dir));
    return listing;
}

}  // namespace snapshotter::commands
