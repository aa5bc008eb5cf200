// What a save and a start cost, beside a plain copy and beside zlib, over the same bytes.
//
//     save_bench NODES MEGABYTES DIRECTORY
//
// A session of NODES nodes with MEGABYTES in all: see sample_graph.h. DIRECTORY is made, and takes
// about twice the session. Prints rows of a table; see docs/TESTING.md. Memory is this process's:
// the session itself, and the most beside it while saving.

#include <zlib.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/session_file.h"
#include "common/verify.h"
#include "snapshotter/storage/posix_file_system.h"
#include "snapshotter/storage/store.h"
#include "tests/bench/sample_graph.h"

using namespace common;

namespace {

class Stopwatch {
public:
    double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point start_ = Clock::now();
};

double status_megabytes(const char* key) {
    std::ifstream status("/proc/self/status");
    std::string word;
    while (status >> word) {
        if (word == key) {
            double kilobytes = 0;
            status >> kilobytes;
            return kilobytes * 1024 / 1e6;
        }
    }
    return 0;
}

void forget_peak() {
    std::ofstream("/proc/self/clear_refs") << "5";
}

// The session's bytes as they are, one node after the other.
template <typename Take>
void each_chunk(const GraphCopy& graph, Take take) {
    for (const NodePtr& node : graph.nodes) {
        for (const Bytes& chunk : node->chunks()) {
            take(chunk.view());
        }
    }
}

double plain_write(const GraphCopy& graph, snapshotter::FileSystem& files,
                   const std::string& path) {
    const Stopwatch watch;
    const auto file = files.create(path).value();
    std::string pieces;
    each_chunk(graph, [&](std::string_view bytes) {
        pieces.append(bytes);
        if (pieces.size() > 1 << 18) {
            VERIFY(file->write(pieces).has_value());
            pieces.clear();
        }
    });
    VERIFY(file->write(pieces).has_value());
    VERIFY(file->sync().has_value());
    return watch.seconds();
}

double plain_read(snapshotter::FileSystem& files, const std::string& path) {
    const Stopwatch watch;
    const auto file = files.open(path).value();
    while (!file->read().value().empty()) {
    }
    return watch.seconds();
}

// gzip -1 of the same bytes, and back, with its output in a file.
double zlib_write(const GraphCopy& graph, const std::string& path) {
    const Stopwatch watch;
    gzFile file = gzopen(path.c_str(), "wb1");
    VERIFY(file != nullptr);
    each_chunk(graph, [&](std::string_view bytes) {
        VERIFY(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())) ==
               static_cast<int>(bytes.size()));
    });
    VERIFY(gzclose(file) == Z_OK);
    return watch.seconds();
}

double zlib_read(const std::string& path) {
    const Stopwatch watch;
    gzFile file = gzopen(path.c_str(), "rb");
    VERIFY(file != nullptr);
    std::string piece(1 << 18, '\0');
    while (gzread(file, piece.data(), 1 << 18) > 0) {
    }
    VERIFY(gzclose(file) == Z_OK);
    return watch.seconds();
}

void row(const char* what, double seconds, double bytes, double nodes) {
    std::printf("| %s | %.2f | %.2f | %.2f |\n", what, seconds, seconds / bytes * 1e9,
                seconds / nodes * 10'000);
}

Result<void> bench(std::size_t nodes, std::size_t megabytes, const std::string& where) {
    snapshotter::PosixFileSystem files;
    const std::string directory = where + "/save_bench";
    std::filesystem::remove_all(directory);
    TRY(files.make_directories(directory));
    GraphCopy graph = bench_data::sample_graph(nodes, megabytes * 1'000'000);
    const auto bytes = static_cast<double>(session_bytes(graph));
    const auto count = static_cast<double>(nodes);
    std::printf(
        "%zu nodes, %.0f MB\n\n| | s | s per 1 GB | s per 10,000 nodes |\n|---|---|---|---|\n",
        nodes, bytes / 1e6);

    const std::string plain = directory + "/plain";
    const std::string zipped = directory + "/zipped.gz";
    row("plain write, sync", plain_write(graph, files, plain), bytes, count);
    row("plain read", plain_read(files, plain), bytes, count);
    row("zlib level 1, write", zlib_write(graph, zipped), bytes, count);
    row("zlib, read", zlib_read(zipped), bytes, count);
    const auto zipped_bytes = static_cast<double>(TRY(files.stat(zipped)).bytes);
    TRY(files.remove(plain));
    TRY(files.remove(zipped));

    SessionStamp stamp;
    stamp.position = {Epoch{7}, Seq{1}, Hash128{1, 2}};
    stamp.lineage = {{Epoch{7}, Position{}}};
    const snapshotter::StoreOptions options{directory, 1, 1, "bench"};
    auto store = TRY(snapshotter::Store::open(files, options));
    TRY(store->recover(WallTime{1}, Epoch{1}));
    forget_peak();
    const double resident = status_megabytes("VmRSS:");
    const Stopwatch total;
    const auto report = TRY(store->save({graph, stamp, "bench", WallTime{1'763'894'520'000}}));
    const double save_seconds = total.seconds();
    const double peak = status_megabytes("VmHWM:");
    VERIFY(report.kind == snapshotter::SaveReport::Kind::Written);
    const auto seconds = [](std::int64_t milliseconds) {
        return static_cast<double>(milliseconds) / 1000;
    };
    row("save: write", seconds(report.took.write), bytes, count);
    row("save: sync", seconds(report.took.sync), bytes, count);
    row("save: read back, load, compare", seconds(report.took.verify), bytes, count);
    row("save: backup (a copy), metadata", seconds(report.took.backup), bytes, count);
    row("save, in all", save_seconds, bytes, count);
    store.reset();
    graph = {};
    store = TRY(snapshotter::Store::open(files, options));
    const Stopwatch start;
    const auto recovered = TRY(store->recover(WallTime{1}, Epoch{1}));
    row("start: find and load", start.seconds(), bytes, count);
    VERIFY(recovered.session->graph.nodes.size() == nodes);
    std::printf("\nfile: %.1f %% of the session; zlib level 1: %.1f %%\n",
                100 * static_cast<double>(report.file_bytes) / bytes, 100 * zipped_bytes / bytes);
    std::printf(
        "memory (resident): %.0f MB before the save, with the session of %.0f MB; at most %.0f "
        "MB while saving: %.0f MB more\n",
        resident, bytes / 1e6, peak, peak - resident);
    std::filesystem::remove_all(directory);
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: save_bench NODES MEGABYTES DIRECTORY\n");
        return 2;
    }
    const Result<void> outcome =
        bench(std::strtoul(argv[1], nullptr, 10), std::strtoul(argv[2], nullptr, 10), argv[3]);
    if (!outcome) {
        std::fprintf(stderr, "%s\n", outcome.error().what.c_str());
        return 1;
    }
    return 0;
}
