#include "snapshotter/storage/session_reader.h"

namespace snapshotter {

using common::Result;
using common::TellDone;

namespace {

// The file in pieces, each of which is told.
class Pieces {
public:
    static Result<Pieces> open(FileSystem& files, const std::string& path, const TellDone& tell) {
        const std::uint64_t total = tell ? TRY(files.stat(path)).bytes : 0;
        return Pieces(TRY(files.open(path)), total, tell);
    }
    Result<std::string_view> next() {
        if (tell_) {
            tell_(done_, total_);
        }
        const std::string_view piece = TRY(file_->read());
        done_ += piece.size();
        return piece;
    }

private:
    Pieces(std::unique_ptr<ReadableFile> file, std::uint64_t total, const TellDone& tell)
        : file_(std::move(file)), total_(total), tell_(tell) {}

    std::unique_ptr<ReadableFile> file_;
    std::uint64_t done_ = 0;
    std::uint64_t total_;
    const TellDone& tell_;
};

}  // namespace

Result<common::SessionFile> load_session(FileSystem& files, const std::string& path,
                                         const TellDone& tell) {
    Pieces pieces = TRY(Pieces::open(files, path, tell));
    return common::read_session_file([&] { return pieces.next(); });
}

Result<common::SessionHead> peek_session(FileSystem& files, const std::string& path) {
    const auto file = TRY(files.open(path));
    return common::peek_session_file([&] { return file->read(); });
}

Result<std::optional<common::SessionStamp>> check_session(FileSystem& files,
                                                          const std::string& path,
                                                          const TellDone& tell) {
    Pieces pieces = TRY(Pieces::open(files, path, tell));
    return common::check_session_file([&] { return pieces.next(); });
}

}  // namespace snapshotter
