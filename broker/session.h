#pragma once
// The conversation with all clients, without a socket, a clock or a log line.
//
// A call is one turn: it takes one event and its time, changes the state, and appends to `effects`
// what must now be done, in the order in which it must be done. The same state and event give the
// same effects. Grammar: docs/PROTOCOL.md. What is allowed when: kRules in session.cpp.
//
//   session.cpp           events, the table, login, presence: detached, gone, ghost, back again
//   session_transfer.cpp  the first upload, and joining
//   session_edits.cpp     nodes, commits, deletes, rights, and the repair of what was in doubt

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "broker/effects.h"
#include "broker/gatekeeper.h"
#include "broker/roster.h"
#include "broker/wire.h"
#include "common/feed.h"
#include "common/graph.h"
#include "common/ids.h"

namespace broker {

// "1 node", "2 nodes".
std::string node_count(std::size_t count);

struct SessionOptions {
    std::string admin_password;
    std::string server_password;  // empty: any is accepted
    // Of the libraries that clients may have, the newest last. All in a session have the same.
    std::array<std::vector<std::string>, kGenerations> versions{{{"0.9.10"}, {"0.9.12", "0.10.2"}}};
    common::Millis timeout{10'000};          // silence of a heartbeat; also how long a ghost stays
    std::uint32_t login_attempts = 10;       // wrong passwords of one address; 0: any number
    std::size_t held_bytes_max = 256 << 20;  // of what waits in a client's outbox
};

class Session {
public:
    explicit Session(SessionOptions options);

    // The saved session cannot be had because there is none: the first client initialises.
    // `timeline` is what an Init begins.
    void start_fresh(common::Timeline timeline, common::Instant now, Effects& effects);
    // The session goes on from `graph`, while Restoring or Waiting. Everything becomes COMMON, and
    // who waits in the lobby gets its catalog.
    void restore(common::Graph graph, common::Instant now, Effects& effects);

    // A connection of `client` was established; the one it replaces was reported closed before.
    void on_opened(ClientId client, Generation generation, Channel channel, const std::string& peer,
                   common::Instant now, Effects& effects);
    // One message. If the present state does not allow it, nothing changes.
    void on_message(ClientId client, Channel channel, common::Chunks chunks, common::Instant now,
                    Effects& effects);
    // All that had come on the connection was given to on_message before. Who was too slow is told
    // so and thrown out.
    void on_closed(ClientId client, Channel channel, const std::string& reason, Ending ending,
                   common::Instant now, Effects& effects);
    // The client's machine has `total` messages of the present connection so far.
    void on_arrived(ClientId client, Channel channel, std::uint64_t total, common::Instant now);
    // Time has passed. Wanted every 10 ms while `wants_ticks`, else every 100 ms.
    void on_tick(common::Instant now, Effects& effects);
    bool wants_ticks() const;

    // No logins any more; what is under way is still taken.
    void stopping();
    // Everybody gets a Disconnect with the reason, and leaves. The state is Stopped.
    void stop(const std::string& reason, common::Instant now, Effects& effects);

    common::feed::BrokerState state() const;
    common::Graph& graph() { return graph_; }
    const Roster& roster() const { return roster_; }
    // Whether it has to do with this client still: a connection, a place, or a way back.
    bool knows(ClientId client) const;

    struct Counters {
        std::uint64_t messages = 0;
        std::uint64_t refused = 0;  // malformed, not allowed, not logged in
        std::uint64_t commits = 0;
        std::uint64_t logins = 0;
        std::uint64_t logins_refused = 0;
        std::uint64_t logins_put_off = 0;      // not looked at: too many wrong passwords before
        std::uint64_t metadata_coalesced = 0;  // not relayed one by one
    };
    const Counters& counters() const { return counters_; }

private:
    // session.cpp
    void on_command(Client& from, common::Chunks chunks, common::Instant now, Effects& effects);
    void on_data(Client& from, common::Chunks chunks, common::Instant now, Effects& effects);
    void on_heartbeat(Client& from, common::Instant now, Effects& effects);
    void on_stranger(Client& from, Channel channel, const common::Chunks& chunks,
                     common::Instant now, Effects& effects);
    bool allowed(const Client& from, const wire::Message& message) const;
    void tell_newcomers(common::Instant now, Effects& effects);
    void tell_to_join(Client& stranger, Effects& effects);
    void refuse(const Client& from, const std::string& reason, Effects& effects);
    // A line that `about` causes.
    static void say(const Client& about, Log::Level level, std::string text, Effects& effects);
    void login(Client& from, const wire::Auth& auth, common::Instant now, Effects& effects);
    std::optional<std::string> login_refusal(const Client& from, const wire::Auth& auth,
                                             common::Instant now);
    void admit(Client& client, common::Instant now, Effects& effects);
    const std::string& wanted_version(const Client& from) const;
    bool version_fits(const Client& from, const wire::Auth& auth) const;
    const Client* somebody_but(const common::UserName& name) const;
    void kick(const Client& by, const wire::Kick& kick, common::Instant now, Effects& effects);
    void metadata(Client& from, const wire::Metadata& metadata, const wire::Encoded& original,
                  common::Instant now, Effects& effects);
    // Merges what is unsaid and tells the others; `message` says the same, or is null.
    void relay_metadata(Client& from, wire::Encoded message, common::Instant now, Effects& effects);
    void tick_metadata(common::Instant now, Effects& effects);
    void publish_metadata(Client& client, common::Instant now, Effects& effects);
    void send_states(bool even_to_those_behind, Effects& effects);
    void ping(Client& client, common::Instant now, Effects& effects);
    void detach(Client& client, const std::string& reason, common::Instant now, Effects& effects);
    // A member whose connection will not come back.
    void lose(Client& client, const std::string& reason, common::Instant now, Effects& effects);
    void give_up(Client& client, common::Instant now, Effects& effects);
    void come_back(Client& client, common::Instant now, Effects& effects);
    void tell_farewell(Client& client, Effects& effects);
    static bool flutters(Client& client, common::Instant now);
    void repair_if_wanted(Client& client, common::Instant now, Effects& effects);
    void tick_presence(common::Instant now, Effects& effects);
    // Off the roster: its nodes COMMON, everybody told. It may come back as a ghost, or not.
    void leave(Client& client, const std::string& reason, bool as_ghost, common::Instant now,
               Effects& effects);
    // A Disconnect with the reason, then its connections are closed.
    void throw_out(Client& client, const std::string& reason, Effects& effects);
    void publish(common::Mutation mutation, const common::UserName& user, Effects& effects);

    // session_transfer.cpp
    struct Upload {
        ClientId by{};
        std::unordered_set<common::NodeId> pending;
        std::size_t received = 0;
        std::size_t refused = 0;
        common::Instant last_progress{};
    };
    void upload_init(Client& from, const wire::UploadInit& init, common::Instant now,
                     Effects& effects);
    void upload_node(Client& from, wire::UploadNode node, common::Instant now, Effects& effects);
    void upload_end(Client& from, common::Instant now, Effects& effects);
    void complete_upload(Client& from, common::Instant now, Effects& effects);
    void abort_upload(const std::string& why, Effects& effects);
    // There is a session: who waits in the lobby gets its catalog as soon as that is safe.
    void invite_lobby(common::Instant now, Effects& effects);
    void send_due_catalogs(common::Instant now, Effects& effects);
    void send_catalog(Client& to, common::Instant now, Effects& effects);
    void get(Client& from, const wire::Get& get, common::Instant now, Effects& effects);
    void begin_sync(Client& from, common::Instant now, Effects& effects);
    void join_done(Client& from, common::Instant now, Effects& effects);
    void answered_join(Client& to, common::Instant now);
    void tick_transfer(common::Instant now, Effects& effects);
    void tick_upload(common::Instant now, Effects& effects);
    void tick_join(Client& member, common::Instant now, Effects& effects);

    // session_edits.cpp
    void put_node(Client& from, wire::PutNode node, const wire::Encoded& original,
                  common::Instant now, Effects& effects);
    void commit(Client& from, wire::Commit commit, const wire::Encoded& original,
                common::Instant now, Effects& effects);
    void delete_node(Client& from, const wire::Delete& deletion, const wire::Encoded& original,
                     common::Instant now, Effects& effects);
    void right(Client& from, const wire::Right& right, const wire::Encoded& original,
               common::Instant now, Effects& effects);
    void set_owner(const std::vector<common::NodeId>& ids, const common::UserName& owner,
                   const common::UserName& by, const wire::Encoded& message, common::Instant now,
                   Effects& effects);
    void relay(const Client& from, const common::NodeId& id, const wire::Encoded& original,
               common::Instant now, Effects& effects);
    void relay_graph_command(const std::vector<common::NodeId>& ids, const wire::Encoded& message,
                             common::Instant now, Effects& effects);
    void touch(const common::NodeId& id, common::Instant now);
    void bury(const common::NodeId& id);
    // Sends the node to `to` as it is now, with its owner, or its deletion.
    void mend(Client& to, const std::vector<common::NodeId>& ids, common::Instant now,
              Effects& effects);
    void repair(Client& client, common::Instant now, Effects& effects);
    // `from` sent an edit of the node before it may have known of another one.
    void note_crossing(const Client& from, const common::NodeId& id, common::Instant now);
    void mend_crossed(common::Instant now, Effects& effects);
    void tick_edits(common::Instant now, Effects& effects);

    SessionOptions options_;
    common::feed::BrokerState state_ = common::feed::BrokerState::Restoring;
    bool stopping_ = false;
    common::Timeline timeline_{};
    common::Graph graph_;
    Roster roster_;
    LoginGate login_gate_;
    std::optional<Upload> upload_;
    common::Instant states_sent_{};
    Counters counters_;

    // When each node was last changed by anybody: what may be in doubt for who was cut off.
    std::unordered_map<common::NodeId, common::Instant> touched_;
    common::Instant touched_pruned_{};
    // Strangers with both a command and a heartbeat connection, and since when, oldest first.
    struct Newcomer {
        ClientId id{};
        common::Instant since;
    };
    std::deque<Newcomer> newcomers_;
    // Who was thrown out without a connection on which to tell it, oldest first. It is told when it
    // is back, for as long as a ghost could come back.
    struct Farewell {
        ClientId id{};
        common::Instant since;
        std::string reason;
    };
    std::deque<Farewell> farewells_;
    // Deleted ids: a Node or Commit that was overtaken by the Delete must not bring it back.
    std::unordered_set<common::NodeId> tombstones_;
    std::deque<common::NodeId> tombstone_order_;
    // Rights for nodes that have not come yet: the Right overtook the Node of the same client.
    struct EarlyRight {
        common::UserName owner;
        common::Instant time;
    };
    std::unordered_map<common::NodeId, EarlyRight> early_rights_;
    // Who may hold something else than we do, because edits crossed on their way; ordered, so that
    // the effects are the same everywhere.
    std::map<common::NodeId, std::set<ClientId>> crossed_;
};

}  // namespace broker
