#include "broker/roster.h"

#include <doctest/doctest.h>

using namespace broker;

namespace {

Client& join(Roster& roster, std::uint64_t id, const std::string& name) {
    Client& client = roster.client(ClientId{id});
    client.name = name;
    client.command_open = true;
    roster.add_member(client);
    return client;
}

}  // namespace

TEST_CASE("members are found by name and stand in the order of their logins") {
    Roster roster;
    Client& zoe = join(roster, 1, "zoe");
    Client& ada = join(roster, 2, "ada");
    CHECK(roster.members() == std::vector<Client*>{&zoe, &ada});
    CHECK(roster.member("ada") == &ada);
    CHECK(roster.member("eve") == nullptr);
    CHECK(roster.find(ClientId{1}) == &zoe);
    CHECK(roster.find(ClientId{3}) == nullptr);
    CHECK(&roster.client(ClientId{1}) == &zoe);

    roster.remove_member(zoe);
    CHECK(roster.members() == std::vector<Client*>{&ada});
    CHECK(roster.member("zoe") == nullptr);
    CHECK(roster.knows(ClientId{1}));
}

TEST_CASE("only a stranger without any connection is forgotten") {
    Roster roster;
    Client& client = join(roster, 1, "ada");
    client.command_open = false;
    roster.forget(ClientId{1});
    REQUIRE(roster.knows(ClientId{1}));  // a detached member keeps its place

    roster.remove_member(client);
    client.stage = Stage::Ghost;
    roster.forget(ClientId{1});
    REQUIRE(roster.knows(ClientId{1}));
    CHECK(roster.ghosts() == std::vector<Client*>{&client});

    client.stage = Stage::Stranger;
    client.heartbeat_open = true;
    roster.forget(ClientId{1});
    REQUIRE(roster.knows(ClientId{1}));
    client.heartbeat_open = false;
    roster.forget(ClientId{1});
    CHECK_FALSE(roster.knows(ClientId{1}));
    CHECK(roster.size() == 0);
    roster.forget(ClientId{1});  // nobody: nothing happens
}

TEST_CASE("who takes what depends on connections and phase") {
    Roster roster;
    Client& client = join(roster, 1, "ada");
    client.data_open = true;
    for (const Phase phase : {Phase::Lobby, Phase::Uploading, Phase::Catalog}) {
        client.phase = phase;
        CHECK_FALSE(client.takes_graph_commands());
        CHECK_FALSE(client.takes_data());
    }
    for (const Phase phase : {Phase::Settling, Phase::Syncing, Phase::Active}) {
        client.phase = phase;
        CHECK(client.takes_graph_commands());
        CHECK(client.takes_data());
    }
    client.data_open = false;
    CHECK(client.takes_graph_commands());
    CHECK_FALSE(client.takes_data());
    client.data_open = true;
    client.expelled = true;
    CHECK_FALSE(client.present());
    CHECK_FALSE(client.takes_data());
}

TEST_CASE("a label for log lines names the user, if known, and the address; nothing can break it") {
    Client client{ClientId{1}};
    CHECK(client.label() == "unknown address");
    client.peer = "127.0.0.1:4000";
    CHECK(client.label() == "127.0.0.1:4000");
    client.name = "ada";
    CHECK(client.label() == "'ada' (127.0.0.1:4000)");
    client.name = "line\nbreak";
    CHECK(client.label().find('\n') == std::string::npos);
}
