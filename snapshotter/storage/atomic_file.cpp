#include "snapshotter/storage/atomic_file.h"

#include "common/verify.h"
#include "snapshotter/storage/file_names.h"

namespace snapshotter {

using common::Bytes;
using common::ErrorKind;
using common::fail;
using common::Result;

Result<std::unique_ptr<AtomicFile>> AtomicFile::open(FileSystem& files,
                                                     const std::string& directory,
                                                     const std::string& name) {
    auto file = TRY(files.create(file_names::join(directory, file_names::temporary(name))));
    return std::unique_ptr<AtomicFile>(new AtomicFile(files, directory, name, std::move(file)));
}

AtomicFile::AtomicFile(FileSystem& files, std::string directory, const std::string& name,
                       std::unique_ptr<WritableFile> file)
    : files_(files),
      directory_(std::move(directory)),
      path_(file_names::join(directory_, name)),
      temporary_path_(file_names::join(directory_, file_names::temporary(name))),
      file_(std::move(file)) {}

AtomicFile::~AtomicFile() {
    file_.reset();
    if (state_ != State::Renamed) {
        // If that fails too, the next start removes it.
        static_cast<void>(files_.remove(temporary_path_));
    }
}

Result<void> AtomicFile::write(std::string_view bytes) {
    VERIFY(state_ == State::Writing);
    Result<void> written = file_->write(bytes);
    if (!written) {
        state_ = State::Broken;
    }
    return written;
}

Result<void> AtomicFile::sync() {
    VERIFY(state_ == State::Writing);
    Result<void> synced = file_->sync();
    state_ = synced ? State::Synced : State::Broken;
    file_.reset();
    return synced;
}

Result<void> AtomicFile::commit() {
    VERIFY(state_ == State::Synced);
    TRY(files_.rename(temporary_path_, path_));
    state_ = State::Renamed;
    return files_.sync_directory(directory_);
}

Result<void> replace_file(FileSystem& files, const std::string& directory, const std::string& name,
                          std::string_view bytes) {
    auto file = TRY(AtomicFile::open(files, directory, name));
    TRY(file->write(bytes));
    TRY(file->sync());
    const Bytes back = TRY(files.read(file->temporary_path()));
    if (back.view() != bytes) {
        return fail(ErrorKind::Io, file_names::join(directory, name) +
                                       " did not come back from the disk as it was written");
    }
    return file->commit();
}

}  // namespace snapshotter
