#pragma once
// A session file: what Blender Multi-User saves and loads as .db, gzip of the pickled dict
// {'nodes': [[chunk...]...], 'users': {name: {...}}}, and under the key 'holdfast', which the addon
// ignores, where in which history it stands. Grammar with examples: docs/FORMATS.md.

#include <functional>
#include <optional>
#include <string_view>

#include "common/graph.h"
#include "common/ids.h"
#include "common/result.h"

namespace common {

struct SessionStamp {
    Position position;
    Lineage lineage;
    WallTime last_mutation{};
    WallTime saved{};
    Hash128 digest;  // GraphCopy::digest()
};

struct SessionFile {
    GraphCopy graph;
    std::optional<SessionStamp> stamp;  // none: the addon wrote it, or somebody else
};

// Called with pieces of the file in order; an error ends the writing and is returned.
using Sink = std::function<Result<void>(std::string_view)>;

// `level` is gzip's, 1 to 9. Streams: takes memory for one node at a time.
Result<void> write_session_file(const GraphCopy& graph, const SessionStamp& stamp, int level,
                                const Sink& sink);

// Checks every node as if a client had sent it, and the digest if there is a stamp. BadInput says
// which node, or where the file is damaged.
Result<SessionFile> read_session_file(const Bytes& file);

// The same decision, for those who do not want the graph: takes memory for the session once, not
// twice. Returns what the file says of itself.
Result<std::optional<SessionStamp>> check_session_file(const Bytes& file);

}  // namespace common
