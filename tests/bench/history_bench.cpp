// How old changes are when they are called durable, and how fast the history is read again.
//
//     history_bench SECONDS DIRECTORY [WORDS]
//
// Records go to the thread that writes the history as the mirror hands them over, at a fixed rate,
// for SECONDS under each load, or under those alone whose name has WORDS in it. Rows of bare writes
// and syncs, in the same run, say what the disk itself takes. DIRECTORY is made,
// takes up to 30 MB for each second and 500 MB for saves, and should lie on the disk that is asked
// about. Saves are real ones, of 200 MB, by the thread that makes them in the snapshotter. The
// age of a change counts from its arrival to the moment when the snapshotter's loop is told that it
// is durable. Prints rows of a table; see docs/TESTING.md.

#include <poll.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/io/clock.h"
#include "common/pickle.h"
#include "common/verify.h"
#include "snapshotter/history_worker.h"
#include "snapshotter/save_worker.h"
#include "snapshotter/storage/history.h"
#include "snapshotter/storage/history_reader.h"
#include "snapshotter/storage/posix_file_system.h"
#include "snapshotter/storage/recovery.h"
#include "snapshotter/storage/store.h"
#include "tests/bench/sample_graph.h"
#include "tests/support/graph_gen.h"

using namespace common;
using namespace snapshotter;

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::duration duration) {
    return std::chrono::duration<double, std::milli>(duration).count();
}

struct Load {
    const char* name;
    int commits_per_second;
    int mesh_edits_per_second;  // of 60 KB
    bool saves;                 // the session is saved beside it without a pause
};
constexpr Load kLoads[] = {
    {"1,000 commits/s of 1 KB", 1'000, 0, false},
    {"1,000 commits/s and mesh edits of 6 MB/s", 1'000, 100, false},
    {"20,000 commits/s of 1 KB", 20'000, 0, false},
    {"1,000 commits/s and mesh edits of 6 MB/s, beside saves", 1'000, 100, true},
    {"20,000 commits/s of 1 KB, beside saves", 20'000, 0, true},
};
constexpr std::size_t kCommitBytes = 850;  // and what is around them
constexpr std::size_t kMeshBytes = 60'000;
constexpr std::size_t kSavedNodes = 20'000;
constexpr std::size_t kSavedBytes = 200'000'000;

// Positions of vertices, as somebody sculpts them: noise in every number.
std::string mesh(std::size_t bytes, std::mt19937_64& random) {
    std::normal_distribution<float> noise(0, 0.003F);
    std::string text;
    for (int i = 0; text.size() < bytes; ++i) {
        for (const float number : {static_cast<float>(i % 97) / 97 + noise(random),
                                   static_cast<float>(i / 97), std::sin(static_cast<float>(i))}) {
            text.append(reinterpret_cast<const char*>(&number), sizeof number);
        }
    }
    text.resize(bytes);
    return text;
}

// A commit to a node of support::make_node.
Mutation commit(std::size_t bytes, std::mt19937_64& random) {
    const auto change = [](const char* path, Value value) {
        return std::pair(Value::str(path),
                         Value::dict({{Value::str("new_value"), std::move(value)}}));
    };
    return PatchNode{
        "node", Dependencies::of(std::vector<NodeId>{}),
        write_pickle(Value::dict(
            {{Value::str("values_changed"),
              Value::dict({change("root['blob']", Value::bytes(Bytes(mesh(bytes, random))))})}}))};
}

// The broker's records, without a broker.
class Records {
public:
    AppliedRecord next(Mutation mutation) {
        feed::Record record{position_.epoch, common::next(position_.seq), io::wall_now(), "ada",
                            std::move(mutation)};
        feed::Frames frames = feed::encode_record(record);
        position_.seq = record.seq;
        position_.chain = feed::chain_after(position_.chain, frames);
        return {std::move(record), std::move(frames), position_};
    }
    AppliedRecord begin() {
        position_.epoch = Epoch{7};
        return next(EpochStarted{{}});
    }
    const Position& position() const { return position_; }

private:
    Position position_;
};

double at(std::vector<double>& sorted, double share) {
    return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

class Run {
public:
    Run(const Load& load, int seconds, HistoryWorker& worker)
        : load_(load),
          worker_(worker),
          arrived_(
              static_cast<std::size_t>(seconds) *
                  static_cast<std::size_t>(load.commits_per_second + load.mesh_edits_per_second) +
              kBefore + 1) {
        std::mt19937_64 random(5);
        for (int i = 0; i < 200; ++i) {
            commits_.push_back(commit(kCommitBytes, random));
            meshes_.push_back(commit(kMeshBytes, random));
        }
    }

    // Sorted ages of all changes in milliseconds.
    std::vector<double> ages() {
        std::thread producer([this] { produce(); });
        std::vector<double> ages;
        std::uint64_t done = 0;
        while (done + 1 < arrived_.size()) {
            pollfd item{worker_.descriptor(), POLLIN, 0};
            VERIFY(::poll(&item, 1, 60'000) == 1);
            const HistoryReport report = worker_.take_report();
            VERIFY(!report.error && !report.wants_save);
            const auto now = Clock::now();
            for (; report.durable && done < number(report.durable->seq); ++done) {
                if (done >= kBefore) {
                    ages.push_back(milliseconds(now - arrived_[done + 1]));
                }
            }
        }
        producer.join();
        std::sort(ages.begin(), ages.end());
        return ages;
    }
    const Position& end() const { return records_.position(); }

private:
    static constexpr std::size_t kBefore = 3;  // the session's beginning

    void add(AppliedRecord record) {
        arrived_[number(record.record.seq)] = Clock::now();
        worker_.add(std::move(record), io::instant_now());
    }

    void produce() {
        add(records_.begin());
        add(records_.next(PutNode{support::make_node("node", "ada", {}, 1)}));
        add(records_.next(Initialised{Timeline{7}}));
        const int rate = load_.commits_per_second + load_.mesh_edits_per_second;
        const int mesh_every =
            load_.mesh_edits_per_second == 0 ? 0 : rate / load_.mesh_edits_per_second;
        const auto began = Clock::now();
        for (std::size_t i = 0; i + kBefore + 1 < arrived_.size(); ++i) {
            std::this_thread::sleep_until(
                began + std::chrono::microseconds(i * 1'000'000 / static_cast<std::size_t>(rate)));
            const bool is_mesh = mesh_every != 0 && i % static_cast<std::size_t>(mesh_every) == 0;
            add(records_.next((is_mesh ? meshes_ : commits_)[i % commits_.size()]));
        }
    }

    const Load& load_;
    HistoryWorker& worker_;
    Records records_;
    std::vector<Clock::time_point> arrived_;  // by seq
    std::vector<Mutation> commits_;
    std::vector<Mutation> meshes_;
};

// The session is saved, with a backup, again and again.
class Saves {
public:
    Saves(FileSystem& files, const std::string& directory, const GraphCopy& session) {
        auto store = Store::open(files, {directory, 1, 1, "bench"}).value();
        VERIFY(store->recover(WallTime{1}, Epoch{1}).has_value());
        worker_ = std::make_unique<SaveWorker>(std::move(store));
        thread_ = std::thread([this, graph = GraphCopy(session)]() mutable {
            SessionStamp stamp;
            stamp.lineage = {{Epoch{7}, Position{}}};
            for (std::uint64_t i = 1; !stopped_; ++i) {
                graph.metadata["ada"] = write_pickle(Value::integer(static_cast<std::int64_t>(i)));
                stamp.position = {Epoch{7}, Seq{i}, Hash128{7, i}};
                worker_->submit({graph, stamp, "bench", io::wall_now()});
                pollfd item{worker_->descriptor(), POLLIN, 0};
                VERIFY(::poll(&item, 1, 600'000) == 1);
                for (const WorkerDone& done : worker_->take_done()) {
                    const auto& save = std::get<SaveDone>(done);
                    VERIFY(save.outcome && save.outcome->warnings.empty());
                    took_.push_back(static_cast<double>(save.outcome->took.total) / 1000);
                }
            }
        });
    }
    ~Saves() { static_cast<void>(stop()); }
    Saves(const Saves&) = delete;
    Saves& operator=(const Saves&) = delete;

    // How many seconds each save took, sorted.
    std::vector<double> stop() {
        stopped_ = true;
        if (thread_.joinable()) {
            thread_.join();
        }
        std::sort(took_.begin(), took_.end());
        return took_;
    }

private:
    std::unique_ptr<SaveWorker> worker_;
    std::vector<double> took_;
    std::atomic<bool> stopped_ = false;
    std::thread thread_;
};

// What the disk itself takes, without SQLite and without a history.
struct Bare {
    const char* name;
    std::size_t bytes;  // written and synced every 50 ms
    bool saves;
};
constexpr Bare kBare[] = {
    {"a bare write and sync of 16 KB", 16 << 10, false},
    {"a bare write and sync of 512 KB", 512 << 10, false},
    {"a bare write and sync of 512 KB, beside saves", 512 << 10, true},
};

Result<void> bare_syncs(const Bare& bare, int seconds, const GraphCopy& session,
                        const std::string& where) {
    PosixFileSystem files;
    const std::string directory = where + "/history_bench";
    std::filesystem::remove_all(directory);
    TRY(files.make_directories(directory));
    const auto saves = bare.saves ? std::make_unique<Saves>(files, directory, session) : nullptr;
    const std::string path = directory + "/bare";
    const auto file = TRY(files.create(path));
    const std::string piece(bare.bytes, 'x');
    std::vector<double> took;
    for (int i = 0; i < seconds * 20; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        const auto began = Clock::now();
        TRY(file->write(piece));
        TRY(file->sync());
        took.push_back(milliseconds(Clock::now() - began));
    }
    std::sort(took.begin(), took.end());
    std::printf("| %s | %.0f | %.0f | %.0f | | | |\n", bare.name, at(took, 0.5), at(took, 0.99),
                took.back());
    return {};
}

Result<void> bench(const Load& load, int seconds, const GraphCopy& session,
                   const std::string& where) {
    PosixFileSystem files;
    const std::string directory = where + "/history_bench";
    const HistoryPlace place{directory + "/history", ""};
    std::filesystem::remove_all(directory);
    TRY(files.make_directories(directory));
    std::vector<double> ages;
    std::vector<double> saves_took;
    Position end;
    HistorySize size;
    {
        const auto saves =
            load.saves ? std::make_unique<Saves>(files, directory, session) : nullptr;
        const auto history = TRY(History::open(files, {.place = place, .version = "bench"}));
        HistoryWorker worker(*history, HistoryQueue({}, std::nullopt));
        Run run(load, seconds, worker);
        ages = run.ages();
        end = run.end();
        size = history->size();
        saves_took = saves ? saves->stop() : saves_took;
    }
    const auto began = Clock::now();
    const auto reader = TRY(HistoryReader::open(files, place));
    const GoneOn gone = TRY(go_on(*reader, {}));
    const double took = milliseconds(Clock::now() - began) / 1000;
    VERIFY(gone.state.position == end);
    std::printf("| %s | %.0f | %.0f | %.0f | %.1f | %.0f | ", load.name, at(ages, 0.5),
                at(ages, 0.99), ages.back(), static_cast<double>(size.bytes) / 1e6,
                static_cast<double>(gone.records) / took);
    if (!saves_took.empty()) {
        std::printf("%zu of %.1f s ", saves_took.size(), at(saves_took, 0.5));
    }
    std::printf("|\n");
    std::filesystem::remove_all(directory);
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    const int seconds = argc == 3 || argc == 4 ? std::atoi(argv[1]) : 0;
    const std::string words = argc == 4 ? argv[3] : "";
    if (seconds <= 0) {
        std::fprintf(stderr, "usage: history_bench SECONDS DIRECTORY [WORDS]\n");
        return 2;
    }
    std::printf(
        "| for %d s | age p50 ms | p99 ms | max ms | MB on disk | read again: changes/s | saves |\n"
        "|---|---|---|---|---|---|---|\n",
        seconds);
    const GraphCopy session = bench_data::sample_graph(kSavedNodes, kSavedBytes);
    const auto is_wanted = [&](const char* name) {
        return std::string_view(name).find(words) != std::string_view::npos;
    };
    const auto print = [](const Result<void>& outcome) {
        if (!outcome) {
            std::fprintf(stderr, "%s\n", outcome.error().what.c_str());
            std::exit(1);
        }
        std::fflush(stdout);
    };
    for (const Bare& bare : kBare) {
        if (is_wanted(bare.name)) {
            print(bare_syncs(bare, seconds, session, argv[2]));
        }
    }
    for (const Load& load : kLoads) {
        if (is_wanted(load.name)) {
            print(bench(load, seconds, session, argv[2]));
        }
    }
    return 0;
}
