#include "snapshotter/commands/graph_view.h"

#include <doctest/doctest.h>

#include "common/pickle.h"
#include "tests/support/graph_gen.h"
#include "tests/support/sample_session.h"

using namespace snapshotter::commands;
using namespace common;
using support::make_node;

namespace {

NodePtr node(const NodeId& id, std::vector<NodeId> dependencies = {}, std::uint64_t salt = 1,
             const UserName& owner = "COMMON") {
    return std::make_shared<const Node>(make_node(id, owner, std::move(dependencies), salt));
}

GraphCopy graph_of(std::vector<NodePtr> nodes) {
    GraphCopy graph;
    graph.nodes = std::move(nodes);
    graph.initialised = true;
    return graph;
}

std::vector<NodeId> ids_of(const std::vector<NodePtr>& nodes) {
    std::vector<NodeId> ids;
    for (const NodePtr& one : nodes) {
        ids.push_back(one->id);
    }
    return ids;
}

}  // namespace

TEST_CASE("a node in words") {
    Node data;
    data.id = "n";
    data.owner = "Zoë";
    data.dependencies = Dependencies::of(std::vector<NodeId>{"a", "b"});
    data.data = write_pickle(Value::dict(
        {{Value::str("type_id"), Value::str("Mesh")}, {Value::str("name"), Value::str("Fox")}}));
    const NodeView view = view_of(data);
    CHECK(view.id == "n");
    CHECK(view.type == "Mesh");
    CHECK(view.name == "Fox");
    CHECK(view.owner == "Zoë");
    CHECK(view.dependencies == std::vector<NodeId>{"a", "b"});
    CHECK(view.bytes > data.data.size());

    data.data = write_pickle(Value::dict(
        {{Value::str("type_id"), Value::str("Mesh")}, {Value::str("name"), Value::integer(3)}}));
    CHECK(view_of(data).name.empty());
    data.data = Bytes::copy_of("no pickle");
    CHECK(view_of(data).type.empty());
}

TEST_CASE("what changes between two graphs; owners and order do not count") {
    const GraphCopy from = graph_of({node("same"), node("edited", {}, 1), node("gone"),
                                     node("linked"), node("owned", {}, 1, "Zoë")});
    const GraphCopy to = graph_of({node("owned"), node("new"), node("edited", {}, 2), node("same"),
                                   node("linked", {"same"})});
    const GraphChange change = change_between(from, to);
    REQUIRE(change.added.size() == 1);
    CHECK(change.added[0].id == "new");
    REQUIRE(change.removed.size() == 1);
    CHECK(change.removed[0].id == "gone");
    REQUIRE(change.changed.size() == 2);
    CHECK(change.changed[0].node.id == "edited");
    CHECK(change.changed[0].data);
    CHECK_FALSE(change.changed[0].dependencies);
    CHECK(change.changed[1].node.id == "linked");
    CHECK(change.changed[1].dependencies);
    CHECK_FALSE(change.changed[1].data);
    CHECK(change.unchanged == 2);
    CHECK(to_string(change) == "adds 1 node, removes 1, changes 2, leaves 2");
    CHECK_FALSE(change_between(from, from).any());
    CHECK(to_string(change_between(from, from)) == "changes nothing");
}

TEST_CASE("what is kept of users is a change of its own") {
    GraphCopy from = graph_of({node("a")});
    GraphCopy to = from;
    to.metadata["Zoë"] = write_pickle(Value::dict());
    CHECK(change_between(from, to).any());
    CHECK(change_between(from, to).metadata);
}

TEST_CASE("from seeds: what changes from one graph to another undoes what changes back") {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        CAPTURE(seed);
        support::GraphGen generator(seed);
        Graph graph;
        for (const Mutation& mutation : generator.upload(12)) {
            REQUIRE(graph.apply(mutation).has_value());
        }
        const GraphCopy before = graph.copy();
        for (int i = 0; i < 40; ++i) {
            static_cast<void>(graph.apply(generator.next()));
        }
        const GraphCopy after = graph.copy();
        const GraphChange there = change_between(before, after);
        const GraphChange back = change_between(after, before);
        CHECK(there.added.size() == back.removed.size());
        CHECK(there.removed.size() == back.added.size());
        CHECK(there.changed.size() == back.changed.size());
        CHECK(there.unchanged == back.unchanged);
        CHECK(before.nodes.size() + there.added.size() - there.removed.size() ==
              after.nodes.size());
        CHECK(there.unchanged + there.changed.size() + there.added.size() == after.nodes.size());
    }
}

TEST_CASE("nodes with all that they depend on, rings and what is not there included") {
    const GraphCopy graph =
        graph_of({node("leaf"), node("a", {"b", "lost"}), node("other"), node("b", {"leaf", "a"})});
    CHECK(ids_of(*with_dependencies(graph, {"a"})) == std::vector<NodeId>{"leaf", "a", "b"});
    CHECK(ids_of(*with_dependencies(graph, {"other", "leaf", "leaf"})) ==
          std::vector<NodeId>{"leaf", "other"});
    CHECK(with_dependencies(graph, {})->empty());
    const auto missing = with_dependencies(graph, {"leaf", "lost"});
    REQUIRE_FALSE(missing.has_value());
    CHECK(missing.error().kind == ErrorKind::NotFound);
    CHECK(missing.error().what.find("lost") != std::string::npos);
}

TEST_CASE("what was done, in words") {
    CHECK(doing_of(support::make_patch("n", {}, 1.5))->what == "changed root['location'][0]");
    CHECK(doing_of(support::make_patch("n", {}, 1.5))->node == "n");
    CHECK(doing_of(DeleteNode{"n"})->what == "deleted");
    CHECK(doing_of(PutNode{*node("n")})->node == "n");
    CHECK(doing_of(UserLeft{"Zoë", "kicked"})->what == "left (kicked)");
    CHECK_FALSE(doing_of(SetOwner{{"n"}, "Zoë"}).has_value());
    CHECK(doing_of(PatchNode{"n", {}, Bytes::copy_of("no pickle"), {}})->what == "changed");

    std::vector<std::pair<Value, Value>> changes;
    for (int i = 0; i < 6; ++i) {
        changes.emplace_back(Value::str("root['k" + std::to_string(i) + "']"), Value());
    }
    const Bytes delta = write_pickle(
        Value::dict({{Value::str("dictionary_item_added"), Value::dict(std::move(changes))}}));
    CHECK(doing_of(PatchNode{"n", {}, delta, {}})->what ==
          "changed root['k0'], root['k1'], root['k2'], root['k3'] and 2 more");
}
