// Nodes, commits, deletes and rights, and the repair of what was in doubt: design.md sections 7
// and 8.

#include <algorithm>
#include <map>
#include <utility>

#include "broker/session.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/verify.h"

namespace broker {
namespace {

using common::Instant;
using common::Millis;
using common::NodeId;

// Bytes that were handed to the kernel, or taken from it, longer ago than this before a connection
// broke had arrived: a queue that made no progress for so long would have ended the client.
constexpr Millis kDoubt{common::limits::kClientStallMsMax};
// How long a Right waits for the Node that it overtook, and how many may.
constexpr Millis kEarlyRight{10'000};
constexpr std::size_t kEarlyRightsMax = 10'000;
// Edits of a node crossed: so long after its last change it is sent to who may hold something else.
// Longer than an edit of that client can then still cross this Node, or it would go on for ever.
constexpr Millis kRest{3'000};

}  // namespace

void Session::touch(const NodeId& id, Instant now) {
    touched_[id] = now;
}

void Session::bury(const NodeId& id) {
    if (tombstones_.insert(id).second) {
        tombstone_order_.push_back(id);
    }
    if (tombstone_order_.size() > common::limits::kTombstonesMax) {
        tombstones_.erase(tombstone_order_.front());
        tombstone_order_.pop_front();
    }
}

void Session::put_node(Client& from, wire::PutNode message, const wire::Encoded& original,
                       Instant now, Effects& effects) {
    const NodeId id = message.node.id;
    if (tombstones_.contains(id)) {
        say(from, Log::Level::Debug,
            "Node " + common::log_text(id) + " of " + from.label() + " was deleted: dropped",
            effects);
        return;
    }
    const bool is_new = !graph_.contains(id);
    if (is_new && graph_.size() >= common::limits::kNodesMax) {
        refuse(from, "the session holds as many nodes as it may", effects);
        return;
    }
    common::Mutation mutation = common::PutNode{std::move(message.node)};
    if (const auto applied = graph_.apply(mutation); !applied) {
        refuse(from, applied.error().what, effects);
        return;
    }
    publish(std::move(mutation), from.name, effects);
    touch(id, now);
    note_crossing(from, id, now);
    relay(from, id, original, now, effects);
    if (const auto early = early_rights_.find(id); is_new && early != early_rights_.end()) {
        const common::UserName owner = early->second.owner;
        early_rights_.erase(early);
        set_owner({id}, owner, from.name, wire::right({id}, owner), now, effects);
    }
}

void Session::commit(Client& from, wire::Commit message, const wire::Encoded& original, Instant now,
                     Effects& effects) {
    const NodeId id = message.id;
    common::Mutation mutation =
        common::PatchNode{std::move(message.id), std::move(message.dependencies),
                          std::move(message.delta), std::move(message.parsed)};
    const auto applied = graph_.apply(mutation);
    if (!applied) {
        if (applied.error().kind == common::ErrorKind::NotFound) {
            say(from, Log::Level::Debug,
                "Commit of " + from.label() + " for node " + common::log_text(id) +
                    " that is not there: dropped",
                effects);
            return;
        }
        refuse(from, "commit for node " + common::log_text(id) + ": " + applied.error().what,
               effects);
        mend(from, {id}, now, effects);  // it has made the change itself already
        return;
    }
    if (applied->fold.skipped > 0) {
        say(from, Log::Level::Debug,
            "Commit of " + from.label() + " for node " + common::log_text(id) + ": " +
                std::to_string(applied->fold.skipped) + " entries skipped, as every client does: " +
                common::log_text(applied->fold.first_skipped),
            effects);
    }
    ++counters_.commits;
    publish(std::move(mutation), from.name, effects);
    touch(id, now);
    note_crossing(from, id, now);
    relay(from, id, original, now, effects);
}

void Session::relay(const Client& from, const NodeId& id, const wire::Encoded& original,
                    Instant now, Effects& effects) {
    Send send{{}, Channel::Data, original};
    for (Client* member : roster_.members()) {
        if (member == &from || !member->takes_graph_commands()) {
            continue;
        }
        if (!member->data_open) {
            member->needs_repair = true;
        }
        // Who missed something gets it all by its repair: a Commit that was held for it would come
        // before the Node that it missed.
        if (!member->needs_repair && member->outbox.note_data(id, original, now)) {
            send.to.push_back(member->id);
        }
    }
    if (!send.to.empty()) {
        effects.emplace_back(std::move(send));
    }
}

void Session::relay_graph_command(const std::vector<NodeId>& ids, const wire::Encoded& message,
                                  Instant now, Effects& effects) {
    for (Client* member : roster_.members()) {
        if (member->takes_graph_commands()) {
            member->outbox.graph_command(ids, message, now, effects);
        }
    }
}

void Session::delete_node(Client& from, const wire::Delete& deletion, const wire::Encoded& original,
                          Instant now, Effects& effects) {
    // Also for a node that is not there (yet): its Node may be on its way, and the client that asks
    // removes its own only when the echo arrives.
    bury(deletion.id);
    early_rights_.erase(deletion.id);
    if (graph_.contains(deletion.id)) {
        common::Mutation mutation = common::DeleteNode{deletion.id};
        const auto applied = graph_.apply(mutation);
        VERIFY(applied.has_value());
        publish(std::move(mutation), from.name, effects);
    }
    touch(deletion.id, now);
    relay_graph_command({deletion.id}, original, now, effects);
}

void Session::right(Client& from, const wire::Right& right, const wire::Encoded& original,
                    Instant now, Effects& effects) {
    if (right.owner != common::kOwnerCommon && roster_.member(right.owner) == nullptr) {
        refuse(from, "a Right for '" + common::log_text(right.owner) + "', who is not here",
               effects);
        return;
    }
    std::vector<NodeId> known;
    for (const NodeId& id : right.ids) {
        if (graph_.contains(id)) {
            known.push_back(id);
        } else if (!tombstones_.contains(id) && early_rights_.size() < kEarlyRightsMax) {
            early_rights_[id] = EarlyRight{right.owner, now};
        }
    }
    if (known.size() == right.ids.size()) {
        set_owner(known, right.owner, from.name, original, now, effects);
    } else if (!known.empty()) {
        set_owner(known, right.owner, from.name, wire::right(known, right.owner), now, effects);
    }
}

void Session::set_owner(const std::vector<NodeId>& ids, const common::UserName& owner,
                        const common::UserName& by, const wire::Encoded& message, Instant now,
                        Effects& effects) {
    if (ids.empty()) {
        return;
    }
    common::Mutation mutation = common::SetOwner{ids, owner};
    const auto applied = graph_.apply(mutation);
    VERIFY(applied.has_value());
    publish(std::move(mutation), by, effects);
    for (const NodeId& id : ids) {
        touch(id, now);
    }
    relay_graph_command(ids, message, now, effects);
}

void Session::mend(Client& to, const std::vector<NodeId>& ids, Instant now, Effects& effects) {
    std::map<common::UserName, std::vector<NodeId>> rights;
    for (const NodeId& id : ids) {
        const common::NodePtr node = graph_.find(id);
        if (node == nullptr) {
            to.outbox.graph_command({id}, wire::delete_node(id), now, effects);
            continue;
        }
        to.outbox.data(id, wire::node(*node), now, effects);
        rights[node->owner].push_back(id);
    }
    for (const auto& [owner, owned] : rights) {
        to.outbox.graph_command(owned, wire::right(owned, owner), now, effects);
    }
}

void Session::repair(Client& client, Instant now, Effects& effects) {
    client.needs_repair = false;
    // What it may have missed, and what it may have edited without our getting it.
    std::vector<NodeId> doubtful = graph_.ids_owned_by(client.name);
    for (const auto& [id, time] : touched_) {
        if (time + kDoubt >= client.lost_since) {
            doubtful.push_back(id);
        }
    }
    std::sort(doubtful.begin(), doubtful.end());  // the same effects, whatever the hash order
    doubtful.erase(std::unique(doubtful.begin(), doubtful.end()), doubtful.end());
    mend(client, doubtful, now, effects);
    say(client, Log::Level::Info,
        client.label() + " is brought up to date: " + node_count(doubtful.size()) + " in doubt",
        effects);
}

// Two who edit one node at the same moment apply the two edits in different orders: the sender of
// the one that came later has applied its own first. What counts is what we have; when the node has
// been left alone for a while, that client gets it.
void Session::note_crossing(const Client& from, const NodeId& id, Instant now) {
    if (from.stage == Stage::Member && from.outbox.may_cross(id, now)) {
        crossed_[id].insert(from.id);
    }
}

void Session::mend_crossed(Instant now, Effects& effects) {
    for (auto next = crossed_.begin(); next != crossed_.end();) {
        const auto entry = next++;
        const auto& [id, clients] = *entry;
        const auto touched = touched_.find(id);
        if (touched != touched_.end() && now - touched->second < kRest) {
            continue;
        }
        for (const ClientId which : clients) {
            // Who is not there is repaired when it comes back, or joins anew.
            Client* client = roster_.find(which);
            if (client != nullptr && client->takes_data()) {
                mend(*client, {id}, now, effects);
            }
        }
        crossed_.erase(entry);
    }
}

void Session::tick_edits(Instant now, Effects& effects) {
    mend_crossed(now, effects);
    std::erase_if(early_rights_,
                  [&](const auto& entry) { return now - entry.second.time > kEarlyRight; });
    if (now - touched_pruned_ > kDoubt) {
        touched_pruned_ = now;
        std::erase_if(touched_, [&](const auto& entry) {
            return now - entry.second > 2 * kDoubt + options_.timeout;
        });
    }
    for (Client* member : roster_.members()) {
        if (member->present()) {
            member->outbox.flush(now, effects);
        }
    }
}

}  // namespace broker
