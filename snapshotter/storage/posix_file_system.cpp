#include "snapshotter/storage/posix_file_system.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "common/file_error.h"

namespace snapshotter {

using common::Bytes;
using common::ErrorKind;
using common::fail;
using common::Result;

namespace {

auto refused(const std::string& what, const std::string& path, int error) {
    return tl::unexpected<common::Error>(common::file_error(what, path, error));
}

class Descriptor {
public:
    Descriptor(const std::string& path, int flags) {
        do {
            number_ = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
        } while (number_ < 0 && errno == EINTR);
    }
    ~Descriptor() {
        if (number_ >= 0) {
            ::close(number_);
        }
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    bool is_open() const { return number_ >= 0; }
    int number() const { return number_; }

private:
    int number_ = -1;
};

Result<void> write_all(int descriptor, std::string_view bytes, const std::string& path) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return refused("write", path, errno);
        }
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

class PosixWritableFile : public WritableFile {
public:
    explicit PosixWritableFile(const std::string& path)
        : path_(path), descriptor_(path, O_WRONLY | O_CREAT | O_EXCL) {}

    bool is_open() const { return descriptor_.is_open(); }

    Result<void> write(std::string_view bytes) override {
        TRY(write_all(descriptor_.number(), bytes, path_));
        written_ += static_cast<off_t>(bytes.size());
        return written_ - on_its_way_ < kDirtyBytesMax ? Result<void>() : send();
    }

    Result<void> sync() override {
        if (::fsync(descriptor_.number()) != 0) {
            return refused("sync", path_, errno);
        }
        // A wish: where it is not granted, what is read back may come out of memory.
        static_cast<void>(::posix_fadvise(descriptor_.number(), 0, 0, POSIX_FADV_DONTNEED));
        return {};
    }

private:
    // Written back as it comes, and never much at once: the syncs of the history, on the same disk,
    // wait for what the system has gathered of a save, whose own sync comes at its end.
    static constexpr off_t kDirtyBytesMax = 2 << 20;

    Result<void> send() {
        const int status = ::sync_file_range(
            descriptor_.number(), on_its_way_, written_ - on_its_way_,
            SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
        // What it says of the disk it does not say again at the sync. Where there is no such call,
        // nothing is wrong.
        if (status != 0 && (errno == EIO || errno == ENOSPC)) {
            return refused("write", path_, errno);
        }
        on_its_way_ = written_;
        return {};
    }

    std::string path_;
    Descriptor descriptor_;
    off_t written_ = 0;
    off_t on_its_way_ = 0;
};

class PosixReadableFile : public ReadableFile {
public:
    explicit PosixReadableFile(const std::string& path)
        : path_(path), descriptor_(path, O_RDONLY), piece_(kPieceBytes, '\0') {}

    bool is_open() const { return descriptor_.is_open(); }

    Result<std::string_view> read() override {
        ssize_t got = 0;
        do {
            got = ::read(descriptor_.number(), piece_.data(), piece_.size());
        } while (got < 0 && errno == EINTR);
        if (got < 0) {
            return refused("read", path_, errno);
        }
        return std::string_view(piece_.data(), static_cast<std::size_t>(got));
    }

private:
    static constexpr std::size_t kPieceBytes = 256 * 1024;

    std::string path_;
    Descriptor descriptor_;
    std::string piece_;
};

class PosixFileLock : public FileLock {
public:
    explicit PosixFileLock(const std::string& path)
        : path_(path), descriptor_(path, O_RDWR | O_CREAT) {}

    bool is_in_place() const override {
        struct stat held {};
        struct stat named {};
        return ::fstat(descriptor_.number(), &held) == 0 && ::stat(path_.c_str(), &named) == 0 &&
               held.st_ino == named.st_ino && held.st_dev == named.st_dev;
    }

    const Descriptor& descriptor() const { return descriptor_; }

    // What the holder wrote when it took the lock: its process number.
    std::string holder() const {
        char text[32];
        const ssize_t size = ::pread(descriptor_.number(), text, sizeof text, 0);
        std::string holder(text, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
        while (!holder.empty() && holder.back() == '\n') {
            holder.pop_back();
        }
        const bool is_number =
            !holder.empty() && holder.find_first_not_of("0123456789") == holder.npos;
        return is_number ? holder : "";
    }

    Result<void> write_holder() const {
        if (::ftruncate(descriptor_.number(), 0) != 0) {
            return refused("write", path_, errno);
        }
        return write_all(descriptor_.number(), std::to_string(::getpid()) + "\n", path_);
    }

private:
    std::string path_;
    Descriptor descriptor_;
};

}  // namespace

Result<std::unique_ptr<WritableFile>> PosixFileSystem::create(const std::string& path) {
    auto file = std::make_unique<PosixWritableFile>(path);
    if (!file->is_open() && errno == EEXIST) {
        TRY(remove(path));
        file = std::make_unique<PosixWritableFile>(path);
    }
    if (!file->is_open()) {
        return refused("create", path, errno);
    }
    return file;
}

Result<std::unique_ptr<ReadableFile>> PosixFileSystem::open(const std::string& path) {
    auto file = std::make_unique<PosixReadableFile>(path);
    if (!file->is_open()) {
        return refused("read", path, errno);
    }
    return file;
}

Result<Bytes> PosixFileSystem::read(const std::string& path) {
    const Descriptor file(path, O_RDONLY);
    struct stat status {};
    if (!file.is_open() || ::fstat(file.number(), &status) != 0) {
        return refused("read", path, errno);
    }
    // One byte more than it has, so that its end is seen in the first round.
    std::string text(static_cast<std::size_t>(std::max<off_t>(status.st_size, 0)) + 1, '\0');
    std::size_t size = 0;
    while (true) {
        const ssize_t got = ::read(file.number(), text.data() + size, text.size() - size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return refused("read", path, errno);
        }
        if (got == 0) {
            break;
        }
        size += static_cast<std::size_t>(got);
        if (size == text.size()) {
            text.resize(text.size() * 2);
        }
    }
    text.resize(size);
    return Bytes(std::move(text));
}

Result<FileInfo> PosixFileSystem::stat(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        return refused("look at", path, errno);
    }
    FileInfo info;
    info.bytes = static_cast<std::uint64_t>(status.st_size);
    info.modified_ns =
        std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + std::int64_t{status.st_mtim.tv_nsec};
    info.number = status.st_ino;
    info.device = status.st_dev;
    return info;
}

Result<std::vector<std::string>> PosixFileSystem::list(const std::string& directory) {
    std::error_code error;
    std::filesystem::directory_iterator entry(directory, error);
    std::vector<std::string> names;
    while (!error && entry != std::filesystem::directory_iterator()) {
        std::error_code not_a_file;
        if (entry->is_regular_file(not_a_file) && !not_a_file) {
            names.push_back(entry->path().filename().string());
        }
        entry.increment(error);
    }
    if (error) {
        return refused("list", directory, error.value());
    }
    std::sort(names.begin(), names.end());
    return names;
}

Result<void> PosixFileSystem::rename(const std::string& from, const std::string& to) {
    if (::rename(from.c_str(), to.c_str()) != 0) {
        return refused("rename " + from + " to", to, errno);
    }
    return {};
}

Result<void> PosixFileSystem::remove(const std::string& path) {
    if (::unlink(path.c_str()) != 0) {
        return refused("remove", path, errno);
    }
    return {};
}

Result<void> PosixFileSystem::sync_directory(const std::string& directory) {
    const Descriptor opened(directory, O_RDONLY | O_DIRECTORY);
    if (!opened.is_open() || ::fsync(opened.number()) != 0) {
        return refused("sync", directory, errno);
    }
    return {};
}

Result<void> PosixFileSystem::make_directories(const std::string& directory) {
    const std::filesystem::path path = std::filesystem::path(directory + "/.").parent_path();
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) {
        return {};
    }
    const std::string parent = path.has_parent_path() ? path.parent_path().string() : ".";
    if (path.has_parent_path() && parent != path) {
        TRY(make_directories(parent));
    }
    std::filesystem::create_directory(path, error);
    if (error) {
        return refused("make the directory", directory, error.value());
    }
    return sync_directory(parent);
}

Result<std::uint64_t> PosixFileSystem::free_bytes(const std::string& directory) {
    struct statvfs status {};
    if (::statvfs(directory.c_str(), &status) != 0) {
        return refused("look at", directory, errno);
    }
    return std::uint64_t{status.f_bavail} * status.f_frsize;
}

Result<std::unique_ptr<FileLock>> PosixFileSystem::lock(const std::string& path) {
    auto lock = std::make_unique<PosixFileLock>(path);
    if (!lock->descriptor().is_open()) {
        return refused("open", path, errno);
    }
    int status = 0;
    do {
        status = ::flock(lock->descriptor().number(), LOCK_EX | LOCK_NB);
    } while (status != 0 && errno == EINTR);
    if (status != 0 && errno == EWOULDBLOCK) {
        const std::string holder = lock->holder();
        return fail(
            ErrorKind::Busy,
            path + " is held by " + (holder.empty() ? "another process" : "process " + holder));
    }
    if (status != 0) {
        return refused("lock", path, errno);
    }
    TRY(lock->write_holder());
    return lock;
}

}  // namespace snapshotter
