#pragma once
// The data directory: who opens it, what it holds, what is written to it and what goes.
//
//   session_snapshot.db     the latest save      session_metadata.json   about it, for people
//   backups/                older saves          quarantine/             damaged files, kept
//   history/                what came between them: see history.h
//
// A save: session file under a temporary name, sync, read back and compared with the graph, rename,
// sync of the directory; from here on it survives anything. Before the rename a row about it goes
// into the history, by which the next start tells it from one that was put there by hand. Then
// a backup (a file of its own, never a link: people copy backups over session_snapshot.db, which
// writes into that file), then the metadata, then retention. What fails before the rename fails the
// save and leaves the last one as it was; what fails after it is a warning, and is made good by the
// next save.
//
// Before each save it is made sure that the directory is still the one that was opened. One that
// was removed and made again is locked anew and used; where a volume was unmounted nothing is
// written, for it would lie hidden below the volume.
//
// Used by one thread at a time. Layout and formats: docs/FORMATS.md.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/graph.h"
#include "common/ids.h"
#include "common/progress.h"
#include "common/result.h"
#include "common/session_file.h"
#include "snapshotter/storage/disk_use.h"
#include "snapshotter/storage/file_system.h"
#include "snapshotter/storage/history.h"
#include "snapshotter/storage/metadata.h"

namespace snapshotter {

struct StoreOptions {
    std::string directory;
    std::size_t backups_max = 10;
    int gzip_level = 1;
    std::string version;  // of Holdfast, for the metadata
    // Of RetentionPolicy.
    std::size_t keep_hourly = 0;
    std::size_t keep_daily = 0;
    std::size_t keep_weekly = 0;
    // None: there is no history. Its directory and version are ours to say.
    std::optional<HistoryOptions> history = std::nullopt;
};

// What a directory held at the start. If it was restored by hand or comes from a backup, a save
// should follow soon (reasons::kRecovered): until then the directory does not show it.
struct Recovered {
    // None: the directory is fresh, there is no session.
    std::optional<common::SessionFile> session;
    // Always set when there is a session. A file without a stamp of ours (the addon wrote it) gets
    // one: an epoch and a timeline of its own. One that was put there by hand gets a new epoch
    // whose parent is the position it was saved at, and `now` as its last change.
    common::SessionStamp stamp;
    std::string file;               // where it was found, with its directory
    bool restored_by_hand = false;  // not what the metadata say was saved last
    bool from_backup = false;       // session_snapshot.db was damaged or missing: see the notes
    std::uint64_t changes = 0;      // that came from the history after that file
    // From where history can go on at once; none: it must wait for a save.
    std::optional<HistoryBase> history_base;
    std::optional<Metadata> metadata;  // of the last save, if it can be read
    std::vector<std::string> notes;    // what people must be told, loudly, each a sentence
};

struct SaveRequest {
    common::GraphCopy graph;
    common::SessionStamp stamp;  // position, lineage, last_mutation; save() fills in the others
    std::string reason;
    common::WallTime now{};
    // The broker's digest of its graph, if it has told that for the same position.
    std::optional<common::Hash128> broker_digest{};
};

struct SaveReport {
    enum class Kind {
        Written,         // a new session file
        Unchanged,       // the session file holds exactly this already; the metadata are renewed
        NotInitialised,  // nobody has pressed Init: no session file is written, none overwritten
    };
    Kind kind{};
    std::string file;  // session_snapshot.db with its directory
    std::string reason;
    std::size_t nodes = 0;
    std::uint64_t file_bytes = 0;
    common::Position position;  // what survives now; of no meaning if NotInitialised
    common::WallTime saved{};
    bool as_the_broker = false;         // the broker has told the same digest for this position
    bool in_history = false;            // history can go on from it
    std::string backup;                 // the name of the backup that was made, empty if none
    std::vector<std::string> removed;   // names of backups that retention took
    std::optional<DiskUse> disk;        // after the save
    std::vector<std::string> warnings;  // sentences; the session file itself is safe

    struct Times {               // in milliseconds
        std::int64_t write = 0;  // pickle, gzip, write
        std::int64_t sync = 0;
        std::int64_t verify = 0;  // read back, load, compare
        std::int64_t backup = 0;  // and metadata, retention
        std::int64_t total = 0;
    };
    Times took;
};

// What reading again what was saved has shown.
struct CheckReport {
    std::vector<std::string> good;    // files, with their directories
    std::vector<std::string> damage;  // sentences; a save must follow
};

class Store {
public:
    // Makes the directory if it is missing, and locks it. Busy: another process has it; the error
    // names the directory and that process. `files` must outlive the store.
    static common::Result<std::unique_ptr<Store>> open(FileSystem& files, StoreOptions options);
    ~Store();
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    // Once, before the first save. Removes leftover temporary files. A damaged session file goes to
    // quarantine/ and the newest backup that can be read is taken. An error means: do not start;
    // it says what to do. It is never answered 'fresh' where there is a file of a session.
    // `fresh_epoch` is random, used if the session found needs an epoch of its own.
    common::Result<Recovered> recover(common::WallTime now, common::Epoch fresh_epoch);

    // On an error the last save is as it was.
    common::Result<SaveReport> save(const SaveRequest& request);

    // Reads the session file and the newest backup again and compares them with what was saved:
    // disks forget. What is damaged goes to quarantine/; what is good is noted in the metadata.
    common::Result<CheckReport> check(common::WallTime now);

    // Whether a save could work: the directory is ours, and something small can be written.
    common::Result<void> probe();

    // Told all the time how far save(), pin(), check() and recover() are.
    void tell_progress(common::TellProgress progress);

    // Writes a pinned backup, which retention never takes. Returns its path. NotFound: the graph is
    // not initialised, there is nothing to keep.
    common::Result<std::string> pin(const SaveRequest& request);

    // The backups that retention will take with the next save, oldest first: more than one or two
    // if a setting was lowered.
    common::Result<std::vector<std::string>> to_be_removed(common::WallTime now) const;

    const std::string& directory() const { return options_.directory; }

    // After recover(); null: there is none. Lives as long as the store, and may be used by another
    // thread meanwhile.
    History* history() { return history_.get(); }

private:
    Store(FileSystem& files, StoreOptions options, std::unique_ptr<FileLock> lock,
          std::uint64_t device);

    struct State;
    struct Written;
    std::string path(const std::string& name) const;
    common::Result<common::SessionFile> load(const std::string& file);
    common::Result<std::string> quarantine(const std::string& directory, const std::string& name,
                                           common::WallTime now);

    std::string next_step() const;
    common::Result<void> recover_leftovers();
    common::Result<std::unique_ptr<HistoryReader>> recover_reader();
    common::Result<void> recover_history(Recovered& recovered);
    common::Result<bool> recover_from_nothing(Recovered& recovered);
    common::Result<void> recover_damaged_history(Recovered& recovered);
    common::Result<std::optional<Metadata>> recover_metadata(std::vector<std::string>& notes);
    common::Result<void> recover_current(common::SessionFile session, const FileInfo& info,
                                         common::WallTime now, common::Epoch fresh_epoch,
                                         Recovered& recovered);
    common::Result<void> recover_older(common::WallTime now, common::Epoch fresh_epoch,
                                       std::vector<common::Error>& damage, Recovered& recovered);
    common::Result<std::optional<std::pair<std::string, common::SessionFile>>> recover_backup(
        const std::vector<std::string>& names, std::vector<common::Error>& damage,
        std::vector<std::string>& damaged);
    common::Result<void> recover_nothing(const std::vector<std::string>& backups,
                                         const std::vector<common::Error>& damage,
                                         const Recovered& recovered);

    common::Result<bool> check_directory();  // true: it was made anew
    common::Result<void> check_room(std::uint64_t bytes);
    common::Result<std::optional<common::SessionStamp>> read_again(const std::string& file,
                                                                   const char* what,
                                                                   common::Hash128& bytes_hash);
    common::Result<void> check_session(common::WallTime now, CheckReport& report);
    common::Result<void> check_backup(common::WallTime now, CheckReport& report);
    void progress(const char* what, std::uint64_t done, std::uint64_t total) const;
    bool history_begins(const HistorySave& save, SaveReport& report);
    void history_placed(const HistorySave& save, SaveReport& report);
    void history_unchanged(const HistorySave& save, SaveReport& report);
    common::Result<void> save_damaged_history(common::WallTime now, SaveReport& report);

    bool is_saved(const common::Result<FileInfo>& present, const common::SessionStamp& stamp);
    common::Result<Written> write_session(const std::string& directory, const std::string& name,
                                          const common::GraphCopy& graph,
                                          const common::SessionStamp& stamp,
                                          SaveReport::Times& took);
    common::Result<std::string> pin_current(common::WallTime now);
    common::Result<void> save_what_is_replaced(const common::Result<FileInfo>& present,
                                               common::Timeline timeline, common::WallTime now,
                                               std::vector<std::string>& warnings);
    common::Result<void> save_session(const SaveRequest& request, const common::SessionStamp& stamp,
                                      SaveReport& report);
    common::Result<void> withdraw_backup_time(const common::SessionStamp& stamp);
    common::Result<void> save_backup(const common::SessionStamp& stamp, SaveReport& report);
    common::Result<void> save_metadata(const SaveRequest& request,
                                       const common::SessionStamp& stamp, const SaveReport& report);
    common::Result<void> write_metadata_file();
    common::Result<void> save_retention(common::WallTime now, SaveReport& report);

    FileSystem& files_;
    StoreOptions options_;
    std::unique_ptr<FileLock> lock_;
    std::uint64_t device_;  // of the directory
    common::TellProgress progress_;
    std::unique_ptr<HistoryReader> past_;  // while recover() runs
    std::unique_ptr<History> history_;
    std::unique_ptr<State> state_;
};

}  // namespace snapshotter
