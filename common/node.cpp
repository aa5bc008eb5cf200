#include "common/node.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdint>

#include "common/limits.h"
#include "common/pickle.h"
#include "common/verify.h"

namespace common {

namespace {

// pickle.dumps(2, protocol=4): the type number of a Node.
constexpr std::string_view kPickledNodeType = "\x80\x04K\x02.";
// pickle.dumps([], protocol=4): what most dependencies are.
constexpr std::string_view kPickledEmptyList = "\x80\x04]\x94.";

bool is_continuation(char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

// Length of the UTF-8 sequence that `text` begins with, 0 if it begins with none (RFC 3629: no
// surrogates, nothing over U+10FFFF, nothing longer than it must be).
std::size_t sequence_length(std::string_view text) {
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = at(0);
    if (first < 0x80U) {
        return 1;
    }
    const std::size_t length = first >= 0xF0U ? 4 : first >= 0xE0U ? 3 : 2;
    if (first < 0xC2U || first > 0xF4U || text.size() < length) {
        return 0;
    }
    for (std::size_t i = 1; i < length; ++i) {
        if (!is_continuation(text[i])) {
            return 0;
        }
    }
    const unsigned char second = at(1);
    const bool refused = (first == 0xE0U && second < 0xA0U) || (first == 0xEDU && second > 0x9FU) ||
                         (first == 0xF0U && second < 0x90U) || (first == 0xF4U && second > 0x8FU);
    return refused ? 0 : length;
}

Result<std::string> read_text(std::string_view bytes, std::size_t bytes_max, const char* what) {
    if (bytes.empty()) {
        return bad_input(std::string(what) + " is empty");
    }
    if (bytes.size() > bytes_max) {
        return fail(ErrorKind::Limit, std::string(what) + " has " + std::to_string(bytes.size()) +
                                          " bytes, more than " + std::to_string(bytes_max));
    }
    if (!is_utf8(bytes)) {
        return bad_input(std::string(what) + " is not UTF-8");
    }
    return std::string(bytes);
}

Result<void> check_node_type(const Bytes& chunk) {
    if (chunk.view() == kPickledNodeType) {
        return {};
    }
    const Value type = TRY(read_pickle(chunk, PickleUse::Plain));
    if (type.as_int() != 2) {
        return bad_input("the chunks are not a Node's: type " + repr(type, 40));
    }
    return {};
}

void update(XXH3_state_t& state, std::string_view part) {
    XXH64_canonical_t size;
    XXH64_canonicalFromHash(&size, part.size());
    XXH3_128bits_update(&state, size.digest, sizeof size.digest);
    XXH3_128bits_update(&state, part.data(), part.size());
}

}  // namespace

bool is_utf8(std::string_view bytes) {
    while (!bytes.empty()) {
        const std::size_t length = sequence_length(bytes);
        if (length == 0) {
            return false;
        }
        bytes.remove_prefix(length);
    }
    return true;
}

Result<Dependencies> Dependencies::read(Bytes pickled) {
    if (pickled.view() == kPickledEmptyList) {
        return Dependencies{std::move(pickled), std::vector<NodeId>()};
    }
    const Value value = TRY(read_pickle(pickled, PickleUse::Plain));
    if (value.is_none()) {
        return Dependencies{std::move(pickled), std::nullopt};
    }
    const List* list = value.as_list();
    if (list == nullptr) {
        return bad_input("dependencies are neither None nor a list: " + repr(value, 80));
    }
    std::vector<NodeId> ids;
    ids.reserve(list->items.size());
    for (const Value& item : list->items) {
        const std::string* id = item.as_str();
        if (id == nullptr) {
            return bad_input("a dependency is not a str: " + repr(item, 80));
        }
        ids.push_back(*id);
    }
    return Dependencies{std::move(pickled), std::move(ids)};
}

Dependencies Dependencies::of(std::optional<std::vector<NodeId>> ids) {
    Value value;
    if (ids) {
        std::vector<Value> items;
        items.reserve(ids->size());
        for (const NodeId& id : *ids) {
            items.push_back(Value::str(id));
        }
        value = Value::list(std::move(items));
    }
    return Dependencies{write_pickle(value), std::move(ids)};
}

Chunks Node::chunks() const {
    return {Bytes(nullptr, kPickledNodeType), Bytes::copy_of(id), Bytes::copy_of(owner),
            dependencies.pickled, data};
}

Hash128 Node::hash() const {
    XXH3_state_t state;
    XXH3_128bits_reset(&state);
    update(state, id);
    update(state, owner);
    update(state, dependencies.pickled.view());
    update(state, data.view());
    const XXH128_hash_t hash = XXH3_128bits_digest(&state);
    return {hash.high64, hash.low64};
}

Result<Node> read_node(const Chunks& chunks) {
    if (chunks.size() != 5) {
        return bad_input("a Node has 5 chunks, not " + std::to_string(chunks.size()));
    }
    TRY(check_node_type(chunks[0]));
    Node node;
    node.id = TRY(read_node_id(chunks[1].view()));
    node.owner = TRY(read_user_name(chunks[2].view()));
    node.dependencies = TRY(Dependencies::read(chunks[3]));
    const Value data = TRY(read_pickle(chunks[4], PickleUse::NodeData));
    TRY(check_node_data(data));
    node.data = chunks[4];
    return node;
}

Result<void> check_node_data(const Value& data) {
    if (!data.is(Value::Type::Dict)) {
        return bad_input("a node's data is not a dict: " + repr(data, 80));
    }
    const Value* type_id = data.find("type_id");
    if (type_id == nullptr || type_id->as_str() == nullptr) {
        return bad_input("a node's data has no str 'type_id'");
    }
    return {};
}

Result<NodeId> read_node_id(std::string_view bytes) {
    return read_text(bytes, limits::kNodeIdBytesMax, "a node's uuid");
}

Result<UserName> read_user_name(std::string_view bytes) {
    return read_text(bytes, limits::kUserNameBytesMax, "a user's name");
}

}  // namespace common
