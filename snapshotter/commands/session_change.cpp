#include "snapshotter/commands/session_change.h"

#include <algorithm>
#include <utility>

#include "snapshotter/storage/atomic_file.h"
#include "snapshotter/storage/file_names.h"
#include "snapshotter/storage/session_reader.h"

namespace snapshotter::commands {

using common::Epoch;
using common::ErrorKind;
using common::fail;
using common::GraphCopy;
using common::Position;
using common::Result;
using common::SessionStamp;
using common::TellProgress;
using common::WallTime;
using file_names::join;

namespace {

constexpr int kGzipLevel = 1;

bool contains(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

SessionStamp begin_history(GraphCopy& graph, WallTime now, Epoch fresh) {
    graph.timeline = common::Timeline{number(fresh)};
    SessionStamp stamp;
    stamp.digest = graph.digest();
    stamp.position = {fresh, common::Seq{1}, stamp.digest};
    stamp.lineage = {{fresh, Position{}}};
    stamp.last_mutation = now;
    stamp.saved = now;
    return stamp;
}

void make_it_the_next_state(GraphCopy& graph, std::optional<SessionStamp>& stamp, WallTime now,
                            Epoch fresh) {
    if (!stamp) {
        stamp = begin_history(graph, now, fresh);
        return;
    }
    stamp->lineage.push_back({fresh, stamp->position});
    stamp->position.epoch = fresh;
    stamp->last_mutation = now;
    stamp->digest = graph.digest();
}

Result<void> write_session(FileSystem& files, const std::string& directory, const std::string& name,
                           const GraphCopy& graph, SessionStamp stamp, WallTime now,
                           const TellProgress& tell) {
    stamp.saved = now;
    stamp.digest = graph.digest();
    const auto file = TRY(AtomicFile::open(files, directory, name));
    const auto told = telling(tell, "Writing " + name);
    const std::uint64_t total = common::session_bytes(graph);
    TRY(common::write_session_file(
        graph, stamp, kGzipLevel, [&](std::string_view piece) { return file->write(piece); },
        [&](std::uint64_t done) {
            if (told) {
                told(done, total);
            }
        }));
    TRY(file->sync());
    const auto back =
        check_session(files, file->temporary_path(), telling(tell, "Reading back " + name));
    if (!back || !*back || (*back)->digest != stamp.digest) {
        return fail(ErrorKind::Io, "what was written to " + file->temporary_path() +
                                       " does not come back as it was" +
                                       (back ? std::string() : ": " + back.error().what));
    }
    return file->commit();
}

SessionChange::SessionChange(FileSystem& files, std::string data_dir,
                             std::unique_ptr<FileLock> lock, TellProgress tell)
    : files_(files),
      data_dir_(std::move(data_dir)),
      lock_(std::move(lock)),
      tell_(std::move(tell)) {}

Result<std::unique_ptr<SessionChange>> SessionChange::begin(FileSystem& files,
                                                            const std::string& data_dir,
                                                            TellProgress tell) {
    auto lock = files.lock(join(data_dir, file_names::kLock));
    if (!lock && lock.error().kind == ErrorKind::Busy) {
        return fail(ErrorKind::Busy, "the session is in use (" + lock.error().what +
                                         "). Stop broker and snapshotter, give this command "
                                         "again, start both");
    }
    if (!lock) {
        return tl::unexpected(lock.error());
    }
    return std::unique_ptr<SessionChange>(
        new SessionChange(files, data_dir, std::move(*lock), std::move(tell)));
}

Result<std::string> SessionChange::keep(const GraphCopy& graph,
                                        const std::optional<SessionStamp>& stamp, WallTime now,
                                        Epoch fresh) {
    const std::string backups = join(data_dir_, file_names::kBackups);
    TRY(files_.make_directories(backups));
    const std::vector<std::string> taken = TRY(files_.list(backups));
    file_names::Backup backup{file_names::local_time(now), 1, true};
    while (contains(taken, name_of(backup))) {
        ++backup.number;
    }
    GraphCopy kept = graph;
    const SessionStamp mark = stamp ? *stamp : begin_history(kept, now, fresh);
    TRY(write_session(files_, backups, name_of(backup), kept, mark, now, tell_));
    return name_of(backup);
}

Result<std::string> SessionChange::set_aside(WallTime now) {
    const std::string quarantine = join(data_dir_, file_names::kQuarantine);
    TRY(files_.make_directories(quarantine));
    const std::vector<std::string> taken = TRY(files_.list(quarantine));
    const std::string when = name_of(file_names::Backup{file_names::local_time(now), 1, false});
    const std::string end = "_" + when.substr(when.find('_') + 1);
    std::string name = "session_snapshot.damaged" + end;
    for (int number = 2; contains(taken, name); ++number) {
        name = "session_snapshot.damaged_" + std::to_string(number) + end;
    }
    TRY(copy_file(files_, join(data_dir_, file_names::kSession), quarantine, name, std::nullopt));
    return std::string(file_names::kQuarantine) + "/" + name;
}

Result<void> SessionChange::replace(const GraphCopy& graph, const SessionStamp& stamp,
                                    WallTime now) {
    return write_session(files_, data_dir_, file_names::kSession, graph, stamp, now, tell_);
}

}  // namespace snapshotter::commands
