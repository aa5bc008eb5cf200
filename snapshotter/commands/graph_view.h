#pragma once
// What people want to know of a graph: its nodes in words, how two graphs differ, what a node
// needs. Pure.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "common/graph.h"
#include "common/ids.h"
#include "common/mutation.h"
#include "common/node.h"

namespace snapshotter::commands {

struct NodeView {
    common::NodeId id;
    std::string type;  // the data's 'type_id'
    std::string name;  // the data's 'name', if there is one
    common::UserName owner;
    std::size_t bytes = 0;  // as it is stored
    std::vector<common::NodeId> dependencies;
};
NodeView view_of(const common::Node& node);

// From one graph to another. Owners do not count: after a restart nobody owns anything.
struct GraphChange {
    struct Changed {
        NodeView node;  // as it is in the other one
        bool data = false;
        bool dependencies = false;
    };
    std::vector<NodeView> added;
    std::vector<NodeView> removed;
    std::vector<Changed> changed;
    std::size_t unchanged = 0;
    bool metadata = false;  // what is kept of users

    bool any() const;
};
GraphChange change_between(const common::GraphCopy& from, const common::GraphCopy& to);

// "adds 3 nodes, removes 1, changes 2"
std::string to_string(const GraphChange& change);

// The nodes that are named and all that they depend on, in the order of the graph. NotFound: one is
// not there. Dependencies that name no node are passed over.
common::Result<std::vector<common::NodePtr>> with_dependencies(
    const common::GraphCopy& graph, const std::vector<common::NodeId>& ids);

// What a record did, in words: "changed root['location'][0]", "added", "deleted", ... and the node
// that it is about. None: it is of no interest (rights, metadata).
struct Doing {
    std::string what;
    common::NodeId node;  // empty: it is about the session
};
std::optional<Doing> doing_of(const common::Mutation& mutation);

}  // namespace snapshotter::commands
