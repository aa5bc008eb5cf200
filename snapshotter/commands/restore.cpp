#include <utility>

#include "snapshotter/commands/commands.h"
#include "snapshotter/commands/session_change.h"
#include "snapshotter/commands/time_text.h"
#include "snapshotter/storage/file_names.h"

namespace snapshotter::commands {

using common::ErrorKind;
using common::Result;

namespace {

// The present session, and the session file if that is what cannot be read.
Result<void> keep_what_is_there(const Surroundings& around, const Result<Moment>& present,
                                const Moments& moments, SessionChange& change,
                                Replacement& replacement) {
    if (present) {
        replacement.kept =
            TRY(change.keep(present->graph, present->stamp, around.now, around.fresh));
    }
    const bool has_file =
        !moments.saves().empty() && moments.saves().front().kind == StoredSave::Kind::Session;
    const bool is_it = present && present->source.starts_with(file_names::kSession);
    if (has_file && !is_it) {
        replacement.set_aside = TRY(change.set_aside(around.now));
    }
    return {};
}

}  // namespace

Result<Moments> open_moments(const Surroundings& around) {
    return Moments::open(around.files, around.data_dir, around.vfs, around.tell);
}

Result<Moment> moment_of(const Moments& moments, const Surroundings& around,
                         const CommandLine& line) {
    if (line.at) {
        return moments.at(TRY(read_time(*line.at, around.now)));
    }
    if (line.position) {
        return moments.numbered(*line.position);
    }
    return line.target.empty() ? moments.present() : moments.named(line.target);
}

Result<Replacement> replace_session(const Surroundings& around, const CommandLine& line,
                                    const MakeMoment& make) {
    std::unique_ptr<SessionChange> change;
    if (!line.dry_run) {
        TRY(around.files.make_directories(around.data_dir));
        change = TRY(SessionChange::begin(around.files, around.data_dir, around.tell));
    }
    const Moments moments = TRY(open_moments(around));
    Moment moment = TRY(make(moments));
    const Result<Moment> present = moments.present();
    if (!present && present.error().kind != ErrorKind::NotFound) {
        return tl::unexpected(present.error());
    }
    Replacement replacement;
    replacement.dry_run = line.dry_run;
    replacement.notes = moment.notes;
    if (!present) {
        replacement.notes.push_back(present.error().what);
    } else if (moment.notes.empty()) {
        replacement.notes = present->notes;
    }
    replacement.change =
        change_between(present ? present->graph : common::GraphCopy{}, moment.graph);
    if (change) {
        TRY(keep_what_is_there(around, present, moments, *change, replacement));
        common::GraphCopy graph = moment.graph;
        std::optional<common::SessionStamp> stamp = moment.stamp;
        make_it_the_next_state(graph, stamp, around.now, around.fresh);
        TRY(change->replace(graph, *stamp, around.now));
    }
    replacement.moment = std::move(moment);
    return replacement;
}

Result<Replacement> restore(const Surroundings& around, const CommandLine& line) {
    return replace_session(around, line, [&](const Moments& moments) -> Result<Moment> {
        if (!line.target.empty()) {
            TRY(moments.find_save(line.target));  // a file of somebody else's is for import
        }
        return moment_of(moments, around, line);
    });
}

}  // namespace snapshotter::commands
