#include "snapshotter/storage/history_reader.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/verify.h"
#include "snapshotter/storage/file_names.h"
#include "snapshotter/storage/sqlite.h"

namespace snapshotter {

using common::Error;
using common::ErrorKind;
using common::Position;
using common::Result;
using common::WallTime;
using file_names::join;

namespace {

bool is_damage(const Error& error) {
    return error.kind == ErrorKind::BadInput || error.kind == ErrorKind::Limit ||
           error.kind == ErrorKind::Unsupported;
}

Result<void> read_segment(const HistoryPlace& place, HistorySegment& segment) {
    const auto database = TRY(sqlite::Database::open(segment.file, sqlite::Mode::Read, place.vfs));
    return history_segment::read(*database, segment);
}

std::string place_of(const Position& position) {
    return common::to_string(position);
}

}  // namespace

std::string to_string(const HistoryDamage& damage) {
    std::string text =
        "history after " + place_of(damage.after) + " cannot be read: " + damage.what;
    text += damage.before
                ? "; what came between that and " + place_of(*damage.before) + " is missing"
                : "; what came after that is missing";
    return text;
}

// Some records of one run: those after the first `from` up to the first `to`.
struct HistoryReader::Leg {
    std::size_t segment = 0;
    std::size_t run = 0;
    std::uint64_t from = 0;
    std::uint64_t to = 0;
};

// The runs of all segments in the order in which they were written, and where positions lie in
// them. A segment's file is opened when it is needed.
struct HistoryReader::Spot {
    const HistoryPlace& place;
    const std::vector<HistorySegment>& segments;
    std::vector<std::pair<std::size_t, std::size_t>> order;  // segment, run

    Spot(const HistoryPlace& where, const std::vector<HistorySegment>& all)
        : place(where), segments(all) {
        for (std::size_t i = 0; i < all.size(); ++i) {
            for (std::size_t j = 0; j < all[i].runs.size(); ++j) {
                order.emplace_back(i, j);
            }
        }
    }

    const HistoryRun& run(std::size_t index) const {
        return segments[order[index].first].runs[order[index].second];
    }

    // After how many of the run's records `position` is reached. None: not in this run.
    Result<std::optional<std::uint64_t>> locate(std::size_t index, const Position& position) const {
        const HistoryRun& here = run(index);
        if (position == here.base.position) {
            return std::uint64_t{0};
        }
        if (position == here.last) {
            return here.records;
        }
        if (number(position.seq) <= number(here.base.position.seq) ||
            number(position.seq) >= number(here.last.seq)) {
            return std::nullopt;
        }
        const std::uint64_t after = number(position.seq) - number(here.base.position.seq);
        const auto database = sqlite::Database::open(segments[order[index].first].file,
                                                     sqlite::Mode::Read, place.vfs);
        if (!database) {
            return tl::unexpected(database.error());
        }
        const auto found = history_segment::position_of(**database, here.first + after - 1);
        if (!found && !is_damage(found.error())) {
            return tl::unexpected(found.error());
        }
        return found && *found == position ? std::optional(after) : std::nullopt;
    }

    Leg leg(std::size_t index, std::uint64_t from, std::uint64_t to) const {
        return {order[index].first, order[index].second, from, to};
    }

    // The present way on from `from`.
    Result<std::vector<Leg>> onwards(Position from) const {
        std::vector<Leg> legs;
        std::size_t begin = 0;
        for (std::size_t index = order.size(); index > begin;) {
            --index;
            if (const auto after = TRY(locate(index, from))) {
                legs.push_back(leg(index, *after, run(index).records));
                from = run(index).last;
                begin = index + 1;
                index = order.size();
            }
        }
        return legs;
    }

    // A way from `from` to `to`, through runs before `end`. `dead`: runs whose base cannot be
    // reached.
    Result<bool> way(const Position& from, const Position& to, std::size_t end,
                     std::set<std::size_t>& dead, std::vector<Leg>& legs) const {
        for (std::size_t index = end; index > 0;) {
            --index;
            const auto goal = TRY(locate(index, to));
            if (!goal) {
                continue;
            }
            const auto start = TRY(locate(index, from));
            if (start && *start <= *goal) {
                legs.push_back(leg(index, *start, *goal));
                return true;
            }
            if (dead.contains(index)) {
                continue;
            }
            if (TRY(way(from, run(index).base.position, index, dead, legs))) {
                legs.push_back(leg(index, 0, *goal));
                return true;
            }
            dead.insert(index);
        }
        return false;
    }
};

HistoryReader::HistoryReader(HistoryPlace place, std::vector<HistorySegment> segments)
    : place_(std::move(place)), segments_(std::move(segments)) {}

Result<std::unique_ptr<HistoryReader>> HistoryReader::open(FileSystem& files, HistoryPlace place) {
    std::vector<HistorySegment> segments;
    const auto names = files.list(place.directory);
    if (!names && names.error().kind != ErrorKind::NotFound) {
        return tl::unexpected(names.error());
    }
    for (const std::string& name : names ? *names : std::vector<std::string>()) {
        const auto number = file_names::parse_segment(name);
        if (!number) {
            continue;
        }
        HistorySegment blank;
        blank.number = *number;
        blank.file = join(place.directory, name);
        for (const char* part : {"", "-wal"}) {
            const auto info = files.stat(blank.file + part);
            blank.bytes += info ? info->bytes : 0;
        }
        HistorySegment segment = blank;
        if (const auto read = read_segment(place, segment); !read) {
            if (!is_damage(read.error()) || read.error().kind == ErrorKind::Unsupported) {
                return tl::unexpected(read.error());
            }
            segment = blank;
            segment.damage = read.error();
        }
        segments.push_back(std::move(segment));
    }
    std::sort(segments.begin(), segments.end(),
              [](const auto& a, const auto& b) { return a.number < b.number; });
    return std::unique_ptr<HistoryReader>(new HistoryReader(std::move(place), std::move(segments)));
}

Result<Replayed> HistoryReader::replay(const Position& from, const std::optional<Position>& to,
                                       const history_segment::Take& take) const {
    const Spot spots(place_, segments_);
    Replayed done;
    done.position = from;
    std::vector<Leg> legs;
    if (to) {
        std::set<std::size_t> dead;
        done.reached = from == *to || TRY(spots.way(from, *to, spots.order.size(), dead, legs));
        if (!done.reached || from == *to) {
            return done;
        }
    } else {
        legs = TRY(spots.onwards(from));
    }
    // Where good history begins again behind a segment.
    const auto next_good = [this](std::size_t behind) -> std::optional<Position> {
        for (std::size_t i = behind + 1; i < segments_.size(); ++i) {
            if (!segments_[i].runs.empty()) {
                return segments_[i].runs.front().base.position;
            }
        }
        return std::nullopt;
    };
    bool stopped = false;
    for (const Leg& leg : legs) {
        const HistorySegment& segment = segments_[leg.segment];
        const HistoryRun& run = segment.runs[leg.run];
        if (leg.from == leg.to) {
            continue;
        }
        Result<void> taken = {};
        const auto counted = [&](HistoryRow&& row) -> Result<bool> {
            const Position position = row.position;
            auto more = take(std::move(row));
            if (!more) {
                taken = tl::unexpected(more.error());
                return false;
            }
            done.position = position;
            ++done.records;
            stopped = !*more;
            return *more;
        };
        Result<void> read = {};
        if (const auto database =
                sqlite::Database::open(segment.file, sqlite::Mode::Read, place_.vfs)) {
            read = history_segment::read_records(**database, segment.file, run.first + leg.from,
                                                 run.first + leg.to - 1, done.position, counted);
        } else {
            read = tl::unexpected(database.error());
        }
        TRY(taken);
        if (!read && !is_damage(read.error())) {
            return tl::unexpected(read.error());
        }
        if (!read) {
            done.damage = HistoryDamage{segment.file, done.position, next_good(leg.segment),
                                        read.error().what};
            done.reached = !to;
            return done;
        }
        if (stopped) {
            done.reached = !to || done.position == *to;
            return done;
        }
    }
    if (!to) {
        // Behind the end there may be files that cannot be read at all.
        const std::size_t last = legs.empty() ? segments_.size() : legs.back().segment;
        for (std::size_t i = last + 1; i < segments_.size(); ++i) {
            if (segments_[i].damage) {
                done.damage = HistoryDamage{segments_[i].file, done.position, next_good(i),
                                            segments_[i].damage->what};
                break;
            }
        }
    }
    return done;
}

Result<std::optional<Position>> HistoryReader::at(WallTime time) const {
    for (auto segment = segments_.rbegin(); segment != segments_.rend(); ++segment) {
        if (segment->records == 0) {
            continue;
        }
        const auto database =
            TRY(sqlite::Database::open(segment->file, sqlite::Mode::Read, place_.vfs));
        auto row = TRY(
            database->prepare("SELECT max(record) FROM records WHERE time <= ?1 AND record <= ?2"));
        row.bind(1, number(time));
        row.bind(2, static_cast<std::int64_t>(segment->records));
        if (TRY(row.step()) && !row.is_null(0)) {
            const std::int64_t found = TRY(row.integer(0));
            return TRY(history_segment::position_of(*database, static_cast<std::uint64_t>(found)));
        }
    }
    return std::nullopt;
}

Result<std::optional<Position>> HistoryReader::find(common::Epoch epoch, common::Seq seq) const {
    const Spot spots(place_, segments_);
    for (std::size_t index = spots.order.size(); index > 0;) {
        --index;
        const HistoryRun& run = spots.run(index);
        if (run.base.position.epoch == epoch && run.base.position.seq == seq) {
            return run.base.position;
        }
        if (number(seq) <= number(run.base.position.seq) || number(seq) > number(run.last.seq)) {
            continue;
        }
        const auto database = TRY(sqlite::Database::open(segments_[spots.order[index].first].file,
                                                         sqlite::Mode::Read, place_.vfs));
        const Position found = TRY(history_segment::position_of(
            *database, run.first + number(seq) - number(run.base.position.seq) - 1));
        if (found.epoch == epoch) {
            return found;
        }
    }
    return std::nullopt;
}

std::vector<HistorySave> HistoryReader::current_saves() const {
    for (auto segment = segments_.rbegin(); segment != segments_.rend(); ++segment) {
        const std::vector<HistorySave>& saves = segment->saves;
        if (saves.empty()) {
            continue;
        }
        const auto placed = std::find_if(saves.rbegin(), saves.rend(),
                                         [](const HistorySave& save) { return save.placed; });
        return {placed == saves.rend() ? saves.begin() : placed.base() - 1, saves.end()};
    }
    return {};
}

}  // namespace snapshotter
