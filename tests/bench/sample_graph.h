#pragma once
// A session as artists make them, for benches.

#include <cstddef>

#include "common/graph.h"

namespace bench_data {

// So many nodes, with so many bytes in all: nine of ten are objects of about 2.5 KB (fewer bytes if
// they would be too many), the rest meshes, half of them sculpted (noise in every number). The same
// each time.
common::GraphCopy sample_graph(std::size_t nodes, std::size_t bytes);

}  // namespace bench_data
