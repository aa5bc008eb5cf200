// The first upload, and joining: design.md section 8, rules 1 to 4, 7 and 8.

#include <utility>

#include "broker/session.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/verify.h"

namespace broker {
namespace {

using common::Instant;
using common::Millis;
using common::feed::BrokerState;

// So long after an admin's button Init went away, what it did before has come.
constexpr Millis kButton{1000};
// An uploader that sends nothing for so long has stopped half-way.
constexpr Millis kUploadStall{common::limits::kClientStallMsMax};
// A joiner that asks for nothing more for so long has stopped half-way. It would keep the copy of
// the graph that it is served from, and never get what is held for it.
constexpr Millis kJoinStall{common::limits::kClientStallMsMax};

// An empty catalog is an error inside the client; this one node is answered b'removed'. Any uuid
// that no node has will do.
const common::NodeId kNobody = "00000000-0000-4000-8000-000000000000";

}  // namespace

void Session::upload_init(Client& from, const wire::UploadInit& init, Instant now,
                          Effects& effects) {
    if (from.phase == Phase::Catalog || from.phase == Phase::Syncing) {
        // The catalog or a node reaches it in a state in which it can only fail.
        throw_out(from, "somebody else has initialised the session meanwhile: join it", effects);
        leave(from, "Init while joining", false, now, effects);
        return;
    }
    if (state_ != BrokerState::Waiting) {
        from.outbox.command(wire::upload_state("REJECTED"), effects);
        from.phase = Phase::Lobby;
        say(from, Log::Level::Info,
            "Upload of " + from.label() +
                " rejected: " + (upload_ ? "another one is running" : "there is a session already"),
            effects);
        if (state_ == BrokerState::Active) {
            from.outbox.clear();
            from.invited = true;  // it is back in its lobby, so it joins
        }
        return;
    }
    state_ = BrokerState::Uploading;
    upload_ = Upload{from.id, {init.ids.begin(), init.ids.end()}, 0, 0, now};
    from.phase = Phase::Uploading;
    from.outbox.set_hold(Outbox::Hold::All, now, effects);
    from.outbox.command(wire::upload_state("ACCEPTED"), effects);
    effects.emplace_back(Log{Log::Level::Info, from.label() + " initialises the session: " +
                                                   node_count(upload_->pending.size()) +
                                                   " announced"});
    send_states(true, effects);  // takes the button from the others
}

void Session::upload_node(Client& from, wire::UploadNode message, Instant now, Effects& effects) {
    upload_->last_progress = now;
    const common::NodeId id = message.node.id;
    if (upload_->pending.erase(id) == 0) {
        refuse(from, "node " + common::log_text(id) + " was not announced, or came twice", effects);
        return;
    }
    common::Mutation mutation = common::PutNode{std::move(message.node)};
    if (const auto applied = graph_.apply(mutation); !applied) {
        ++upload_->refused;
        refuse(from, applied.error().what, effects);
    } else {
        ++upload_->received;
        publish(std::move(mutation), from.name, effects);
    }
    if (upload_->pending.empty()) {
        complete_upload(from, now, effects);
    }
}

void Session::upload_end(Client& from, Instant now, Effects& effects) {
    if (from.phase == Phase::Uploading) {
        // It has sent all it will send, but some of it was refused.
        if (upload_->received == 0) {
            abort_upload("none of its nodes could be taken", effects);
            throw_out(from, "none of your nodes could be taken by the server", effects);
            leave(from, "upload refused", false, now, effects);
            return;
        }
        effects.emplace_back(Log{Log::Level::Warning,
                                 node_count(upload_->pending.size() + upload_->refused) +
                                     " announced by " + from.label() +
                                     " did not come or were refused: the session goes on without"});
        complete_upload(from, now, effects);
    }
    from.upload_ended = true;
    send_states(true, effects);
}

void Session::complete_upload(Client& from, Instant now, Effects& effects) {
    const std::size_t received = upload_->received;
    upload_.reset();
    common::Mutation mutation = common::Initialised{timeline_};
    const auto applied = graph_.apply(mutation);
    VERIFY(applied.has_value());
    publish(std::move(mutation), from.name, effects);
    state_ = BrokerState::Active;
    from.phase = Phase::Settling;
    from.settled_at.reset();
    from.done_read = false;
    from.upload_ended = false;
    from.outbox.command(wire::upload_state("DONE"), effects);
    from.done_command = from.outbox.commands_queued();
    effects.emplace_back(Log{
        Log::Level::Info, "Session initialised by " + from.label() + ": " + node_count(received)});
    invite_lobby(now, effects);
}

// A client that has sent the INIT of an upload ends its session when a catalog comes, and one that
// has not when a REJECTED comes; nothing tells us which it is. So the button Init is taken away
// first (by what the states of clients say), and the catalog goes out when what was done before has
// come. Who is no admin has no button.
void Session::invite_lobby(Instant now, Effects& effects) {
    send_states(true, effects);
    for (Client* member : roster_.members()) {
        member->invited = member->phase == Phase::Lobby;
    }
    send_due_catalogs(now, effects);
}

void Session::send_due_catalogs(Instant now, Effects& effects) {
    for (Client* member : roster_.members()) {
        const bool has_no_button =
            !member->admin || (member->button_gone && now - *member->button_gone >= kButton);
        if (member->invited && member->present() && has_no_button) {
            send_catalog(*member, now, effects);
        }
    }
}

void Session::abort_upload(const std::string& why, Effects& effects) {
    const Client* by = roster_.find(upload_->by);
    effects.emplace_back(
        Log{Log::Level::Warning, "Upload of " + (by != nullptr ? by->label() : "a client") +
                                     " broken off after " + node_count(upload_->received) + ": " +
                                     why + ". The next client may initialise the session"});
    upload_.reset();
    common::Mutation mutation = common::Cleared{};
    const auto applied = graph_.apply(mutation);
    VERIFY(applied.has_value());
    publish(std::move(mutation), {}, effects);
    state_ = BrokerState::Waiting;
    send_states(true, effects);
}

void Session::send_catalog(Client& to, Instant now, Effects& effects) {
    std::vector<common::NodeId> ids = graph_.ids();
    to.phase = Phase::Catalog;
    to.invited = false;
    to.needs_repair = false;  // all it has it gets now
    to.outbox.clear();
    to.outbox.set_hold(Outbox::Hold::GraphCommands, now, effects);
    to.catalog = {ids.begin(), ids.end()};
    if (ids.empty()) {
        ids.push_back(kNobody);
    }
    to.outbox.command(wire::catalog(ids), effects);
    answered_join(to, now);
    say(to, Log::Level::Info, to.label() + " joins: " + node_count(to.catalog.size()) + " to get",
        effects);
}

void Session::begin_sync(Client& from, Instant now, Effects& effects) {
    from.phase = Phase::Syncing;
    from.join_copy = graph_.copy();
    for (const common::NodePtr& node : from.join_copy.nodes) {
        from.join_nodes.emplace(node->id, node);
        // What came after the catalog it will not ask for.
        if (!from.catalog.contains(node->id)) {
            from.outbox.data(node->id, wire::node(*node), now, effects);
        }
    }
    from.catalog.clear();
}

void Session::get(Client& from, const wire::Get& get, Instant now, Effects& effects) {
    if (!from.data_open) {
        from.waiting_get = get.id;  // what changes while it gets its nodes comes on that connection
        return;
    }
    if (from.phase == Phase::Catalog) {
        begin_sync(from, now, effects);
    }
    const auto found = from.join_nodes.find(get.id);
    from.outbox.command(wire::set_node(found == from.join_nodes.end() ? nullptr : found->second),
                        effects);
    answered_join(from, now);
}

void Session::answered_join(Client& to, Instant now) {
    to.join_answer = to.outbox.commands_queued();
    to.join_waits_since = now;
}

void Session::join_done(Client& from, Instant now, Effects& effects) {
    from.phase = Phase::Active;
    from.join_copy = {};
    from.join_nodes.clear();
    say(from, Log::Level::Info, from.label() + " has joined the session", effects);
    send_states(true, effects);
    from.outbox.set_hold(Outbox::Hold::Nothing, now, effects);
}

void Session::tick_upload(Instant now, Effects& effects) {
    if (upload_ && now - upload_->last_progress > kUploadStall) {
        Client& by = roster_.client(upload_->by);
        abort_upload("nothing came for " + std::to_string(kUploadStall.count() / 1000) + " s",
                     effects);
        throw_out(by, "the upload of your scene stopped half-way, join again", effects);
        leave(by, "upload stalled", false, now, effects);
    }
}

// While our answer is on its way (a big node, a slow line) it is not its turn.
void Session::tick_join(Client& member, Instant now, Effects& effects) {
    const Outbox& outbox = member.outbox;
    if (outbox.commands_queued() - outbox.commands_waiting() < member.join_answer) {
        member.join_waits_since = now;
    } else if (now - member.join_waits_since > kJoinStall) {
        throw_out(member, "you stopped half-way while joining, join again", effects);
        leave(member, "stopped joining", false, now, effects);
    }
}

void Session::tick_transfer(Instant now, Effects& effects) {
    tick_upload(now, effects);
    send_due_catalogs(now, effects);
    const std::vector<Client*> members = roster_.members();  // leaving changes the roster
    for (Client* member : members) {
        // Without its command connection: DONE may have come no further than its machine.
        if (member->phase == Phase::Settling && member->command_open && member->settled_at &&
            now >= *member->settled_at) {
            member->phase = Phase::Active;
            member->outbox.set_hold(Outbox::Hold::Nothing, now, effects);
            repair_if_wanted(*member, now, effects);
        } else if (member->phase == Phase::Catalog || member->phase == Phase::Syncing) {
            tick_join(*member, now, effects);
        }
    }
}

}  // namespace broker
