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
    hash_.add(bytes);
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

Result<std::unique_ptr<HashedReader>> HashedReader::open(FileSystem& files,
                                                         const std::string& path) {
    return std::unique_ptr<HashedReader>(new HashedReader(TRY(files.open(path))));
}

Result<std::string_view> HashedReader::read() {
    const std::string_view piece = TRY(file_->read());
    hash_.add(piece);
    bytes_ += piece.size();
    return piece;
}

Result<void> HashedReader::read_rest() {
    while (!TRY(read()).empty()) {
    }
    return {};
}

Result<void> copy_file(FileSystem& files, const std::string& from, const std::string& directory,
                       const std::string& name, const std::optional<common::Hash128>& hash,
                       const std::function<void(std::uint64_t)>& progress) {
    const auto original = TRY(HashedReader::open(files, from));
    const auto file = TRY(AtomicFile::open(files, directory, name));
    while (true) {
        const std::string_view piece = TRY(original->read());
        if (piece.empty()) {
            break;
        }
        TRY(file->write(piece));
        if (progress) {
            progress(original->bytes());
        }
    }
    if (hash && original->hash() != *hash) {
        return fail(ErrorKind::Io, from + " is not what was written there any more");
    }
    TRY(file->sync());
    const auto back = TRY(HashedReader::open(files, file->temporary_path()));
    TRY(back->read_rest());
    if (back->hash() != file->hash()) {
        return fail(ErrorKind::Io, file_names::join(directory, name) +
                                       " did not come back from the disk as it was written");
    }
    return file->commit();
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
