// What codec_bench.py asks: how long the codec takes for the inputs in a folder, and what a session
// costs in memory. One line "name nanoseconds" for each, the best of several rounds.
//
//   codec_bench FOLDER      check:*.pickle, fold:*.base with *.delta
//   codec_bench FILE.db     bytes of memory that the graph of a session file takes

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "common/graph.h"
#include "common/pickle.h"
#include "common/session_file.h"

namespace {

using common::Bytes;
using Clock = std::chrono::steady_clock;

constexpr int kRounds = 9;
constexpr auto kRound = std::chrono::milliseconds(60);

volatile char sink;

Bytes contents(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return Bytes(std::string((std::istreambuf_iterator<char>(in)), {}));
}

double best_nanoseconds(const std::function<void()>& once) {
    double best = 1e18;
    for (int round = 0; round < kRounds; ++round) {
        const auto begin = Clock::now();
        auto end = begin;
        std::size_t times = 0;
        for (; end - begin < kRound; end = Clock::now()) {
            once();
            ++times;
        }
        const std::chrono::duration<double, std::nano> took = end - begin;
        best = std::min(best, took.count() / static_cast<double>(times));
    }
    return best;
}

void report(const std::string& name, const std::function<void()>& once) {
    std::printf("%s %.1f\n", name.c_str(), best_nanoseconds(once));
    std::fflush(stdout);
}

void measure_pickle(const std::string& name, const Bytes& pickle) {
    const bool is_delta = name.starts_with("commit");
    const auto use = is_delta ? common::PickleUse::Delta : common::PickleUse::Plain;
    std::string copy(pickle.size(), '\0');
    report("copy:" + name, [&] {
        std::memcpy(copy.data(), pickle.data(), pickle.size());
        sink = copy[copy.size() / 2];
    });
    report("check:" + name, [&] { sink = common::check_pickle(pickle, use) ? 1 : 0; });
    report("read:" + name, [&] { sink = common::read_pickle(pickle, use) ? 1 : 0; });
}

// As the broker does it: the delta is read and folded into a node that stays parsed. The delta is
// folded again and again, as is deepdiff's beside it.
void measure_fold(const std::string& name, const Bytes& base, const Bytes& delta) {
    common::Graph graph;
    const auto dependencies = common::Dependencies::of(std::vector<common::NodeId>{});
    if (!graph.apply(common::PutNode{{"node", "ada", dependencies, base}})) {
        std::abort();
    }
    const common::PatchNode patch{"node", dependencies, delta, std::nullopt};
    if (const auto folded = graph.apply(patch); !folded) {
        std::fprintf(stderr, "%s: %s\n", name.c_str(), folded.error().what.c_str());
        std::abort();
    }
    report("fold:" + name, [&] { sink = graph.apply(patch) ? 1 : 0; });
}

std::size_t resident_bytes() {
    std::ifstream in("/proc/self/statm");
    std::size_t pages = 0;
    in >> pages >> pages;
    return pages * 4096;
}

int measure_session(const std::filesystem::path& path) {
    Bytes file = contents(path);
    const std::size_t before = resident_bytes();
    auto session = common::read_session_file(file);
    if (!session) {
        std::fprintf(stderr, "%s\n", session.error().what.c_str());
        return 1;
    }
    const std::size_t nodes = session->graph.nodes.size();
    common::Graph graph(std::move(session->graph));
    malloc_trim(0);
    std::printf("nodes %zu\nmemory %zu\naccounted %zu\n", nodes, resident_bytes() - before,
                graph.memory_bytes());
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) {
        return 2;
    }
    const std::filesystem::path path(arguments[1]);
    if (!std::filesystem::is_directory(path)) {
        return measure_session(path);
    }
    std::vector<std::filesystem::path> files(std::filesystem::directory_iterator(path), {});
    std::sort(files.begin(), files.end());
    for (const auto& file : files) {
        if (file.extension() == ".pickle") {
            measure_pickle(file.stem(), contents(file));
        } else if (file.extension() == ".delta") {
            auto base = file;
            measure_fold(file.stem(), contents(base.replace_extension(".base")), contents(file));
        }
    }
    return 0;
}
