#include "tests/support/model_client.h"

#include <algorithm>
#include <utility>

#include "common/delta.h"
#include "common/pickle.h"

namespace support {

using broker::Channel;
using broker::wire::Type;
using common::Bytes;
using common::Chunks;
using common::NodeId;
using common::Value;

namespace {

Value text(std::string_view characters) {
    return Value::str(characters);
}

Value texts(const std::vector<NodeId>& ids) {
    std::vector<Value> items;
    for (const NodeId& id : ids) {
        items.push_back(text(id));
    }
    return Value::list(std::move(items));
}

Bytes type_chunk(Type type) {
    return common::write_pickle(Value::integer(static_cast<int>(type)));
}

Bytes text_chunk(std::string_view characters) {
    return Bytes(std::string(characters));
}

Value new_data(std::int64_t value) {
    return Value::dict({{text("type_id"), text("Thing")},
                        {text("v"), Value::integer(value)},
                        {text("items"), Value::list({Value::integer(value)})}});
}

Bytes pickled_dependencies(const std::optional<std::vector<NodeId>>& ids) {
    return common::write_pickle(ids ? texts(*ids) : Value());
}

}  // namespace

const char* name(ModelClient::State state) {
    static const char* const kNames[] = {"AUTH",   "LOBBY", "SRV_SYNC", "SYNCING",
                                         "ACTIVE", "gone",  "raised"};
    return kNames[static_cast<int>(state)];
}

ModelClient::ModelClient(common::UserName name, std::string admin_password,
                         broker::Generation generation)
    : generation_(generation), name_(std::move(name)) {
    const bool admin = !admin_password.empty();
    const char* const version = generation == broker::Generation::Zmtp ? "0.9.10" : "0.10.2";
    send_command(Type::Auth,
                 Value::dict({{text("AUTH_TYPE"), text(admin ? "ADMIN" : "CLIENT")},
                              {text("AUTH_ID"), text(name_)},
                              {text("S_PWD"), Value()},
                              {text("A_PWD"), admin ? text(admin_password) : Value()},
                              {text("VERSION"), text(version)}}),
                 name_);
}

void ModelClient::arrived(Channel channel, Chunks chunks) {
    Inbox& inbox = inbox_[static_cast<std::size_t>(channel)];
    (generation_ == broker::Generation::Zmtp ? inbox.read : inbox.unread)
        .push_back(std::move(chunks));
}

void ModelClient::forget_unread(Channel channel) {
    Inbox& inbox = inbox_[static_cast<std::size_t>(channel)];
    inbox.unread.clear();
    inbox.read_bytes = 0;
}

std::vector<ModelClient::Sent> ModelClient::take_sent() {
    return std::exchange(sent_, {});
}

void ModelClient::raise(std::string why) {
    state_ = State::Raised;
    why_ = std::move(why);
}

void ModelClient::leave() {
    state_ = State::Gone;
    why_ = "left";
}

void ModelClient::auth_timeout() {
    state_ = State::Gone;
    why_ = "Connection failed, server not found";
}

void ModelClient::read(Inbox& inbox) const {
    std::size_t budget = kBytesPerTick;
    while (!inbox.unread.empty()) {
        const std::size_t lengths = 4 * (1 + inbox.unread.front().size());
        const std::size_t bytes = lengths + common::total_size(inbox.unread.front());
        if (bytes - inbox.read_bytes > budget) {
            inbox.read_bytes += budget;
            return;
        }
        budget -= bytes - std::exchange(inbox.read_bytes, 0);
        inbox.read.push_back(std::move(inbox.unread.front()));
        inbox.unread.pop_front();
    }
}

void ModelClient::tick() {
    if (!here()) {
        return;
    }
    // One poll for both: what comes in while the command is handled waits for the next tick.
    for (Inbox& inbox : inbox_) {
        read(inbox);
    }
    auto& commands = inbox_[static_cast<std::size_t>(Channel::Command)].read;
    auto& data = inbox_[static_cast<std::size_t>(Channel::Data)].read;
    const bool has_data = !data.empty();
    if (!commands.empty()) {
        const Chunks chunks = std::move(commands.front());
        commands.pop_front();
        on_command(chunks);
    }
    if (has_data && here()) {
        Chunks chunks = std::move(data.front());
        data.pop_front();
        on_data(std::move(chunks));
    }
}

// ---- Commands ----------------------------------------------------------------------------------

void ModelClient::on_command(const Chunks& chunks) {
    const auto type = broker::wire::decode_type(chunks);
    if (!type || chunks.size() < 3) {
        return;  // "Corrupted frame received, skipping it"
    }
    const auto data = common::read_pickle(chunks[2]);
    if (!data) {
        return;
    }
    switch (*type) {
        case Type::Auth:
            return on_auth(*data);
        case Type::Disconnect:
            state_ = State::Gone;
            why_ = common::repr(*data);
            return;
        case Type::UpdateClientsState:
            online_users_ = *data;
            return;
        case Type::UpdateUserMetadata:
            return on_metadata(std::string(chunks[1].view()), *data);
        case Type::Snapshot:
            return on_snapshot(*data);
        case Type::ServerSnapshot:
            return on_server_snapshot(*data);
        case Type::Delete:
            return on_delete(*data);
        case Type::Right:
            return on_right(*data);
        default:
            return;
    }
}

void ModelClient::on_auth(const Value& data) {
    if (state_ != State::Auth) {
        return raise("Auth in " + std::string(support::name(state_)));
    }
    const std::string reply = data.as_str() != nullptr ? *data.as_str() : "";
    if (reply.find("LOBBY") != std::string::npos) {
        state_ = State::Lobby;
    }
    if (reply.find("RUNNING") != std::string::npos) {
        state_ = State::Lobby;
        send_command(Type::Snapshot, Value::dict({{text("STATE"), text("REQUEST_INIT")}}), name_);
    }
    if (reply.find("FAILED") != std::string::npos) {
        state_ = State::Gone;
        why_ = reply;
    }
}

void ModelClient::on_metadata(const common::UserName& owner, const Value& data) {
    const Value* user = online_users_.find(owner);
    const Value* metadata = user != nullptr ? user->find("metadata") : nullptr;
    if (metadata == nullptr || metadata->as_dict() == nullptr || data.as_dict() == nullptr) {
        return raise("metadata of '" + owner + "', of whom it was not told");
    }
    for (const auto& entry : data.as_dict()->entries()) {
        metadata->as_dict()->set(entry.key, entry.value);
    }
}

bool ModelClient::shown_as_admin() const {
    const Value* user = online_users_.find(name_);
    const Value* admin = user != nullptr ? user->find("admin") : nullptr;
    return admin != nullptr && admin->as_bool().value_or(false);
}

void ModelClient::on_snapshot(const Value& data) {
    const Value* step = data.find("STATE");
    const std::string* step_name = step != nullptr ? step->as_str() : nullptr;
    if (state_ != State::Syncing && state_ != State::Lobby) {
        return raise("Snapshot " + common::repr(data, 60) + " in " + support::name(state_));
    }
    if (step_name == nullptr) {
        return raise("Snapshot without STATE");
    }
    if (*step_name == "INIT") {
        const Value* catalog = data.find("CATALOG");
        const common::List* ids = catalog != nullptr ? catalog->as_list() : nullptr;
        if (ids == nullptr || ids->items.empty()) {
            return raise("an empty CATALOG");
        }
        catalog_.clear();
        for (const Value& id : ids->items) {
            catalog_.push_back(*id.as_str());
        }
        late_updates_.clear();
        next_get();
        state_ = State::Syncing;
    } else if (*step_name == "SET") {
        on_snapshot_set(data);
    }
}

void ModelClient::next_get() {
    current_ = catalog_.back();  // from the end
    catalog_.pop_back();
    send_command(Type::Snapshot,
                 Value::dict({{text("STATE"), text("GET")}, {text("ID"), text(*current_)}}), name_);
}

void ModelClient::on_snapshot_set(const Value& data) {
    if (!current_) {
        return raise("Snapshot SET before any catalog");
    }
    const Value* node = data.find("DATA");
    if (node != nullptr && node->as_list() != nullptr) {
        Chunks chunks;
        for (const Value& chunk : node->as_list()->items) {
            chunks.push_back(chunk.as_bytes() != nullptr ? *chunk.as_bytes() : Bytes());
        }
        if (chunks.size() != 5) {
            return raise("Snapshot SET of something that is no node");
        }
        if (chunks[1].view() != *current_) {
            return;  // "wrong node received, skipping it": it waits for ever
        }
        if (!apply(chunks)) {
            return raise("Snapshot SET of " + *current_);
        }
    } else if (node == nullptr || node->as_bytes() == nullptr ||
               node->as_bytes()->view() != "removed") {
        return raise("Snapshot SET without chunks");
    }
    if (!catalog_.empty()) {
        return next_get();
    }
    while (!late_updates_.empty()) {
        const Chunks late = std::move(late_updates_.front());
        late_updates_.pop_front();
        if (!apply(late)) {
            return raise("late update of " + std::string(late[1].view()));
        }
    }
    send_command(Type::Snapshot, Value::dict({{text("STATE"), text("DONE")}}), name_);
    state_ = State::Active;
}

void ModelClient::on_server_snapshot(const Value& data) {
    if (state_ != State::Uploading) {
        return raise("ServerSnapshot " + common::repr(data, 60) + " in " + support::name(state_));
    }
    const Value* step = data.find("STATE");
    const std::string step_name =
        step != nullptr && step->as_str() != nullptr ? *step->as_str() : std::string();
    if (step_name == "ACCEPTED") {
        for (const auto& [id, node] : graph_) {
            std::vector<Value> items;
            for (const Bytes& chunk : node_chunks(id, node)) {
                items.push_back(Value::bytes(chunk));
            }
            send_command(Type::ServerSnapshot,
                         Value::dict({{text("STATE"), text("SET")},
                                      {text("DATA"), Value::list(std::move(items))}}),
                         "server");
        }
        send_command(Type::ServerSnapshot, Value::dict({{text("STATE"), text("END")}}), "server");
    } else if (step_name == "DONE") {
        state_ = State::Active;
    } else if (step_name == "REJECTED") {
        state_ = State::Lobby;
    }
}

void ModelClient::on_delete(const Value& data) {
    const std::string* id = data.as_str();
    if (id == nullptr || id->empty()) {
        return raise("Delete of " + common::repr(data));
    }
    if (!graph_.contains(*id)) {
        return;
    }
    for (auto& [other, node] : graph_) {
        if (!node.dependencies) {
            continue;
        }
        const auto found = std::find(node.dependencies->begin(), node.dependencies->end(), *id);
        if (found != node.dependencies->end()) {
            node.dependencies->erase(found);
        }
    }
    graph_.erase(*id);
}

void ModelClient::on_right(const Value& data) {
    const Value* ids = data.find("uuid");
    const Value* owner = data.find("owner");
    if (ids == nullptr || ids->as_list() == nullptr || owner == nullptr ||
        owner->as_str() == nullptr) {
        return raise("Right of " + common::repr(data));
    }
    for (const Value& id : ids->as_list()->items) {
        const auto node = id.as_str() != nullptr ? graph_.find(*id.as_str()) : graph_.end();
        if (node != graph_.end()) {
            node->second.owner = *owner->as_str();
        }
    }
}

// ---- Data --------------------------------------------------------------------------------------

void ModelClient::on_data(Chunks chunks) {
    const auto type = broker::wire::decode_type(chunks);
    if (!type) {
        return;  // "Corrupted frame received, skipping it"
    }
    if (state_ == State::Syncing) {
        late_updates_.push_back(std::move(chunks));
    } else if (state_ == State::Active) {
        if (*type != Type::Node && *type != Type::Commit) {
            return raise("something other than Node and Commit on the data connection");
        }
        const NodeId id(chunks[1].view());
        if (!apply(chunks)) {
            return raise("deepdiff raises on a Commit for " + id);
        }
        if (!graph_.contains(id)) {
            raise("a Commit for " + id + ", which it does not have");
        }
    }
    // In all other states it is thrown away.
}

bool ModelClient::apply(const Chunks& chunks) {
    if (chunks.size() == 4) {
        return apply_commit(chunks);
    }
    if (chunks.size() != 5) {
        return true;  // a command among the late updates: it names no node
    }
    auto dependencies = common::Dependencies::read(chunks[3]);
    auto data = common::read_pickle(chunks[4]);
    if (!dependencies || !data) {
        return false;
    }
    const NodeId id(chunks[1].view());
    const auto node = graph_.find(id);
    if (node != graph_.end()) {  // its owner stays
        node->second.dependencies = std::move(dependencies->ids);
        node->second.data = std::move(*data);
    } else {
        graph_[id] =
            Node{std::string(chunks[2].view()), std::move(dependencies->ids), std::move(*data)};
    }
    return true;
}

bool ModelClient::apply_commit(const Chunks& chunks) {
    auto dependencies = common::Dependencies::read(chunks[2]);
    const auto delta = common::read_pickle(chunks[3], common::PickleUse::Delta);
    if (!dependencies || !delta) {
        return false;
    }
    const auto node = graph_.find(std::string(chunks[1].view()));
    if (node == graph_.end()) {
        return true;  // "Skipping update"
    }
    if (!common::fold_delta(node->second.data, *delta)) {
        return false;
    }
    node->second.dependencies = std::move(dependencies->ids);
    return true;
}

// ---- What an artist does -----------------------------------------------------------------------

void ModelClient::stage(const NodeId& id, const common::UserName& owner) {
    graph_[id] = Node{owner, std::vector<NodeId>{}, new_data(0)};
}

void ModelClient::press_init() {
    std::vector<NodeId> ids;
    for (const auto& [id, node] : graph_) {
        ids.push_back(id);
    }
    send_command(Type::ServerSnapshot,
                 Value::dict({{text("STATE"), text("INIT")},
                              {text("SIZE"), Value::integer(static_cast<std::int64_t>(ids.size()))},
                              {text("NODES"), texts(ids)}}),
                 "server");
    state_ = State::Uploading;
}

void ModelClient::create(const NodeId& id, const common::UserName& owner,
                         std::vector<NodeId> dependencies) {
    graph_[id] = Node{owner, std::move(dependencies), new_data(0)};
    sent_.push_back({Channel::Data, node_chunks(id, graph_.at(id))});
}

void ModelClient::set_value(const NodeId& id, std::int64_t value) {
    const Value change = Value::dict({{text("new_value"), Value::integer(value)}});
    commit(id, Value::dict({{text("values_changed"), Value::dict({{text("root['v']"), change}})}}));
}

void ModelClient::append_item(const NodeId& id, std::int64_t item) {
    const Value* items = graph_.at(id).data.find("items");
    const std::size_t size = items != nullptr ? items->as_list()->items.size() : 0;
    commit(id, Value::dict({{text("iterable_item_added"),
                             Value::dict({{text("root['items'][" + std::to_string(size) + "]"),
                                           Value::integer(item)}})}}));
}

void ModelClient::commit(const NodeId& id, Value delta) {
    Node& node = graph_.at(id);
    if (!common::fold_delta(node.data, delta)) {
        return;  // the library itself raises before it sends
    }
    sent_.push_back({Channel::Data,
                     {type_chunk(Type::Commit), text_chunk(id),
                      pickled_dependencies(node.dependencies), common::write_pickle(delta)}});
}

void ModelClient::push_whole(const NodeId& id, std::int64_t value, std::size_t bytes) {
    Node& node = graph_.at(id);
    node.data = new_data(value);
    if (bytes > 0) {
        node.data.as_dict()->set(text("mesh"), Value::bytes(Bytes(std::string(bytes, 'm'))));
    }
    sent_.push_back({Channel::Data, node_chunks(id, node)});
}

void ModelClient::remove(const NodeId& id) {
    send_command(Type::Delete, text(id), "client");
}

void ModelClient::set_owner(const std::vector<NodeId>& ids, const common::UserName& owner) {
    send_command(Type::Right,
                 Value::dict({{text("uuid"), texts(ids)}, {text("owner"), text(owner)}}), name_);
}

void ModelClient::set_metadata(std::int64_t value) {
    send_command(Type::UpdateUserMetadata,
                 Value::dict({{text("frame_current"), Value::integer(value)}}), name_);
}

void ModelClient::kick(const common::UserName& user) {
    send_command(Type::Kick, Value::dict({{text("user"), text(user)}}), name_);
}

void ModelClient::send_command(Type type, const Value& data, const common::UserName& owner) {
    sent_.push_back(
        {Channel::Command, {type_chunk(type), text_chunk(owner), common::write_pickle(data)}});
}

Chunks ModelClient::node_chunks(const NodeId& id, const Node& node) const {
    return {type_chunk(Type::Node), text_chunk(id), text_chunk(node.owner),
            pickled_dependencies(node.dependencies), common::write_pickle(node.data)};
}

}  // namespace support
