// Whatever messages a client sends, what is accepted leaves a graph whose nodes can be read again,
// all of them, from the chunks that a joiner and the disk get; and a Node comes out of its encoder
// as it went in.
//
// The input is messages: for each a byte (the connection in bit 0, the number of frames in the
// others), then for each frame a 16-bit little endian length and its bytes.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "broker/wire.h"
#include "common/graph.h"
#include "common/verify.h"

namespace {

using common::Bytes;
using common::Chunks;

class Input {
public:
    explicit Input(std::string_view bytes) : bytes_(bytes) {}

    bool empty() const { return bytes_.empty(); }
    std::size_t byte() {
        if (bytes_.empty()) {
            return 0;
        }
        const auto value = static_cast<unsigned char>(bytes_.front());
        bytes_.remove_prefix(1);
        return value;
    }
    Bytes frame() {
        std::size_t size = byte();
        size |= byte() << 8;
        size = std::min(size, bytes_.size());
        Bytes result = Bytes::copy_of(bytes_.substr(0, size));
        bytes_.remove_prefix(size);
        return result;
    }

private:
    std::string_view bytes_;
};

void apply(common::Graph& graph, const common::Mutation& mutation) {
    const auto applied = graph.apply(mutation);
    VERIFY(applied || !applied.error().what.empty());
}

void take(common::Graph& graph, broker::wire::Message message) {
    using namespace broker::wire;
    if (auto* put = std::get_if<PutNode>(&message)) {
        const auto again = decode(*node(put->node), broker::Channel::Data);
        VERIFY(again && std::get<PutNode>(*again).node.chunks() == put->node.chunks());
        apply(graph, common::PutNode{put->node});
    } else if (auto* upload = std::get_if<UploadNode>(&message)) {
        apply(graph, common::PutNode{upload->node});
    } else if (auto* commit = std::get_if<Commit>(&message)) {
        apply(graph,
              common::PatchNode{commit->id, commit->dependencies, commit->delta, commit->parsed});
    } else if (const auto* gone = std::get_if<Delete>(&message)) {
        apply(graph, common::DeleteNode{gone->id});
    } else if (const auto* right = std::get_if<Right>(&message)) {
        apply(graph, common::SetOwner{right->ids, right->owner});
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input({reinterpret_cast<const char*>(data), size});
    common::Graph graph;
    while (!input.empty()) {
        const std::size_t head = input.byte();
        Chunks chunks;
        for (std::size_t i = 0; i < head / 2 % 8; ++i) {
            chunks.push_back(input.frame());
        }
        const auto channel = head % 2 == 0 ? broker::Channel::Command : broker::Channel::Data;
        auto message = broker::wire::decode(chunks, channel);
        if (message) {
            take(graph, std::move(*message));
        } else {
            VERIFY(!message.error().what.empty());
        }
    }
    for (const common::NodePtr& node : graph.copy().nodes) {
        const auto again = common::read_node(node->chunks());
        VERIFY(again && again->chunks() == node->chunks());
    }
    return 0;
}
