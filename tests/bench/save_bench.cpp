// What a save and a start cost, beside a plain copy and beside zlib, over the same bytes.
//
//     save_bench NODES MEGABYTES DIRECTORY
//
// A session of NODES nodes with MEGABYTES in all: nine of ten are objects of about 2.5 KB (fewer
// bytes if they would be too many), the rest meshes, half of them sculpted (noise in every number).
// DIRECTORY is made, and takes about twice the session. Prints rows of a table; see
// docs/TESTING.md. Memory is this process's: the session itself, and the most beside it while
// saving.

#include <zlib.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>

#include "common/pickle.h"
#include "common/session_file.h"
#include "common/verify.h"
#include "snapshotter/storage/posix_file_system.h"
#include "snapshotter/storage/store.h"

using namespace common;

namespace {

class Stopwatch {
public:
    double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point start_ = Clock::now();
};

template <typename Number>
void append(std::string& text, Number number) {
    text.append(reinterpret_cast<const char*>(&number), sizeof number);
}

Value mesh_data(std::size_t bytes, std::mt19937_64& random) {
    std::normal_distribution<float> noise(0, 0.003F);
    const bool sculpted = random() % 2 == 0;
    const auto salt = static_cast<float>(random() % 1000) / 100;
    std::string positions;
    std::string loops;
    for (std::int32_t i = 0; positions.size() + loops.size() < bytes; ++i) {
        const auto x = static_cast<float>(i % 97) / 97;
        const auto y = static_cast<float>(i / 97);
        append(positions, x + (sculpted ? noise(random) : 0));
        append(positions, y);
        append(positions, std::sin(x * salt) * std::cos(y / salt) + (sculpted ? noise(random) : 0));
        for (const std::int32_t corner : {i, i + 1, i + 98, i + 97}) {
            append(loops, corner);
        }
    }
    return Value::dict({{Value::str("type_id"), Value::str("Mesh")},
                        {Value::str("co"), Value::bytes(Bytes(std::move(positions)))},
                        {Value::str("loops"), Value::bytes(Bytes(std::move(loops)))}});
}

Value object_data(std::size_t bytes, std::mt19937_64& random) {
    std::normal_distribution<double> normal;
    std::vector<Value> weights;
    for (std::size_t i = 0; i < bytes / 9; ++i) {
        weights.push_back(Value::real(i % 4 == 0 ? 1.0 : normal(random)));
    }
    return Value::dict({{Value::str("type_id"), Value::str("Object")},
                        {Value::str("name"), Value::str("Cube." + std::to_string(random() % 1000))},
                        {Value::str("weights"), Value::list(std::move(weights))}});
}

GraphCopy make_graph(std::size_t nodes, std::size_t bytes) {
    std::mt19937_64 random(5);
    GraphCopy graph;
    graph.initialised = true;
    graph.timeline = Timeline{7};
    const std::size_t object_bytes = std::min<std::size_t>(2500, bytes / nodes / 2);
    const std::size_t meshes = std::max<std::size_t>(1, nodes / 10);
    const std::size_t mesh_bytes = (bytes - (nodes - meshes) * object_bytes) / meshes;
    for (std::size_t i = 0; i < nodes; ++i) {
        Node node;
        node.id = "00000000-0000-0000-0000-" + std::to_string(100'000'000'000 + i);
        node.owner = kOwnerCommon;
        node.dependencies = Dependencies::of(std::vector<NodeId>{});
        node.data = write_pickle(i % 10 == 0 ? mesh_data(mesh_bytes, random)
                                             : object_data(object_bytes, random));
        graph.nodes.push_back(std::make_shared<const Node>(std::move(node)));
    }
    return graph;
}

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

Result<void> bench(std::size_t nodes, std::size_t megabytes, const std::string& directory) {
    snapshotter::PosixFileSystem files;
    TRY(files.make_directories(directory));
    GraphCopy graph = make_graph(nodes, megabytes * 1'000'000);
    const auto bytes = static_cast<double>(session_bytes(graph));
    const auto count = static_cast<double>(nodes);
    const double resident = status_megabytes("VmRSS:");
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
    const Stopwatch total;
    const auto report = TRY(store->save({graph, stamp, "bench", WallTime{1'763'894'520'000}}));
    const double save_seconds = total.seconds();
    const double beside = status_megabytes("VmHWM:") - resident;
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
    std::printf("memory: %.0f MB with the session, and at most %.0f MB more while saving it\n",
                resident, beside);
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
