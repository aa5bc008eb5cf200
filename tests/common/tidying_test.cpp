#include "common/tidying.h"

#include <doctest/doctest.h>

#include "common/pickle.h"

namespace {

using common::Graph;
using common::Instant;
using common::Millis;
using common::Value;

void edit(Graph& graph, std::int64_t number) {
    const Value change = Value::dict({{Value::str("new_value"), Value::integer(number)}});
    const Value paths = Value::dict({{Value::str("root['count']"), change}});
    const Value delta = Value::dict({{Value::str("values_changed"), paths}});
    REQUIRE(graph.apply(common::PatchNode{"node", common::Dependencies::of(std::nullopt),
                                          common::write_pickle(delta), delta}));
}

}  // namespace

TEST_CASE("what nobody has edited for a while is pickled, what is under edit is not") {
    Graph graph;
    const Value data = Value::dict(
        {{Value::str("type_id"), Value::str("Text")}, {Value::str("count"), Value::integer(0)}});
    REQUIRE(graph.apply(common::PutNode{common::Node{
        "node", "ada", common::Dependencies::of(std::nullopt), common::write_pickle(data)}}));
    common::Tidying tidying;
    const auto at = [](std::int64_t ms) { return Instant(Millis(1'000'000 + ms)); };
    const auto is_tidy = [&graph] { return graph.tidy(0); };

    tidying.on_turn(graph, at(0));
    for (std::int64_t ms = 0; ms <= 5'000; ms += 500) {
        edit(graph, ms);
        tidying.on_turn(graph, at(ms));
        CHECK_FALSE(is_tidy());
    }
    tidying.on_turn(graph, at(5'900));
    CHECK_FALSE(is_tidy());
    tidying.on_turn(graph, at(6'000));
    tidying.on_turn(graph, at(7'000));
    CHECK(is_tidy());

    graph = Graph();
    tidying.on_turn(graph, at(9'000));
    CHECK(is_tidy());
}
