#include "tests/support/sim_vfs.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "common/verify.h"

namespace support {

// What all who have a file open share: its locks and the memory of its log's index.
struct SharedFile {
    static constexpr int kRegionBytes = 32 * 1024;
    std::vector<std::unique_ptr<std::array<char, kRegionBytes>>> regions;
    std::array<int, SQLITE_SHM_NLOCK> shared{};  // how many hold it
    std::array<bool, SQLITE_SHM_NLOCK> exclusive{};
    int mapped = 0;
    int readers = 0;   // SQLITE_LOCK_SHARED or more
    int reserved = 0;  // SQLITE_LOCK_RESERVED or more: one at most
    bool alone = false;
};

struct SimVfs::State {
    SimFileSystem& files;
    sqlite3_vfs vfs{};
    std::map<std::uint64_t, std::shared_ptr<SharedFile>> shared;
    std::uint64_t random = 1;
    explicit State(SimFileSystem& where) : files(where) {}
};

namespace {

struct File {
    sqlite3_file base;  // must be the first
    std::unique_ptr<SimRandomFile>* file;
    std::shared_ptr<SharedFile>* shared;
    SimVfs::State* state;
    std::string* path;
    int level;
    bool sync_directory;  // with the next sync
    bool delete_on_close;
    unsigned shm_shared;  // bits of the locks held
    unsigned shm_exclusive;
    bool shm_mapped;
};

File& of(sqlite3_file* file) {
    return *reinterpret_cast<File*>(file);
}

SimVfs::State& of(sqlite3_vfs* vfs) {
    return *static_cast<SimVfs::State*>(vfs->pAppData);
}

int unlock(sqlite3_file* base, int level) {
    File& file = of(base);
    SharedFile& shared = **file.shared;
    if (file.level >= SQLITE_LOCK_PENDING) {
        shared.alone = false;
    }
    if (file.level >= SQLITE_LOCK_RESERVED && level < SQLITE_LOCK_RESERVED) {
        shared.reserved = 0;
    }
    if (file.level >= SQLITE_LOCK_SHARED && level == SQLITE_LOCK_NONE) {
        --shared.readers;
    }
    file.level = level;
    return SQLITE_OK;
}

int lock(sqlite3_file* base, int level) {
    File& file = of(base);
    SharedFile& shared = **file.shared;
    if (level <= file.level) {
        return SQLITE_OK;
    }
    if (file.level == SQLITE_LOCK_NONE) {
        if (shared.alone) {
            return SQLITE_BUSY;
        }
        ++shared.readers;
        file.level = SQLITE_LOCK_SHARED;
    }
    if (level >= SQLITE_LOCK_RESERVED && file.level < SQLITE_LOCK_RESERVED) {
        if (shared.reserved != 0) {
            return SQLITE_BUSY;
        }
        shared.reserved = 1;
        file.level = SQLITE_LOCK_RESERVED;
    }
    if (level == SQLITE_LOCK_EXCLUSIVE) {
        shared.alone = true;
        file.level = SQLITE_LOCK_PENDING;
        if (shared.readers > 1) {
            return SQLITE_BUSY;
        }
        file.level = SQLITE_LOCK_EXCLUSIVE;
    }
    return SQLITE_OK;
}

// The first one who comes after all have gone begins with an empty index.
int shm_unmap(sqlite3_file* base, int) {
    File& file = of(base);
    SharedFile& shared = **file.shared;
    if (file.shm_mapped && --shared.mapped == 0) {
        shared.regions.clear();
    }
    file.shm_mapped = false;
    return SQLITE_OK;
}

int close(sqlite3_file* base) {
    File& file = of(base);
    unlock(base, SQLITE_LOCK_NONE);
    shm_unmap(base, 0);
    if (file.delete_on_close) {
        static_cast<void>(file.state->files.remove(*file.path));
    }
    delete file.file;
    delete file.shared;
    delete file.path;
    return SQLITE_OK;
}

int read(sqlite3_file* base, void* to, int size, sqlite3_int64 offset) {
    const auto bytes =
        (*of(base).file)->read(static_cast<std::uint64_t>(offset), static_cast<std::size_t>(size));
    if (!bytes) {
        return SQLITE_IOERR_READ;
    }
    std::memset(to, 0, static_cast<std::size_t>(size));
    std::memcpy(to, bytes->data(), bytes->size());
    return bytes->size() == static_cast<std::size_t>(size) ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

int write(sqlite3_file* base, const void* from, int size, sqlite3_int64 offset) {
    const std::string_view bytes(static_cast<const char*>(from), static_cast<std::size_t>(size));
    return (*of(base).file)->write(static_cast<std::uint64_t>(offset), bytes) ? SQLITE_OK
                                                                              : SQLITE_IOERR_WRITE;
}

int truncate(sqlite3_file* base, sqlite3_int64 size) {
    return (*of(base).file)->truncate(static_cast<std::uint64_t>(size)) ? SQLITE_OK
                                                                        : SQLITE_IOERR_TRUNCATE;
}

int sync(sqlite3_file* base, int) {
    File& file = of(base);
    if (!(*file.file)->sync()) {
        return SQLITE_IOERR_FSYNC;
    }
    if (file.sync_directory) {
        file.sync_directory = false;
        if (!file.state->files.sync_directory(file.path->substr(0, file.path->rfind('/')))) {
            return SQLITE_IOERR_DIR_FSYNC;
        }
    }
    return SQLITE_OK;
}

int file_size(sqlite3_file* base, sqlite3_int64* size) {
    const auto bytes = (*of(base).file)->size();
    *size = bytes ? static_cast<sqlite3_int64>(*bytes) : 0;
    return bytes ? SQLITE_OK : SQLITE_IOERR_FSTAT;
}

int check_reserved_lock(sqlite3_file* base, int* result) {
    *result = (*of(base).shared)->reserved;
    return SQLITE_OK;
}

int file_control(sqlite3_file*, int, void*) {
    return SQLITE_NOTFOUND;
}

int sector_size(sqlite3_file*) {
    return 512;
}

int device_characteristics(sqlite3_file*) {
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

int shm_map(sqlite3_file* base, int region, int size, int extend, void volatile** memory) {
    File& file = of(base);
    SharedFile& shared = **file.shared;
    VERIFY(size == SharedFile::kRegionBytes);
    if (!file.shm_mapped) {
        file.shm_mapped = true;
        ++shared.mapped;
    }
    while (extend != 0 && shared.regions.size() <= static_cast<std::size_t>(region)) {
        shared.regions.push_back(std::make_unique<std::array<char, SharedFile::kRegionBytes>>());
    }
    const auto index = static_cast<std::size_t>(region);
    *memory = index < shared.regions.size() ? shared.regions[index]->data() : nullptr;
    return SQLITE_OK;
}

int shm_lock(sqlite3_file* base, int offset, int count, int flags) {
    File& file = of(base);
    SharedFile& shared = **file.shared;
    const bool wants_exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    for (int i = offset; (flags & SQLITE_SHM_LOCK) != 0 && i < offset + count; ++i) {
        const auto slot = static_cast<std::size_t>(i);
        const bool mine = (file.shm_exclusive & (1U << i)) != 0;
        if ((shared.exclusive[slot] && !mine) || (wants_exclusive && shared.shared[slot] > 0)) {
            return SQLITE_BUSY;
        }
    }
    for (int i = offset; i < offset + count; ++i) {
        const auto slot = static_cast<std::size_t>(i);
        const unsigned bit = 1U << i;
        unsigned& held = wants_exclusive ? file.shm_exclusive : file.shm_shared;
        const bool take = (flags & SQLITE_SHM_LOCK) != 0;
        if (take == ((held & bit) != 0)) {
            continue;
        }
        held ^= bit;
        if (wants_exclusive) {
            shared.exclusive[slot] = take;
        } else {
            shared.shared[slot] += take ? 1 : -1;
        }
    }
    return SQLITE_OK;
}

void shm_barrier(sqlite3_file*) {}

const sqlite3_io_methods kMethods = {
    .iVersion = 2,
    .xClose = close,
    .xRead = read,
    .xWrite = write,
    .xTruncate = truncate,
    .xSync = sync,
    .xFileSize = file_size,
    .xLock = lock,
    .xUnlock = unlock,
    .xCheckReservedLock = check_reserved_lock,
    .xFileControl = file_control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = device_characteristics,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* base, int flags, int* flags_out) {
    SimVfs::State& state = of(vfs);
    base->pMethods = nullptr;
    // Temporary files (sorts) have no name.
    static std::atomic<std::uint64_t> temporaries{0};
    const std::string path =
        name != nullptr ? std::string(name) : "/temporary/" + std::to_string(++temporaries);
    const bool was_there = state.files.stat(path).has_value();
    auto opened = state.files.open_random(path, (flags & SQLITE_OPEN_CREATE) != 0);
    if (!opened) {
        return SQLITE_CANTOPEN;
    }
    std::shared_ptr<SharedFile>& shared = state.shared[(*opened)->number()];
    if (shared == nullptr) {
        shared = std::make_shared<SharedFile>();
    }
    const int logs = SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL;
    File& file = of(base);
    file = File{.base = {&kMethods},
                .file = new std::unique_ptr<SimRandomFile>(std::move(*opened)),
                .shared = new std::shared_ptr<SharedFile>(shared),
                .state = &state,
                .path = new std::string(path),
                .level = SQLITE_LOCK_NONE,
                .sync_directory = !was_there && (flags & logs) != 0,
                .delete_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0,
                .shm_shared = 0,
                .shm_exclusive = 0,
                .shm_mapped = false};
    if (flags_out != nullptr) {
        *flags_out = flags;
    }
    return SQLITE_OK;
}

int remove(sqlite3_vfs* vfs, const char* name, int sync_directory) {
    SimFileSystem& files = of(vfs).files;
    const std::string path = name;
    if (!files.stat(path)) {
        return files.is_dead() ? SQLITE_IOERR_DELETE : SQLITE_IOERR_DELETE_NOENT;
    }
    if (!files.remove(path)) {
        return SQLITE_IOERR_DELETE;
    }
    if (sync_directory != 0 && !files.sync_directory(path.substr(0, path.rfind('/')))) {
        return SQLITE_IOERR_DIR_FSYNC;
    }
    return SQLITE_OK;
}

int access(sqlite3_vfs* vfs, const char* name, int flags, int* result) {
    const auto info = of(vfs).files.stat(name);
    // As for Unix: to SQLite an empty file is not there.
    *result = info && (flags != SQLITE_ACCESS_EXISTS || info->bytes > 0) ? 1 : 0;
    return SQLITE_OK;
}

int full_path(sqlite3_vfs*, const char* name, int size, char* out) {
    const std::string_view path = name;
    if (path.size() + 1 > static_cast<std::size_t>(size)) {
        return SQLITE_CANTOPEN;
    }
    std::memcpy(out, name, path.size() + 1);
    return SQLITE_OK;
}

int randomness(sqlite3_vfs* vfs, int size, char* out) {
    std::uint64_t& random = of(vfs).random;
    for (int i = 0; i < size; ++i) {
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        out[i] = static_cast<char>(random >> 33);
    }
    return size;
}

int sleep(sqlite3_vfs*, int microseconds) {
    return microseconds;  // nobody else will let go meanwhile
}

int current_time(sqlite3_vfs*, sqlite3_int64* time) {
    *time = 0;
    return SQLITE_OK;
}

}  // namespace

SimVfs::SimVfs(SimFileSystem& files) : state_(std::make_unique<State>(files)) {
    static std::atomic<int> count{0};
    name_ = "sim-" + std::to_string(++count);
    sqlite3_vfs& vfs = state_->vfs;
    files.make_directory("/temporary");
    vfs.iVersion = 2;
    vfs.szOsFile = sizeof(File);
    vfs.mxPathname = 512;
    vfs.zName = name_.c_str();
    vfs.pAppData = state_.get();
    vfs.xOpen = open;
    vfs.xDelete = remove;
    vfs.xAccess = access;
    vfs.xFullPathname = full_path;
    vfs.xRandomness = randomness;
    vfs.xSleep = sleep;
    vfs.xCurrentTimeInt64 = current_time;
    VERIFY(sqlite3_vfs_register(&vfs, 0) == SQLITE_OK);
}

SimVfs::~SimVfs() {
    VERIFY(sqlite3_vfs_unregister(&state_->vfs) == SQLITE_OK);
}

}  // namespace support
