#include "tests/support/joins_world.h"

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "broker/session.h"
#include "common/pickle.h"
#include "tests/support/model_client.h"

namespace support {
namespace {

using broker::Channel;
using broker::ClientId;
using broker::Generation;
using common::Chunks;
using common::Instant;
using common::Millis;
using common::NodeId;
using State = ModelClient::State;

constexpr Millis kStep{10};
constexpr Millis kIdleStep{50};  // at quiet, while nothing is on its way
constexpr Millis kCalmMin{14'000};
constexpr Millis kCalmMax{60'000};
constexpr Millis kClientTimeout{5'000};
// An artist sees a button before pressing it.
constexpr Millis kReaction{300};
constexpr const char* kAdminPassword = "root";
// A framed client reads such a node in up to four ticks.
constexpr std::size_t kBigNode = 4 * ModelClient::kBytesPerTick;
constexpr Channel kAllChannels[] = {Channel::Command, Channel::Data, Channel::Heartbeat};

std::size_t index(Channel channel) {
    return static_cast<std::size_t>(channel);
}

std::string describe(const Chunks& chunks) {
    using broker::wire::Type;
    static const char* const kNames[] = {"?",
                                         "Commit",
                                         "Node",
                                         "Command",
                                         "Delete",
                                         "Right",
                                         "Config",
                                         "Snapshot",
                                         "ServerSnapshot",
                                         "Auth",
                                         "Disconnect",
                                         "Kick",
                                         "UpdateClientsState",
                                         "UpdateUserMetadata",
                                         "RequestServerInfo"};
    if (chunks.size() < 3) {
        return std::string(chunks.front().view());
    }
    const auto type = broker::wire::decode_type(chunks);
    std::string text = type ? kNames[static_cast<int>(*type)] : "?";
    if (type && (*type == Type::Commit || *type == Type::Node)) {
        text += " " + std::string(chunks[1].view());
    }
    if (type && *type != Type::UpdateClientsState) {
        const auto value = common::read_pickle(chunks.back());
        text += " " + (value ? common::repr(*value, 120) : "(no pickle)");
    }
    return text;
}

// One of a client's connections, with both directions of it.
struct Line {
    struct Item {
        Chunks chunks;
        Instant due;
    };
    std::deque<Chunks> unsent;  // kept by the client's library while it is not connected
    std::deque<Item> up;        // on the way to the server
    std::deque<Item> flying;    // on the way to the client's machine
    std::deque<Item> landed;    // in its kernel; then in its library, where it stays
    std::uint64_t arrived = 0;  // on the present connection: what the server learns by on_arrived

    bool connected = false;  // as the client sees it
    bool server_open = false;
    bool cut = false;   // what the server sends is lost
    bool ends = false;  // the server closed it: so does the client, when all has come
    std::optional<Instant> reconnect_at;
    std::optional<Instant> server_closes;
    Instant slow_until{};
};

struct Actor {
    Actor(std::size_t number, std::size_t user_number, std::string name, bool admin,
          Generation generation)
        : id{number + 1},
          user(user_number),
          model(std::move(name), admin ? kAdminPassword : std::string(), generation) {}

    ClientId id;
    std::size_t user;
    ModelClient model;
    std::array<Line, broker::kChannels> lines;
    bool heartbeat_process = true;
    bool buried = false;  // its sockets are closed
    Instant born{};
    Instant last_ping{};
    Instant next_tick{};
    Instant frozen_until{};   // the main thread
    Instant stopped_until{};  // the whole process
    Instant button_since{};
    Millis tick_length{10};
    std::set<NodeId> excused;  // what the guarantee leaves out: lost on the way to the server
    std::set<NodeId> staged;

    Line& line(Channel channel) { return lines[index(channel)]; }
    bool is_over() const {
        return buried && !heartbeat_process && std::ranges::none_of(lines, &Line::server_open);
    }
};

class World {
public:
    World(std::uint64_t seed, const JoinsOptions& options)
        : options_(options), random_(seed), session_(session_options()), seats_(options.users) {
        if (below(3) == 0) {
            restore();
        } else {
            session_.start_fresh(common::Timeline{7}, now_, effects_);
        }
        perform();
    }

    JoinsOutcome run() {
        const Instant end = now_ + Millis{2'000 + 1'000 * static_cast<int>(below(5))};
        while (now_ < end && !outcome_.failure) {
            step();
            trouble();
        }
        calm_ = true;
        const Instant calm_since = now_;
        for (Actor* actor : present_) {
            thaw(*actor);
        }
        while (!outcome_.failure && now_ - calm_since < kCalmMax &&
               (now_ - calm_since < kCalmMin || !settled())) {
            step();
        }
        if (!outcome_.failure) {
            compare();
        }
        outcome_.counts.runs = 1;
        return std::move(outcome_);
    }

private:
    static broker::SessionOptions session_options() {
        broker::SessionOptions options;
        options.admin_password = kAdminPassword;
        return options;
    }

    std::uint64_t below(std::uint64_t end) { return random_() % end; }
    bool chance(std::uint64_t in) { return below(in) == 0; }
    bool framed() const { return options_.generation == Generation::Framed; }

    template <typename Text>
    void note(const Text& text) {
        const auto mix = [&](std::uint64_t value) {
            outcome_.trace_hash = (outcome_.trace_hash ^ value) * 0x100000001b3ULL;
        };
        mix(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
        mix(random_());
        if (options_.trace) {
            outcome_.trace += std::to_string(now_.time_since_epoch().count()) + " " + text() + "\n";
        }
    }
    static std::string label(const Actor& actor) {
        return actor.model.name() + "#" + std::to_string(static_cast<std::uint64_t>(actor.id));
    }

    void fail(std::string what) {
        if (!outcome_.failure) {
            outcome_.failure = std::move(what);
        }
    }

    void restore() {
        common::Graph graph;
        for (int i = 0; i < 4; ++i) {
            ModelClient maker("maker");
            maker.take_sent();
            maker.create(new_id(), common::kOwnerCommon, {});
            auto node = common::read_node(maker.take_sent().front().chunks);
            (void)graph.apply(common::PutNode{std::move(*node)});
        }
        (void)graph.apply(common::Initialised{common::Timeline{3}});
        session_.restore(std::move(graph), now_, effects_);
    }

    NodeId new_id() { return "n" + std::to_string(++made_); }

    // ---- The server ----------------------------------------------------------------------------

    void perform() {
        for (broker::Effect& effect : effects_) {
            if (const auto* send = std::get_if<broker::Send>(&effect)) {
                for (const ClientId client : send->to) {
                    send_down(actor(client), send->channel, *send->chunks);
                }
            } else if (const auto* close = std::get_if<broker::Close>(&effect)) {
                close_lines(actor(close->client), close->after_flush);
            } else if (const auto* publish = std::get_if<broker::Publish>(&effect)) {
                on_publish(publish->mutation);
            } else if (const auto* log = std::get_if<broker::Log>(&effect)) {
                note([&] { return "     broker: " + log->text; });
            }
        }
        effects_.clear();
    }

    void on_publish(const common::Mutation& mutation) {
        if (const auto* put = std::get_if<common::PutNode>(&mutation)) {
            touched_.insert(put->node.id);
        } else if (const auto* patch = std::get_if<common::PatchNode>(&mutation)) {
            touched_.insert(patch->id);
        } else if (const auto* owner = std::get_if<common::SetOwner>(&mutation)) {
            touched_.insert(owner->ids.begin(), owner->ids.end());
        } else if (std::holds_alternative<common::Initialised>(mutation)) {
            touched_.clear();  // uploaded, not changed
        }
    }

    Actor& actor(ClientId id) { return *actors_[static_cast<std::size_t>(id) - 1]; }

    void send_down(Actor& to, Channel channel, const Chunks& chunks) {
        Line& line = to.line(channel);
        if (channel != Channel::Heartbeat) {
            note([&] {
                return "   -> " + label(to) + " " + broker::name(channel) + ": " +
                       describe(chunks) + (line.server_open && !line.cut ? "" : " (lost)");
            });
        }
        if (!line.server_open || line.cut) {
            return;
        }
        const Instant due = now_ + Millis{static_cast<int>(below(slow(line) ? 1'500 : 20))};
        line.flying.push_back(
            {chunks, line.flying.empty() ? due : std::max(due, line.flying.back().due)});
    }

    bool slow(const Line& line) const { return now_ < line.slow_until; }

    void close_lines(Actor& client, bool after_flush) {
        note([&] { return "   -> " + label(client) + " closed by the server"; });
        for (const Channel channel : kAllChannels) {
            Line& line = client.line(channel);
            if (!line.server_open) {
                continue;
            }
            lose(client, channel, 0);
            line.server_open = false;
            line.server_closes.reset();
            // Of a framed client's heartbeat only the server's side forgets: its end would be
            // noticed before the Disconnect.
            line.ends = !framed() || channel != Channel::Heartbeat;
            if (!after_flush) {
                line.flying.clear();
            }
            closed_.push_back({client.id, channel});
        }
    }

    // What is on the way to the server from the `kept`th message on does not arrive.
    void lose(Actor& client, Channel channel, std::size_t kept) {
        Line& line = client.line(channel);
        while (line.up.size() > kept) {
            if (channel == Channel::Data) {
                excuse(client, NodeId(line.up.back().chunks.at(1).view()));
            }
            note([&] { return label(client) + " loses " + describe(line.up.back().chunks); });
            line.up.pop_back();
        }
    }

    // A client that returns is mended: what it owns and what anybody has changed of late. The rest
    // of what it lost on the way to the server nobody can know.
    void excuse(Actor& client, const NodeId& id) {
        const common::UserName* owner = session_.graph().owner_of(id);
        if (owner == nullptr || (*owner != client.model.name() && !touched_.contains(id))) {
            client.excused.insert(id);
        }
    }

    void step_server() {
        for (const auto& [id, channel] : std::exchange(closed_, {})) {
            session_.on_closed(id, channel, "closed by the server", broker::Ending::Lost, now_,
                               effects_);
            perform();
        }
        for (Actor* client : present_) {
            for (const Channel channel : kAllChannels) {
                receive(*client, channel);
            }
        }
        session_.on_tick(now_, effects_);
        perform();
        for (const broker::Client* member : session_.roster().members()) {
            for (const Channel channel : {Channel::Command, Channel::Data}) {
                session_.on_arrived(member->id, channel, actor(member->id).line(channel).arrived,
                                    now_);
            }
        }
    }

    void receive(Actor& client, Channel channel) {
        Line& line = client.line(channel);
        while (!line.up.empty() && line.up.front().due <= now_) {
            take_up(client, channel);
        }
        if (line.server_open && line.server_closes && *line.server_closes <= now_) {
            close_at_server(client, channel, broker::Ending::Lost);
        }
        if (line.reconnect_at && *line.reconnect_at <= now_) {
            open_line(client, channel);
        }
    }

    void take_up(Actor& client, Channel channel) {
        Line& line = client.line(channel);
        const Chunks chunks = std::move(line.up.front().chunks);
        line.up.pop_front();
        if (!line.server_open) {
            return;
        }
        if (channel != Channel::Heartbeat) {
            note([&] {
                return "<-   " + label(client) + " " + broker::name(channel) + ": " +
                       describe(chunks);
            });
        }
        session_.on_message(client.id, channel, chunks, now_, effects_);
        perform();
    }

    // What had come before is read first.
    void close_at_server(Actor& client, Channel channel, broker::Ending ending) {
        Line& line = client.line(channel);
        while (!line.up.empty()) {
            take_up(client, channel);
        }
        line.server_closes.reset();
        if (!line.server_open) {
            return;
        }
        line.server_open = false;
        note([&] { return "<-   " + label(client) + " " + broker::name(channel) + " closed"; });
        session_.on_closed(client.id, channel, "closed by the client", ending, now_, effects_);
        perform();
    }

    void open_line(Actor& client, Channel channel) {
        Line& line = client.line(channel);
        close_at_server(client, channel, broker::Ending::Replaced);
        line.reconnect_at.reset();
        line.connected = true;
        line.server_open = true;
        line.cut = false;
        line.ends = false;
        line.arrived = 0;
        line.flying.clear();
        note([&] { return "<-   " + label(client) + " " + broker::name(channel) + " opened"; });
        session_.on_opened(client.id, options_.generation, channel, client.model.name(), now_,
                           effects_);
        perform();
        if (framed() && line.server_open && chance(20)) {
            // The client knew nothing of that one yet: it tries again until it does.
            ++outcome_.counts.replaced;
            line.connected = false;
            line.cut = true;
            line.flying.clear();
            line.reconnect_at = now_ + Millis{static_cast<int>(below(400))};
            return;
        }
        while (!line.unsent.empty() && line.connected) {
            send_up(client, channel, std::move(line.unsent.front()));
            line.unsent.pop_front();
        }
    }

    // ---- The clients ---------------------------------------------------------------------------

    void send_up(Actor& client, Channel channel, Chunks chunks) {
        Line& line = client.line(channel);
        if (!line.connected) {
            if (!framed() || line.reconnect_at) {
                line.unsent.push_back(std::move(chunks));
            }
            return;
        }
        const Instant due = now_ + Millis{static_cast<int>(below(slow(line) ? 800 : 20))};
        line.up.push_back(
            {std::move(chunks), line.up.empty() ? due : std::max(due, line.up.back().due)});
    }

    void step_line(Actor& client, Channel channel) {
        Line& line = client.line(channel);
        while (!line.flying.empty() && line.flying.front().due <= now_) {
            // libzmq's own thread takes it from the kernel a little later.
            const Instant due = now_ + Millis{framed() ? 0 : static_cast<int>(below(30))};
            line.landed.push_back(
                {std::move(line.flying.front().chunks),
                 line.landed.empty() ? due : std::max(due, line.landed.back().due)});
            line.flying.pop_front();
            ++line.arrived;
        }
        if (line.ends && line.flying.empty()) {
            line.ends = false;
            disconnected(client, channel);
        }
        while (!line.landed.empty() && line.landed.front().due <= now_ &&
               client.stopped_until <= now_) {
            Chunks chunks = std::move(line.landed.front().chunks);
            line.landed.pop_front();
            if (channel != Channel::Heartbeat) {
                client.model.arrived(channel, std::move(chunks));
            } else if (client.heartbeat_process) {
                client.last_ping = now_;
                send_up(client, channel, {common::Bytes(std::string("PONG"))});
            }
        }
    }

    void disconnected(Actor& client, Channel channel) {
        Line& line = client.line(channel);
        line.connected = false;
        if (framed()) {  // for good; what it sends from now on is lost
            if (channel == Channel::Heartbeat) {
                client.heartbeat_process = false;
            }
        } else if (!client.buried) {
            line.reconnect_at =
                now_ + Millis{100 + static_cast<int>(below(chance(8) && !calm_ ? 12'000 : 1'200))};
        }
    }

    void step_client(Actor& client) {
        for (const Channel channel : kAllChannels) {
            step_line(client, channel);
        }
        if (client.buried) {
            return;
        }
        if (now_ - client.last_ping > kClientTimeout + Millis{1'000}) {
            client.heartbeat_process = false;
        }
        if (client.frozen_until > now_ || client.stopped_until > now_ || client.next_tick > now_) {
            return;
        }
        client.next_tick = now_ + client.tick_length;
        if (!client.heartbeat_process) {
            client.model.leave();  // "Server lost"
        } else if (client.model.state() == State::Auth && now_ - client.born > kClientTimeout) {
            client.model.auth_timeout();
        }
        const State before = client.model.state();
        client.model.tick();
        if (client.model.state() != before) {
            on_state(client);
        }
        if (client.model.here()) {
            act(client);
        }
        for (ModelClient::Sent& sent : client.model.take_sent()) {
            note([&] { return label(client) + " sends " + describe(sent.chunks); });
            send_up(client, sent.channel, std::move(sent.chunks));
        }
        if (!client.model.here()) {
            bury(client, false);
        }
    }

    void on_state(Actor& client) {
        note([&] {
            return label(client) + " is " + name(client.model.state()) +
                   (client.model.here() ? "" : ": " + client.model.why());
        });
        if (client.model.state() == State::Raised) {
            fail(label(client) + " raises: " + client.model.why());
        } else if (client.model.state() == State::Active) {
            ++outcome_.counts.joins;
        } else if (client.model.state() == State::Gone &&
                   client.model.why().find("kicked") == std::string::npos) {
            ++outcome_.counts.told_to_go;
        } else if (client.model.state() == State::Lobby) {
            client.button_since = now_;
        }
    }

    // Its sockets are closed. What its kernel has still arrives.
    void bury(Actor& client, bool heartbeat_lives) {
        client.buried = true;
        client.heartbeat_process = heartbeat_lives;
        seats_[client.user] = {nullptr, now_ + Millis{static_cast<int>(below(1'500))}};
        for (const Channel channel : kAllChannels) {
            if (channel == Channel::Heartbeat && heartbeat_lives) {
                continue;
            }
            Line& line = client.line(channel);
            line.unsent.clear();
            line.connected = false;
            line.reconnect_at.reset();
            line.cut = true;
            line.flying.clear();
            line.landed.clear();
            if (framed()) {
                lose(client, channel, below(line.up.size() + 1));  // it closed with more to read
            }
            const Instant noticed = now_ + Millis{static_cast<int>(below(100))};
            line.server_closes = line.up.empty() ? noticed : std::max(noticed, line.up.back().due);
        }
    }

    void act(Actor& client) {
        ModelClient& model = client.model;
        if (model.state() == State::Lobby && model.shown_as_admin() &&
            now_ - client.button_since > kReaction && model.unread(Channel::Command) == 0 &&
            chance(calm_ ? 4 : 40)) {
            for (std::uint64_t i = 1 + below(4); i > 0 && model.graph().empty(); --i) {
                const NodeId id = new_id();
                model.stage(id, chance(2) ? model.name() : common::kOwnerCommon);
                client.staged.insert(id);
            }
            ++outcome_.counts.uploads;
            model.press_init();
        }
        if (!model.shown_as_admin()) {
            client.button_since = now_;
        }
        // Who was away looks before touching anything.
        if (!calm_ && model.state() == State::Active && model.unread(Channel::Data) == 0 &&
            chance(16)) {
            edit(client);
        }
    }

    void edit(Actor& client) {
        ModelClient& model = client.model;
        const std::uint64_t what = below(100);
        const std::optional<NodeId> id = pick(client);
        ++outcome_.counts.edits;
        if (!id || what < 12) {
            const NodeId made = new_id();
            std::vector<NodeId> dependencies;
            for (std::uint64_t i = below(3); i > 0; --i) {
                dependencies.push_back(any(client).value_or("nobody"));
            }
            maker_[made] = client.id;
            model.create(made, chance(2) ? model.name() : common::kOwnerCommon,
                         std::move(dependencies));
            if (chance(3)) {
                model.set_owner({made}, model.name());  // as one that selects what it made
            }
        } else if (what < 45) {
            model.set_value(*id, static_cast<std::int64_t>(below(1'000)));
        } else if (what < 65) {
            model.append_item(*id, static_cast<std::int64_t>(below(1'000)));
        } else if (what < 68) {
            const std::size_t bytes = framed() && options_.big ? below(kBigNode) : 0;
            outcome_.counts.big += bytes > ModelClient::kBytesPerTick ? 1 : 0;
            model.push_whole(*id, static_cast<std::int64_t>(below(1'000)), bytes);
        } else if (what < 78) {
            if (options_.deletes) {
                ++outcome_.counts.deletes;
                model.remove(*id);
            }
        } else if (what < 92) {
            if (options_.rights) {
                model.set_owner({*id}, chance(2) ? model.name() : common::kOwnerCommon);
            }
        } else if (what < 99) {
            model.set_metadata(static_cast<std::int64_t>(below(250)));
        } else if (options_.kicks && model.shown_as_admin() && chance(3)) {
            model.kick(user_name(below(options_.users)));
        }
    }

    std::optional<NodeId> any(const Actor& client) {
        const auto& graph = client.model.graph();
        if (graph.empty()) {
            return std::nullopt;
        }
        return std::next(graph.begin(), static_cast<std::ptrdiff_t>(below(graph.size())))->first;
    }

    // A node that this artist may edit.
    std::optional<NodeId> pick(const Actor& client) {
        const auto id = any(client);
        if (!id) {
            return std::nullopt;
        }
        const common::UserName& owner = client.model.graph().at(*id).owner;
        const bool allowed = owner == client.model.name() || owner == common::kOwnerCommon;
        const bool alone = options_.conflicts || maker_[*id] == client.id;
        return allowed && alone ? id : std::nullopt;
    }

    // ---- Trouble -------------------------------------------------------------------------------

    void step() {
        now_ += calm_ && idle() ? kIdleStep : kStep;
        step_server();
        for (std::size_t user = 0; user < seats_.size(); ++user) {
            if (seats_[user].actor == nullptr && seats_[user].back_at <= now_) {
                sit_down(user);
            }
        }
        for (std::size_t i = 0; i < present_.size() && !outcome_.failure; ++i) {
            step_client(*present_[i]);
        }
        std::erase_if(present_, [](const Actor* client) { return client->is_over(); });
    }

    static std::string user_name(std::size_t user) { return std::string(1, "abcdefgh"[user]); }

    void sit_down(std::size_t user) {
        actors_.push_back(std::make_unique<Actor>(actors_.size(), user, user_name(user), user < 2,
                                                  options_.generation));
        Actor& client = *actors_.back();
        present_.push_back(&client);
        seats_[user].actor = &client;
        client.born = client.last_ping = client.button_since = now_;
        client.tick_length = Millis{chance(3) ? 20 : 10};
        for (ModelClient::Sent& sent : client.model.take_sent()) {
            client.line(sent.channel).unsent.push_back(std::move(sent.chunks));
        }
        client.line(Channel::Heartbeat).unsent.push_back({common::Bytes(std::string("INIT"))});
        for (const Channel channel : kAllChannels) {
            std::uint64_t most = channel == Channel::Heartbeat ? 400 : chance(8) ? 1'000 : 40;
            if (framed() && channel == Channel::Data && chance(12)) {
                most = 8'000;
                ++outcome_.counts.pending;
            }
            client.line(channel).reconnect_at = now_ + Millis{static_cast<int>(below(most))};
        }
        note([&] { return label(client) + " connects"; });
    }

    void trouble() {
        for (Seat& seat : seats_) {
            if (seat.actor == nullptr || !chance(60)) {
                continue;
            }
            Actor& client = *seat.actor;
            const std::uint64_t what = below(20);
            if (what < 4 && options_.resets) {
                ++outcome_.counts.resets;
                const std::uint64_t which = below(4);
                if (which != 1) {
                    reset(client, Channel::Command);
                }
                if (which != 0) {
                    reset(client, Channel::Data);
                }
                if (which == 3) {
                    reset(client, Channel::Heartbeat);
                }
            } else if (what < 8 && options_.freezes) {
                ++outcome_.counts.freezes;
                const Instant until =
                    now_ + Millis{static_cast<int>(below(chance(3) ? 4'000 : 600))};
                (chance(3) ? client.stopped_until : client.frozen_until) = until;
                note([&] { return label(client) + " is frozen"; });
            } else if (what < 12 && options_.slow) {
                const Channel channel = chance(2) ? Channel::Command : Channel::Data;
                client.line(channel).slow_until = now_ + Millis{static_cast<int>(below(3'000))};
            } else if (what < 14 && options_.deaths &&
                       (client.model.state() == State::Uploading || chance(4))) {
                note([&] { return label(client) + " dies"; });
                bury(client, chance(4));
            } else if (what < 15 && options_.leaves) {
                note([&] { return label(client) + " leaves"; });
                client.model.leave();
                bury(client, false);
            }
        }
    }

    void reset(Actor& client, Channel channel) {
        Line& line = client.line(channel);
        if (!line.connected) {
            return;
        }
        note([&] { return label(client) + " " + broker::name(channel) + " reset"; });
        lose(client, channel, below(line.up.size() + 1));
        line.flying.clear();
        std::size_t kept = below(line.landed.size() + 1);
        if (framed() && chance(2)) {  // an RST: nothing more can be read
            kept = 0;
            client.model.forget_unread(channel);
        }
        while (line.landed.size() > kept) {
            line.landed.pop_back();
        }
        line.cut = true;
        line.ends = false;
        if (line.server_open) {
            const Instant noticed = now_ + Millis{static_cast<int>(below(600))};
            line.server_closes = line.up.empty() ? noticed : std::max(noticed, line.up.back().due);
        }
        disconnected(client, channel);
    }

    void thaw(Actor& client) {
        client.frozen_until = now_;
        client.stopped_until = now_;
        for (Line& line : client.lines) {
            line.slow_until = now_;
        }
    }

    // ---- At quiet ------------------------------------------------------------------------------

    bool idle() const {
        return std::all_of(present_.begin(), present_.end(), [](const Actor* client) {
            return (client->buried || (client->model.unread(Channel::Command) == 0 &&
                                       client->model.unread(Channel::Data) == 0)) &&
                   std::all_of(client->lines.begin(), client->lines.end(), [](const Line& line) {
                       return line.up.empty() && line.flying.empty() && line.landed.empty() &&
                              !line.reconnect_at && !line.server_closes;
                   });
        });
    }

    bool settled() const {
        return std::all_of(seats_.begin(), seats_.end(), [](const Seat& seat) {
            return seat.actor != nullptr && seat.actor->model.state() == State::Active;
        });
    }

    void compare() {
        for (const Seat& seat : seats_) {
            if (seat.actor == nullptr || seat.actor->model.state() != State::Active) {
                fail(seat.actor == nullptr
                         ? "a user does not get in"
                         : label(*seat.actor) + " is stuck in " + name(seat.actor->model.state()));
            } else {
                ++outcome_.counts.compared;
                compare(*seat.actor);
            }
        }
    }

    void compare(Actor& client) {
        common::Graph& graph = session_.graph();
        for (const NodeId& id : graph.ids()) {
            const auto found = client.model.graph().find(id);
            if (client.excused.contains(id)) {
                continue;
            }
            if (found == client.model.graph().end()) {
                return fail(label(client) + " lacks " + id);
            }
            const common::NodePtr node = graph.find(id);
            const std::string theirs =
                print(found->second.owner, found->second.dependencies, found->second.data);
            const std::string ours =
                print(node->owner, node->dependencies.ids, common::read_pickle(node->data).value());
            if (theirs != ours) {
                return fail(label(client) + " has " + id + " " + theirs + ", the broker " + ours);
            }
        }
        for (const auto& [id, node] : client.model.graph()) {
            if (!graph.contains(id) && !client.excused.contains(id) &&
                !client.staged.contains(id)) {
                return fail(label(client) + " still has " + id);
            }
        }
    }

    // Dependencies that name no node may differ: a Delete takes them out at its own moment.
    std::string print(const common::UserName& owner,
                      const std::optional<std::vector<NodeId>>& dependencies,
                      const common::Value& data) {
        std::string text = owner + " [";
        for (const NodeId& id : dependencies.value_or(std::vector<NodeId>())) {
            text += session_.graph().contains(id) ? " " + id : "";
        }
        return text + "] " + common::repr(data, 1'000);
    }

    struct Seat {
        Actor* actor = nullptr;
        Instant back_at{};
    };
    struct Closed {
        ClientId id;
        Channel channel;
    };

    const JoinsOptions options_;
    std::mt19937_64 random_;
    Instant now_{Millis{1'000'000}};
    broker::Session session_;
    broker::Effects effects_;
    std::vector<std::unique_ptr<Actor>> actors_;
    std::vector<Actor*> present_;  // of them, those of whom there is anything left
    std::vector<Seat> seats_;
    std::vector<Closed> closed_;  // the session hears of it in the next turn
    std::map<NodeId, ClientId> maker_;
    std::set<NodeId> touched_;
    std::uint64_t made_ = 0;
    bool calm_ = false;
    JoinsOutcome outcome_;
};

}  // namespace

JoinsCounts& JoinsCounts::operator+=(const JoinsCounts& other) {
    runs += other.runs;
    joins += other.joins;
    uploads += other.uploads;
    edits += other.edits;
    deletes += other.deletes;
    resets += other.resets;
    freezes += other.freezes;
    replaced += other.replaced;
    pending += other.pending;
    big += other.big;
    told_to_go += other.told_to_go;
    compared += other.compared;
    return *this;
}

std::string JoinsCounts::text() const {
    const auto item = [](const char* what, std::uint64_t number) {
        return std::string(", ") + what + " " + std::to_string(number);
    };
    return "runs " + std::to_string(runs) + item("joins", joins) + item("uploads", uploads) +
           item("edits", edits) + item("deletes", deletes) + item("resets", resets) +
           item("freezes", freezes) + item("replaced", replaced) + item("pending", pending) +
           item("big", big) + item("told to go", told_to_go) + item("graphs compared", compared);
}

JoinsOutcome run_joins(std::uint64_t seed, const JoinsOptions& options) {
    return World(seed, options).run();
}

}  // namespace support
