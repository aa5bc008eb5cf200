#pragma once
// A client as the library `replication` is one, 0.9.10 or (framed) 0.10.3: what it does with each
// message in each state, tick by tick, and what it raises on. The two differ in how much they read
// in a tick. No sockets, no time of its own. Confirmed against both libraries by
// tests/oracle/test_model_client.py.
//
// What an artist does (create, commit, ...) is allowed in Active only, as in the addon.

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/channel.h"
#include "broker/wire.h"
#include "common/bytes.h"
#include "common/ids.h"
#include "common/node.h"
#include "common/value.h"

namespace support {

class ModelClient {
public:
    // `Raised`: an exception inside the network timer, which ends the artist's session: nothing the
    // broker sends may lead here. `Gone`: it was told to go, or went.
    enum class State : std::uint8_t { Auth, Lobby, Uploading, Syncing, Active, Gone, Raised };

    struct Node {
        common::UserName owner;
        std::optional<std::vector<common::NodeId>> dependencies;
        common::Value data;
    };
    struct Sent {
        broker::Channel channel;
        common::Chunks chunks;
    };

    // What a framed client reads of a connection in a tick.
    static constexpr std::size_t kBytesPerTick = 64 << 10;

    // Its first message is an Auth.
    explicit ModelClient(common::UserName name, std::string admin_password = {},
                         broker::Generation generation = broker::Generation::Zmtp);

    // A message has come to one of its sockets, where it waits for its tick.
    void arrived(broker::Channel channel, common::Chunks chunks);
    // The connection of a framed client was reset: what was not read is lost.
    void forget_unread(broker::Channel channel);
    // The network timer: at most one command, then at most one data message of those that were
    // there when it began.
    void tick();
    // It did not get an answer to its Auth in time.
    void auth_timeout();
    void leave();

    // What it has sent since the last call, in order.
    std::vector<Sent> take_sent();

    // What an artist does.
    void stage(const common::NodeId& id, const common::UserName& owner);  // before press_init()
    void press_init();  // the addon offers it in Lobby, to admins
    void create(const common::NodeId& id, const common::UserName& owner,
                std::vector<common::NodeId> dependencies);
    void set_value(const common::NodeId& id, std::int64_t value);   // 'v'
    void append_item(const common::NodeId& id, std::int64_t item);  // to the list 'items'
    // With so many bytes more than else, if any.
    void push_whole(const common::NodeId& id, std::int64_t value, std::size_t bytes = 0);
    void remove(const common::NodeId& id);
    void set_owner(const std::vector<common::NodeId>& ids, const common::UserName& owner);
    void set_metadata(std::int64_t value);
    void kick(const common::UserName& user);

    const common::UserName& name() const { return name_; }
    State state() const { return state_; }
    bool here() const { return state_ != State::Gone && state_ != State::Raised; }
    const std::string& why() const { return why_; }  // it is Gone or has Raised
    const std::map<common::NodeId, Node>& graph() const { return graph_; }
    // What the server last said about it: it shows the button Init to admins only.
    bool shown_as_admin() const;
    std::size_t unread(broker::Channel channel) const {
        const auto& inbox = inbox_[static_cast<std::size_t>(channel)];
        return inbox.unread.size() + inbox.read.size();
    }

private:
    struct Inbox {
        std::deque<common::Chunks> unread;  // in the kernel, of framed clients
        std::size_t read_bytes = 0;         // of the first of these
        std::deque<common::Chunks> read;
    };

    void read(Inbox& inbox) const;
    void on_command(const common::Chunks& chunks);
    void on_data(common::Chunks chunks);
    void on_auth(const common::Value& data);
    void on_snapshot(const common::Value& data);
    void on_snapshot_set(const common::Value& data);
    void on_server_snapshot(const common::Value& data);
    void on_delete(const common::Value& data);
    void on_right(const common::Value& data);
    void on_metadata(const common::UserName& owner, const common::Value& data);
    void next_get();
    // do_commit of the library's repository. False: it raises.
    bool apply(const common::Chunks& chunks);
    bool apply_commit(const common::Chunks& chunks);
    void raise(std::string why);
    void commit(const common::NodeId& id, common::Value delta);
    void send_command(broker::wire::Type type, const common::Value& data,
                      const common::UserName& owner);
    common::Chunks node_chunks(const common::NodeId& id, const Node& node) const;

    broker::Generation generation_;
    common::UserName name_;
    State state_ = State::Auth;
    std::string why_;
    std::map<common::NodeId, Node> graph_;
    common::Value online_users_ = common::Value::dict();
    std::vector<common::NodeId> catalog_;
    std::optional<common::NodeId> current_;  // asked for; none before the first catalog
    std::deque<common::Chunks> late_updates_;
    Inbox inbox_[broker::kChannels];
    std::vector<Sent> sent_;
};

const char* name(ModelClient::State state);

}  // namespace support
