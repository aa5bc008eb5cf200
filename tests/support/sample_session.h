#pragma once
// Small sessions, to be saved and compared.

#include <cstddef>
#include <cstdint>
#include <string_view>

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

// As the addon writes it, without a stamp and without users.
common::Bytes sample_addon_file(const common::GraphCopy& graph);

// As a later version of Holdfast may write it.
common::Bytes sample_later_file();

common::Bytes gzip(std::string_view text);

}  // namespace support
