#pragma once
// Pickles, a little in each turn of a loop, the nodes that nobody has edited for a second or two.
// Then whoever needs all of the graph at once (a client that joins, a snapshotter that asks for the
// whole of it, a save) has only those left to pickle that are under edit, and nobody waits for it.

#include <cstdint>

#include "common/graph.h"
#include "common/ids.h"

namespace common {

class Tidying {
public:
    // May be given another graph than before.
    void on_turn(Graph& graph, Instant now);

private:
    Instant noted_at_{};
    std::uint64_t noted_ = 0;   // Graph::edits() at that time
    std::uint64_t rested_ = 0;  // the same, a rest before
};

}  // namespace common
