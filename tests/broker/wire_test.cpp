#include "broker/wire.h"

#include <doctest/doctest.h>

#include "common/limits.h"
#include "common/pickle.h"

namespace {

using broker::Channel;
using broker::wire::Type;
using common::Bytes;
using common::Chunks;
using common::Value;

Bytes bytes(std::string_view text) {
    return Bytes::copy_of(text);
}
Value text(std::string_view characters) {
    return Value::str(characters);
}
Bytes pickled(const Value& value) {
    return common::write_pickle(value);
}

Chunks command(Type type, const Value& data) {
    return {pickled(Value::integer(static_cast<int>(type))), bytes("ada"), pickled(data)};
}

Chunks node(const Value& dependencies, const Value& data, std::string_view id = "n1") {
    return {pickled(Value::integer(2)), bytes(id), bytes("COMMON"), pickled(dependencies),
            pickled(data)};
}

const Value kMesh = Value::dict({{text("type_id"), text("Mesh")}});

bool accepted(const Chunks& chunks, Channel channel = Channel::Command) {
    return broker::wire::decode(chunks, channel).has_value();
}

}  // namespace

TEST_CASE("what breaks a real client does not pass") {
    // protocol.md, "What breaks a real client": each line is one of these.
    CHECK(accepted(command(Type::Delete, text("n1"))));
    CHECK_FALSE(accepted(command(Type::Delete, text(""))));
    CHECK_FALSE(accepted(command(Type::Delete, Value::list({text("n1")}))));

    const auto right = [](Value ids, Value owner) {
        return command(Type::Right, Value::dict({{text("uuid"), std::move(ids)},
                                                 {text("owner"), std::move(owner)}}));
    };
    CHECK(accepted(right(Value::list(), text("COMMON"))));
    CHECK(accepted(right(Value::list({text("n1")}), text("ada"))));
    CHECK_FALSE(accepted(right(Value::list({Value()}), text("ada"))));
    CHECK_FALSE(accepted(right(text("n1"), text("ada"))));
    CHECK_FALSE(accepted(right(Value::list(), Value())));
    CHECK_FALSE(accepted(command(Type::Right, Value::dict())));

    CHECK(accepted(command(Type::UpdateUserMetadata, Value::dict())));
    CHECK_FALSE(accepted(command(Type::UpdateUserMetadata, Value::list())));

    CHECK(accepted(node(Value(), kMesh), Channel::Data));
    CHECK(accepted(node(Value::list({text("n2")}), kMesh), Channel::Data));
    CHECK_FALSE(accepted(node(Value::tuple({text("n2")}), kMesh), Channel::Data));
    CHECK_FALSE(accepted(node(Value(), kMesh, ""), Channel::Data));
    CHECK_FALSE(accepted(node(Value(), Value::list()), Channel::Data));
    CHECK_FALSE(accepted(node(Value(), Value::dict()), Channel::Data));
    CHECK_FALSE(accepted(node(Value(), Value::dict({{text("type_id"), Value()}})), Channel::Data));
}

TEST_CASE("edits belong on the data connection, all else on the command connection") {
    CHECK_FALSE(accepted(node(Value(), kMesh), Channel::Command));
    CHECK_FALSE(accepted(command(Type::Delete, text("n1")), Channel::Data));
}

TEST_CASE("what only a server says is refused") {
    for (const Type type :
         {Type::Command, Type::Config, Type::Disconnect, Type::UpdateClientsState}) {
        CHECK_FALSE(accepted(command(type, Value::dict())));
    }
}

TEST_CASE("numbers of chunks and types") {
    CHECK_FALSE(accepted({}));
    CHECK_FALSE(accepted({pickled(Value::integer(4))}));
    CHECK_FALSE(accepted(command(static_cast<Type>(0), text("n1"))));
    CHECK_FALSE(accepted(command(static_cast<Type>(15), text("n1"))));
    CHECK_FALSE(accepted(command(static_cast<Type>(-1), text("n1"))));
    CHECK_FALSE(accepted({pickled(text("4")), bytes("ada"), pickled(text("n1"))}));
    // Other protocols write the same type with other bytes.
    CHECK(accepted(
        {bytes(std::string_view("\x80\x02K\x04.", 5)), bytes("ada"), pickled(text("n1"))}));
}

TEST_CASE("an Auth as the addon sends it") {
    const auto auth = [](Value server_password) {
        return broker::wire::decode(
            command(Type::Auth, Value::dict({{text("AUTH_TYPE"), text("CLIENT")},
                                             {text("AUTH_ID"), text("ada")},
                                             {text("S_PWD"), std::move(server_password)},
                                             {text("A_PWD"), Value()},
                                             {text("VERSION"), text("0.9.10")}})),
            Channel::Command);
    };
    for (const Value& nothing : {Value(), text("")}) {
        const auto message = auth(nothing);
        REQUIRE(message.has_value());
        const auto& decoded = std::get<broker::wire::Auth>(*message);
        CHECK_FALSE(decoded.admin);
        CHECK(decoded.name == "ada");
        CHECK(decoded.server_password.empty());
        CHECK(decoded.version == "0.9.10");
    }
    CHECK_FALSE(auth(Value::integer(1)).has_value());
}

TEST_CASE("a login with a page of passwords fits four times in what a stranger may send") {
    const std::string name(common::limits::kUserNameBytesMax, 'n');
    const std::string password(1'500, 'p');
    const Chunks chunks = command(Type::Auth, Value::dict({{text("AUTH_TYPE"), text("ADMIN")},
                                                           {text("AUTH_ID"), text(name)},
                                                           {text("S_PWD"), text(password)},
                                                           {text("A_PWD"), text(password)},
                                                           {text("VERSION"), text("0.9.10")}}));
    CHECK(accepted(chunks));
    CHECK(4 * common::total_size(chunks) < common::limits::kMessageBytesMaxBeforeLogin);
}

TEST_CASE("states of clients have the shape that clients read") {
    const auto chunks = broker::wire::clients_state(
        {{"ada", true, 12, broker::wire::Status::Active, Value::dict({{text("k"), Value()}})}});
    REQUIRE(chunks->size() == 3);
    CHECK((*chunks)[1].view() == "server");
    const auto data = common::read_pickle((*chunks)[2]);
    REQUIRE(data.has_value());
    CHECK(common::repr(*data) ==
          "{'ada': {'id': 'ada', 'admin': True, 'latency': 12, 'status': 2, "
          "'metadata': {'k': None}}}");
}
