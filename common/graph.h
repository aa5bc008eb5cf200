#pragma once
// The graph: all nodes of a session in the order in which they came, and what users' metadata held.
//
// `apply` is the only way it changes, in the broker, in the mirror, in recovery and in tests; the
// same mutations in the same order give the same graph, digest and bytes in every process.
// Nodes under edit stay parsed (at most limits::kParsedNodesBytesMax, the least recently used go
// back to bytes) and are pickled again only when somebody asks for their bytes.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <vector>

#include "common/delta.h"
#include "common/ids.h"
#include "common/limits.h"
#include "common/mutation.h"
#include "common/node.h"
#include "common/result.h"

namespace common {

// The digest of a graph, from Node::hash of its nodes in their order and all else that it is.
Hash128 digest_of(const std::vector<Hash128>& nodes, const std::map<UserName, Bytes>& metadata,
                  bool initialised, Timeline timeline);

// A consistent copy of a graph: pointers to nodes that never change. May go to another thread.
struct GraphCopy {
    std::vector<NodePtr> nodes;
    std::map<UserName, Bytes> metadata;  // pickled dicts
    bool initialised = false;
    Timeline timeline{};

    // Over everything above, the order of nodes included.
    Hash128 digest() const;
};

// What a mutation did, for those who log or relay it.
struct Applied {
    bool changed = false;  // false: it named only what is not there, or changed nothing
    FoldReport fold;       // of a PatchNode
};

class Graph {
public:
    Graph();
    // Of nodes with the same id the last one counts, at the place of the first.
    explicit Graph(GraphCopy copy, std::size_t parsed_bytes_max = limits::kParsedNodesBytesMax);
    Graph(Graph&&) noexcept;
    Graph& operator=(Graph&&) noexcept;
    ~Graph();

    // On an error nothing has changed. NotFound: a PatchNode for a node that is not there;
    // BadInput, Limit, Unsupported: a delta on which deepdiff would raise, one that we do not fold
    // exactly, or one that would leave no str 'type_id' in the data.
    Result<Applied> apply(const Mutation& mutation);

    bool initialised() const;
    Timeline timeline() const;
    std::size_t size() const;
    bool contains(const NodeId& id) const;

    // Null if it is not there. Pickles the node first if it was edited since.
    NodePtr find(const NodeId& id);
    // Null if it is not there; never pickles.
    const UserName* owner_of(const NodeId& id) const;
    std::vector<NodeId> ids() const;
    std::vector<NodeId> ids_owned_by(const UserName& owner) const;
    std::vector<NodeId> ids_not_owned_by(const UserName& owner) const;
    const Bytes* metadata_of(const UserName& name) const;

    // Pickles what was edited since the last copy, then copies pointers.
    GraphCopy copy();
    Hash128 digest();  // of copy()

    // Pickles some of what was edited since the last copy or digest, what was edited least recently
    // first: nodes of `bytes` or a little more, and only what was not edited since edit number
    // `before`. True: nothing of that is left for the next copy or digest to pickle. For who must
    // not be held up by it.
    bool tidy(std::size_t bytes, std::uint64_t before = std::numeric_limits<std::uint64_t>::max());
    // How many times data of a node was edited: the number of the next edit.
    std::uint64_t edits() const;

    // About the bytes of all nodes.
    std::size_t memory_bytes() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace common
