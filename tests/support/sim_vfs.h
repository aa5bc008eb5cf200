#pragma once
// SQLite on the simulated disk: a VFS whose files are those of a SimFileSystem, so that whatever
// may happen to a file may happen to a history. Syncs are real syncs, and like SQLite's own VFS for
// Unix it syncs the directory with the first sync of a new log.

#include <string>

#include "tests/support/sim_file_system.h"

namespace support {

class SimVfs {
public:
    // `files` must outlive it.
    explicit SimVfs(SimFileSystem& files);
    ~SimVfs();
    SimVfs(const SimVfs&) = delete;
    SimVfs& operator=(const SimVfs&) = delete;

    const std::string& name() const { return name_; }

    struct State;

private:
    std::string name_;
    std::unique_ptr<State> state_;
};

}  // namespace support
