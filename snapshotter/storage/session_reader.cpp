#include "snapshotter/storage/session_reader.h"

namespace snapshotter {

using common::Result;

Result<common::SessionFile> load_session(FileSystem& files, const std::string& path) {
    const auto file = TRY(files.open(path));
    return common::read_session_file([&] { return file->read(); });
}

Result<common::SessionHead> peek_session(FileSystem& files, const std::string& path) {
    const auto file = TRY(files.open(path));
    return common::peek_session_file([&] { return file->read(); });
}

Result<std::optional<common::SessionStamp>> check_session(FileSystem& files,
                                                          const std::string& path) {
    const auto file = TRY(files.open(path));
    return common::check_session_file([&] { return file->read(); });
}

}  // namespace snapshotter
