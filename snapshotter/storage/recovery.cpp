#include "snapshotter/storage/recovery.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace snapshotter {

using common::Position;
using common::Result;
using file_names::join;

namespace {

// Whether what stands at `stamp` is later than `recorded`, and goes on from it.
bool goes_on_from(const common::SessionStamp& stamp, const Position& recorded) {
    const auto is_after = [&recorded](const Position& later) {
        return later.epoch == recorded.epoch && later.seq > recorded.seq;
    };
    return recorded == Position{} || is_after(stamp.position) ||
           std::any_of(stamp.lineage.begin(), stamp.lineage.end(),
                       [&](const common::LineageEntry& entry) {
                           return entry.parent == recorded || is_after(entry.parent);
                       });
}

constexpr std::uint64_t kTellEvery = 1'000;

// How many records there are with a higher number, on whatever branch.
std::uint64_t records_after(const HistoryReader& history, const Position& position) {
    std::uint64_t count = 0;
    for (const HistorySegment& segment : history.segments()) {
        for (const HistoryRun& run : segment.runs) {
            const common::Seq from = std::max(run.base.position.seq, position.seq);
            count += run.last.seq > from ? number(run.last.seq) - number(from) : 0;
        }
    }
    return count;
}

}  // namespace

Result<GoneOn> go_on(const HistoryReader& history, StoredState from,
                     const std::optional<Position>& to, const common::TellDone& tell) {
    const std::uint64_t total = tell ? records_after(history, from.position) : 0;
    GoneOn done;
    common::Graph graph(std::move(from.graph));
    from.graph = {};
    std::optional<common::Error> refused;
    const Replayed replayed =
        TRY(history.replay(from.position, to, [&](HistoryRow&& row) -> Result<bool> {
            if (tell && done.records % kTellEvery == 0) {
                tell(done.records, total);
            }
            if (const auto applied = graph.apply(row.record.mutation); !applied) {
                refused = applied.error();
                return false;
            }
            if (const auto* start = std::get_if<common::EpochStarted>(&row.record.mutation)) {
                from.lineage.push_back({row.record.epoch, start->parent});
            }
            if (common::is_work(row.record.mutation)) {
                from.last_mutation = row.record.time;
            }
            from.position = row.position;
            done.last = row.record.time;
            ++done.records;
            return true;
        }));
    done.reached = replayed.reached && !refused;
    done.damage = replayed.damage;
    if (refused) {
        done.damage = HistoryDamage{"", from.position, std::nullopt,
                                    "the next record cannot be applied: " + refused->what};
    }
    from.graph = graph.copy();
    done.state = std::move(from);
    return done;
}

namespace {

// It keeps its time when it is pinned.
std::optional<FileInfo> find_backup(FileSystem& files, const std::string& data_dir,
                                    const std::string& name) {
    const std::string backups = join(data_dir, file_names::kBackups);
    auto info = files.stat(join(backups, name));
    if (auto backup = file_names::parse_backup(name); !info && backup) {
        backup->pinned = true;
        info = files.stat(join(backups, name_of(*backup)));
    }
    return info ? std::optional(*info) : std::nullopt;
}

}  // namespace

SessionClues find_clues(FileSystem& files, const std::string& data_dir, const FileInfo& file,
                        std::optional<Metadata> metadata, std::vector<HistorySave> saves) {
    SessionClues clues{file, std::move(metadata), std::nullopt, std::move(saves)};
    if (clues.metadata && !clues.metadata->backup.empty()) {
        clues.backup = find_backup(files, data_dir, clues.metadata->backup);
    }
    return clues;
}

namespace {

// Whether the file, which holds the last save but has another time, is a copy of the backup of it.
bool is_copy_of_backup(const common::SessionStamp& stamp, const SessionClues& clues) {
    return clues.backup && clues.metadata && clues.metadata->position == stamp.position &&
           clues.metadata->backup_digest == stamp.digest &&
           clues.metadata->backup_modified_ns == clues.backup->modified_ns;
}

}  // namespace

bool is_last_save(const common::SessionStamp& stamp, const SessionClues& clues) {
    const std::vector<HistorySave>& saves = clues.saves;
    const auto& metadata = clues.metadata;
    const auto is_of = [&](const HistorySave& save) {
        return save.position == stamp.position && save.digest == stamp.digest;
    };
    if (std::any_of(saves.begin(), saves.end(), is_of)) {
        // It is in place with the time of a row: the last one, or one before it, if the last one
        // never came to its name; several, if the same was written again. With another time it was
        // copied over the last one, but for that one itself.
        return std::any_of(saves.begin(), saves.end(),
                           [&](const HistorySave& save) {
                               return is_of(save) && save.modified_ns == clues.file.modified_ns;
                           }) ||
               (is_of(saves.back()) && !is_copy_of_backup(stamp, clues));
    }
    // A save whose row could not be written. The metadata tell of it, unless the end came before
    // them; then it is at least later than all that we know to have been in place.
    if (metadata && metadata->position == stamp.position && metadata->digest == stamp.digest) {
        return true;
    }
    // When nobody had initialised a session, there was no file of it.
    const bool told = metadata && metadata->initialised;
    return std::none_of(saves.begin(), saves.end(),
                        [&](const HistorySave& save) {
                            return save.position == stamp.position ||
                                   (save.placed && !goes_on_from(stamp, save.position));
                        }) &&
           (!told || goes_on_from(stamp, metadata->position));
}

void sort_newest_first(std::vector<BackupHead>& backups) {
    std::sort(backups.begin(), backups.end(),
              [](const BackupHead& a, const BackupHead& b) { return a.backup > b.backup; });
    const auto is_later = [](const BackupHead& one, const BackupHead& other) {
        return one.stamp && other.stamp && one.stamp->position != other.stamp->position &&
               goes_on_from(*one.stamp, other.stamp->position);
    };
    for (auto place = backups.begin(); place != backups.end(); ++place) {
        auto newest = place;
        for (auto other = place; other != backups.end(); ++other) {
            newest = is_later(*other, *newest) ? other : newest;
        }
        std::rotate(place, newest, newest + 1);
    }
}

}  // namespace snapshotter
