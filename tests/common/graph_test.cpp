#include "common/graph.h"

#include <doctest/doctest.h>

#include <random>

#include "common/pickle.h"
#include "tests/support/graph_gen.h"

using namespace common;
using support::make_node;
using support::make_patch;

namespace {

using Ids = std::vector<NodeId>;

bool changed(Graph& graph, const Mutation& mutation) {
    const auto applied = graph.apply(mutation);
    REQUIRE(applied);
    return applied->changed;
}

Value data_of(Graph& graph, const NodeId& id) {
    const NodePtr node = graph.find(id);
    REQUIRE(node);
    const auto value = read_pickle(node->data);
    REQUIRE(value);
    return *value;
}

std::optional<Ids> dependencies_of(Graph& graph, const NodeId& id) {
    const NodePtr node = graph.find(id);
    REQUIRE(node);
    const auto read = Dependencies::read(node->dependencies.pickled);
    REQUIRE(read);
    CHECK(read->ids == node->dependencies.ids);
    return read->ids;
}

double x_of(Graph& graph, const NodeId& id) {
    const Value data = data_of(graph, id);
    const Value* location = data.find("location");
    REQUIRE(location);
    return location->as_list()->items.at(0).as_float().value();
}

PatchNode patch_with(const NodeId& id, const Value& delta) {
    return {id, Dependencies::of(Ids{}), write_pickle(delta), std::nullopt};
}

Value dict_of(std::string_view key, Value value) {
    return Value::dict({{Value::str(key), std::move(value)}});
}

Value set_value(std::string_view path, Value value) {
    return dict_of("values_changed", dict_of(path, dict_of("new_value", std::move(value))));
}

}  // namespace

TEST_CASE("tidy pickles a little at a time, what was edited least recently first") {
    constexpr std::size_t kNodes = 20;
    Graph graph;
    Graph other;
    for (std::size_t i = 0; i < kNodes; ++i) {
        const PutNode put{make_node("node " + std::to_string(i), "ada", {}, 1)};
        REQUIRE(graph.apply(put));
        REQUIRE(other.apply(put));
    }
    CHECK(graph.tidy(0));  // nothing was edited
    const std::size_t node_bytes = graph.find("node 0")->data.size();
    const auto edit = [&](std::size_t i) {
        const PatchNode patch =
            patch_with("node " + std::to_string(i), set_value("root['name']", Value::str("new")));
        REQUIRE(graph.apply(patch));
        REQUIRE(other.apply(patch));
    };
    for (std::size_t i = 0; i < kNodes; ++i) {
        edit(i);
    }
    std::size_t calls = 1;
    while (!graph.tidy(2 * node_bytes)) {
        ++calls;
        if (calls == 3) {
            // Edits between: of what was pickled, of what was not, and what makes it needless.
            edit(0);
            edit(kNodes - 1);
            for (Graph* each : {&graph, &other}) {
                REQUIRE(each->apply(DeleteNode{"node 10"}));
                REQUIRE(each->apply(PutNode{make_node("node 11", "ada", {}, 3)}));
            }
        }
        REQUIRE(calls < 2 * kNodes);
    }
    CHECK(calls > kNodes / 4);
    CHECK(graph.tidy(0));
    CHECK(graph.digest() == other.digest());

    edit(5);
    const std::uint64_t edits = graph.edits();
    edit(6);
    CHECK_FALSE(graph.tidy(0));
    CHECK(graph.tidy(0, edits - 1));       // nothing is so old
    CHECK(graph.tidy(node_bytes, edits));  // the older of the two
    CHECK(graph.tidy(0, edits));
    CHECK_FALSE(graph.tidy(0, edits + 1));  // the other one
    REQUIRE(graph.apply(Cleared{}));
    CHECK(graph.tidy(0));
}

TEST_CASE("a node that grows with each commit stays one that can be read") {
    Graph graph;
    CHECK(changed(graph, PutNode{make_node("a", "ada", {}, 1)}));
    // Tuples: sharing what cannot change is no reason to look at the whole node.
    const Value row = Value::tuple(std::vector<Value>(1000, Value::integer(7)));
    const Value million = Value::tuple(std::vector<Value>(1000, row));
    std::size_t grown = 0;
    for (int i = 0; i < 18; ++i) {
        const std::string path = "root['block" + std::to_string(i) + "']";
        PatchNode patch = patch_with("a", Value::dict());
        patch.parsed = dict_of("dictionary_item_added", dict_of(path, million));
        const auto applied = graph.apply(patch);
        grown += applied ? 1U : 0U;
        CHECK((applied || applied.error().kind == ErrorKind::Limit));
    }
    CHECK(grown == limits::kPickleExpandedMax / 1'001'001);
    CHECK(changed(graph, patch_with("a", set_value("root['location'][0]", Value::real(5)))));
}

TEST_CASE("nodes stay in the order in which they came") {
    Graph graph;
    for (const char* id : {"c", "a", "b"}) {
        CHECK(changed(graph, PutNode{make_node(id, "ada", {}, 1)}));
    }
    CHECK(changed(graph, PutNode{make_node("c", "ada", {}, 2)}));
    CHECK(graph.ids() == Ids{"c", "a", "b"});
    CHECK(changed(graph, DeleteNode{"c"}));
    CHECK_FALSE(graph.contains("c"));
    CHECK(graph.find("c") == nullptr);
    CHECK(changed(graph, PutNode{make_node("c", "ada", {}, 2)}));
    CHECK(graph.ids() == Ids{"a", "b", "c"});
    CHECK(graph.size() == 3);
}

TEST_CASE(
    "a node that is put again keeps its owner and takes data and "
    "dependencies") {
    Graph graph;
    changed(graph, PutNode{make_node("a", "ada", {"x"}, 1)});
    CHECK(changed(graph, PutNode{make_node("a", "bob", {"y"}, 2)}));
    CHECK(*graph.owner_of("a") == "ada");
    CHECK(graph.find("a")->data == make_node("a", "bob", {"y"}, 2).data);
    CHECK(dependencies_of(graph, "a") == Ids{"y"});
}

TEST_CASE("bytes stay the client's until a delta says something") {
    Graph graph;
    const Node node = make_node("a", "ada", {"x"}, 1);
    changed(graph, PutNode{node});
    CHECK(graph.find("a")->data.data() == node.data.data());
    changed(graph, SetOwner{{"a"}, "bob"});
    PatchNode empty = patch_with("a", Value::dict());
    empty.dependencies = Dependencies::of(Ids{"x"});
    CHECK_FALSE(changed(graph, empty));
    CHECK(graph.find("a")->data.data() == node.data.data());
    CHECK(graph.find("a")->owner == "bob");
    changed(graph, make_patch("a", {"x"}, 17));
    CHECK(graph.find("a")->data != node.data);
    CHECK(x_of(graph, "a") == 17);
}

TEST_CASE("a commit folds, parsed or not, and replaces the dependencies") {
    Graph graph;
    changed(graph, PutNode{make_node("a", "ada", {"x"}, 1)});
    CHECK(changed(graph, make_patch("a", {"y", "z"}, 2.5)));
    CHECK(x_of(graph, "a") == 2.5);
    CHECK(dependencies_of(graph, "a") == Ids{"y", "z"});
    PatchNode parsed = make_patch("a", {"y", "z"}, 3.5);
    parsed.parsed = read_pickle(parsed.delta).value();
    CHECK(changed(graph, parsed));
    CHECK(x_of(graph, "a") == 3.5);
}

TEST_CASE("what cannot be folded changes nothing") {
    Graph graph;
    changed(graph, PutNode{make_node("a", "ada", {"x"}, 1)});
    changed(graph, make_patch("a", {"x"}, 2));
    const Hash128 before = graph.digest();
    const auto refused = [&](const PatchNode& patch) {
        const auto applied = graph.apply(patch);
        REQUIRE_FALSE(applied);
        CHECK(graph.digest() == before);
        CHECK(dependencies_of(graph, "a") == Ids{"x"});
        return applied.error().kind;
    };
    CHECK(refused(make_patch("nobody", {}, 1)) == ErrorKind::NotFound);
    PatchNode garbage = make_patch("a", {"y"}, 1);
    garbage.delta = Bytes(std::string("garbage"));
    CHECK(refused(garbage) == ErrorKind::BadInput);
    refused(patch_with("a", Value::list()));
    // deepdiff would take these; what is left would end every joiner's session.
    CHECK(refused(patch_with("a", set_value("root", Value::integer(1)))) == ErrorKind::BadInput);
    CHECK(refused(patch_with("a", set_value("root['type_id']", Value()))) == ErrorKind::BadInput);
    CHECK(refused(patch_with("a", set_value("root[\"type_id\"]", Value()))) == ErrorKind::BadInput);
    CHECK(refused(patch_with("a", dict_of("dictionary_item_removed",
                                          dict_of("root['type_id']", Value::str("mesh"))))) ==
          ErrorKind::BadInput);
}

TEST_CASE("a delta may change type_id to another str") {
    Graph graph;
    changed(graph, PutNode{make_node("a", "ada", {}, 1)});
    CHECK(changed(graph, patch_with("a", set_value("root['type_id']", Value::str("light")))));
    CHECK(*data_of(graph, "a").find("type_id")->as_str() == "light");
    CHECK(changed(graph, patch_with("a", set_value("root[7]", Value::str("x")))));
}

TEST_CASE("a deleted node leaves the dependencies of the others, once each time") {
    Graph graph;
    changed(graph, PutNode{make_node("a", "ada", {"x", "b", "x", "a"}, 1)});
    changed(graph, PutNode{make_node("x", "ada", {"a"}, 1)});
    CHECK(changed(graph, DeleteNode{"x"}));
    CHECK(dependencies_of(graph, "a") == Ids{"b", "x", "a"});
    CHECK_FALSE(changed(graph, DeleteNode{"x"}));  // not there: no dependency goes
    CHECK(dependencies_of(graph, "a") == Ids{"b", "x", "a"});
    changed(graph, PutNode{make_node("x", "ada", {}, 1)});
    changed(graph, DeleteNode{"x"});
    CHECK(dependencies_of(graph, "a") == Ids{"b", "a"});
    changed(graph, PutNode{make_node("x", "ada", {}, 1)});
    changed(graph, DeleteNode{"x"});
    CHECK(dependencies_of(graph, "a") == Ids{"b", "a"});
    changed(graph, DeleteNode{"a"});  // names itself
    CHECK(graph.size() == 0);
}

TEST_CASE("two deletes before anybody looks are as good as two looks") {
    Graph looked_at;
    Graph unseen;
    for (Graph* graph : {&looked_at, &unseen}) {
        changed(*graph, PutNode{make_node("a", "ada", {"x", "x", "b", "x"}, 1)});
        for (int i = 0; i < 2; ++i) {
            changed(*graph, PutNode{make_node("x", "ada", {}, 1)});
            changed(*graph, DeleteNode{"x"});
            if (graph == &looked_at) {
                CHECK(graph->find("a")->dependencies.ids->size() == (i == 0 ? 3U : 2U));
            }
        }
    }
    CHECK(dependencies_of(unseen, "a") == Ids{"b", "x"});
    CHECK(looked_at.digest() == unseen.digest());
}

TEST_CASE("a commit after a delete gives the dependencies it says") {
    Graph graph;
    changed(graph, PutNode{make_node("a", "ada", {"x"}, 1)});
    changed(graph, PutNode{make_node("x", "ada", {}, 1)});
    changed(graph, DeleteNode{"x"});
    changed(graph, make_patch("a", {"x"}, 1));
    CHECK(dependencies_of(graph, "a") == Ids{"x"});
}

TEST_CASE("rights change owners, of those that are there") {
    Graph graph;
    changed(graph, PutNode{make_node("a", "ada", {}, 1)});
    changed(graph, PutNode{make_node("b", "bob", {}, 1)});
    CHECK(changed(graph, SetOwner{{"nobody", "a", "a"}, "bob"}));
    CHECK_FALSE(changed(graph, SetOwner{{"a", "b"}, "bob"}));
    CHECK(graph.ids_owned_by("bob") == Ids{"a", "b"});
    CHECK(graph.ids_owned_by("ada").empty());
    CHECK(graph.ids_not_owned_by("COMMON") == Ids{"a", "b"});
    CHECK(graph.owner_of("nobody") == nullptr);
    CHECK(graph.copy().nodes[0]->owner == "bob");
}

TEST_CASE("an upload that was broken off leaves metadata only") {
    Graph graph;
    const Bytes tasks = write_pickle(dict_of("tasks", Value::integer(3)));
    changed(graph, SetMetadata{"ada", tasks});
    changed(graph, PutNode{make_node("a", "ada", {"b"}, 1)});
    changed(graph, make_patch("a", {"b"}, 1));
    CHECK(changed(graph, Initialised{Timeline{4}}));
    CHECK(graph.initialised());
    CHECK(graph.timeline() == Timeline{4});
    CHECK(changed(graph, Cleared{}));
    CHECK_FALSE(changed(graph, Cleared{}));
    CHECK(graph.size() == 0);
    CHECK_FALSE(graph.initialised());
    CHECK(*graph.metadata_of("ada") == tasks);
    CHECK(graph.metadata_of("bob") == nullptr);
    CHECK(graph.memory_bytes() == 0);
    changed(graph, PutNode{make_node("b", "ada", {"a"}, 1)});
    CHECK(changed(graph, DeleteNode{"b"}));
}

TEST_CASE("events of the session change nothing here") {
    Graph graph;
    changed(graph, PutNode{make_node("a", "ada", {}, 1)});
    const Hash128 before = graph.digest();
    CHECK_FALSE(changed(graph, EpochStarted{}));
    CHECK_FALSE(changed(graph, UserJoined{"ada"}));
    CHECK_FALSE(changed(graph, UserLeft{"ada", "left"}));
    CHECK(graph.digest() == before);
}

TEST_CASE("a copy does not change with the graph") {
    Graph graph;
    changed(graph, PutNode{make_node("a", "ada", {}, 1)});
    changed(graph, make_patch("a", {}, 5));
    const GraphCopy copy = graph.copy();
    const Hash128 digest = copy.digest();
    CHECK(graph.digest() == digest);
    CHECK(copy.nodes[0] == graph.find("a"));
    changed(graph, make_patch("a", {}, 6));
    changed(graph, SetOwner{{"a"}, "bob"});
    changed(graph, SetMetadata{"ada", write_pickle(Value::dict())});
    CHECK(copy.digest() == digest);
    CHECK(graph.digest() != digest);
}

TEST_CASE("the digest tells order, owners, metadata and session apart") {
    Graph graph;
    std::vector<Hash128> seen;
    const auto is_new = [&] {
        const Hash128 digest = graph.digest();
        CHECK(graph.copy().digest() == digest);
        const bool known = std::find(seen.begin(), seen.end(), digest) != seen.end();
        seen.push_back(digest);
        return !known;
    };
    CHECK(is_new());
    changed(graph, PutNode{make_node("a", "ada", {}, 1)});
    CHECK(is_new());
    changed(graph, PutNode{make_node("b", "ada", {}, 1)});
    CHECK(is_new());
    changed(graph, DeleteNode{"a"});
    changed(graph, PutNode{make_node("a", "ada", {}, 1)});
    CHECK(is_new());
    changed(graph, SetOwner{{"a"}, "bob"});
    CHECK(is_new());
    changed(graph, SetMetadata{"ada", Bytes()});
    CHECK(is_new());
    changed(graph, Initialised{Timeline{0}});
    CHECK(is_new());
    changed(graph, Initialised{Timeline{1}});
    CHECK(is_new());
}

TEST_CASE("of equal ids in a copy the last counts") {
    const auto node = [](std::uint64_t salt) {
        return std::make_shared<const Node>(make_node("a", "ada", {}, salt));
    };
    GraphCopy copy;
    copy.nodes = {node(1), node(2)};
    Graph graph(copy);
    CHECK(graph.size() == 1);
    CHECK(graph.find("a")->data == node(2)->data);
}

TEST_CASE("a graph of hardly any memory for parsed nodes is the same graph") {
    Graph roomy;
    Graph tight(GraphCopy{}, 1);
    support::GraphGen gen(1);
    for (int i = 0; i < 3000; ++i) {
        const Mutation mutation = gen.next();
        const auto a = roomy.apply(mutation);
        const auto b = tight.apply(mutation);
        REQUIRE(a.has_value() == b.has_value());
    }
    CHECK(roomy.size() > 20);
    CHECK(roomy.digest() == tight.digest());
}

// The heart of broker and mirror: whoever looked when, after a restart or not,
// the same mutations give the same bytes.
TEST_CASE(
    "the same mutations give the same digest, whenever anybody asks for "
    "bytes") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        support::GraphGen gen(seed);
        std::mt19937_64 random(seed * 7919);
        Graph calm;
        Graph busy;
        Graph restarted(GraphCopy{}, 20'000);
        std::size_t folded = 0;
        for (int i = 0; i < 800; ++i) {
            const Mutation mutation = gen.next();
            const auto applied = calm.apply(mutation);
            const auto as_busy = busy.apply(mutation);
            const auto as_restarted = restarted.apply(mutation);
            REQUIRE(applied.has_value() == as_busy.has_value());
            REQUIRE(applied.has_value() == as_restarted.has_value());
            if (applied) {
                CHECK(applied->changed == as_busy->changed);
                CHECK(applied->changed == as_restarted->changed);
                folded += std::holds_alternative<PatchNode>(mutation) && applied->changed ? 1U : 0U;
            }
            switch (random() % 12) {
                case 0:
                    busy.copy();
                    break;
                case 1:
                    busy.digest();
                    break;
                case 2:
                    if (busy.size() > 0) {
                        busy.find(busy.ids()[random() % busy.size()]);
                    }
                    break;
                case 3:
                    restarted = Graph(restarted.copy(), 20'000);
                    break;
                default:
                    break;
            }
        }
        CHECK(folded > 100);
        CHECK(calm.ids() == busy.ids());
        const Hash128 digest = calm.digest();
        CHECK(busy.digest() == digest);
        CHECK(restarted.digest() == digest);
        CHECK(Graph(calm.copy()).digest() == digest);
        CHECK(calm.copy().digest() == digest);
    }
}

TEST_CASE("memory is about what the nodes weigh, and goes with them") {
    Graph graph;
    for (int i = 0; i < 100; ++i) {
        changed(graph, PutNode{make_node("node-" + std::to_string(i), "ada", {}, 1, 10'000)});
    }
    CHECK(graph.memory_bytes() > 1'000'000);
    CHECK(graph.memory_bytes() < 2'000'000);
    for (int round = 0; round < 50; ++round) {
        for (int i = 0; i < 100; ++i) {
            changed(graph, make_patch("node-" + std::to_string(i), {}, round));
        }
    }
    CHECK(graph.memory_bytes() < 5'000'000);
    for (int i = 0; i < 100; ++i) {
        changed(graph, DeleteNode{"node-" + std::to_string(i)});
    }
    CHECK(graph.memory_bytes() == 0);
}
