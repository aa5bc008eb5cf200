#pragma once
// The real disk.

#include "snapshotter/storage/file_system.h"

namespace snapshotter {

class PosixFileSystem : public FileSystem {
public:
    common::Result<std::unique_ptr<WritableFile>> create(const std::string& path) override;
    common::Result<common::Bytes> read(const std::string& path) override;
    common::Result<std::unique_ptr<ReadableFile>> open(const std::string& path) override;
    common::Result<FileInfo> stat(const std::string& path) override;
    common::Result<std::vector<std::string>> list(const std::string& directory) override;
    common::Result<void> rename(const std::string& from, const std::string& to) override;
    common::Result<void> remove(const std::string& path) override;
    common::Result<void> sync_directory(const std::string& directory) override;
    common::Result<void> make_directories(const std::string& directory) override;
    common::Result<std::uint64_t> free_bytes(const std::string& directory) override;
    common::Result<std::unique_ptr<FileLock>> lock(const std::string& path) override;
};

}  // namespace snapshotter
