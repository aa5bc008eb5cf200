// Gives each file named on the command line, or in a folder named there, to a fuzz target once, and
// after `--mutations N` also N damaged versions of each, the same ones in every run.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

std::vector<std::filesystem::path> files_in(const std::filesystem::path& path) {
    if (!std::filesystem::is_directory(path)) {
        return {path};
    }
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
        if (entry.is_regular_file()) {
            files.push_back(entry.path());
        }
    }
    std::sort(files.begin(), files.end());
    return files;
}

void give(const Input& input) {
    LLVMFuzzerTestOneInput(input.data(), input.size());
}

// A few bytes changed, taken out, doubled or put in from another input.
Input damaged(Input input, const Input& other, std::mt19937& random) {
    const auto below = [&](std::size_t bound) { return bound == 0 ? 0 : random() % bound; };
    for (std::size_t times = 1 + below(4); times > 0; --times) {
        const std::size_t at = below(input.size());
        const std::size_t size = std::min<std::size_t>(1 + below(16), input.size() - at);
        const auto begin = input.begin() + static_cast<std::ptrdiff_t>(at);
        const auto end = begin + static_cast<std::ptrdiff_t>(size);
        switch (below(4)) {
            case 0:
                std::generate(begin, end, [&] { return static_cast<std::uint8_t>(random()); });
                break;
            case 1:
                input.erase(begin, end);
                break;
            case 2: {
                const Input piece(begin, end);
                input.insert(begin, piece.begin(), piece.end());
                break;
            }
            default: {
                const auto from = other.begin() + static_cast<std::ptrdiff_t>(below(other.size()));
                const auto count = std::min<std::ptrdiff_t>(64, other.end() - from);
                input.insert(begin, from, from + count);
            }
        }
    }
    return input;
}

}  // namespace

int main(int count, char** arguments) {
    unsigned long mutations = 0;
    std::vector<std::filesystem::path> files;
    for (int i = 1; i < count; ++i) {
        if (std::string_view(arguments[i]) == "--mutations" && i + 1 < count) {
            mutations = std::strtoul(arguments[++i], nullptr, 10);
            continue;
        }
        const auto more = files_in(arguments[i]);
        files.insert(files.end(), more.begin(), more.end());
    }
    std::mt19937 random(1);
    Input before;
    for (const auto& file : files) {
        std::ifstream in(file, std::ios::binary);
        if (!in) {
            std::fprintf(stderr, "%s cannot be read\n", file.c_str());
            return 1;
        }
        std::fprintf(stderr, "%s\n", file.c_str());
        const Input input((std::istreambuf_iterator<char>(in)), {});
        give(input);
        for (unsigned long i = 0; i < mutations; ++i) {
            give(damaged(input, before, random));
        }
        before = input;
    }
    std::printf("%zu inputs replayed, with %lu damaged versions of each\n", files.size(),
                mutations);
    return files.empty() ? 1 : 0;
}
