#pragma once
// A disk in memory that does what a disk may do at the worst moment.
//
// Every operation that changes something is counted. It can be told to die after one of them: from
// then on everything fails, until `crash` turns the power on again and decides what has survived.
// Bytes are safe from their file's sync() on, names from sync_directory() on; before that they
// may survive or not, independently of one another. What a failed sync() left unsynced stays
// readable until the power fails, and is lost then: the system does not try to write it again.

#include <cerrno>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "snapshotter/storage/file_system.h"

namespace support {

// What becomes of what was not synced.
enum class Loss {
    Nothing,       // only the process was killed: what is not synced can be lost by the next crash
    All,           // bytes and names
    Bytes,         // names have survived: files are shorter than they were
    HalfTheBytes,  // names have survived, and half of what was not synced
    Names,         // bytes have survived: renames, new files and removals are undone
    SomeBytes,     // names have survived, and of what was not synced this and that
};
inline constexpr Loss kAllLosses[] = {Loss::Nothing,      Loss::All,   Loss::Bytes,
                                      Loss::HalfTheBytes, Loss::Names, Loss::SomeBytes};

// A file that is written anywhere, as SQLite does. Counted and lost like all else; a file that was
// opened before a crash is of no use after it.
class SimRandomFile {
public:
    SimRandomFile() = default;
    SimRandomFile(const SimRandomFile&) = delete;
    SimRandomFile& operator=(const SimRandomFile&) = delete;
    virtual ~SimRandomFile() = default;
    virtual common::Result<void> write(std::uint64_t offset, std::string_view bytes) = 0;
    virtual common::Result<void> truncate(std::uint64_t size) = 0;
    virtual common::Result<void> sync() = 0;
    virtual common::Result<std::string> read(std::uint64_t offset, std::size_t size) = 0;
    virtual common::Result<std::uint64_t> size() = 0;
    // The same for all who have the file open.
    virtual std::uint64_t number() const = 0;
};

class SimFileSystem : public snapshotter::FileSystem {
public:
    SimFileSystem();
    ~SimFileSystem() override;

    // ---- what happens to it ----
    std::uint64_t operations() const;
    // The operation with this number (counted from 1, since the beginning) is the last one; if it
    // is a write, half of it is written.
    void die_after(std::uint64_t operation);
    // At once.
    void die();
    bool is_dead() const;
    // Everything starts again, locks are free. `seed`: which bytes survive SomeBytes.
    void crash(Loss loss, std::uint64_t seed = 0);
    // The operation with this number fails with this errno, once, and does nothing.
    void fail_at(std::uint64_t operation, int error = EIO);
    // The next sync of this file fails.
    void fail_sync_of(const std::string& path);
    // Writes fail, as on a full disk.
    void set_full(bool full);
    // Every operation fails with this errno (EIO, EACCES, ..) and does nothing; 0: no more.
    void set_trouble(int error);
    // As when another volume is mounted there, or this one is not any more.
    void set_device(std::uint64_t device);
    void set_free_bytes(std::uint64_t bytes);

    // Called before each rename with the new name: other threads of the process may do something.
    void before_rename(std::function<void(const std::string& to)> hook);

    // ---- other people's doings; they last at once ----
    // As `cp` does: writes into the file if it is there.
    void put(const std::string& path, std::string_view bytes);
    void erase(const std::string& path);
    // As a bad disk does: other bytes, and nothing else shows it.
    void rot(const std::string& path, std::string_view bytes);
    // As `rm -r` and `mkdir` do.
    void remove_tree(const std::string& directory);
    void make_directory(const std::string& directory);
    std::optional<std::string> contents(const std::string& path) const;
    std::vector<std::string> paths() const;

    // NotFound if it is not there and `make` is false.
    common::Result<std::unique_ptr<SimRandomFile>> open_random(const std::string& path, bool make);

    // ---- FileSystem ----
    common::Result<std::unique_ptr<snapshotter::WritableFile>> create(
        const std::string& path) override;
    common::Result<common::Bytes> read(const std::string& path) override;
    common::Result<std::unique_ptr<snapshotter::ReadableFile>> open(
        const std::string& path) override;
    common::Result<snapshotter::FileInfo> stat(const std::string& path) override;
    common::Result<std::vector<std::string>> list(const std::string& directory) override;
    common::Result<void> rename(const std::string& from, const std::string& to) override;
    common::Result<void> remove(const std::string& path) override;
    common::Result<void> sync_directory(const std::string& directory) override;
    common::Result<void> make_directories(const std::string& directory) override;
    common::Result<std::uint64_t> free_bytes(const std::string& directory) override;
    common::Result<std::unique_ptr<snapshotter::FileLock>> lock(const std::string& path) override;

private:
    struct Inode;
    struct State;
    class File;
    class RandomFile;
    class Reader;
    class Lock;
    std::shared_ptr<State> state_;
};

}  // namespace support
