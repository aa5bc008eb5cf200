#pragma once
// A node of the graph: a data block of Blender, as its client pickled it. Immutable; a changed node
// is a new Node. Chunks on the wire: type 2, id, owner, P(dependencies), P(data).

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/ids.h"
#include "common/result.h"
#include "common/value.h"

namespace common {

// None, or a list of uuids (they may name nodes that are not there).
struct Dependencies {
    Bytes pickled;
    std::optional<std::vector<NodeId>> ids;

    // Refuses anything but None or a list of str (a tuple ends a real client's session).
    static Result<Dependencies> read(Bytes pickled);
    static Dependencies of(std::optional<std::vector<NodeId>> ids);
};

struct Node {
    NodeId id;
    UserName owner;
    Dependencies dependencies;
    Bytes data;  // a pickled dict with a str 'type_id'

    Chunks chunks() const;
    Hash128 hash() const;  // over all four
};
using NodePtr = std::shared_ptr<const Node>;

// The chunks of a Node message or a session file, checked: ids and owners are non-empty UTF-8
// within limits.h, dependencies and data have their shapes. Everything passes the pickle gate.
Result<Node> read_node(const Chunks& chunks);

// What every client demands of a node's data: a dict with a str 'type_id'.
Result<void> check_node_data(const Value& data);

// A uuid as we take it from outside: non-empty UTF-8, at most limits::kNodeIdBytesMax bytes.
Result<NodeId> read_node_id(std::string_view bytes);

// A user's name or an owner: the same, at most limits::kUserNameBytesMax bytes.
Result<UserName> read_user_name(std::string_view bytes);

// Strictly (no surrogates), as Python's bytes.decode() takes it.
bool is_utf8(std::string_view bytes);

}  // namespace common
