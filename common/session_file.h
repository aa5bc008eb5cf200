#pragma once
// A session file: what Blender Multi-User saves and loads as .db, gzip of the pickled dict
// {'nodes': [[chunk...]...], 'users': {name: {...}}}, and under the key 'holdfast', which the addon
// ignores, where in which history it stands. Grammar with examples: docs/FORMATS.md.
//
// Files stream: pieces go out through a Sink and come in through a Source, and neither writing nor
// reading takes memory for more than a node beside the graph. A file that somebody else wrote is
// the exception: its pickle may put anything anywhere, so it is taken as a whole.

#include <cstdint>
#include <functional>
#include <optional>

#include "common/graph.h"
#include "common/gzip.h"
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

// Told now and then how many bytes of nodes are done, of session_bytes().
using BytesDone = std::function<void(std::uint64_t)>;
std::uint64_t session_bytes(const GraphCopy& graph);

// `level`: see GzipWriter. The same session with the same stamp gives the same bytes.
Result<void> write_session_file(const GraphCopy& graph, const SessionStamp& stamp, int level,
                                const Sink& sink, const BytesDone& progress = {});

// Checks every node as if a client had sent it, and the digest if there is a stamp. BadInput says
// which node, or where the file is damaged. An error of the source is returned.
Result<SessionFile> read_session_file(const Source& file);
Result<SessionFile> read_session_file(const Bytes& file);

// What the file says of itself, read from its beginning alone: nothing behind that is checked.
struct SessionHead {
    std::optional<SessionStamp> stamp;  // none: not ours, or one member as the addon writes it
    Timeline timeline{};
};
Result<SessionHead> peek_session_file(const Source& file);

// The same decision as read_session_file's, for those who do not want the graph. Returns what the
// file says of itself.
Result<std::optional<SessionStamp>> check_session_file(const Source& file);
Result<std::optional<SessionStamp>> check_session_file(const Bytes& file);

}  // namespace common
