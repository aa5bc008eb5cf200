#pragma once
// Who is here: every client that has a connection, or had one a moment ago. Pure.

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "broker/effects.h"
#include "broker/heartbeat.h"
#include "broker/outbox.h"
#include "broker/wire.h"
#include "common/graph.h"
#include "common/ids.h"
#include "common/value.h"

namespace broker {

// What a client is to the session.
enum class Stage : std::uint8_t {
    Stranger,  // not logged in: may ask RequestServerInfo and Auth, nothing else
    Member,    // on the roster
    Ghost      // was a member, is off the roster, may come back under its identity for a while
               // (framed: may not; its name was taken before its last edits had come)
};

// How far a member is with the graph.
enum class Phase : std::uint8_t {
    Pending,    // framed generation: is told that it is in when its data connection is there
    Lobby,      // has nothing, gets nothing
    Uploading,  // its upload was accepted: no states of clients, no data, until DONE
    Settling,   // DONE was sent: data and graph commands are held until it has arrived, + 1 s
    Catalog,    // knows the catalog, has asked for nothing: gets no data
    Syncing,    // asks for nodes: gets data at once, graph commands after its DONE
    Active
};

struct Client {
    explicit Client(ClientId client) : id(client), outbox(client) {}

    ClientId id;
    Generation generation{};
    std::string peer;  // "127.0.0.1:40312", of the latest command connection
    common::UserName name;
    std::string version;  // of its library, as it said when it logged in
    bool admin = false;
    Stage stage = Stage::Stranger;
    Phase phase = Phase::Lobby;

    bool command_open = false;
    bool data_open = false;
    bool heartbeat_open = false;
    bool told_to_join = false;  // a stranger gets one Disconnect, not many
    bool has_asked = false;     // sent an Auth on the present command connection
    bool owes_telling = false;  // it is told as soon as its command connection is there
    bool expelled = false;      // it was sent a Disconnect: nothing else is for it

    std::optional<common::Instant> detached_since;  // a member without command connection
    common::Instant left_at{};                      // of a ghost
    bool needs_repair = false;                      // data or commands may not have reached it
    bool lost_command = false;     // its command connection broke while it was a member
    common::Instant lost_since{};  // since when; also for how long its data connection is missing

    // How often its connections were made anew lately, and since when that is counted.
    std::uint32_t reconnects = 0;
    common::Instant reconnects_since{};

    Heartbeat heartbeat;
    Outbox outbox;
    std::uint64_t state_queued = 0;  // number of the last UpdateClientsState among its commands

    common::Value metadata = common::Value::dict();
    bool metadata_changed = false;  // since it was published
    common::Instant metadata_published{};
    // What the others have not been told yet, because they were told a moment ago.
    common::Dict metadata_unsaid;
    std::size_t metadata_unsaid_bytes = 0;  // of the messages it came in; 0: there is nothing
    common::Instant metadata_relayed{};

    common::GraphCopy join_copy;  // in Syncing: what GET is served from
    std::unordered_map<common::NodeId, common::NodePtr> join_nodes;
    std::unordered_set<common::NodeId> catalog;
    // In Catalog and Syncing: the number among its commands of our last answer, and when that had
    // left us. From then on it is its turn to ask.
    std::uint64_t join_answer = 0;
    common::Instant join_waits_since{};
    // Its first GET came before its data connection was there: answered when it is.
    std::optional<common::NodeId> waiting_get;

    // In the lobby. The states of clients that take the button Init from it were the command of
    // this number; they arrived then; it is to have the catalog.
    std::uint64_t button_command = 0;  // 0: none yet
    std::optional<common::Instant> button_gone;
    bool invited = false;

    // In Settling. DONE was the command of this number; the client takes data then; END has come.
    std::uint64_t done_command = 0;
    std::optional<common::Instant> settled_at;
    bool upload_ended = false;
    // It has sent what only a client sends that has read DONE; or it has not uploaded at all.
    bool done_read = true;

    bool present() const { return stage == Stage::Member && command_open && !expelled; }
    // Whether Delete and Right are for it: it has nodes, or is getting them.
    bool takes_graph_commands() const {
        return present() && phase != Phase::Pending && phase != Phase::Lobby &&
               phase != Phase::Uploading && phase != Phase::Catalog;
    }
    // Whether states and metadata of clients are for it.
    bool takes_states() const {
        return present() && phase != Phase::Pending && phase != Phase::Uploading;
    }
    // Whether Node and Commit are sent to it.
    bool takes_data() const { return takes_graph_commands() && data_open; }
    std::string label() const;  // "'ada' (127.0.0.1:40312)", for log lines
};

class Roster {
public:
    // Made on demand.
    Client& client(ClientId id);
    Client* find(ClientId id);
    bool knows(ClientId id) const { return clients_.contains(id); }
    // The member of that name, detached ones included.
    Client* member(const common::UserName& name) const;
    // Members in the order of their logins.
    const std::vector<Client*>& members() const { return members_; }
    void add_member(Client& client);
    void remove_member(Client& client);
    // Forgets strangers without a connection.
    void forget(ClientId id);
    std::vector<Client*> ghosts();
    std::size_t size() const { return clients_.size(); }

private:
    std::map<ClientId, Client> clients_;  // node-based: pointers stay good
    std::vector<Client*> members_;
};

}  // namespace broker
