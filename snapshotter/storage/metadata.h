#pragma once
// session_metadata.json: the small file beside a save, for people and scripts, and what tells at
// the next start whether somebody has put another session file in place. Grammar: docs/FORMATS.md.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids.h"
#include "common/result.h"

namespace snapshotter {

struct Metadata {
    common::WallTime time{};  // of the save; "timestamp" in seconds, "datetime" in local time
    std::string reason;
    bool initialised = false;  // "initialized"
    std::size_t node_count = 0;
    std::uint64_t file_bytes = 0;
    common::Hash128 digest;  // of the graph
    common::Position position;
    common::Timeline timeline{};
    common::WallTime last_change{};
    common::WallTime verified{};  // when the session file was last read back and found right
    std::vector<common::UserName> users;  // whose metadata is kept
    std::string backup;                   // the newest backup's name, empty if there is none
    common::Hash128 backup_digest;
    std::int64_t backup_modified_ns = 0;  // of its file; 0: not known, as before it was written
    std::string version;                  // of Holdfast
};

std::string write_metadata(const Metadata& metadata);

// BadInput if it is not what write_metadata writes; keys that it does not know are passed over.
common::Result<Metadata> read_metadata(std::string_view text);

}  // namespace snapshotter
