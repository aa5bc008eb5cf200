#pragma once
// A save and the history after it are one history: how a state is made of the two. Only reads.

#include <optional>
#include <vector>

#include "common/graph.h"
#include "common/ids.h"
#include "common/result.h"
#include "common/session_file.h"
#include "snapshotter/storage/file_system.h"
#include "snapshotter/storage/history_reader.h"
#include "snapshotter/storage/metadata.h"

namespace snapshotter {

// A graph, and where in which history it stands.
struct StoredState {
    common::GraphCopy graph;
    common::Position position;  // zero: from nothing
    common::Lineage lineage;
    common::WallTime last_mutation{};
};

struct GoneOn {
    StoredState state;
    std::uint64_t records = 0;            // applied
    bool reached = true;                  // `to`, if one was named
    std::optional<HistoryDamage> damage;  // why it ended before its time
};

// Applies the records that follow `from`; see HistoryReader::replay. One that cannot be applied is
// damage.
common::Result<GoneOn> go_on(const HistoryReader& history, StoredState from,
                             const std::optional<common::Position>& to = std::nullopt);

// Whether session_snapshot.db, with this stamp, is what we put there last. If it is not, somebody
// restored it by hand, and what came after it must not be applied to it again. Decided by the rows
// of saves in the history and by the metadata, either of which may not have been written.
bool is_last_save(const common::SessionStamp& stamp, const FileInfo& file,
                  const std::optional<Metadata>& metadata, const std::vector<HistorySave>& saves);

}  // namespace snapshotter
