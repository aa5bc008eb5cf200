// What the store does with the history: going on from a save at the start, rows about saves, and
// where damaged segments go.

#include <utility>

#include "snapshotter/storage/file_names.h"
#include "snapshotter/storage/recovery.h"
#include "snapshotter/storage/store.h"
#include "snapshotter/storage/store_state.h"

namespace snapshotter {

using common::ErrorKind;
using common::Position;
using common::Result;
using common::WallTime;
using file_names::join;

namespace {

std::string name_in(const std::string& path) {
    return path.substr(path.rfind('/') + 1);
}

}  // namespace

// ---- recover -----------------------------------------------------------------------------------

Result<std::unique_ptr<HistoryReader>> Store::recover_reader() {
    if (!options_.history) {
        return std::unique_ptr<HistoryReader>();
    }
    options_.history->place.directory = path(file_names::kHistory);
    options_.history->version = options_.version;
    history_ = TRY(History::open(files_, *options_.history));
    return HistoryReader::open(files_, options_.history->place);
}

// From the save in `recovered` on, as far as it can be proved.
Result<void> Store::recover_history(Recovered& recovered) {
    if (!past_) {
        return {};
    }
    common::SessionStamp& stamp = recovered.stamp;
    StoredState from{.graph = std::move(recovered.session->graph),
                     .position = stamp.position,
                     .lineage = stamp.lineage,
                     .last_mutation = stamp.last_mutation};
    GoneOn gone = TRY(go_on(*past_, std::move(from), std::nullopt,
                            common::telling(progress_, "Applying the history")));
    recovered.session->graph = std::move(gone.state.graph);
    if (gone.records > 0) {
        stamp.position = gone.state.position;
        stamp.lineage = gone.state.lineage;
        stamp.last_mutation = gone.state.last_mutation;
        stamp.digest = recovered.session->graph.digest();
    }
    recovered.changes = gone.records;
    recovered.history_base = HistoryBase{stamp.position, stamp.lineage};
    if (gone.damage) {
        recovered.notes.push_back("The history is DAMAGED: " + to_string(*gone.damage) +
                                  ". The session is what it was before that");
        if (!gone.damage->file.empty()) {
            state_->damaged_history.insert(name_in(gone.damage->file));
        }
        recovered.history_base.reset();
    }
    return {};
}

// Nothing has ever been saved, or no save can be read: the history alone may hold everything.
Result<bool> Store::recover_from_nothing(Recovered& recovered) {
    if (!past_) {
        return false;
    }
    recovered.session.emplace();
    TRY(recover_history(recovered));
    if (recovered.session->graph.initialised) {
        recovered.file = path(file_names::kHistory);
        recovered.notes.push_back(
            "There is no save that can be read: the session is taken from the " +
            std::to_string(recovered.changes) + " changes in " + recovered.file);
        return true;
    }
    // Nobody has completed an upload: there is no session, if that is all there was.
    const Position end = recovered.stamp.position;
    recovered.session.reset();
    recovered.stamp = {};
    recovered.changes = 0;
    recovered.history_base.reset();
    for (const HistorySegment& segment : past_->segments()) {
        if (segment.damage || (!segment.runs.empty() && &segment == &past_->segments().back() &&
                               segment.runs.back().last != end)) {
            return common::fail(ErrorKind::NotFound,
                                "there is history of a session in " + path(file_names::kHistory) +
                                    ", but no save that it goes on from" + next_step());
        }
    }
    return false;
}

// Segments that cannot be read at all are moved away with the others.
Result<void> Store::recover_damaged_history(Recovered& recovered) {
    if (past_) {
        for (const HistorySegment& segment : past_->segments()) {
            if (segment.damage && state_->damaged_history.insert(name_in(segment.file)).second) {
                recovered.notes.push_back("A file of the history is damaged: " +
                                          segment.damage->what);
            }
        }
        for (const std::string& name : state_->damaged_history) {
            recovered.notes.push_back(join(path(file_names::kHistory), name) +
                                      " is kept, and moved to " + path(file_names::kQuarantine) +
                                      " with the next save");
        }
    }
    past_.reset();
    return {};
}

// ---- save --------------------------------------------------------------------------------------

// Without its row a save is good all the same; but history cannot go on from it.
bool Store::history_begins(const HistorySave& save, SaveReport& report) {
    if (!history_) {
        return false;
    }
    const Result<void> outcome = history_->save_begins(save, save.saved);
    if (!outcome) {
        report.warnings.push_back("the save is not in the history: " + outcome.error().what);
    }
    return outcome.has_value();
}

void Store::history_placed(const HistorySave& save, SaveReport& report) {
    if (!report.in_history) {
        return;
    }
    if (const Result<void> outcome = history_->save_placed(save, save.saved); !outcome) {
        report.warnings.push_back("the save is not in the history as placed: " +
                                  outcome.error().what);
    }
}

void Store::history_unchanged(const HistorySave& save, SaveReport& report) {
    report.in_history = history_ && (history_->is_placed(save) || history_begins(save, report));
    if (report.in_history && !history_->is_placed(save)) {
        history_placed(save, report);
    }
}

// What they held is in the save now.
Result<void> Store::save_damaged_history(WallTime now, SaveReport& report) {
    if (history_ && !report.backup.empty()) {
        history_->backup_made(now);
    }
    const std::string directory = path(file_names::kHistory);
    while (!state_->damaged_history.empty()) {
        const std::string name = *state_->damaged_history.begin();
        if (files_.stat(join(directory, name))) {
            const std::string moved = TRY(quarantine(directory, name, now));
            report.warnings.push_back("the damaged file of the history " + name + " was moved to " +
                                      moved);
        }
        state_->damaged_history.erase(name);
    }
    return {};
}

}  // namespace snapshotter
