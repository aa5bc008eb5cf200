#include "snapshotter/storage/history.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/verify.h"
#include "snapshotter/storage/file_names.h"

namespace snapshotter {

using common::ErrorKind;
using common::Millis;
using common::Position;
using common::Result;
using common::WallTime;
using file_names::join;

namespace {

// What SQLite keeps beside a database.
constexpr std::array kCompanions = {"-wal", "-shm", "-journal"};

// A segment in use: synced at every commit. A reader sees it as it was at the last one. The log is
// moved to the file by tidy_up(): SQLite would do it within a commit, which somebody waits for, and
// say nothing of a sync that failed.
constexpr const char* kOpen = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL";
// As much as SQLite would let gather, 4 MiB.
constexpr std::uint64_t kLogPagesMax = 1'000;
// One that is finished: a file by itself, that can be copied and read anywhere.
constexpr const char* kFinish = "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE";

Result<void> remove_if_there(FileSystem& files, const std::string& path) {
    const Result<void> removed = files.remove(path);
    return removed || removed.error().kind == ErrorKind::NotFound || !files.stat(path)
               ? Result<void>()
               : removed;
}

Result<void> remove_segment(FileSystem& files, const std::string& file) {
    // The log of SQLite after its file: a segment is never left without what belongs to it.
    TRY(remove_if_there(files, file));
    for (const char* companion : kCompanions) {
        TRY(remove_if_there(files, file + companion));
    }
    return {};
}

// "x.sqlite-wal" without "-wal".
std::string_view without_companion(std::string_view name) {
    for (const std::string_view companion : kCompanions) {
        if (name.ends_with(companion)) {
            return name.substr(0, name.size() - companion.size());
        }
    }
    return name;
}

// From one segment to the next passes so much at most: see SegmentSize.
constexpr Millis kBreakMax = std::chrono::hours(24);

std::vector<Millis> ages_of(const std::vector<SegmentSize>& segments, WallTime now) {
    std::vector<Millis> ages(segments.size());
    Millis age{0};
    WallTime later = now;
    for (std::size_t i = segments.size(); i-- > 0;) {
        const WallTime time = segments[i].last_time;
        age += std::clamp(Millis(number(later) - number(time)), Millis(0), kBreakMax);
        later = time;
        // A clock that went to and fro makes nothing older than it says itself.
        const Millis passed(number(now) - number(time));
        ages[i] = passed < Millis(0) ? age : std::min(age, passed);
    }
    return ages;
}

}  // namespace

std::vector<std::uint64_t> segments_to_remove(const std::vector<SegmentSize>& segments,
                                              std::uint64_t needed, WallTime now,
                                              const HistoryOptions& options) {
    std::uint64_t bytes = 0;
    for (const SegmentSize& segment : segments) {
        bytes += segment.bytes;
    }
    const std::vector<Millis> ages = ages_of(segments, now);
    std::vector<std::uint64_t> removed;
    for (std::size_t i = 0; i < segments.size(); ++i) {
        const bool old = ages[i] > options.age_max;
        if (segments[i].number >= needed || (!old && bytes <= options.bytes_max)) {
            break;
        }
        bytes -= segments[i].bytes;
        removed.push_back(segments[i].number);
    }
    return removed;
}

Result<void> settle_history(FileSystem& files, const HistoryPlace& place) {
    const auto names = files.list(place.directory);
    if (!names) {
        return names.error().kind == ErrorKind::NotFound
                   ? Result<void>()
                   : Result<void>(tl::unexpected(names.error()));
    }
    for (const std::string& name : *names) {
        const std::string_view main = without_companion(name);
        const bool orphan = main != name && file_names::parse_segment(main) &&
                            !std::binary_search(names->begin(), names->end(), main);
        if (file_names::is_temporary(main) || orphan) {
            TRY(remove_if_there(files, join(place.directory, name)));
        }
    }
    for (const std::string& name : *names) {
        const bool unfinished = std::binary_search(names->begin(), names->end(), name + "-wal") ||
                                std::binary_search(names->begin(), names->end(), name + "-journal");
        if (!file_names::parse_segment(name) || !unfinished) {
            continue;
        }
        // A damaged one is left as it is: who reads it says so.
        if (const auto database = sqlite::Database::open(join(place.directory, name),
                                                         sqlite::Mode::Write, place.vfs)) {
            static_cast<void>((*database)->execute(kFinish));
        }
    }
    return {};
}

// The segment that is written to.
struct History::Open {
    std::unique_ptr<sqlite::Database> database;
    HistorySegment segment;
    std::unique_ptr<history_segment::Writer> writer;  // gone before the database
    std::optional<FileInfo> file;                     // what we write to; its log
    std::optional<FileInfo> log;
    std::uint64_t moved_pages = 0;  // of the log to the file
    bool full = false;              // the next row goes into a new one
};

History::History(FileSystem& files, HistoryOptions options)
    : files_(files), options_(std::move(options)) {}

History::~History() {
    finish_segment();
}

std::string History::path(std::uint64_t number) const {
    return join(options_.place.directory, file_names::segment_name(number));
}

Result<std::unique_ptr<History>> History::open(FileSystem& files, HistoryOptions options) {
    TRY(files.make_directories(options.place.directory));
    std::unique_ptr<History> history(new History(files, std::move(options)));
    TRY(history->read_directory());
    return history;
}

Result<void> History::read_directory() {
    const FileInfo there = TRY(files_.stat(options_.place.directory));
    TRY(settle_history(files_, options_.place));
    const auto reader = TRY(HistoryReader::open(files_, options_.place));
    finished_ = reader->segments();
    saves_ = reader->current_saves();
    if (!finished_.empty()) {
        next_number_ = std::max(next_number_, finished_.back().number + 1);
    }
    // Damaged ones are not ours to remove.
    std::erase_if(finished_, [](const auto& segment) { return segment.damage.has_value(); });
    directory_ = there;
    return {};
}

Result<void> History::renew() {
    const std::lock_guard lock(mutex_);
    const std::string& directory = options_.place.directory;
    TRY(files_.make_directories(directory));
    if (!lost_ && check_in_place(directory, directory_)) {
        return {};
    }
    lost_ = true;
    abandon_segment();
    return read_directory();
}

// ---- What others may remove --------------------------------------------------------------------

// `known`: what had this path when we saw it first.
Result<void> History::check_in_place(const std::string& path, std::optional<FileInfo>& known) {
    const Result<FileInfo> there = files_.stat(path);
    if (!there && there.error().kind != ErrorKind::NotFound) {
        return tl::unexpected(there.error());
    }
    if (!there || (known && (there->number != known->number || there->device != known->device))) {
        lost_ = true;
        return common::fail(ErrorKind::NotFound,
                            path + " was removed or replaced by somebody while it was in use");
    }
    known = *there;
    return {};
}

// Whether what has just been written and synced can be found by its name.
Result<void> History::check_written() {
    TRY(check_in_place(options_.place.directory, directory_));
    TRY(check_in_place(open_->segment.file, open_->file));
    TRY(check_in_place(open_->segment.file + "-wal", open_->log));
    open_->segment.bytes = open_->file->bytes + open_->log->bytes;
    open_->full = open_->full || open_->segment.bytes >= options_.segment_bytes_max;
    return {};
}

void History::forget_removed(std::uint64_t needed) {
    std::erase_if(finished_, [&](const HistorySegment& segment) {
        const Result<FileInfo> there = files_.stat(segment.file);
        const bool removed = !there && there.error().kind == ErrorKind::NotFound;
        lost_ = lost_ || (removed && segment.number >= needed);
        return removed;
    });
}

// ---- Segments ----------------------------------------------------------------------------------

// Under a temporary name until it is complete.
Result<void> History::create_segment(const std::string& file, const HistorySegment& segment) {
    const std::string& directory = options_.place.directory;
    TRY(check_in_place(directory, directory_));
    const std::string temporary =
        join(directory, file_names::temporary(file_names::segment_name(segment.number)));
    {
        const auto database =
            TRY(sqlite::Database::open(temporary, sqlite::Mode::Create, options_.place.vfs));
        TRY(history_segment::create(*database, segment));
        TRY(database->execute(kOpen));
    }
    TRY(files_.rename(temporary, file));
    return files_.sync_directory(directory);
}

Result<void> History::begin_segment(WallTime now) {
    auto fresh = std::make_unique<Open>();
    HistorySegment& segment = fresh->segment;
    segment.number = next_number_;
    segment.file = path(segment.number);
    segment.created = now;
    segment.version = options_.version;
    const Result<void> created = create_segment(segment.file, segment);
    ++next_number_;  // also if it failed: what is there now is not known
    TRY(created);
    fresh->database =
        TRY(sqlite::Database::open(segment.file, sqlite::Mode::Write, options_.place.vfs));
    TRY(fresh->database->execute(kOpen));
    fresh->writer = TRY(history_segment::Writer::open(*fresh->database));
    TRY(check_in_place(segment.file, fresh->file));
    open_ = std::move(fresh);
    return {};
}

void History::finish_segment() {
    if (!open_) {
        return;
    }
    const auto done = std::move(open_);
    done->writer.reset();
    // Somebody who reads it just now would be waited for. Then it is finished at the next start.
    done->database->set_patience(0);
    static_cast<void>(done->database->execute(kFinish));
    finished_.push_back(std::move(done->segment));
}

void History::abandon_segment() {
    if (!open_) {
        return;
    }
    const auto done = std::move(open_);
    done->writer.reset();
    done->database->abandon();
    finished_.push_back(std::move(done->segment));
}

// ---- Writing -----------------------------------------------------------------------------------

Result<void> History::append(const std::optional<HistoryBase>& begin,
                             const std::vector<HistoryRow>& rows, WallTime now) {
    const std::lock_guard lock(mutex_);
    if (lost_ && !begin) {
        return common::fail(ErrorKind::NotFound, "files were removed from " +
                                                     options_.place.directory +
                                                     ": what history went on from is gone");
    }
    if (open_ && open_->full) {
        finish_segment();
    }
    if (!open_) {
        TRY(begin_segment(now));
    }
    const HistorySegment before = open_->segment;
    const HistoryBase here = here_;
    const auto appended = [&]() -> Result<void> {
        TRY(append_rows(begin, rows));
        return check_written();
    }();
    if (!appended) {
        here_ = here;
        open_->segment = before;
        abandon_segment();
        return appended;
    }
    lost_ = false;
    return {};
}

Result<void> History::append_rows(const std::optional<HistoryBase>& begin,
                                  const std::vector<HistoryRow>& rows) {
    HistorySegment& segment = open_->segment;
    history_segment::Writer& writer = *open_->writer;
    TRY(open_->database->execute("BEGIN IMMEDIATE"));
    if (segment.saves.empty()) {
        for (const HistorySave& save : saves_) {  // a segment can be understood alone
            segment.saves.push_back(save);
            TRY(writer.put_save(segment.saves.size(), save));
        }
    }
    if (begin) {
        here_ = *begin;
    }
    if (begin || (segment.runs.empty() && !rows.empty())) {
        segment.runs.push_back(
            {.base = here_, .first = segment.records + 1, .last = here_.position});
        TRY(writer.add_run(segment.runs.size(), segment.runs.back()));
    }
    for (const HistoryRow& row : rows) {
        VERIFY(row.position.seq == next(here_.position.seq));
        TRY(writer.add_record(++segment.records, row));
        if (const auto* start = std::get_if<common::EpochStarted>(&row.record.mutation)) {
            here_.lineage.push_back({row.record.epoch, start->parent});
        }
        here_.position = row.position;
        ++segment.runs.back().records;
        segment.runs.back().last = row.position;
        segment.first_time = segment.records == 1 ? row.record.time : segment.first_time;
        segment.last_time = row.record.time;
    }
    TRY(writer.set_totals(segment));
    return open_->database->execute("COMMIT");
}

Result<void> History::save_begins(const HistorySave& save, WallTime now) {
    const std::lock_guard lock(mutex_);
    TRY(write_save(saves_.size(), save, now));
    return {};
}

Result<void> History::save_placed(const HistorySave& save, WallTime now) {
    const std::lock_guard lock(mutex_);
    const auto found = std::find(saves_.rbegin(), saves_.rend(), save);
    VERIFY(found != saves_.rend());
    HistorySave placed = save;
    placed.placed = true;
    TRY(write_save(static_cast<std::size_t>(saves_.rend() - found) - 1, placed, now));
    // What came before it is no more.
    saves_.erase(saves_.begin(), std::find(saves_.begin(), saves_.end(), placed));
    return {};
}

// `index`: which of saves_; at its end for a new one.
Result<void> History::write_save(std::size_t index, const HistorySave& save, WallTime now) {
    if (!open_) {
        TRY(begin_segment(now));
    }
    std::vector<HistorySave> saves = saves_;
    saves.resize(std::max(saves.size(), index + 1));
    saves[index] = save;
    const HistorySegment before = open_->segment;
    const auto written = [&]() -> Result<void> {
        std::vector<HistorySave>& rows = open_->segment.saves;
        TRY(open_->database->execute("BEGIN IMMEDIATE"));
        // The last of the rows are saves_, or there is none yet.
        std::size_t first = rows.empty() ? 0 : index;
        const std::size_t offset = rows.empty() ? 0 : rows.size() - saves_.size();
        rows.resize(offset + saves.size());
        for (; first < saves.size(); ++first) {
            rows[offset + first] = saves[first];
            TRY(open_->writer->put_save(offset + first + 1, saves[first]));
        }
        TRY(open_->writer->set_totals(open_->segment));
        TRY(open_->database->execute("COMMIT"));
        return check_written();
    }();
    if (!written) {
        open_->segment = before;
        abandon_segment();
        return written;
    }
    saves_ = std::move(saves);
    return {};
}

// ---- Housekeeping ------------------------------------------------------------------------------

bool History::is_placed(const HistorySave& save) const {
    const std::lock_guard lock(mutex_);
    return !lost_ && !saves_.empty() && saves_.back().placed &&
           saves_.back().digest == save.digest && saves_.back().position == save.position;
}

Result<void> History::tidy_up() {
    const std::lock_guard lock(mutex_);
    if (!open_) {
        return {};
    }
    if (open_->full) {
        finish_segment();
        return {};
    }
    const std::uint64_t pages = open_->database->log_pages();
    if (pages < open_->moved_pages) {  // SQLite has begun the log anew, in the file as it is
        open_->moved_pages = 0;
    }
    if (pages - open_->moved_pages < kLogPagesMax) {
        return {};
    }
    open_->moved_pages = pages;
    const Result<void> moved = open_->database->execute("PRAGMA wal_checkpoint(PASSIVE)");
    if (!moved) {
        abandon_segment();
    }
    return moved;
}

void History::backup_made(WallTime now) {
    const std::lock_guard lock(mutex_);
    if (open_ && (open_->segment.bytes >= options_.segment_bytes_min ||
                  number(now) - number(open_->segment.created) >= options_.segment_age.count())) {
        open_->full = true;
    }
}

// From which segment on history leads from the last save to now; 0: from the first one, for all we
// know.
std::uint64_t History::first_needed() const {
    if (saves_.empty() || !saves_.front().placed) {
        return 0;
    }
    const auto begins_before = [&](const HistorySegment& segment) {
        return !segment.runs.empty() &&
               segment.runs.front().base.position.seq <= saves_.front().position.seq;
    };
    if (open_ && begins_before(open_->segment)) {
        return open_->segment.number;
    }
    const auto found = std::find_if(finished_.rbegin(), finished_.rend(), begins_before);
    return found == finished_.rend() ? 0 : found->number;
}

std::vector<std::uint64_t> History::over_bounds(std::uint64_t needed, WallTime now) const {
    std::vector<SegmentSize> sizes;
    const auto add = [&sizes](const HistorySegment& segment) {
        sizes.push_back({segment.number, segment.bytes,
                         segment.records == 0 ? segment.created : segment.last_time});
    };
    std::for_each(finished_.begin(), finished_.end(), add);
    if (open_) {  // its time and its bytes count, but it stays
        add(open_->segment);
        needed = std::min(needed, open_->segment.number);
    }
    return segments_to_remove(sizes, needed, now, options_);
}

std::vector<std::string> History::to_be_removed(WallTime now) const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const std::uint64_t number : over_bounds(next_number_, now)) {
        names.push_back(file_names::segment_name(number));
    }
    return names;
}

Result<std::vector<std::string>> History::prune(WallTime now) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t needed = first_needed();
    forget_removed(needed);
    std::vector<std::string> removed;
    for (const std::uint64_t number : over_bounds(needed, now)) {
        TRY(remove_segment(files_, path(number)));
        removed.push_back(file_names::segment_name(number));
        std::erase_if(finished_, [&](const auto& segment) { return segment.number == number; });
    }
    if (!removed.empty()) {
        TRY(files_.sync_directory(options_.place.directory));
    }
    return removed;
}

HistorySize History::size() const {
    const std::lock_guard lock(mutex_);
    HistorySize size;
    const auto add = [&size](const HistorySegment& segment) {
        ++size.segments;
        size.bytes += segment.bytes;
        if (number(size.first_time) == 0) {
            size.first_time = segment.first_time;
        }
    };
    std::for_each(finished_.begin(), finished_.end(), add);
    if (open_) {
        add(open_->segment);
    }
    return size;
}

}  // namespace snapshotter
