#pragma once
// Small sessions, to be saved and compared.

#include <cstddef>
#include <cstdint>

#include "common/graph.h"
#include "common/session_file.h"

namespace support {

// `nodes` nodes, each of about `bytes` bytes that hardly compress, and one user's metadata. Another
// `salt` gives other data.
common::GraphCopy sample_graph(std::size_t nodes, std::uint64_t salt = 0, std::size_t bytes = 60);

// At record `seq` of epoch `epoch`, whose lineage is that epoch alone.
common::SessionStamp sample_stamp(std::uint64_t seq, std::uint64_t epoch = 7);

// The file that would be saved.
common::Bytes sample_file(const common::GraphCopy& graph, common::SessionStamp stamp);

}  // namespace support
