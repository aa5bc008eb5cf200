#include "tests/support/sim_file_system.h"

#include <algorithm>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "common/file_error.h"

namespace support {

using common::Bytes;
using common::ErrorKind;
using common::fail;
using common::Result;
using snapshotter::FileInfo;
using snapshotter::FileLock;
using snapshotter::WritableFile;

struct SimFileSystem::Inode {
    // One write, or a cut if it is empty.
    struct Change {
        std::size_t offset = 0;
        std::string bytes;
        void apply(std::string& to) const {
            if (bytes.empty() || to.size() < offset) {
                to.resize(offset);
            }
            to.replace(offset, bytes.size(), bytes);
        }
    };

    std::uint64_t number = 0;
    std::int64_t modified = 0;
    std::string bytes;
    std::string synced;
    std::vector<Change> unsynced = {};  // what a sync adds to `synced`
    bool sync_fails = false;            // the next one

    void change(std::size_t offset, std::string_view with) {
        unsynced.push_back({offset, std::string(with)});
        unsynced.back().apply(bytes);
    }
    void sync() {
        for (const Change& change : unsynced) {
            change.apply(synced);
        }
        unsynced.clear();
    }
    // As the page cache does: these are taken for written.
    void fail_to_sync() { unsynced.clear(); }

    // What is found after a power failure.
    std::string survivor(Loss loss, std::mt19937_64& random) const {
        std::string found = synced;
        if (loss == Loss::Names) {
            for (const Change& change : unsynced) {
                change.apply(found);
            }
        } else if (loss == Loss::HalfTheBytes && !unsynced.empty()) {
            const std::size_t half = unsynced.size() / 2;
            for (std::size_t i = 0; i < half; ++i) {
                unsynced[i].apply(found);
            }
            Change torn = unsynced[half];
            if (!torn.bytes.empty()) {
                torn.bytes.resize(std::max<std::size_t>(1, torn.bytes.size() / 2));
                torn.apply(found);
            }
        } else if (loss == Loss::SomeBytes) {
            for (const Change& change : unsynced) {
                if (random() % 2 == 0) {
                    change.apply(found);
                }
            }
        }
        return found;
    }
};

namespace {

std::string directory_of(const std::string& path) {
    return path.substr(0, path.rfind('/'));
}

}  // namespace

struct SimFileSystem::State {
    std::map<std::string, std::shared_ptr<Inode>> names;    // as they are
    std::map<std::string, std::shared_ptr<Inode>> lasting;  // as they are after a power failure
    std::map<std::string, std::uint64_t> directories;       // with the number of the inode
    std::set<std::uint64_t> locks;                          // by the number of the inode
    std::uint64_t operations = 0;
    std::uint64_t last_operation = 0;  // 0: none
    std::uint64_t failing_operation = 0;
    int failing_error = 0;
    int trouble = 0;
    std::uint64_t device = 1;
    std::uint64_t free_bytes = std::numeric_limits<std::uint64_t>::max();
    std::uint64_t life = 0;  // counts crashes: what was opened before one is of no use after it
    std::int64_t clock = 0;
    std::uint64_t inodes = 0;
    bool dead = false;
    bool full = false;
    std::function<void(const std::string&)> before_rename;

    static tl::unexpected<common::Error> refused(const std::string& what, int error,
                                                 const std::string& path = "on the disk") {
        return tl::unexpected(common::file_error(what, path, error));
    }

    std::shared_ptr<Inode> new_inode() {
        auto inode = std::make_shared<Inode>();
        inode->number = ++inodes;
        inode->modified = ++clock;
        return inode;
    }

    void make_directory(const std::string& path) {
        if (!directories.contains(path)) {
            directories[path] = ++inodes;
        }
    }

    // Called at the beginning of each operation that changes something.
    Result<void> begin() {
        if (dead) {
            return fail(ErrorKind::Io, "the machine is dead");
        }
        ++operations;
        if (operations == failing_operation) {
            return refused("do what was asked, as it was told to fail", failing_error);
        }
        if (trouble != 0) {
            return refused("do anything", trouble);
        }
        return {};
    }

    // Called at its end.
    Result<void> end() {
        if (operations == last_operation) {
            dead = true;
            return fail(ErrorKind::Io, "the machine has just died");
        }
        return {};
    }

    Result<void> sync(Inode& inode) {
        if (const Result<void> begun = begin(); !begun) {
            if (!dead) {
                inode.fail_to_sync();
            }
            return begun;
        }
        if (std::exchange(inode.sync_fails, false)) {
            inode.fail_to_sync();
            return refused("sync", EIO);
        }
        inode.sync();
        return end();
    }

    Result<void> check_parent(const std::string& path) const {
        return directories.contains(directory_of(path)) ? Result<void>()
                                                        : refused("create", ENOENT, path);
    }

    Result<std::shared_ptr<Inode>> find(const std::string& path) const {
        if (dead) {
            return fail(ErrorKind::Io, "the machine is dead");
        }
        const auto found = names.find(path);
        if (found == names.end()) {
            return fail(ErrorKind::NotFound, path + " is not there");
        }
        return found->second;
    }
};

class SimFileSystem::File : public WritableFile {
public:
    File(std::shared_ptr<State> state, std::shared_ptr<Inode> inode)
        : state_(std::move(state)), inode_(std::move(inode)), life_(state_->life) {}

    Result<void> write(std::string_view bytes) override {
        TRY(check_life());
        TRY(state_->begin());
        if (state_->full) {
            return State::refused("write", ENOSPC);
        }
        const bool is_last = state_->operations == state_->last_operation;
        inode_->change(inode_->bytes.size(),
                       bytes.substr(0, is_last ? (bytes.size() + 1) / 2 : bytes.size()));
        inode_->modified = ++state_->clock;
        return state_->end();
    }

    Result<void> sync() override {
        TRY(check_life());
        return state_->sync(*inode_);
    }

private:
    Result<void> check_life() const {
        return life_ == state_->life ? Result<void>() : fail(ErrorKind::Io, "from before a crash");
    }

    std::shared_ptr<State> state_;
    std::shared_ptr<Inode> inode_;
    std::uint64_t life_;
};

class SimFileSystem::RandomFile : public SimRandomFile {
public:
    RandomFile(std::shared_ptr<State> state, std::shared_ptr<Inode> inode)
        : state_(std::move(state)), inode_(std::move(inode)), life_(state_->life) {}

    Result<void> write(std::uint64_t offset, std::string_view bytes) override {
        TRY(begin());
        if (state_->full) {
            return State::refused("write", ENOSPC);
        }
        const bool is_last = state_->operations == state_->last_operation;
        inode_->change(offset, bytes.substr(0, is_last ? (bytes.size() + 1) / 2 : bytes.size()));
        inode_->modified = ++state_->clock;
        return state_->end();
    }
    Result<void> truncate(std::uint64_t size) override {
        TRY(begin());
        inode_->change(size, {});
        inode_->modified = ++state_->clock;
        return state_->end();
    }
    Result<void> sync() override {
        TRY(check_life());
        return state_->sync(*inode_);
    }
    Result<std::string> read(std::uint64_t offset, std::size_t size) override {
        TRY(check_life());
        return offset < inode_->bytes.size() ? inode_->bytes.substr(offset, size) : std::string();
    }
    Result<std::uint64_t> size() override {
        TRY(check_life());
        return inode_->bytes.size();
    }
    std::uint64_t number() const override { return inode_->number; }

private:
    Result<void> check_life() const {
        return life_ == state_->life && !state_->dead ? Result<void>()
                                                      : fail(ErrorKind::Io, "from before a crash");
    }
    Result<void> begin() {
        TRY(check_life());
        return state_->begin();
    }

    std::shared_ptr<State> state_;
    std::shared_ptr<Inode> inode_;
    std::uint64_t life_;
};

class SimFileSystem::Lock : public FileLock {
public:
    Lock(std::shared_ptr<State> state, std::string path, std::shared_ptr<Inode> inode)
        : state_(std::move(state)),
          path_(std::move(path)),
          inode_(std::move(inode)),
          life_(state_->life) {}
    ~Lock() override {
        if (life_ == state_->life) {
            state_->locks.erase(inode_->number);
        }
    }
    bool is_in_place() const override {
        const auto found = state_->names.find(path_);
        return found != state_->names.end() && found->second == inode_;
    }

private:
    std::shared_ptr<State> state_;
    std::string path_;
    std::shared_ptr<Inode> inode_;
    std::uint64_t life_;
};

SimFileSystem::SimFileSystem() : state_(std::make_shared<State>()) {
    state_->make_directory("");  // the root
}
SimFileSystem::~SimFileSystem() = default;

std::uint64_t SimFileSystem::operations() const {
    return state_->operations;
}
void SimFileSystem::die_after(std::uint64_t operation) {
    state_->last_operation = operation;
}
void SimFileSystem::die() {
    state_->dead = true;
}
void SimFileSystem::before_rename(std::function<void(const std::string& to)> hook) {
    state_->before_rename = std::move(hook);
}
bool SimFileSystem::is_dead() const {
    return state_->dead;
}
void SimFileSystem::fail_at(std::uint64_t operation, int error) {
    state_->failing_operation = operation;
    state_->failing_error = error;
}
void SimFileSystem::fail_sync_of(const std::string& path) {
    state_->names.at(path)->sync_fails = true;
}
void SimFileSystem::set_trouble(int error) {
    state_->trouble = error;
}
void SimFileSystem::set_device(std::uint64_t device) {
    state_->device = device;
}
void SimFileSystem::set_free_bytes(std::uint64_t bytes) {
    state_->free_bytes = bytes;
}
void SimFileSystem::set_full(bool full) {
    state_->full = full;
}

void SimFileSystem::crash(Loss loss, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    if (loss == Loss::All || loss == Loss::Names) {
        state_->names = state_->lasting;
    }
    if (loss != Loss::Nothing) {
        for (auto& [path, inode] : state_->names) {
            const std::string bytes = inode->survivor(loss, random);
            inode = std::make_shared<Inode>(Inode{.number = inode->number,
                                                  .modified = inode->modified,
                                                  .bytes = bytes,
                                                  .synced = bytes});
        }
        state_->lasting = state_->names;
    }
    state_->locks.clear();
    state_->last_operation = 0;
    state_->failing_operation = 0;
    state_->dead = false;
    ++state_->life;
}

void SimFileSystem::put(const std::string& path, std::string_view bytes) {
    std::shared_ptr<Inode>& inode = state_->names[path];
    if (inode == nullptr) {
        inode = state_->new_inode();
    }
    inode->bytes = bytes;
    inode->synced = bytes;
    inode->unsynced.clear();
    inode->modified = ++state_->clock;
    state_->lasting[path] = inode;
    state_->make_directory(directory_of(path));
}

void SimFileSystem::erase(const std::string& path) {
    state_->names.erase(path);
    state_->lasting.erase(path);
}

void SimFileSystem::rot(const std::string& path, std::string_view bytes) {
    Inode& inode = *state_->names.at(path);
    inode.bytes = bytes;
    inode.bytes.resize(inode.synced.size(), ' ');
    inode.synced = inode.bytes;
}

void SimFileSystem::remove_tree(const std::string& directory) {
    const auto is_below = [&](const std::string& path) {
        return path.starts_with(directory + "/");
    };
    std::erase_if(state_->names, [&](const auto& entry) { return is_below(entry.first); });
    std::erase_if(state_->lasting, [&](const auto& entry) { return is_below(entry.first); });
    std::erase_if(state_->directories, [&](const auto& entry) {
        return entry.first == directory || is_below(entry.first);
    });
}

void SimFileSystem::make_directory(const std::string& directory) {
    state_->make_directory(directory);
}

std::optional<std::string> SimFileSystem::contents(const std::string& path) const {
    const auto found = state_->names.find(path);
    return found == state_->names.end() ? std::nullopt : std::optional(found->second->bytes);
}

std::vector<std::string> SimFileSystem::paths() const {
    std::vector<std::string> result;
    for (const auto& [path, inode] : state_->names) {
        result.push_back(path);
    }
    return result;
}

Result<std::unique_ptr<WritableFile>> SimFileSystem::create(const std::string& path) {
    TRY(state_->begin());
    TRY(state_->check_parent(path));
    const std::shared_ptr<Inode> inode = state_->new_inode();
    state_->names[path] = inode;
    TRY(state_->end());
    return std::make_unique<File>(state_, inode);
}

Result<std::unique_ptr<SimRandomFile>> SimFileSystem::open_random(const std::string& path,
                                                                  bool make) {
    if (!state_->names.contains(path) && make) {
        TRY(state_->begin());
        TRY(state_->check_parent(path));
        state_->names[path] = state_->new_inode();
        TRY(state_->end());
    }
    return std::make_unique<RandomFile>(state_, TRY(state_->find(path)));
}

// In small pieces, so that something ends in the middle of one.
class SimFileSystem::Reader : public snapshotter::ReadableFile {
public:
    explicit Reader(const std::string& bytes) : bytes_(bytes) {}

    Result<std::string_view> read() override {
        const std::string_view piece = std::string_view(bytes_).substr(at_, 1000);
        at_ += piece.size();
        return piece;
    }

private:
    std::string bytes_;
    std::size_t at_ = 0;
};

Result<std::unique_ptr<snapshotter::ReadableFile>> SimFileSystem::open(const std::string& path) {
    return std::make_unique<Reader>(TRY(state_->find(path))->bytes);
}

Result<Bytes> SimFileSystem::read(const std::string& path) {
    return Bytes::copy_of(TRY(state_->find(path))->bytes);
}

Result<FileInfo> SimFileSystem::stat(const std::string& path) {
    const auto directory = state_->directories.find(path);
    if (!state_->dead && directory != state_->directories.end()) {
        return FileInfo{
            .bytes = 0, .modified_ns = 0, .number = directory->second, .device = state_->device};
    }
    const auto inode = TRY(state_->find(path));
    return FileInfo{inode->bytes.size(), inode->modified, inode->number, state_->device};
}

Result<std::vector<std::string>> SimFileSystem::list(const std::string& directory) {
    if (state_->dead) {
        return fail(ErrorKind::Io, "the machine is dead");
    }
    if (!state_->directories.contains(directory)) {
        return fail(ErrorKind::NotFound, directory + " is not there");
    }
    std::vector<std::string> names;
    for (const auto& [path, inode] : state_->names) {
        if (directory_of(path) == directory) {
            names.push_back(path.substr(directory.size() + 1));
        }
    }
    return names;
}

Result<void> SimFileSystem::rename(const std::string& from, const std::string& to) {
    if (state_->before_rename) {
        state_->before_rename(to);
    }
    TRY(state_->begin());
    const auto inode = TRY(state_->find(from));
    state_->names[to] = inode;
    state_->names.erase(from);
    return state_->end();
}

Result<void> SimFileSystem::remove(const std::string& path) {
    TRY(state_->begin());
    TRY(state_->find(path));
    state_->names.erase(path);
    return state_->end();
}

Result<void> SimFileSystem::sync_directory(const std::string& directory) {
    TRY(state_->begin());
    const auto is_here = [&](const auto& entry) { return directory_of(entry.first) == directory; };
    std::erase_if(state_->lasting, is_here);
    std::copy_if(state_->names.begin(), state_->names.end(),
                 std::inserter(state_->lasting, state_->lasting.end()), is_here);
    return state_->end();
}

Result<void> SimFileSystem::make_directories(const std::string& directory) {
    TRY(state_->begin());
    for (std::string path = directory; !path.empty(); path = directory_of(path)) {
        state_->make_directory(path);
        if (path.find('/') == path.npos) {
            break;
        }
    }
    return state_->end();
}

Result<std::unique_ptr<FileLock>> SimFileSystem::lock(const std::string& path) {
    TRY(state_->begin());
    TRY(state_->check_parent(path));
    std::shared_ptr<Inode>& inode = state_->names[path];
    if (inode == nullptr) {
        inode = state_->new_inode();
    }
    if (!state_->locks.insert(inode->number).second) {
        return fail(ErrorKind::Busy, path + " is held by process 1");
    }
    TRY(state_->end());
    return std::make_unique<Lock>(state_, path, inode);
}

Result<std::uint64_t> SimFileSystem::free_bytes(const std::string&) {
    return state_->free_bytes;
}

}  // namespace support
