#include "broker/wire.h"

#include <unordered_set>
#include <utility>

#include "common/limits.h"
#include "common/mutation.h"
#include "common/pickle.h"

namespace broker::wire {
namespace {

using common::bad_input;
using common::Bytes;
using common::Chunks;
using common::Result;
using common::Value;

// What pickle.dumps(n, protocol=4) writes for a small n; anything else goes through the machine.
constexpr std::string_view kSmallIntPickle("\x80\x04K", 3);

Bytes pickled_type(Type type) {
    std::string text(kSmallIntPickle);
    text.push_back(static_cast<char>(type));
    text.push_back('.');
    return Bytes(std::move(text));
}

Result<std::vector<common::NodeId>> read_node_ids(const Value* value, const char* what) {
    const common::List* list = value != nullptr ? value->as_list() : nullptr;
    if (list == nullptr) {
        return bad_input(std::string(what) + " is not a list");
    }
    std::vector<common::NodeId> ids;
    ids.reserve(list->items.size());
    for (const Value& item : list->items) {
        const std::string* id = item.as_str();
        if (id == nullptr) {
            return bad_input(std::string(what) + " holds something that is not a str");
        }
        ids.push_back(TRY(common::read_node_id(*id)));
    }
    return ids;
}

Result<common::UserName> read_name(const Value* value, const char* what) {
    const std::string* name = value != nullptr ? value->as_str() : nullptr;
    if (name == nullptr || name->empty()) {
        return bad_input(std::string(what) + " is not a non-empty str");
    }
    if (name->size() > common::limits::kUserNameBytesMax) {
        return common::fail(common::ErrorKind::Limit, std::string(what) + " is too long");
    }
    return *name;
}

// None counts as the empty string: the addon sends either when the artist typed nothing.
Result<std::string> read_optional_text(const Value* value, const char* what) {
    if (value == nullptr || value->is_none()) {
        return std::string();
    }
    const std::string* text = value->as_str();
    if (text == nullptr) {
        return bad_input(std::string(what) + " is not a str");
    }
    return *text;
}

Result<Message> decode_commit(const Chunks& chunks) {
    if (chunks.size() != 4) {
        return bad_input("a Commit has 4 chunks, not " + std::to_string(chunks.size()));
    }
    Commit commit;
    commit.id = TRY(common::read_node_id(chunks[1].view()));
    commit.dependencies = TRY(common::Dependencies::read(chunks[2]));
    commit.delta = chunks[3];
    commit.parsed = TRY(common::read_pickle(chunks[3], common::PickleUse::Delta));
    return commit;
}

Result<Message> decode_right(const Value& data) {
    Right right;
    right.ids = TRY(read_node_ids(data.find("uuid"), "the 'uuid' of a Right"));
    right.owner = TRY(read_name(data.find("owner"), "the 'owner' of a Right"));
    return right;
}

Result<Message> decode_snapshot(const Value& data) {
    const Value* state = data.find("STATE");
    const std::string* name = state != nullptr ? state->as_str() : nullptr;
    if (name == nullptr) {
        return bad_input("a Snapshot without STATE");
    }
    if (*name == "REQUEST_INIT") {
        return RequestCatalog{};
    }
    if (*name == "DONE") {
        return JoinDone{};
    }
    if (*name == "GET") {
        const Value* id = data.find("ID");
        if (id == nullptr || id->as_str() == nullptr) {
            return bad_input("a Snapshot GET without ID");
        }
        return Get{TRY(common::read_node_id(*id->as_str()))};
    }
    return bad_input("a Snapshot with an unknown STATE");
}

Result<Chunks> read_chunk_list(const Value* value) {
    const common::List* list = value != nullptr ? value->as_list() : nullptr;
    if (list == nullptr) {
        return bad_input("the DATA of a ServerSnapshot SET is not a list");
    }
    Chunks chunks;
    for (const Value& item : list->items) {
        if (item.as_bytes() == nullptr || chunks.size() == common::limits::kMessageChunksMax) {
            return bad_input("the DATA of a ServerSnapshot SET is not a few bytes objects");
        }
        chunks.push_back(*item.as_bytes());
    }
    return chunks;
}

Result<Message> decode_server_snapshot(const Value& data) {
    const Value* state = data.find("STATE");
    const std::string* name = state != nullptr ? state->as_str() : nullptr;
    if (name == nullptr) {
        return bad_input("a ServerSnapshot without STATE");
    }
    if (*name == "INIT") {
        UploadInit init{TRY(read_node_ids(data.find("NODES"), "the NODES of a ServerSnapshot"))};
        if (init.ids.empty()) {
            return bad_input("a ServerSnapshot without NODES");
        }
        return init;
    }
    if (*name == "SET") {
        const Chunks chunks = TRY(read_chunk_list(data.find("DATA")));
        return UploadNode{TRY(common::read_node(chunks))};
    }
    if (*name == "END") {
        return UploadEnd{};
    }
    return bad_input("a ServerSnapshot with an unknown STATE");
}

Result<Message> decode_auth(const Value& data) {
    Auth auth;
    const Value* type = data.find("AUTH_TYPE");
    if (type == nullptr || type->as_str() == nullptr) {
        return bad_input("an Auth without AUTH_TYPE");
    }
    auth.admin = *type->as_str() == "ADMIN";
    auth.name = TRY(read_name(data.find("AUTH_ID"), "the AUTH_ID"));
    auth.server_password = TRY(read_optional_text(data.find("S_PWD"), "the S_PWD"));
    auth.admin_password = TRY(read_optional_text(data.find("A_PWD"), "the A_PWD"));
    auth.version = TRY(read_optional_text(data.find("VERSION"), "the VERSION"));
    return auth;
}

Result<Message> decode_command(Type type, const Chunks& chunks) {
    if (chunks.size() != 3) {
        return bad_input("a command has 3 chunks, not " + std::to_string(chunks.size()));
    }
    if (type == Type::RequestServerInfo) {
        return RequestServerInfo{};  // whatever it carries is not looked at
    }
    if (type == Type::UpdateUserMetadata &&
        chunks[2].size() > common::limits::kUserMetadataBytesMax) {
        return common::fail(common::ErrorKind::Limit, "user metadata is too big");
    }
    const Value data = TRY(common::read_pickle(chunks[2], common::PickleUse::Plain));
    switch (type) {
        case Type::Delete: {
            const std::string* id = data.as_str();
            if (id == nullptr) {
                return bad_input("the uuid of a Delete is not a str");
            }
            return Delete{TRY(common::read_node_id(*id))};
        }
        case Type::Right:
            return decode_right(data);
        case Type::Snapshot:
            return decode_snapshot(data);
        case Type::ServerSnapshot:
            return decode_server_snapshot(data);
        case Type::Auth:
            return decode_auth(data);
        case Type::Kick:
            return Kick{TRY(read_name(data.find("user"), "the user of a Kick"))};
        case Type::UpdateUserMetadata:
            if (data.as_dict() == nullptr) {
                return bad_input("user metadata is not a dict");
            }
            return Metadata{common::UserName(chunks[1].view()), data};
        default:
            return bad_input("a command of type " + std::to_string(static_cast<int>(type)) +
                             " is not a client's to send");
    }
}

Encoded encode_command(Type type, const Value& data) {
    return std::make_shared<const Chunks>(Chunks{
        pickled_type(type), Bytes(std::string(common::kOwnerServer)), common::write_pickle(data)});
}

Value text(std::string_view characters) {
    return Value::str(characters);
}

Value id_list(const std::vector<common::NodeId>& ids) {
    std::vector<Value> items;
    items.reserve(ids.size());
    for (const common::NodeId& id : ids) {
        items.push_back(text(id));
    }
    return Value::list(std::move(items));
}

}  // namespace

Result<Type> decode_type(const Chunks& chunks) {
    if (chunks.empty()) {
        return bad_input("an empty message");
    }
    const std::string_view first = chunks[0].view();
    std::int64_t number = 0;
    if (first.size() == 5 && first.starts_with(kSmallIntPickle) && first[4] == '.') {
        number = static_cast<unsigned char>(first[3]);
    } else {
        if (first.size() > 32) {
            return bad_input("the type of a message is not a small int");
        }
        const Value value = TRY(common::read_pickle(chunks[0], common::PickleUse::Plain));
        number = value.as_int().value_or(0);
    }
    if (number < static_cast<int>(Type::Commit) ||
        number > static_cast<int>(Type::RequestServerInfo)) {
        return bad_input("a message of unknown type");
    }
    return static_cast<Type>(number);
}

Result<Message> decode(const Chunks& chunks, Channel channel) {
    const Type type = TRY(decode_type(chunks));
    const bool is_data = type == Type::Commit || type == Type::Node;
    if (is_data != (channel == Channel::Data)) {
        return bad_input("a message of type " + std::to_string(static_cast<int>(type)) +
                         " on the " + name(channel) + " connection");
    }
    if (type == Type::Commit) {
        return decode_commit(chunks);
    }
    if (type == Type::Node) {
        return PutNode{TRY(common::read_node(chunks))};
    }
    return decode_command(type, chunks);
}

Encoded auth_reply(std::string_view reply) {
    return encode_command(Type::Auth, text(reply));
}

Encoded disconnect(std::string_view reason) {
    return encode_command(Type::Disconnect, Value::dict({{text("reason"), text(reason)}}));
}

Encoded server_info(bool is_private, std::string_view version) {
    return encode_command(Type::RequestServerInfo,
                          Value::dict({{text("private"), Value::boolean(is_private)},
                                       {text("version"), text(version)}}));
}

Encoded upload_state(std::string_view state) {
    return encode_command(Type::ServerSnapshot, Value::dict({{text("STATE"), text(state)}}));
}

Encoded catalog(const std::vector<common::NodeId>& ids) {
    return encode_command(Type::Snapshot, Value::dict({{text("STATE"), text("INIT")},
                                                       {text("CATALOG"), id_list(ids)}}));
}

Encoded set_node(const common::NodePtr& node) {
    Value data = Value::bytes(Bytes(std::string("removed")));
    if (node != nullptr) {
        std::vector<Value> items;
        for (const Bytes& chunk : node->chunks()) {
            items.push_back(Value::bytes(chunk));
        }
        data = Value::list(std::move(items));
    }
    return encode_command(Type::Snapshot,
                          Value::dict({{text("STATE"), text("SET")}, {text("DATA"), data}}));
}

Encoded right(const std::vector<common::NodeId>& ids, const common::UserName& owner) {
    return encode_command(
        Type::Right, Value::dict({{text("uuid"), id_list(ids)}, {text("owner"), text(owner)}}));
}

Encoded delete_node(const common::NodeId& id) {
    return encode_command(Type::Delete, text(id));
}

Encoded node(const common::Node& node) {
    return std::make_shared<const Chunks>(node.chunks());
}

Encoded metadata(const common::UserName& owner, const Value& fields) {
    return std::make_shared<const Chunks>(Chunks{pickled_type(Type::UpdateUserMetadata),
                                                 Bytes::copy_of(owner),
                                                 common::write_pickle(fields)});
}

Encoded clients_state(const std::vector<ClientState>& states) {
    std::vector<std::pair<Value, Value>> users;
    users.reserve(states.size());
    for (const ClientState& state : states) {
        users.emplace_back(
            text(state.name),
            Value::dict({{text("id"), text(state.name)},
                         {text("admin"), Value::boolean(state.admin)},
                         {text("latency"), Value::integer(state.latency_ms)},
                         {text("status"), Value::integer(static_cast<int>(state.status))},
                         {text("metadata"), state.metadata}}));
    }
    return encode_command(Type::UpdateClientsState, Value::dict(std::move(users)));
}

}  // namespace broker::wire
