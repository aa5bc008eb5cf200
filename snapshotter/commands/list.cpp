#include "snapshotter/commands/commands.h"
#include "snapshotter/storage/session_reader.h"

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
    const Moments moments = TRY(Moments::open(around.files, around.data_dir, around.vfs));
    Listing listing;
    for (const StoredSave& save : moments.saves()) {
        Listing::Line line{save, std::nullopt, ""};
        const auto stamp = check_session(around.files, save.path);
        if (!stamp && stamp.error().kind == common::ErrorKind::NotFound) {
            continue;  // it has gone since it was listed
        }
        if (stamp) {
            line.stamp = *stamp;
        } else {
            line.damage = stamp.error().what;
        }
        listing.saves.push_back(std::move(line));
    }
    listing.history = history_of(moments.history());
    listing.disk = TRY(disk_use(around.files, around.data_dir));
    return listing;
}

}  // namespace snapshotter::commands
