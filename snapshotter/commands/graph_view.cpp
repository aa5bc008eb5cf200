#include "snapshotter/commands/graph_view.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "common/pickle.h"

namespace snapshotter::commands {

using common::Dict;
using common::fail;
using common::GraphCopy;
using common::Node;
using common::NodeId;
using common::NodePtr;
using common::Result;
using common::Value;

namespace {

constexpr std::size_t kPathsShown = 4;
constexpr std::size_t kPathBytesMax = 80;

using NodesById = std::unordered_map<std::string_view, NodePtr>;

NodesById by_id(const GraphCopy& graph) {
    NodesById nodes;
    nodes.reserve(graph.nodes.size());
    for (const NodePtr& node : graph.nodes) {
        nodes.emplace(node->id, node);
    }
    return nodes;
}

std::string text_at(const Value& data, const char* key) {
    const Value* const value = data.find(key);
    const std::string* const text = value == nullptr ? nullptr : value->as_str();
    return text == nullptr ? std::string() : *text;
}

std::string plural(std::size_t count, const char* noun) {
    return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

// "changed root['location'][0], root['name'] and 3 more"
std::string describe_delta(const common::Bytes& delta) {
    const Result<Value> value = common::read_pickle(delta, common::PickleUse::Delta);
    std::vector<std::string> paths;
    const Dict* const actions = value ? value->as_dict() : nullptr;
    if (actions == nullptr) {
        return "changed";
    }
    for (const Dict::Entry& action : actions->entries()) {
        if (const Dict* const changes = action.value.as_dict()) {
            for (const Dict::Entry& change : changes->entries()) {
                const std::string* const path = change.key.as_str();
                paths.push_back(path == nullptr ? "?" : path->substr(0, kPathBytesMax));
            }
        }
    }
    if (paths.empty()) {
        return "changed nothing";
    }
    std::string text = "changed ";
    for (std::size_t i = 0; i < std::min(paths.size(), kPathsShown); ++i) {
        text += (i == 0 ? "" : ", ") + paths[i];
    }
    return paths.size() <= kPathsShown
               ? text
               : text + " and " + std::to_string(paths.size() - kPathsShown) + " more";
}

struct Describe {
    std::optional<Doing> operator()(const common::EpochStarted&) const {
        return Doing{"the server started", ""};
    }
    std::optional<Doing> operator()(const common::PutNode& put) const {
        return Doing{"wrote the whole node", put.node.id};
    }
    std::optional<Doing> operator()(const common::PatchNode& patch) const {
        return Doing{describe_delta(patch.delta), patch.id};
    }
    std::optional<Doing> operator()(const common::DeleteNode& deletion) const {
        return Doing{"deleted", deletion.id};
    }
    std::optional<Doing> operator()(const common::Cleared&) const {
        return Doing{"an upload was broken off", ""};
    }
    std::optional<Doing> operator()(const common::Initialised&) const {
        return Doing{"initialized the session", ""};
    }
    std::optional<Doing> operator()(const common::UserJoined&) const { return Doing{"joined", ""}; }
    std::optional<Doing> operator()(const common::UserLeft& left) const {
        return Doing{"left (" + left.reason + ")", ""};
    }
    std::optional<Doing> operator()(const common::SetOwner&) const { return std::nullopt; }
    std::optional<Doing> operator()(const common::SetMetadata&) const { return std::nullopt; }
};

}  // namespace

NodeView view_of(const Node& node) {
    NodeView view;
    view.id = node.id;
    view.owner = node.owner;
    view.bytes = common::total_size(node.chunks());
    view.dependencies = node.dependencies.ids.value_or(std::vector<NodeId>());
    if (const Result<Value> data = common::read_pickle(node.data, common::PickleUse::NodeData)) {
        view.type = text_at(*data, "type_id");
        view.name = text_at(*data, "name");
    }
    return view;
}

bool GraphChange::any() const {
    return !added.empty() || !removed.empty() || !changed.empty() || metadata;
}

GraphChange change_between(const GraphCopy& from, const GraphCopy& to) {
    GraphChange change;
    change.metadata = from.metadata != to.metadata;
    const NodesById before = by_id(from);
    const NodesById after = by_id(to);
    for (const NodePtr& node : to.nodes) {
        const auto found = before.find(node->id);
        if (found == before.end()) {
            change.added.push_back(view_of(*node));
            continue;
        }
        const Node& old = *found->second;
        const bool data = old.data != node->data;
        const bool dependencies = old.dependencies.ids != node->dependencies.ids;
        if (data || dependencies) {
            change.changed.push_back({view_of(*node), data, dependencies});
        } else {
            ++change.unchanged;
        }
    }
    for (const NodePtr& node : from.nodes) {
        if (!after.contains(node->id)) {
            change.removed.push_back(view_of(*node));
        }
    }
    return change;
}

std::string to_string(const GraphChange& change) {
    if (!change.any()) {
        return "changes nothing";
    }
    return "adds " + plural(change.added.size(), "node") + ", removes " +
           std::to_string(change.removed.size()) + ", changes " +
           std::to_string(change.changed.size()) + ", leaves " + std::to_string(change.unchanged) +
           (change.metadata ? "; what is kept of users changes too" : "");
}

Result<std::vector<NodePtr>> with_dependencies(const GraphCopy& graph,
                                               const std::vector<NodeId>& ids) {
    const NodesById nodes = by_id(graph);
    std::unordered_set<std::string_view> wanted;
    std::vector<const Node*> open;
    const auto want = [&](const NodeId& id) {
        const auto found = nodes.find(id);
        if (found != nodes.end() && wanted.insert(found->second->id).second) {
            open.push_back(found->second.get());
        }
        return found != nodes.end();
    };
    for (const NodeId& id : ids) {
        if (!want(id)) {
            return fail(common::ErrorKind::NotFound, "there is no node '" + id + "' in it");
        }
    }
    while (!open.empty()) {
        const Node* const node = open.back();
        open.pop_back();
        for (const NodeId& id : node->dependencies.ids.value_or(std::vector<NodeId>())) {
            want(id);
        }
    }
    std::vector<NodePtr> result;
    std::copy_if(graph.nodes.begin(), graph.nodes.end(), std::back_inserter(result),
                 [&](const NodePtr& node) { return wanted.contains(node->id); });
    return result;
}

std::optional<Doing> doing_of(const common::Mutation& mutation) {
    return std::visit(Describe{}, mutation);
}

}  // namespace snapshotter::commands
