#pragma once
// Session files as they lie on the disk, read in pieces: takes memory for the session, not for the
// file beside it.

#include <optional>
#include <string>

#include "common/progress.h"
#include "common/result.h"
#include "common/session_file.h"
#include "snapshotter/storage/file_system.h"

namespace snapshotter {

// Errors of the file system, or of common::read_session_file. `tell`: bytes of the file.
common::Result<common::SessionFile> load_session(FileSystem& files, const std::string& path,
                                                 const common::TellDone& tell = {});

// Only its beginning: cheap, however large the file is.
common::Result<common::SessionHead> peek_session(FileSystem& files, const std::string& path);

// The same decision as load_session's, without the graph.
common::Result<std::optional<common::SessionStamp>> check_session(
    FileSystem& files, const std::string& path, const common::TellDone& tell = {});

}  // namespace snapshotter
