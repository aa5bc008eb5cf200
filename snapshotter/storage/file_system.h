#pragma once
// All that the snapshotter asks of a disk. Two implementations: the real one, and the one of the
// tests, which dies where it is told to.
//
// Paths are absolute or relative to the working directory. Errors are Io unless said otherwise and
// name the path, the reason and what a person can do about it (file_error.h).

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"

namespace snapshotter {

// Tells whether a file is still the one that we wrote: whoever replaces or rewrites it changes one
// of these.
struct FileInfo {
    std::uint64_t bytes = 0;
    std::int64_t modified_ns = 0;
    std::uint64_t number = 0;  // the inode
    std::uint64_t device = 0;  // of the file system that it lies on
    friend bool operator==(const FileInfo&, const FileInfo&) = default;
};

// A file being written. Closed when it goes; only sync() says that its bytes are on the disk. After
// an error it is of no use any more: nobody knows what it holds.
class WritableFile {
public:
    WritableFile() = default;
    WritableFile(const WritableFile&) = delete;
    WritableFile& operator=(const WritableFile&) = delete;
    virtual ~WritableFile() = default;

    virtual common::Result<void> write(std::string_view bytes) = 0;
    // What is read after it comes from the disk again and not out of memory, as far as the system
    // lets us ask for that.
    virtual common::Result<void> sync() = 0;
};

// A file being read, whatever becomes of its name meanwhile.
class ReadableFile {
public:
    ReadableFile() = default;
    ReadableFile(const ReadableFile&) = delete;
    ReadableFile& operator=(const ReadableFile&) = delete;
    virtual ~ReadableFile() = default;

    // The next piece, valid until the next call; empty at the end.
    virtual common::Result<std::string_view> read() = 0;
};

// Held as long as it lives, released by the system if the process dies.
class FileLock {
public:
    FileLock() = default;
    FileLock(const FileLock&) = delete;
    FileLock& operator=(const FileLock&) = delete;
    virtual ~FileLock() = default;

    // False: its file is not there any more, or another one has its name. Whoever comes next can
    // lock that one too.
    virtual bool is_in_place() const = 0;
};

class FileSystem {
public:
    FileSystem() = default;
    FileSystem(const FileSystem&) = delete;
    FileSystem& operator=(const FileSystem&) = delete;
    virtual ~FileSystem() = default;

    // An empty new file. One that has the name is removed, not emptied: what is left of it after a
    // failed sync is not written to again.
    virtual common::Result<std::unique_ptr<WritableFile>> create(const std::string& path) = 0;

    // NotFound if there is none. The bytes are a copy: they stay when the file changes.
    virtual common::Result<common::Bytes> read(const std::string& path) = 0;
    virtual common::Result<std::unique_ptr<ReadableFile>> open(const std::string& path) = 0;
    // Of a file or a directory.
    virtual common::Result<FileInfo> stat(const std::string& path) = 0;

    // The names of the plain files in a directory, sorted. NotFound if there is no directory.
    virtual common::Result<std::vector<std::string>> list(const std::string& directory) = 0;

    // Takes the place of a file that has the name `to`, in one step.
    virtual common::Result<void> rename(const std::string& from, const std::string& to) = 0;
    virtual common::Result<void> remove(const std::string& path) = 0;

    // Until then a new name, a rename or a removal in `directory` may be undone by a power failure.
    virtual common::Result<void> sync_directory(const std::string& directory) = 0;

    // With its parents; no error if it is there. One that was made survives a power failure.
    virtual common::Result<void> make_directories(const std::string& directory) = 0;

    // What we may still write there.
    virtual common::Result<std::uint64_t> free_bytes(const std::string& directory) = 0;

    // Busy if somebody else holds it: the error names the path and, if known, the process.
    virtual common::Result<std::unique_ptr<FileLock>> lock(const std::string& path) = 0;
};

}  // namespace snapshotter
