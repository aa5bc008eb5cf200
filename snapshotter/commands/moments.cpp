#include "snapshotter/commands/moments.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "snapshotter/commands/time_text.h"
#include "snapshotter/storage/file_names.h"
#include "snapshotter/storage/metadata.h"
#include "snapshotter/storage/recovery.h"
#include "snapshotter/storage/session_reader.h"

namespace snapshotter::commands {

using common::Error;
using common::ErrorKind;
using common::fail;
using common::Position;
using common::Result;
using common::SessionFile;
using common::WallTime;
using file_names::Backup;
using file_names::join;
using Kind = StoredSave::Kind;

namespace {

// As far as its beginning tells. None: it has gone since it was listed.
Result<std::optional<StoredSave>> look_at(FileSystem& files, Kind kind,
                                          const std::string& directory, const std::string& name) {
    StoredSave save{kind, name, join(directory, name), {}, {}, {}};
    const Result<FileInfo> info = files.stat(save.path);
    if (!info) {
        return info.error().kind == ErrorKind::NotFound
                   ? Result<std::optional<StoredSave>>(std::nullopt)
                   : tl::unexpected(info.error());
    }
    save.info = *info;
    const auto head = peek_session(files, save.path);
    if (!head && head.error().kind == ErrorKind::NotFound) {
        return std::nullopt;
    }
    if (head) {
        save.stamp = head->stamp;
    } else {
        save.damage = head.error().what;
    }
    return save;
}

Result<void> add_backups(FileSystem& files, const std::string& directory,
                         std::vector<StoredSave>& saves) {
    const Result<std::vector<std::string>> names = files.list(directory);
    if (!names) {
        return names.error().kind == ErrorKind::NotFound ? Result<void>()
                                                         : tl::unexpected(names.error());
    }
    std::map<std::string, StoredSave> found;
    for (const Kind kind : {Kind::Backup, Kind::Pinned}) {
        std::vector<BackupHead> heads;
        for (const std::string& name : *names) {
            const auto backup = file_names::parse_backup(name);
            if (!backup || backup->pinned != (kind == Kind::Pinned)) {
                continue;
            }
            if (auto save = TRY(look_at(files, kind, directory, name))) {
                heads.push_back({*backup, save->stamp});
                found[name] = std::move(*save);
            }
        }
        sort_newest_first(heads);
        for (const BackupHead& head : heads) {
            saves.push_back(std::move(found.at(name_of(head.backup))));
        }
    }
    return {};
}

bool is_damage(const Error& error) {
    return error.kind == ErrorKind::BadInput || error.kind == ErrorKind::Limit;
}

// About when it was saved: by its name, which nobody changes, or by the file's own time.
file_names::LocalTime time_of(const StoredSave& save) {
    const auto backup = file_names::parse_backup(save.name);
    return backup ? backup->time
                  : file_names::local_time(WallTime{save.info.modified_ns / 1'000'000});
}

std::string records(std::uint64_t count) {
    return std::to_string(count) + (count == 1 ? " change" : " changes");
}

std::string without_directory(std::string name) {
    const std::string backups = std::string(file_names::kBackups) + "/";
    return name.starts_with(backups) ? name.substr(backups.size()) : name;
}

}  // namespace

// A state that history was put on top of.
struct Moments::Reached {
    Moment moment;
    std::uint64_t records = 0;  // see GoneOn
    WallTime last{};
    bool reached = false;
    bool damaged = false;
};

Moments::Moments(FileSystem& files, std::string data_dir, std::vector<StoredSave> saves,
                 std::unique_ptr<HistoryReader> history, common::TellProgress tell)
    : files_(&files),
      data_dir_(std::move(data_dir)),
      saves_(std::move(saves)),
      history_(std::move(history)),
      tell_(std::move(tell)) {}

Result<Moments> Moments::open(FileSystem& files, const std::string& data_dir,
                              const std::string& vfs, common::TellProgress tell) {
    const Result<std::vector<std::string>> names = files.list(data_dir);
    if (!names && names.error().kind == ErrorKind::NotFound) {
        return fail(ErrorKind::NotFound, "there is no data directory " + data_dir +
                                             "; name the right one with --data-dir or DATA_DIR");
    }
    if (!names) {
        return tl::unexpected(names.error());
    }
    std::vector<StoredSave> saves;
    if (std::find(names->begin(), names->end(), file_names::kSession) != names->end()) {
        if (auto save = TRY(look_at(files, Kind::Session, data_dir, file_names::kSession))) {
            saves.push_back(std::move(*save));
        }
    }
    TRY(add_backups(files, join(data_dir, file_names::kBackups), saves));
    // Last, so that it leads on from every save that was listed.
    auto history = TRY(HistoryReader::open(files, {join(data_dir, file_names::kHistory), vfs}));
    return Moments(files, data_dir, std::move(saves), std::move(history), std::move(tell));
}

// ---- saves -------------------------------------------------------------------------------------

Result<Moment> Moments::load(const std::string& path, std::string source) const {
    Result<SessionFile> session = load_session(*files_, path, telling(tell_, "Reading " + path));
    if (!session) {
        return fail(session.error().kind, path + ": " + session.error().what);
    }
    return Moment{std::move(session->graph), std::move(session->stamp), std::move(source), {}};
}

// None: it is damaged, and a note more says so.
Result<std::optional<Moment>> Moments::load_if_good(const StoredSave& save,
                                                    std::vector<std::string>& notes) const {
    Result<Moment> moment = load(save.path, save.name);
    if (moment) {
        return std::optional(std::move(*moment));
    }
    if (moment.error().kind == ErrorKind::NotFound) {
        return std::optional<Moment>();  // it has gone since it was listed
    }
    if (!is_damage(moment.error())) {
        return tl::unexpected(moment.error());
    }
    notes.push_back("damaged: " + moment.error().what);
    return std::optional<Moment>();
}

std::vector<StoredSave> Moments::newest_first() const {
    std::vector<StoredSave> saves = saves_;
    std::stable_sort(saves.begin(), saves.end(), [](const StoredSave& a, const StoredSave& b) {
        return time_of(a) > time_of(b);
    });
    return saves;
}

Result<StoredSave> Moments::find_save(const std::string& name) const {
    const std::string wanted = without_directory(name);
    const auto found = std::find_if(saves_.begin(), saves_.end(), [&](const StoredSave& save) {
        return save.name == wanted || save.name == wanted + ".db";
    });
    if (found == saves_.end()) {
        return fail(ErrorKind::NotFound, "there is no backup '" + name + "' in " + data_dir_ +
                                             "; holdfast-snapshotter list shows them all");
    }
    return *found;
}

Result<Moment> Moments::named(const std::string& name) const {
    const Result<StoredSave> save = find_save(name);
    if (save) {
        return load(save->path, save->name);
    }
    if (!files_->stat(name)) {
        return fail(ErrorKind::NotFound, "'" + name + "' is neither a backup in " + data_dir_ +
                                             " nor a file; holdfast-snapshotter list shows the "
                                             "backups");
    }
    return load(name, name);
}

// ---- history -----------------------------------------------------------------------------------

// With `to`: exactly there, or not at all (see `replayed`). Without: as far as it leads.
Result<Moments::Reached> Moments::go_on(Moment from, const std::optional<Position>& to) const {
    common::SessionStamp stamp = from.stamp.value_or(common::SessionStamp{});
    GoneOn gone = TRY(snapshotter::go_on(*history_,
                                         {.graph = std::move(from.graph),
                                          .position = stamp.position,
                                          .lineage = std::move(stamp.lineage),
                                          .last_mutation = stamp.last_mutation},
                                         to, telling(tell_, "Applying the history")));
    stamp.position = gone.state.position;
    stamp.lineage = std::move(gone.state.lineage);
    stamp.last_mutation = gone.state.last_mutation;
    stamp.digest = gone.state.graph.digest();
    from.graph = std::move(gone.state.graph);
    from.stamp = std::move(stamp);
    if (gone.records > 0) {
        from.source += " and " + records(gone.records) + " after it";
    }
    if (gone.damage) {
        from.notes.push_back(to_string(*gone.damage));
    }
    return Reached{std::move(from), gone.records, gone.last, gone.reached, gone.damage.has_value()};
}

// If it is not, somebody copied it there: then it is meant as it is, and no history goes on top.
Result<bool> Moments::is_last_save(const StoredSave& save, const Moment& session) const {
    const auto text = files_->read(join(data_dir_, file_names::kMetadata));
    if (!text && text.error().kind != ErrorKind::NotFound) {
        return tl::unexpected(text.error());
    }
    const auto metadata = text ? read_metadata(text->view()) : common::bad_input("not there");
    return session.stamp &&
           snapshotter::is_last_save(*session.stamp,
                                     find_clues(*files_, data_dir_, save.info,
                                                metadata ? std::optional(*metadata) : std::nullopt,
                                                history_->current_saves()));
}

Result<Moment> Moments::present() const {
    std::vector<std::string> notes;
    for (const StoredSave& save : saves_) {
        if (save.kind == Kind::Pinned) {
            break;
        }
        auto moment = TRY(load_if_good(save, notes));
        if (!moment) {
            continue;
        }
        const bool alone =
            !moment->stamp || (save.kind == Kind::Session && !TRY(is_last_save(save, *moment)));
        Moment result =
            alone ? std::move(*moment) : TRY(go_on(std::move(*moment), std::nullopt)).moment;
        result.notes.insert(result.notes.begin(), notes.begin(), notes.end());
        return result;
    }
    Reached reached = TRY(go_on(Moment{{}, {}, "the beginning", {}}, std::nullopt));
    if (reached.records > 0) {
        reached.moment.notes.insert(reached.moment.notes.begin(), notes.begin(), notes.end());
        return std::move(reached.moment);
    }
    return fail(ErrorKind::NotFound,
                "there is no session in " + data_dir_ +
                    (notes.empty() ? std::string() : " that can be read (" + notes.front() + ")"));
}

Result<Moment> Moments::at(WallTime time) const {
    const auto position = TRY(history_->at(time));
    std::vector<std::string> notes;
    std::optional<Moment> newest;  // save not younger than `time`, with what damage has left of it
    for (const StoredSave& save : newest_first()) {
        if (time_of(save) > file_names::local_time(time)) {
            continue;
        }
        auto moment = TRY(load_if_good(save, notes));
        if (!moment || !moment->stamp || moment->stamp->saved > time) {
            continue;
        }
        const WallTime saved = moment->stamp->saved;
        const Position& stands_at = moment->stamp->position;
        if (position && stands_at.epoch == position->epoch && stands_at.seq > position->seq) {
            return std::move(*moment);  // the clocks of broker and snapshotter differ a little
        }
        if (!position) {
            newest = std::move(moment);
            break;
        }
        Reached reached = TRY(go_on(*moment, position));
        // A save from which nothing leads there is another branch: who was later, counts.
        const bool leads = reached.reached;
        if (leads && (!newest || reached.last > newest->stamp->saved)) {
            return std::move(reached.moment);
        }
        if (!newest) {
            newest = reached.damaged ? std::move(reached.moment) : std::move(*moment);
            newest->stamp->saved = saved;
        }
        if (leads || reached.damaged) {
            break;
        }
    }
    if (newest) {
        newest->notes.insert(newest->notes.begin(), notes.begin(), notes.end());
        newest->notes.push_back("the history does not lead to " + show_time(time) +
                                "; this is the last save before, of " +
                                show_time(newest->stamp->saved));
        return std::move(*newest);
    }
    Result<Moment> state = position ? state_at(*position) : Result<Moment>(Moment{});
    if (position && (state || state.error().kind != ErrorKind::NotFound)) {
        return state;
    }
    return fail(ErrorKind::NotFound, "nothing that is kept is as old as " + show_time(time) +
                                         "; holdfast-snapshotter list shows how far back it goes");
}

// From whatever leads there: a save, or from the very beginning.
Result<Moment> Moments::state_at(const Position& position) const {
    std::vector<std::string> notes;
    for (const StoredSave& save : newest_first()) {
        auto moment = TRY(load_if_good(save, notes));
        if (!moment || !moment->stamp || moment->stamp->position.seq > position.seq) {
            continue;
        }
        Reached reached = TRY(go_on(std::move(*moment), position));
        if (reached.reached) {
            return std::move(reached.moment);
        }
    }
    Reached reached = TRY(go_on(Moment{{}, {}, "the beginning", {}}, position));
    if (reached.reached && reached.records > 0) {
        return std::move(reached.moment);
    }
    return fail(ErrorKind::NotFound, "neither a save nor the history leads to position " +
                                         std::to_string(number(position.seq)) +
                                         (notes.empty() ? "" : "; ") +
                                         (notes.empty() ? std::string() : notes.front()));
}

Result<Moment> Moments::numbered(std::uint64_t position) const {
    Moment now = TRY(present());
    if (!now.stamp) {
        return fail(ErrorKind::NotFound, "the session has no positions: Holdfast did not write it");
    }
    const Position here = now.stamp->position;
    if (number(here.seq) == position) {
        return now;
    }
    const auto epoch = epoch_of(now.stamp->lineage, here, common::Seq{position});
    if (!epoch) {
        return fail(ErrorKind::NotFound, "the session never had position " +
                                             std::to_string(position) + "; it is at " +
                                             std::to_string(number(here.seq)));
    }
    if (const auto found = TRY(history_->find(*epoch, common::Seq{position}))) {
        return state_at(*found);
    }
    std::vector<std::string> notes;
    for (const StoredSave& save : saves_) {
        auto moment = TRY(load_if_good(save, notes));
        if (moment && moment->stamp && moment->stamp->position.epoch == *epoch &&
            number(moment->stamp->position.seq) == position) {
            return std::move(*moment);
        }
    }
    return fail(ErrorKind::NotFound,
                "position " + std::to_string(position) +
                    " is not kept any more; holdfast-snapshotter list shows how far back it goes");
}

Result<Replayed> Moments::records_until(const Position& to,
                                        const history_segment::Take& take) const {
    // From the oldest on: what leads there from furthest back shows the most.
    std::vector<Position> bases{Position{}};
    for (const HistorySegment& segment : history_->segments()) {
        for (const HistoryRun& run : segment.runs) {
            bases.push_back(run.base.position);
        }
    }
    const common::TellDone tell = telling(tell_, "Reading the history");
    for (const Position& base : bases) {
        const std::uint64_t first = number(base.seq);
        const auto told = [&](HistoryRow&& row) {
            if (tell) {
                tell(number(row.position.seq) - first, number(to.seq) - first);
            }
            return take(std::move(row));
        };
        Replayed replayed = TRY(history_->replay(base, to, told));
        if (replayed.records > 0 || replayed.reached) {
            return replayed;
        }
    }
    Replayed nothing;
    nothing.position = to;
    return nothing;
}

std::optional<common::Epoch> epoch_of(const common::Lineage& lineage, const Position& present,
                                      common::Seq seq) {
    if (seq > present.seq || number(seq) == 0) {
        return std::nullopt;
    }
    for (auto entry = lineage.rbegin(); entry != lineage.rend(); ++entry) {
        if (entry->parent.seq < seq) {
            return entry->epoch;
        }
    }
    return std::nullopt;
}

}  // namespace snapshotter::commands
