#include "broker/roster.h"

#include <algorithm>

#include "common/log.h"

namespace broker {

std::string Client::label() const {
    const std::string where = peer.empty() ? "unknown address" : peer;
    return name.empty() ? where : "'" + common::log_text(name) + "' (" + where + ")";
}

Client& Roster::client(ClientId id) {
    return clients_.try_emplace(id, id).first->second;
}

Client* Roster::find(ClientId id) {
    const auto found = clients_.find(id);
    return found == clients_.end() ? nullptr : &found->second;
}

Client* Roster::member(const common::UserName& name) const {
    const auto found = std::find_if(members_.begin(), members_.end(), [&](const Client* candidate) {
        return candidate->name == name;
    });
    return found == members_.end() ? nullptr : *found;
}

void Roster::add_member(Client& client) {
    client.stage = Stage::Member;
    members_.push_back(&client);
}

void Roster::remove_member(Client& client) {
    std::erase(members_, &client);
}

void Roster::forget(ClientId id) {
    const auto found = clients_.find(id);
    if (found == clients_.end()) {
        return;
    }
    const Client& client = found->second;
    if (client.stage == Stage::Stranger && !client.command_open && !client.data_open &&
        !client.heartbeat_open) {
        clients_.erase(found);
    }
}

std::vector<Client*> Roster::ghosts() {
    std::vector<Client*> ghosts;
    for (auto& [id, client] : clients_) {
        if (client.stage == Stage::Ghost) {
            ghosts.push_back(&client);
        }
    }
    return ghosts;
}

}  // namespace broker
