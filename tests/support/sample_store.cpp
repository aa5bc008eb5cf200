#include "tests/support/sample_store.h"

#include <algorithm>

#include "tests/support/sample_session.h"

namespace support {

common::WallTime at(std::int64_t seconds) {
    return common::WallTime{1'763'894'520'000 + seconds * 1000};
}

snapshotter::SaveRequest sample_save(std::uint64_t step, const std::string& reason) {
    return {sample_graph(3, step), sample_stamp(step), reason, at(static_cast<std::int64_t>(step))};
}

std::size_t count(const SimFileSystem& files, const std::string& prefix) {
    const std::vector<std::string> paths = files.paths();
    return static_cast<std::size_t>(
        std::count_if(paths.begin(), paths.end(),
                      [&](const std::string& path) { return path.starts_with(prefix); }));
}

bool says(const std::vector<std::string>& sentences, const std::string& part) {
    return std::any_of(sentences.begin(), sentences.end(), [&](const std::string& sentence) {
        return sentence.find(part) != std::string::npos;
    });
}

}  // namespace support
