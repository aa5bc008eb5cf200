// For tests and measurements of session files:
//     session_file_tool copy IN OUT               read a session file, write it as Holdfast does
//     session_file_tool bench NODES BYTES DIR     save NODES nodes of BYTES bytes in DIR, print
//     times

#include <zlib.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>

#include "common/pickle.h"
#include "common/session_file.h"
#include "common/verify.h"
#include "snapshotter/storage/atomic_file.h"
#include "snapshotter/storage/posix_file_system.h"
#include "snapshotter/storage/store.h"
#include "tests/support/sample_session.h"

using namespace common;

namespace {

class Stopwatch {
public:
    double milliseconds() const {
        return std::chrono::duration<double, std::milli>(Clock::now() - start_).count();
    }

private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point start_ = Clock::now();
};

Result<void> copy(const std::string& in, const std::string& out) {
    snapshotter::PosixFileSystem files;
    const Bytes bytes = TRY(files.read(in));
    const SessionFile session = TRY(read_session_file(bytes));
    std::string written;
    SessionStamp stamp = session.stamp.value_or(support::sample_stamp(1));
    stamp.digest = session.graph.digest();
    TRY(write_session_file(session.graph, stamp, 1, [&written](std::string_view piece) {
        written.append(piece);
        return Result<void>();
    }));
    const std::size_t slash = out.rfind('/');
    VERIFY(slash != out.npos);
    TRY(snapshotter::replace_file(files, out.substr(0, slash), out.substr(slash + 1), written));
    std::printf("%zu nodes, %zu users\n", session.graph.nodes.size(),
                session.graph.metadata.size());
    return {};
}

// Vertices of a wavy surface, as float32: compresses as meshes do.
std::string mesh(std::size_t bytes, std::size_t salt) {
    std::string text(bytes / 4 * 4, '\0');
    for (std::size_t i = 0; i < bytes / 4; ++i) {
        const auto x = static_cast<double>(i + salt * 131);
        const auto value =
            static_cast<float>(i % 3 == 0 ? x / 100 : std::sin(x / 7) * std::cos(x / 91));
        std::memcpy(text.data() + i * 4, &value, sizeof value);
    }
    return text;
}

Result<void> bench(std::size_t nodes, std::size_t bytes, const std::string& directory) {
    GraphCopy graph = support::sample_graph(nodes, 0, 0);
    for (std::size_t i = 0; i < nodes; ++i) {
        Node node = *graph.nodes[i];
        node.data = write_pickle(
            Value::dict({{Value::str("type_id"), Value::str("Mesh")},
                         {Value::str("vertices"), Value::bytes(Bytes(mesh(bytes, i)))}}));
        graph.nodes[i] = std::make_shared<const Node>(std::move(node));
    }
    std::string pickled;
    SessionStamp stamp = support::sample_stamp(1);
    stamp.digest = graph.digest();
    const Stopwatch write;
    std::size_t file_bytes = 0;
    TRY(write_session_file(graph, stamp, 1, [&file_bytes](std::string_view piece) {
        file_bytes += piece.size();
        return Result<void>();
    }));
    const double write_ms = write.milliseconds();

    for (const NodePtr& node : graph.nodes) {
        for (const Bytes& chunk : node->chunks()) {
            pickled.append(chunk.view());
        }
    }
    const Stopwatch gzip;
    uLongf size = compressBound(pickled.size());
    std::string compressed(size, '\0');
    VERIFY(compress2(reinterpret_cast<Bytef*>(compressed.data()), &size,
                     reinterpret_cast<const Bytef*>(pickled.data()), pickled.size(), 1) == Z_OK);
    const double gzip_ms = gzip.milliseconds();
    const Stopwatch digest;
    VERIFY(graph.digest() == stamp.digest);
    std::printf("%zu nodes, %.1f MB, file %.1f MB\n", nodes,
                static_cast<double>(pickled.size()) / 1e6, static_cast<double>(file_bytes) / 1e6);
    std::printf("pickle and gzip %.0f ms, of which gzip %.0f ms; digest %.0f ms\n", write_ms,
                gzip_ms, digest.milliseconds());

    snapshotter::PosixFileSystem files;
    auto store = TRY(snapshotter::Store::open(files, {directory, 10, 1, "bench"}));
    TRY(store->recover(WallTime{1}, Epoch{1}));
    const auto report =
        TRY(store->save({std::move(graph), stamp, "bench", WallTime{1'763'894'520'000}}));
    std::printf(
        "save: write %lld ms, sync %lld, read back and compare %lld, backup and metadata %lld, "
        "total %lld\n",
        static_cast<long long>(report.took.write), static_cast<long long>(report.took.sync),
        static_cast<long long>(report.took.verify), static_cast<long long>(report.took.backup),
        static_cast<long long>(report.took.total));
    const Stopwatch recover;
    store.reset();
    store = TRY(snapshotter::Store::open(files, {directory, 10, 1, "bench"}));
    TRY(store->recover(WallTime{1}, Epoch{1}));
    std::printf("recover %.0f ms\n", recover.milliseconds());
    return {};
}

std::size_t number_of(const char* text) {
    std::size_t value = 0;
    std::from_chars(text, text + std::strlen(text), value);
    return value;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string command = argc > 1 ? argv[1] : "";
    Result<void> outcome = fail(ErrorKind::BadInput, "usage: copy IN OUT | bench NODES BYTES DIR");
    if (command == "copy" && argc == 4) {
        outcome = copy(argv[2], argv[3]);
    } else if (command == "bench" && argc == 5) {
        outcome = bench(number_of(argv[2]), number_of(argv[3]), argv[4]);
    }
    if (!outcome) {
        std::fprintf(stderr, "%s\n", outcome.error().what.c_str());
        return 1;
    }
    return 0;
}
