#pragma once
// Replaces a file whole: a temporary file beside it, sync, rename, sync of the directory. The only
// way in which lasting files come into being. Dropped without commit(), nothing was: the temporary
// file is removed. After an error of write() or sync() only dropping it is left.

#include <memory>
#include <string>
#include <string_view>

#include "common/result.h"
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
    State state_ = State::Writing;
};

// All of it in one call, read back and compared before it takes its name.
common::Result<void> replace_file(FileSystem& files, const std::string& directory,
                                  const std::string& name, std::string_view bytes);

}  // namespace snapshotter
