#include "tests/bench/sample_graph.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>

#include "common/pickle.h"

namespace bench_data {

using namespace common;

namespace {

template <typename Number>
void append(std::string& text, Number number) {
    text.append(reinterpret_cast<const char*>(&number), sizeof number);
}

Value mesh_data(std::size_t bytes, std::mt19937_64& random) {
    std::normal_distribution<float> noise(0, 0.003F);
    const bool sculpted = random() % 2 == 0;
    const auto salt = static_cast<float>(random() % 1000) / 100;
    std::string positions;
    std::string loops;
    for (std::int32_t i = 0; positions.size() + loops.size() < bytes; ++i) {
        const auto x = static_cast<float>(i % 97) / 97;
        const auto y = static_cast<float>(i / 97);
        append(positions, x + (sculpted ? noise(random) : 0));
        append(positions, y);
        append(positions, std::sin(x * salt) * std::cos(y / salt) + (sculpted ? noise(random) : 0));
        for (const std::int32_t corner : {i, i + 1, i + 98, i + 97}) {
            append(loops, corner);
        }
    }
    return Value::dict({{Value::str("type_id"), Value::str("Mesh")},
                        {Value::str("co"), Value::bytes(Bytes(std::move(positions)))},
                        {Value::str("loops"), Value::bytes(Bytes(std::move(loops)))}});
}

Value object_data(std::size_t bytes, std::mt19937_64& random) {
    std::normal_distribution<double> normal;
    std::vector<Value> weights;
    for (std::size_t i = 0; i < bytes / 9; ++i) {
        weights.push_back(Value::real(i % 4 == 0 ? 1.0 : normal(random)));
    }
    return Value::dict({{Value::str("type_id"), Value::str("Object")},
                        {Value::str("name"), Value::str("Cube." + std::to_string(random() % 1000))},
                        {Value::str("weights"), Value::list(std::move(weights))}});
}

}  // namespace

GraphCopy sample_graph(std::size_t nodes, std::size_t bytes) {
    std::mt19937_64 random(5);
    GraphCopy graph;
    graph.initialised = true;
    graph.timeline = Timeline{7};
    const std::size_t object_bytes = std::min<std::size_t>(2500, bytes / nodes / 2);
    const std::size_t meshes = std::max<std::size_t>(1, nodes / 10);
    const std::size_t mesh_bytes = (bytes - (nodes - meshes) * object_bytes) / meshes;
    for (std::size_t i = 0; i < nodes; ++i) {
        Node node;
        node.id = "00000000-0000-0000-0000-" + std::to_string(100'000'000'000 + i);
        node.owner = kOwnerCommon;
        node.dependencies = Dependencies::of(std::vector<NodeId>{});
        node.data = write_pickle(i % 10 == 0 ? mesh_data(mesh_bytes, random)
                                             : object_data(object_bytes, random));
        graph.nodes.push_back(std::make_shared<const Node>(std::move(node)));
    }
    return graph;
}

}  // namespace bench_data
