#include "broker/session.h"

#include <algorithm>
#include <utility>

#include "common/limits.h"
#include "common/log.h"
#include "common/pickle.h"
#include "common/secret.h"
#include "common/verify.h"

namespace broker {
namespace {

using common::Instant;
using common::Millis;
using common::feed::BrokerState;

// A client whose command connection is closed is off the roster after this. Its last edits, on its
// data connection, have come by then.
constexpr Millis kDetached{1000};
// A client asks to be let in before it starts its heartbeat. One that has a heartbeat connection
// and has not asked for so long was let in by a broker that is no more.
constexpr Millis kAsks{2000};
// A client whose connections are made anew so often in so short a time is two that share an
// identity, each of which throws the other off for ever; or its network is of no use.
constexpr std::uint32_t kReconnectsMax = 10;
constexpr Millis kReconnectsIn{10'000};
constexpr Millis kStatesEvery{1000};
// After so long an uploader has read the DONE that has arrived at its machine.
constexpr Millis kDoneUnread{common::limits::kClientStallMsMax};
// The uploader is ACTIVE and takes data so long after DONE has arrived at its machine.
constexpr Millis kSettle{1000};
constexpr Millis kMetadataEvery{1000};
// The addon tells its metadata up to 20 times a second, and each of the others handles one command
// a tick: what comes faster is merged, and told so often.
constexpr Millis kMetadataRelayEvery{40};
// A client with so many commands in its queue gets no more metadata: the next UpdateClientsState
// holds it.
constexpr std::uint64_t kMetadataBacklogMax = 1000;

// What a client makes anew itself when it joins; half-restored, these break the addon.
bool kept(const common::Value& key) {
    static const std::unordered_set<std::string> kMadeAnew = {
        "color", "scene_current", "mode_current", "frame_current", "selected_objects"};
    const std::string* name = key.as_str();
    return name != nullptr && !kMadeAnew.contains(*name) && !name->starts_with("view_");
}

// What a member may send, when: states of the session x phases of the client. What is not here is
// refused, in one place. Uploading counts as the state of the session, not only of one client.
constexpr unsigned bit(BrokerState state) {
    return 1U << static_cast<unsigned>(state);
}
std::size_t of(const Client& client) {  // its place in a list of generations
    return static_cast<std::size_t>(client.generation);
}
constexpr unsigned bit(Phase phase) {
    return 1U << static_cast<unsigned>(phase);
}
constexpr unsigned kAnyState = ~0U;
constexpr unsigned kAnyPhase = ~bit(Phase::Pending);
constexpr unsigned kSession = bit(BrokerState::Active);

struct Rule {
    unsigned states;
    unsigned phases;
};
struct Rules {
    Rule operator()(const wire::Commit&) const { return {kSession, kAnyPhase}; }
    Rule operator()(const wire::PutNode&) const { return {kSession, kAnyPhase}; }
    Rule operator()(const wire::Delete&) const { return {kSession, kAnyPhase}; }
    Rule operator()(const wire::Right&) const { return {kSession, kAnyPhase}; }
    Rule operator()(const wire::RequestCatalog&) const {
        return {kSession, bit(Phase::Lobby) | bit(Phase::Catalog)};
    }
    Rule operator()(const wire::Get&) const {
        return {kSession, bit(Phase::Catalog) | bit(Phase::Syncing)};
    }
    Rule operator()(const wire::JoinDone&) const { return {kSession, bit(Phase::Syncing)}; }
    Rule operator()(const wire::UploadInit&) const { return {kAnyState, kAnyPhase}; }
    Rule operator()(const wire::UploadNode&) const {
        return {bit(BrokerState::Uploading), bit(Phase::Uploading)};
    }
    Rule operator()(const wire::UploadEnd&) const {
        return {bit(BrokerState::Uploading) | kSession,
                bit(Phase::Uploading) | bit(Phase::Settling)};
    }
    Rule operator()(const wire::Auth&) const { return {0, 0}; }  // a member has logged in already
    Rule operator()(const wire::Kick&) const { return {kAnyState, kAnyPhase}; }
    Rule operator()(const wire::Metadata&) const { return {kAnyState, kAnyPhase}; }
    Rule operator()(const wire::RequestServerInfo&) const { return {kAnyState, ~0U}; }
};
constexpr Rules kRules;

}  // namespace

std::string node_count(std::size_t count) {
    return std::to_string(count) + (count == 1 ? " node" : " nodes");
}

Session::Session(SessionOptions options)
    : options_(std::move(options)), login_gate_(options_.login_attempts) {}

BrokerState Session::state() const {
    return stopping_ && state_ != BrokerState::Stopped ? BrokerState::Stopping : state_;
}

void Session::publish(common::Mutation mutation, const common::UserName& user, Effects& effects) {
    effects.emplace_back(Publish{std::move(mutation), user});
}

// ---- Start -------------------------------------------------------------------------------------

void Session::start_fresh(common::Timeline timeline, Instant, Effects& effects) {
    VERIFY(state_ == BrokerState::Restoring);
    timeline_ = timeline;
    state_ = BrokerState::Waiting;
    effects.emplace_back(
        Log{Log::Level::Info, "No saved session: the first admin to press Init begins a new one"});
}

void Session::restore(common::Graph graph, Instant now, Effects& effects) {
    VERIFY(state_ == BrokerState::Restoring || state_ == BrokerState::Waiting);
    VERIFY(graph.initialised());
    graph_ = std::move(graph);
    timeline_ = graph_.timeline();
    state_ = BrokerState::Active;
    const auto owned = graph_.ids_not_owned_by(common::kOwnerCommon);
    set_owner(owned, common::kOwnerCommon, {}, wire::right(owned, common::kOwnerCommon), now,
              effects);
    effects.emplace_back(Log{Log::Level::Info, "Session restored: " + node_count(graph_.size()) +
                                                   ". Users can connect without Init"});
    invite_lobby(now, effects);
}

// ---- Connections -------------------------------------------------------------------------------

void Session::on_opened(ClientId id, Generation generation, Channel channel,
                        const std::string& peer, Instant now, Effects& effects) {
    Client& client = roster_.client(id);
    client.generation = generation;
    if (channel == Channel::Command || client.peer.empty()) {
        client.peer = peer;
    }
    client.outbox.set_generation(generation);
    if (channel == Channel::Heartbeat) {
        client.heartbeat_open = true;
        client.heartbeat.on_opened(now);
    } else {
        client.outbox.on_opened(channel, now);
    }
    if (channel == Channel::Data) {
        client.data_open = true;
    } else if (channel == Channel::Command) {
        client.has_asked = false;
        client.command_open = true;
        client.state_queued = 0;
        tell_farewell(client, effects);
        if (client.owes_telling) {
            tell_to_join(client, effects);
        }
    }
    if (client.stage == Stage::Stranger) {
        // The framed generation cannot have been here before.
        if (channel != Channel::Data && client.command_open && client.heartbeat_open &&
            generation == Generation::Zmtp) {
            newcomers_.push_back(Newcomer{id, now});
        }
    } else if (channel != Channel::Heartbeat && !client.expelled) {
        come_back(client, now, effects);
    }
    if (channel == Channel::Data && client.phase == Phase::Pending) {
        admit(client, now, effects);
    }
    if (channel == Channel::Data && client.waiting_get) {
        const wire::Get waiting{*std::exchange(client.waiting_get, std::nullopt)};
        get(client, waiting, now, effects);
    }
}

bool Session::knows(ClientId id) const {
    return roster_.knows(id) ||
           std::ranges::find(farewells_, id, &Farewell::id) != farewells_.end();
}

void Session::tell_farewell(Client& client, Effects& effects) {
    const auto farewell = std::ranges::find(farewells_, client.id, &Farewell::id);
    if (farewell == farewells_.end()) {
        return;
    }
    client.told_to_join = true;
    client.owes_telling = false;
    throw_out(client, farewell->reason, effects);
    farewells_.erase(farewell);
}

bool Session::flutters(Client& client, Instant now) {
    if (now - client.reconnects_since > kReconnectsIn) {
        client.reconnects_since = now;
        client.reconnects = 0;
    }
    return ++client.reconnects > kReconnectsMax;
}

void Session::come_back(Client& client, Instant now, Effects& effects) {
    const bool was_ghost = client.stage == Stage::Ghost;
    if (client.stage == Stage::Member && client.needs_repair && flutters(client, now)) {
        throw_out(client, "your connection was lost too often within seconds, join again", effects);
        leave(client, "connection lost too often", false, now, effects);
        return;
    }
    if (client.stage == Stage::Member && client.detached_since && client.command_open) {
        client.detached_since.reset();
        say(client, Log::Level::Info, "User reconnected: " + common::log_text(client.name),
            effects);
        send_states(true, effects);  // it may have missed who came meanwhile
    } else if (client.stage == Stage::Ghost && client.command_open &&
               client.generation == Generation::Zmtp) {
        if (roster_.member(client.name) != nullptr) {
            throw_out(client, "somebody else has joined under your name, join again", effects);
            return;
        }
        const Client* other = somebody_but(client.name);
        if (other != nullptr && other->version != client.version) {
            throw_out(client, "others have begun with another version of Multi-User, join again",
                      effects);
            return;
        }
        roster_.add_member(client);
        publish(common::UserJoined{client.name}, client.name, effects);
        say(client, Log::Level::Info, "User reconnected: " + common::log_text(client.name),
            effects);
        send_states(true, effects);
    }
    if (client.stage != Stage::Member || !client.needs_repair) {
        return;
    }
    // What has arrived at its machine is lost with the connection when it was not read.
    const bool may_lack_done = (was_ghost || client.lost_command) && !client.done_read &&
                               client.settled_at &&
                               client.lost_since - *client.settled_at < kDoneUnread;
    const bool syncs = client.phase == Phase::Catalog || client.phase == Phase::Syncing;
    if (syncs || may_lack_done || (client.lost_command && client.phase != Phase::Active)) {
        // What it asked for, or our answer, may be lost: it would wait for ever, or not be in the
        // state for what comes next.
        throw_out(client, "the connection was lost while you joined, join again", effects);
        leave(client, "connection lost while joining", false, now, effects);
        return;
    }
    repair_if_wanted(client, now, effects);
}

void Session::repair_if_wanted(Client& client, Instant now, Effects& effects) {
    if (client.needs_repair && client.present() && client.data_open &&
        client.phase == Phase::Active) {
        repair(client, now, effects);
    }
}

void Session::on_closed(ClientId id, Channel channel, const std::string& reason, Ending ending,
                        Instant now, Effects& effects) {
    Client* client = roster_.find(id);
    if (client == nullptr) {
        return;
    }
    if (ending == Ending::AtFault) {
        refuse(*client, common::log_text(reason) + "; its connection is closed", effects);
    }
    if (channel == Channel::Heartbeat) {
        client->heartbeat_open = false;
        client->heartbeat.on_closed(now);
    } else {
        (channel == Channel::Command ? client->command_open : client->data_open) = false;
        if (client->stage == Stage::Member && !client->expelled) {
            if (!client->needs_repair) {
                client->needs_repair = true;
                client->lost_since = now;
            }
            if (ending == Ending::TooSlow) {
                effects.emplace_back(
                    Log{Log::Level::Warning, client->label() +
                                                 " is too slow: " + common::log_text(reason) +
                                                 ". It gets everything when it joins again"});
                const std::string words = "too much was waiting for you: join again to get it all";
                if (!client->command_open && client->generation == Generation::Zmtp) {
                    farewells_.push_back({id, now, words});
                }
                throw_out(*client, words, effects);
                leave(*client, "too slow", false, now, effects);
            } else if (client->generation == Generation::Framed && ending != Ending::Replaced) {
                lose(*client, reason, now, effects);
            } else if (channel == Channel::Command) {
                detach(*client, reason, now, effects);
            }
        }
    }
    roster_.forget(id);
}

void Session::detach(Client& client, const std::string& reason, Instant now, Effects& effects) {
    client.detached_since = now;
    client.lost_command = true;
    say(client, Log::Level::Debug,
        client.label() + " lost its connection (" + common::log_text(reason) + ")", effects);
    if (client.phase == Phase::Uploading) {
        leave(client, "connection lost while uploading", false, now, effects);
    }
}

// The framed generation does not reconnect: without its command or its data connection it is gone,
// as soon as nothing more of its work can come on the other.
void Session::lose(Client& client, const std::string& reason, Instant now, Effects& effects) {
    if (!client.detached_since) {
        detach(client, reason, now, effects);
    }
    if (client.stage == Stage::Member && !client.command_open && !client.data_open) {
        give_up(client, now, effects);
    }
}

void Session::give_up(Client& client, Instant now, Effects& effects) {
    const bool returns = client.generation == Generation::Zmtp;
    if (!returns) {
        throw_out(client, "your data connection is gone, join again", effects);
    }
    leave(client, "connection closed", returns, now, effects);
}

void Session::on_arrived(ClientId id, Channel channel, std::uint64_t total, Instant now) {
    Client* client = roster_.find(id);
    if (client == nullptr || channel == Channel::Heartbeat) {
        return;
    }
    client->outbox.on_arrived(channel, total, now);
    const std::uint64_t commands = client->outbox.commands_arrived();
    if (!client->button_gone && client->button_command > 0 && commands >= client->button_command) {
        client->button_gone = now;
    }
    if (client->phase == Phase::Settling && !client->settled_at &&
        commands >= client->done_command) {
        client->settled_at = now + kSettle;
    }
}

// ---- Messages ----------------------------------------------------------------------------------

void Session::on_message(ClientId id, Channel channel, common::Chunks chunks, Instant now,
                         Effects& effects) {
    Client& client = roster_.client(id);
    ++counters_.messages;
    if (client.expelled) {
        return;
    }
    if (channel == Channel::Heartbeat) {
        on_heartbeat(client, now, effects);
        return;
    }
    // What a ghost had sent before it was gone is still its work; what it sends after somebody took
    // its name is not.
    const bool speaks =
        client.stage == Stage::Member ||
        (client.stage == Stage::Ghost && channel == Channel::Data &&
         (now - client.left_at <= kDetached || roster_.member(client.name) == nullptr));
    if (!speaks) {
        on_stranger(client, channel, chunks, now, effects);
    } else if (channel == Channel::Data) {
        on_data(client, std::move(chunks), now, effects);
    } else {
        on_command(client, std::move(chunks), now, effects);
    }
}

void Session::refuse(const Client& from, const std::string& reason, Effects& effects) {
    ++counters_.refused;
    say(from, Log::Level::Warning, "Refused from " + from.label() + ": " + reason, effects);
}

void Session::say(const Client& about, Log::Level level, std::string text, Effects& effects) {
    effects.emplace_back(Log{level, std::move(text),
                             about.peer.empty() ? "unknown address" : address_of(about.peer)});
}

bool Session::allowed(const Client& from, const wire::Message& message) const {
    const Rule rule = std::visit(kRules, message);
    return (rule.states & bit(state_)) != 0 && (rule.phases & bit(from.phase)) != 0;
}

void Session::on_data(Client& from, common::Chunks chunks, Instant now, Effects& effects) {
    auto message = wire::decode(chunks, Channel::Data);
    if (!message) {
        refuse(from, message.error().what, effects);
        return;
    }
    if (!allowed(from, *message)) {
        refuse(from, "an edit while there is no session", effects);
        return;
    }
    from.done_read = true;
    const auto original = std::make_shared<const common::Chunks>(std::move(chunks));
    if (auto* edit = std::get_if<wire::Commit>(&*message)) {
        commit(from, std::move(*edit), original, now, effects);
    } else {
        put_node(from, std::move(std::get<wire::PutNode>(*message)), original, now, effects);
    }
}

void Session::on_command(Client& from, common::Chunks chunks, Instant now, Effects& effects) {
    auto decoded = wire::decode(chunks, Channel::Command);
    if (!decoded) {
        refuse(from, decoded.error().what, effects);
        return;
    }
    wire::Message& message = *decoded;
    if (!allowed(from, message)) {
        refuse(from, "a message that has no place here now", effects);
        return;
    }
    const auto original = std::make_shared<const common::Chunks>(std::move(chunks));
    if (const auto* deletion = std::get_if<wire::Delete>(&message)) {
        from.done_read = true;
        delete_node(from, *deletion, original, now, effects);
    } else if (const auto* rights = std::get_if<wire::Right>(&message)) {
        from.done_read = true;
        right(from, *rights, original, now, effects);
    } else if (std::holds_alternative<wire::RequestCatalog>(message)) {
        send_catalog(from, now, effects);
    } else if (const auto* wanted = std::get_if<wire::Get>(&message)) {
        get(from, *wanted, now, effects);
    } else if (std::holds_alternative<wire::JoinDone>(message)) {
        join_done(from, now, effects);
    } else if (const auto* init = std::get_if<wire::UploadInit>(&message)) {
        upload_init(from, *init, now, effects);
    } else if (auto* node = std::get_if<wire::UploadNode>(&message)) {
        upload_node(from, std::move(*node), now, effects);
    } else if (std::holds_alternative<wire::UploadEnd>(message)) {
        upload_end(from, now, effects);
    } else if (const auto* victim = std::get_if<wire::Kick>(&message)) {
        kick(from, *victim, now, effects);
    } else if (const auto* fields = std::get_if<wire::Metadata>(&message)) {
        metadata(from, *fields, original, now, effects);
    } else if (std::holds_alternative<wire::RequestServerInfo>(message)) {
        from.outbox.command(
            wire::server_info(!options_.server_password.empty(), wanted_version(from)), effects);
    }
}

void Session::on_stranger(Client& from, Channel channel, const common::Chunks& chunks, Instant now,
                          Effects& effects) {
    if (channel == Channel::Command) {
        const auto type = wire::decode_type(chunks);
        if (type && (*type == wire::Type::RequestServerInfo || *type == wire::Type::Auth)) {
            const auto message = wire::decode(chunks, channel);
            if (!message) {
                refuse(from, message.error().what, effects);
            } else if (const auto* auth = std::get_if<wire::Auth>(&*message)) {
                login(from, *auth, now, effects);
            } else {
                from.outbox.command(
                    wire::server_info(!options_.server_password.empty(), wanted_version(from)),
                    effects);
            }
            return;
        }
    }
    if (from.told_to_join || from.owes_telling) {
        ++counters_.refused;
        return;
    }
    refuse(from, "not logged in", effects);
    tell_to_join(from, effects);
}

void Session::tell_newcomers(Instant now, Effects& effects) {
    while (!newcomers_.empty() && now - newcomers_.front().since >= kAsks) {
        Client* client = roster_.find(newcomers_.front().id);
        newcomers_.pop_front();
        if (client != nullptr && client->stage == Stage::Stranger && client->command_open &&
            client->heartbeat_open && !client->has_asked && !client->told_to_join) {
            say(*client, Log::Level::Info,
                client->label() +
                    " was in the session of a broker that is no more: told to join again",
                effects);
            tell_to_join(*client, effects);
        }
    }
}

// So that nobody edits into the void.
void Session::tell_to_join(Client& stranger, Effects& effects) {
    stranger.owes_telling = !stranger.command_open;
    if (stranger.command_open) {
        stranger.told_to_join = true;
        stranger.outbox.command(
            wire::disconnect("you are not logged in: the server was restarted, or you were away "
                             "for too long. Please join again"),
            effects);
    }
}

// ---- Heartbeat, states of clients, metadata ----------------------------------------------------

void Session::ping(Client& client, Instant now, Effects& effects) {
    static const auto kPing =
        std::make_shared<const common::Chunks>(common::Chunks{common::Bytes(std::string("PING"))});
    client.heartbeat.on_ping_sent(now);
    effects.emplace_back(Send{{client.id}, Channel::Heartbeat, kPing});
}

void Session::on_heartbeat(Client& from, Instant now, Effects& effects) {
    const bool first = !from.heartbeat.can_ping();
    from.heartbeat.on_frame(now);
    if (first && from.stage == Stage::Member) {
        ping(from, now, effects);
    }
}

void Session::send_states(bool even_to_those_behind, Effects& effects) {
    if (roster_.members().empty()) {
        return;
    }
    std::vector<wire::ClientState> states;
    states.reserve(roster_.members().size());
    Send send{{}, Channel::Command, nullptr};
    for (Client* member : roster_.members()) {
        const bool has_all = member->phase == Phase::Active || member->upload_ended;
        const wire::Status status = has_all                           ? wire::Status::Active
                                    : member->phase == Phase::Pending ? wire::Status::DataPending
                                                                      : wire::Status::Lobby;
        // The addon offers Init to admins in the lobby. While there is nothing to initialise it
        // must not: see invite_lobby.
        const bool waits = member->phase == Phase::Lobby || member->phase == Phase::Pending;
        const bool no_init = waits && state_ != BrokerState::Waiting;
        states.push_back(wire::ClientState{member->name, member->admin && !no_init,
                                           member->heartbeat.latency_ms(), status,
                                           member->metadata});
        const std::uint64_t taken =
            member->outbox.commands_queued() - member->outbox.commands_waiting();
        if (member->takes_states() && (even_to_those_behind || taken >= member->state_queued)) {
            member->outbox.note_command();
            member->state_queued = member->outbox.commands_queued();
            if (state_ == BrokerState::Waiting) {
                member->button_command = 0;
                member->button_gone.reset();
            } else if (member->button_command == 0) {
                member->button_command = member->state_queued;
            }
            send.to.push_back(member->id);
        }
    }
    if (!send.to.empty()) {
        send.chunks = wire::clients_state(states);
        effects.emplace_back(std::move(send));
    }
}

void Session::metadata(Client& from, const wire::Metadata& message, const wire::Encoded& original,
                       Instant now, Effects& effects) {
    if (message.owner != from.name) {
        refuse(from, "metadata in the name of '" + common::log_text(message.owner) + "'", effects);
        return;
    }
    const bool alone = from.metadata_unsaid_bytes == 0;
    for (const auto& entry : message.fields.as_dict()->entries()) {
        from.metadata_unsaid.set(entry.key, entry.value);
    }
    from.metadata_unsaid_bytes += common::total_size(*original);
    if (now - from.metadata_relayed < kMetadataRelayEvery &&
        from.metadata_unsaid_bytes <= common::limits::kUserMetadataBytesMax) {
        ++counters_.metadata_coalesced;
        return;
    }
    relay_metadata(from, alone ? original : nullptr, now, effects);
}

void Session::relay_metadata(Client& from, wire::Encoded message, Instant now, Effects& effects) {
    const common::Dict unsaid = std::exchange(from.metadata_unsaid, {});
    from.metadata_unsaid_bytes = 0;
    from.metadata_relayed = now;
    auto merged = std::make_shared<common::Dict>(*from.metadata.as_dict());
    for (const auto& entry : unsaid.entries()) {
        merged->set(entry.key, entry.value);
    }
    common::Value value(std::move(merged));
    if (common::memory_bytes(value) > common::limits::kUserMetadataBytesMax) {
        refuse(from, "metadata grew over its bound", effects);
        return;
    }
    from.metadata = std::move(value);
    from.metadata_changed = true;
    if (message == nullptr) {
        message = wire::metadata(from.name, common::Value(std::make_shared<common::Dict>(unsaid)));
    }
    Send send{{}, Channel::Command, std::move(message)};
    for (Client* member : roster_.members()) {
        if (member != &from && member->takes_states() &&
            member->outbox.commands_waiting() < kMetadataBacklogMax) {
            member->outbox.note_command();
            send.to.push_back(member->id);
        }
    }
    if (!send.to.empty()) {
        effects.emplace_back(std::move(send));
    }
    if (now - from.metadata_published >= kMetadataEvery) {
        publish_metadata(from, now, effects);
    }
}

void Session::tick_metadata(Instant now, Effects& effects) {
    for (Client* member : roster_.members()) {
        if (member->metadata_unsaid_bytes > 0 &&
            now - member->metadata_relayed >= kMetadataRelayEvery) {
            relay_metadata(*member, nullptr, now, effects);
        }
        if (now - member->metadata_published >= kMetadataEvery) {
            publish_metadata(*member, now, effects);
        }
    }
}

void Session::publish_metadata(Client& client, Instant now, Effects& effects) {
    if (!client.metadata_changed || state_ == BrokerState::Restoring) {
        return;
    }
    client.metadata_changed = false;
    client.metadata_published = now;
    std::vector<std::pair<common::Value, common::Value>> fields;
    for (const auto& entry : client.metadata.as_dict()->entries()) {
        if (kept(entry.key)) {
            fields.emplace_back(entry.key, entry.value);
        }
    }
    const common::Bytes* before = graph_.metadata_of(client.name);
    if (before == nullptr && fields.empty()) {
        return;
    }
    common::Bytes pickled = common::write_pickle(common::Value::dict(std::move(fields)));
    if (before != nullptr && *before == pickled) {
        return;
    }
    common::Mutation mutation = common::SetMetadata{client.name, std::move(pickled)};
    const auto applied = graph_.apply(mutation);
    VERIFY(applied.has_value());
    publish(std::move(mutation), client.name, effects);
}

// ---- Login, kick, leaving ----------------------------------------------------------------------

std::optional<std::string> Session::login_refusal(const Client& from, const wire::Auth& auth,
                                                  Instant now) {
    if (state_ == BrokerState::Restoring) {
        return "the server is fetching the saved session, try again in a moment";
    }
    if (stopping_) {
        return "the server is shutting down";
    }
    if (auth.name == common::kOwnerCommon || auth.name == common::kOwnerServer) {
        return "this name is reserved, choose another one";
    }
    const Client* other = roster_.member(auth.name);
    if (other != nullptr && other != &from && !other->detached_since) {
        return "client already logged in";
    }
    const std::string address = address_of(from.peer);
    if (auth.admin || !options_.server_password.empty()) {
        if (const Millis wait = login_gate_.wait(address, now); wait > Millis{0}) {
            ++counters_.logins_put_off;
            return "too many wrong passwords, try again in " +
                   std::to_string((wait.count() + 999) / 1000) + " s";
        }
    }
    if (auth.admin && !common::constant_time_equal(auth.admin_password, options_.admin_password)) {
        login_gate_.failed(address, now);
        return "wrong admin password";
    }
    if (!options_.server_password.empty() &&
        !common::constant_time_equal(auth.server_password, options_.server_password)) {
        login_gate_.failed(address, now);
        return "wrong server password";
    }
    if (!version_fits(from, auth)) {
        const Client* first = somebody_but(auth.name);
        return "wrong client version (" + common::log_text(auth.version) +
               " != " + (first != nullptr ? first->version : options_.versions[of(from)].back()) +
               ")";
    }
    return std::nullopt;
}

// Clients of different versions may write the same data differently: whoever comes first decides
// which version all have, until the last one leaves.
bool Session::version_fits(const Client& from, const wire::Auth& auth) const {
    if (const Client* first = somebody_but(auth.name); first != nullptr) {
        return first->generation == from.generation && first->version == auth.version;
    }
    const auto& accepted = options_.versions[of(from)];
    return std::find(accepted.begin(), accepted.end(), auth.version) != accepted.end();
}

const Client* Session::somebody_but(const common::UserName& name) const {
    for (const Client* member : roster_.members()) {
        if (member->name != name) {
            return member;
        }
    }
    return nullptr;
}

// What a client that asks is told: no server list compares it, people do.
const std::string& Session::wanted_version(const Client& from) const {
    if (!roster_.members().empty() && roster_.members().front()->generation == from.generation) {
        return roster_.members().front()->version;
    }
    return options_.versions[of(from)].back();
}

void Session::login(Client& from, const wire::Auth& auth, Instant now, Effects& effects) {
    from.has_asked = true;
    if (const auto refusal = login_refusal(from, auth, now)) {
        ++counters_.refused;
        ++counters_.logins_refused;
        say(from, Log::Level::Warning,
            "Login of '" + common::log_text(auth.name) + "' from " + from.peer +
                " refused: " + *refusal,
            effects);
        from.outbox.command(wire::auth_reply("FAILED: " + *refusal), effects);
        return;
    }
    if (Client* before = roster_.member(auth.name); before != nullptr) {
        leave(*before, "connection closed", true, now, effects);
        roster_.forget(before->id);
    }
    from.name = auth.name;
    from.version = auth.version;
    from.admin = auth.admin;
    from.phase = Phase::Lobby;
    from.told_to_join = false;
    from.owes_telling = false;
    from.detached_since.reset();
    from.needs_repair = false;
    from.done_read = true;
    from.lost_command = false;
    from.lost_since = now;
    from.button_command = 0;
    from.button_gone.reset();
    from.invited = false;
    from.outbox.clear();
    from.outbox.set_hold(Outbox::Hold::Nothing, now, effects);
    from.metadata = common::Value::dict();
    from.metadata_unsaid = {};
    from.metadata_unsaid_bytes = 0;
    if (const common::Bytes* stored = graph_.metadata_of(auth.name); stored != nullptr) {
        if (auto value = common::read_pickle(*stored); value && value->as_dict() != nullptr) {
            from.metadata = std::move(*value);
        }
    }
    roster_.add_member(from);
    ++counters_.logins;
    effects.emplace_back(Trust{from.id, true});
    publish(common::UserJoined{from.name}, from.name, effects);
    say(from, Log::Level::Info,
        "User connected: " + common::log_text(from.name) + (from.admin ? " (admin)" : "") +
            " from " + from.peer,
        effects);
    if (from.generation == Generation::Zmtp || from.data_open) {
        admit(from, now, effects);
    } else {
        from.phase = Phase::Pending;
    }
    if (from.heartbeat.can_ping()) {
        ping(from, now, effects);
    }
}

// The two generations want the answer and the states of clients in different orders.
void Session::admit(Client& client, Instant, Effects& effects) {
    client.phase = Phase::Lobby;
    if (client.generation == Generation::Zmtp) {
        send_states(true, effects);
    }
    client.outbox.command(wire::auth_reply(state_ == BrokerState::Active ? "RUNNING" : "LOBBY"),
                          effects);
    if (client.generation == Generation::Framed) {
        send_states(true, effects);
    }
}

void Session::kick(const Client& by, const wire::Kick& kick, Instant now, Effects& effects) {
    if (!by.admin) {
        refuse(by, "a Kick, but it is not an admin", effects);
        return;
    }
    Client* victim = roster_.member(kick.user);
    if (victim == nullptr) {
        refuse(by, "a Kick of '" + common::log_text(kick.user) + "', who is not here", effects);
        return;
    }
    effects.emplace_back(Log{Log::Level::Warning, "User kicked: " + common::log_text(kick.user) +
                                                      " by " + common::log_text(by.name)});
    throw_out(*victim, "kicked by admin", effects);
    leave(*victim, "kicked", false, now, effects);
}

void Session::throw_out(Client& client, const std::string& reason, Effects& effects) {
    if (client.command_open) {
        client.outbox.command(wire::disconnect(reason), effects);
    }
    client.expelled = true;
    client.outbox.clear();
    effects.emplace_back(Close{client.id, true});
}

void Session::leave(Client& client, const std::string& reason, bool as_ghost, Instant now,
                    Effects& effects) {
    VERIFY(client.stage == Stage::Member);
    const bool was_uploading = client.phase == Phase::Uploading;
    if (client.metadata_unsaid_bytes > 0) {
        relay_metadata(client, nullptr, now, effects);
    }
    publish_metadata(client, now, effects);
    roster_.remove_member(client);
    // Only who had everything can be brought up to date later.
    const bool can_return = as_ghost && client.phase == Phase::Active;
    client.stage = can_return ? Stage::Ghost : Stage::Stranger;
    if (!can_return) {
        effects.emplace_back(Trust{client.id, false});
    }
    client.left_at = now;
    if (!client.needs_repair) {
        client.needs_repair = true;
        client.lost_since = now;
    }
    client.detached_since.reset();
    client.upload_ended = false;
    client.phase = can_return ? Phase::Active : Phase::Lobby;
    client.join_copy = {};
    client.join_nodes.clear();
    client.catalog.clear();
    client.waiting_get.reset();
    client.outbox.clear();
    if (was_uploading && upload_) {
        abort_upload(reason, effects);
    }
    const auto owned = graph_.ids_owned_by(client.name);
    set_owner(owned, common::kOwnerCommon, client.name, wire::right(owned, common::kOwnerCommon),
              now, effects);
    publish(common::UserLeft{client.name, reason}, client.name, effects);
    say(client, Log::Level::Info,
        "User disconnected: " + common::log_text(client.name) + " (" + reason + ")", effects);
    send_states(true, effects);
}

// ---- Time --------------------------------------------------------------------------------------

void Session::tick_presence(Instant now, Effects& effects) {
    const std::vector<Client*> members = roster_.members();  // leaving changes the roster
    for (Client* member : members) {
        if (member->detached_since && now - *member->detached_since >= kDetached) {
            give_up(*member, now, effects);
        } else if (!member->detached_since && member->heartbeat.lost(now, options_.timeout)) {
            effects.emplace_back(Close{member->id, false});
            leave(*member, "no heartbeat for " + std::to_string(options_.timeout.count()) + " ms",
                  member->generation == Generation::Zmtp, now, effects);
        } else if (!member->data_open && now - member->lost_since > options_.timeout) {
            if (member->phase == Phase::Pending) {
                member->outbox.command(wire::auth_reply("FAILED: data channel timeout"), effects);
            } else {
                throw_out(*member, "your data connection is gone, join again", effects);
            }
            leave(*member, "no data connection", false, now, effects);
        } else if (member->outbox.held_bytes() > options_.held_bytes_max) {
            throw_out(*member, "too much is waiting for you, join again", effects);
            leave(*member, "too slow", false, now, effects);
        } else if (member->heartbeat.ping_due(now)) {
            ping(*member, now, effects);
        }
    }
    for (const Client* member : members) {
        roster_.forget(member->id);  // of those who left now, who will not come back
    }
    for (Client* ghost : roster_.ghosts()) {
        // One of the framed generation is here for its last edits only: its name was taken at once.
        const bool framed = ghost->generation == Generation::Framed;
        if (now - ghost->left_at > (framed ? kDetached : options_.timeout)) {
            if (framed) {
                throw_out(*ghost, "somebody else has joined under your name, join again", effects);
            }
            ghost->stage = Stage::Stranger;
            effects.emplace_back(Trust{ghost->id, false});
            ghost->name.clear();
            roster_.forget(ghost->id);
        }
    }
}

void Session::on_tick(Instant now, Effects& effects) {
    while (!farewells_.empty() && now - farewells_.front().since > options_.timeout) {
        farewells_.pop_front();
    }
    tick_presence(now, effects);
    tell_newcomers(now, effects);
    tick_transfer(now, effects);
    tick_edits(now, effects);
    tick_metadata(now, effects);
    if (now - states_sent_ >= kStatesEvery) {
        states_sent_ = now;
        send_states(false, effects);
    }
}

bool Session::wants_ticks() const {
    for (const Client* member : roster_.members()) {
        if (member->outbox.waiting() || member->phase == Phase::Settling || member->invited ||
            member->metadata_unsaid_bytes > 0) {
            return true;
        }
    }
    return false;
}

// ---- The end -----------------------------------------------------------------------------------

void Session::stopping() {
    stopping_ = true;
}

void Session::stop(const std::string& reason, Instant now, Effects& effects) {
    const std::vector<Client*> members = roster_.members();
    for (Client* member : members) {
        throw_out(*member, reason, effects);
    }
    for (Client* member : members) {
        leave(*member, "server stopped", false, now, effects);
    }
    state_ = BrokerState::Stopped;
}

}  // namespace broker
