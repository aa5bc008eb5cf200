#pragma once
// Everything that can happen to a session's state: one variant, applied by Graph::apply, carried by
// the feed, kept by the history.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/bytes.h"
#include "common/ids.h"
#include "common/node.h"
#include "common/value.h"

namespace common {

// The first record of an epoch. The zero Position: a fresh session.
struct EpochStarted {
    Position parent;
};

// A node is new, or its data and dependencies are replaced; one that exists keeps its owner.
struct PutNode {
    Node node;
};

// A Commit. `parsed` is the delta if the caller has read it already; it is not part of a record.
struct PatchNode {
    NodeId id;
    Dependencies dependencies;
    Bytes delta;
    std::optional<Value> parsed;
};

// Also takes the first occurrence of the id out of every other node's dependencies.
struct DeleteNode {
    NodeId id;
};

// Ids of unknown nodes are passed over.
struct SetOwner {
    std::vector<NodeId> ids;
    UserName owner;
};

// An upload was broken off: no nodes, not initialised. What users' metadata held stays.
struct Cleared {};

// The upload is complete: from here on the graph is a session.
struct Initialised {
    Timeline timeline{};
};

struct UserJoined {
    UserName name;
};

struct UserLeft {
    UserName name;
    std::string reason;  // "left", "kicked", "connection lost", ...
};

// All that is kept of a user's metadata: a pickled dict.
struct SetMetadata {
    UserName name;
    Bytes metadata;
};

using Mutation = std::variant<EpochStarted, PutNode, PatchNode, DeleteNode, SetOwner, Cleared,
                              Initialised, UserJoined, UserLeft, SetMetadata>;

// Whether it is somebody's work: what decides between two histories that went apart. Not rights,
// not who came and went.
bool is_work(const Mutation& mutation);

}  // namespace common
