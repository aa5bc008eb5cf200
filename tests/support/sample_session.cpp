#include "tests/support/sample_session.h"

#include <zlib.h>

#include <random>
#include <string>

#include "common/pickle.h"
#include "common/verify.h"

namespace support {

using namespace common;

namespace {

NodePtr sample_node(std::size_t number, std::mt19937_64& random, std::size_t bytes) {
    std::string blob(bytes, '\0');
    for (char& c : blob) {
        c = static_cast<char>(random());
    }
    const std::string name = "node-" + std::to_string(number);
    Value data = Value::dict({{Value::str("type_id"), Value::str("Object")},
                              {Value::str("name"), Value::str(name)},
                              {Value::str("flags"), Value::tuple({Value::boolean(true), Value()})},
                              {Value::str("blob"), Value::bytes(Bytes(std::move(blob)))}});
    Node node;
    node.id = name;
    node.owner = number % 2 == 0 ? kOwnerCommon : "Zoë";
    node.dependencies = number == 0 ? Dependencies::of(std::nullopt)
                                    : Dependencies::of(std::vector<NodeId>{"node-0", "missing"});
    node.data = write_pickle(data);
    return std::make_shared<const Node>(std::move(node));
}

}  // namespace

GraphCopy sample_graph(std::size_t nodes, std::uint64_t salt, std::size_t bytes) {
    GraphCopy graph;
    std::mt19937_64 random(salt);
    for (std::size_t i = 0; i < nodes; ++i) {
        graph.nodes.push_back(sample_node(i, random, bytes));
    }
    graph.metadata["Zoë"] =
        write_pickle(Value::dict({{Value::str("tasks"), Value::list({Value::str("rig the fox")})},
                                  {Value::str("salt"), Value::integer(static_cast<int>(salt))}}));
    graph.initialised = true;
    graph.timeline = Timeline{7};
    return graph;
}

SessionStamp sample_stamp(std::uint64_t seq, std::uint64_t epoch) {
    SessionStamp stamp;
    stamp.position = {Epoch{epoch}, Seq{seq}, Hash128{0xfedcba9876543210, seq}};
    stamp.lineage = {{Epoch{epoch}, Position{}}};
    stamp.last_mutation = WallTime{1'700'000'000'000};
    return stamp;
}

Bytes sample_file(const GraphCopy& graph, SessionStamp stamp) {
    stamp.digest = graph.digest();
    std::string file;
    const Result<void> written =
        write_session_file(graph, stamp, 1, [&file](std::string_view piece) {
            file.append(piece);
            return Result<void>();
        });
    VERIFY(written.has_value());
    return Bytes(std::move(file));
}

Bytes sample_addon_file(const GraphCopy& graph) {
    std::vector<Value> nodes;
    for (const NodePtr& node : graph.nodes) {
        std::vector<Value> chunks;
        for (const Bytes& chunk : node->chunks()) {
            chunks.push_back(Value::bytes(chunk));
        }
        nodes.push_back(Value::list(std::move(chunks)));
    }
    const Value file = Value::dict({{Value::str("nodes"), Value::list(std::move(nodes))}});
    return gzip(write_pickle(file).view());
}

Bytes sample_later_file() {
    const Value file = Value::dict(
        {{Value::str("nodes"), Value::list()},
         {Value::str("holdfast"), Value::dict({{Value::str("format"), Value::integer(2)}})}});
    return gzip(write_pickle(file).view());
}

Bytes gzip(std::string_view text) {
    z_stream stream{};
    VERIFY(deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    std::string out(deflateBound(&stream, text.size()) + 64, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    VERIFY(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return Bytes(std::move(out));
}

}  // namespace support
