#pragma once
// Replaces a file whole: a temporary file beside it, sync, rename, sync of the directory. The only
// way in which lasting files come into being. Dropped without commit(), nothing was: the temporary
// file is removed. After an error of write() or sync() only dropping it is left.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/ids.h"
#include "common/result.h"
#include "common/stream_hash.h"
#include "snapshotter/storage/file_system.h"

namespace snapshotter {

class AtomicFile {
public:
    // `files` must outlive it.
    static common::Result<std::unique_ptr<AtomicFile>> open(FileSystem& files,
                                                            const std::string& directory,
                                                            const std::string& name);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    common::Result<void> write(std::string_view bytes);
    common::Hash128 hash() const { return hash_.hash(); }  // of what was written

    // The bytes are on the disk, still under the temporary name, and no more are written: they can
    // be read back there.
    common::Result<void> sync();
    const std::string& temporary_path() const { return temporary_path_; }

    // After sync(). On success the file has its name, and keeps it.
    common::Result<void> commit();

private:
    AtomicFile(FileSystem& files, std::string directory, const std::string& name,
               std::unique_ptr<WritableFile> file);

    enum class State { Writing, Synced, Renamed, Broken };

    FileSystem& files_;
    std::string directory_;
    std::string path_;
    std::string temporary_path_;
    std::unique_ptr<WritableFile> file_;
    common::StreamHash hash_;
    State state_ = State::Writing;
};

// A file that is read in pieces and hashed on the way.
class HashedReader {
public:
    static common::Result<std::unique_ptr<HashedReader>> open(FileSystem& files,
                                                              const std::string& path);
    // The next piece, valid until the next call; empty at the end.
    common::Result<std::string_view> read();
    // The rest, for its hash only.
    common::Result<void> read_rest();
    common::Hash128 hash() const { return hash_.hash(); }  // of what was read
    std::uint64_t bytes() const { return bytes_; }

private:
    explicit HashedReader(std::unique_ptr<ReadableFile> file) : file_(std::move(file)) {}

    std::unique_ptr<ReadableFile> file_;
    common::StreamHash hash_;
    std::uint64_t bytes_ = 0;
};

// A file of its own with the same bytes, in the same way. If `hash` is given, it must be that of
// what is read: else somebody has changed the file. `progress` is told how many bytes are done.
common::Result<void> copy_file(FileSystem& files, const std::string& from,
                               const std::string& directory, const std::string& name,
                               const std::optional<common::Hash128>& hash,
                               const std::function<void(std::uint64_t)>& progress = {});

// All of it in one call, read back and compared before it takes its name.
common::Result<void> replace_file(FileSystem& files, const std::string& directory,
                                  const std::string& name, std::string_view bytes);

}  // namespace snapshotter
