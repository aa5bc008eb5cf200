#pragma once
// A client's messages as one variant <-> chunks as the Python library writes them. Pure.
// Grammar: docs/PROTOCOL.md. `decode` lets nothing pass that is known to break a real client.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "broker/effects.h"
#include "common/bytes.h"
#include "common/ids.h"
#include "common/node.h"
#include "common/result.h"
#include "common/value.h"

namespace broker::wire {

// The library's numbers of its classes.
enum class Type : int {
    Commit = 1,
    Node = 2,
    Command = 3,
    Delete = 4,
    Right = 5,
    Config = 6,
    Snapshot = 7,
    ServerSnapshot = 8,
    Auth = 9,
    Disconnect = 10,
    Kick = 11,
    UpdateClientsState = 12,
    UpdateUserMetadata = 13,
    RequestServerInfo = 14,
};

// The library's states, as they travel in `status`.
enum class Status : int { Active = 2, Lobby = 10, DataPending = 11 };

struct Commit {
    common::NodeId id;
    common::Dependencies dependencies;
    common::Bytes delta;
    common::Value parsed;
};
struct PutNode {
    common::Node node;
};
struct Delete {
    common::NodeId id;
};
struct Right {
    std::vector<common::NodeId> ids;
    common::UserName owner;
};
struct RequestCatalog {};
struct Get {
    common::NodeId id;
};
struct JoinDone {};
struct UploadInit {
    std::vector<common::NodeId> ids;
};
struct UploadNode {
    common::Node node;
};
struct UploadEnd {};
struct Auth {
    bool admin = false;
    common::UserName name;
    std::string server_password;  // "" also for None
    std::string admin_password;
    std::string version;
};
struct Kick {
    common::UserName user;
};
struct Metadata {
    common::UserName owner;
    common::Value fields;  // a dict
};
struct RequestServerInfo {};

using Message =
    std::variant<Commit, PutNode, Delete, Right, RequestCatalog, Get, JoinDone, UploadInit,
                 UploadNode, UploadEnd, Auth, Kick, Metadata, RequestServerInfo>;

// Commit and Node are known on the data channel only, all others on the command channel only.
common::Result<Message> decode(const common::Chunks& chunks, Channel channel);

// The type number alone, for a peer that may send but few of them.
common::Result<Type> decode_type(const common::Chunks& chunks);

// What the server says. All of these have owner 'server'.
using Encoded = std::shared_ptr<const common::Chunks>;
Encoded auth_reply(std::string_view text);
Encoded disconnect(std::string_view reason);
Encoded server_info(bool is_private, std::string_view version);
Encoded upload_state(std::string_view state);  // ACCEPTED, REJECTED, DONE
Encoded catalog(const std::vector<common::NodeId>& ids);
Encoded set_node(const common::NodePtr& node);  // null: b'removed'
Encoded right(const std::vector<common::NodeId>& ids, const common::UserName& owner);
Encoded delete_node(const common::NodeId& id);
Encoded node(const common::Node& node);
// What a client said of itself, in its own name.
Encoded metadata(const common::UserName& owner, const common::Value& fields);

struct ClientState {
    common::UserName name;
    bool admin = false;
    std::int64_t latency_ms = 0;
    Status status{};
    common::Value metadata;  // a dict
};
Encoded clients_state(const std::vector<ClientState>& states);

}  // namespace broker::wire
