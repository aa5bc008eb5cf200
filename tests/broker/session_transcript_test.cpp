// Conversations as text: tests/transcripts/*.txt. A file is a story: comments (#), input lines,
// "----", the effects they had, an empty line, and so on. REWRITE=1 renews the effects; read the
// difference before you commit it.

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "broker/session.h"
#include "broker/wire.h"
#include "common/pickle.h"

namespace {

using broker::Channel;
using broker::ClientId;
using common::Bytes;
using common::Chunks;
using common::Value;

Bytes text_bytes(std::string_view text) {
    return Bytes::copy_of(text);
}
Value text(std::string_view characters) {
    return Value::str(characters);
}
Bytes type_chunk(broker::wire::Type type) {
    return common::write_pickle(Value::integer(static_cast<int>(type)));
}

std::vector<std::string> split(const std::string& joined, char separator) {
    std::vector<std::string> parts;
    std::stringstream stream(joined);
    for (std::string part; std::getline(stream, part, separator);) {
        parts.push_back(part);
    }
    return parts;
}

Value text_list(const std::string& joined) {
    std::vector<Value> items;
    for (const std::string& part : split(joined, ',')) {
        items.push_back(text(part));
    }
    return Value::list(std::move(items));
}

// The words of an input line after the verb: positional ones, and name=value ones.
struct Words {
    std::vector<std::string> positional;
    std::map<std::string, std::string> named;
    std::string at(std::size_t index) const {
        REQUIRE_MESSAGE(index < positional.size(), "an input line has too few words");
        return positional[index];
    }
    std::string named_or(const std::string& name, const std::string& otherwise) const {
        const auto found = named.find(name);
        return found == named.end() ? otherwise : found->second;
    }
};

class Story {
public:
    Story() : session_(options()) {}

    std::string run(const std::string& line) {
        std::istringstream stream(line);
        std::string verb;
        stream >> verb;
        Words words;
        for (std::string word; stream >> word;) {
            const auto equals = word.find('=');
            if (equals == std::string::npos) {
                words.positional.push_back(word);
            } else {
                words.named[word.substr(0, equals)] = word.substr(equals + 1);
            }
        }
        perform(verb, words);
        return print(std::exchange(effects_, {}));
    }

private:
    static broker::SessionOptions options() {
        broker::SessionOptions options;
        options.admin_password = "root";
        return options;
    }

    static ClientId client(const Words& words) { return ClientId{std::stoull(words.at(0))}; }

    static std::vector<Channel> channels(const std::string& which) {
        if (which == "all") {
            return {Channel::Command, Channel::Data, Channel::Heartbeat};
        }
        return {which == "command" ? Channel::Command
                : which == "data"  ? Channel::Data
                                   : Channel::Heartbeat};
    }

    static broker::Ending ending(const Words& words) {
        return words.named.contains("slow")       ? broker::Ending::TooSlow
               : words.named.contains("replaced") ? broker::Ending::Replaced
               : words.named.contains("fault")    ? broker::Ending::AtFault
                                                  : broker::Ending::Lost;
    }

    void say(const Words& words, Channel channel, Chunks chunks) {
        session_.on_message(client(words), channel, std::move(chunks), now_, effects_);
    }

    void command(const Words& words, broker::wire::Type type, const Value& data,
                 const std::string& owner = "client") {
        say(words, Channel::Command,
            {type_chunk(type), text_bytes(owner), common::write_pickle(data)});
    }

    static Chunks node_chunks(const std::string& id, const Words& words) {
        const Value dependencies =
            words.named.contains("deps") ? text_list(words.named.at("deps")) : Value::list();
        return {type_chunk(broker::wire::Type::Node), text_bytes(id),
                text_bytes(words.named_or("owner", "COMMON")), common::write_pickle(dependencies),
                common::write_pickle(Value::dict({{text("type_id"), text("Mesh")},
                                                  {text("v"), text(words.named_or("v", "0"))}}))};
    }

    void perform(const std::string& verb, const Words& words) {
        using broker::wire::Type;
        if (verb == "wait") {
            advance(std::stoll(words.at(0)));
        } else if (verb == "fresh") {
            session_.start_fresh(common::Timeline{7}, now_, effects_);
        } else if (verb == "restore") {
            restore(words.at(0), words.named_or("owner", "COMMON"));
        } else if (verb == "open") {
            for (const Channel channel : channels(words.at(1))) {
                session_.on_opened(client(words),
                                   words.named.contains("framed") ? broker::Generation::Framed
                                                                  : broker::Generation::Zmtp,
                                   channel, "10.0.0." + words.at(0) + ":1", now_, effects_);
            }
        } else if (verb == "close") {
            for (const Channel channel : channels(words.at(1))) {
                session_.on_closed(
                    client(words), channel,
                    words.named.contains("fault") ? "a message of 17 chunks" : "closed by the peer",
                    ending(words), now_, effects_);
            }
        } else if (verb == "arrived") {
            session_.on_arrived(client(words), channels(words.at(1)).front(),
                                std::stoull(words.at(2)), now_);
        } else if (verb == "login") {
            login(words);
        } else if (verb == "info") {
            command(words, Type::RequestServerInfo, text("RQ_INFO"), "guest");
        } else if (verb == "upload") {
            command(words, Type::ServerSnapshot,
                    Value::dict({{text("STATE"), text("INIT")},
                                 {text("SIZE"), Value::integer(1)},
                                 {text("NODES"), text_list(words.at(1))}}));
        } else if (verb == "set") {
            std::vector<Value> chunks;
            for (const Bytes& chunk : node_chunks(words.at(1), words)) {
                chunks.push_back(Value::bytes(chunk));
            }
            command(words, Type::ServerSnapshot,
                    Value::dict({{text("STATE"), text("SET")},
                                 {text("DATA"), Value::list(std::move(chunks))}}));
        } else if (verb == "end") {
            command(words, Type::ServerSnapshot, Value::dict({{text("STATE"), text("END")}}));
        } else if (verb == "request") {
            command(words, Type::Snapshot, Value::dict({{text("STATE"), text("REQUEST_INIT")}}));
        } else if (verb == "get") {
            command(words, Type::Snapshot,
                    Value::dict({{text("STATE"), text("GET")}, {text("ID"), text(words.at(1))}}));
        } else if (verb == "done") {
            command(words, Type::Snapshot, Value::dict({{text("STATE"), text("DONE")}}));
        } else {
            edit(verb, words);
        }
    }

    void edit(const std::string& verb, const Words& words) {
        using broker::wire::Type;
        if (verb == "node") {
            say(words, Channel::Data, node_chunks(words.at(1), words));
        } else if (verb == "commit") {
            const Value change = Value::dict({{text("new_value"), text(words.named_or("v", "1"))}});
            const Value delta =
                Value::dict({{text("values_changed"), Value::dict({{text("root['v']"), change}})}});
            say(words, Channel::Data,
                {type_chunk(Type::Commit), text_bytes(words.at(1)),
                 common::write_pickle(Value::list()), common::write_pickle(delta)});
        } else if (verb == "bad-commit") {
            // deepdiff raises on it: every client that got it would lose its session.
            const Value delta = Value::dict(
                {{text("set_item_added"),
                  Value::dict({{text("root['v']"), Value::list({Value::integer(1)})}})}});
            say(words, Channel::Data,
                {type_chunk(Type::Commit), text_bytes(words.at(1)),
                 common::write_pickle(Value::list()), common::write_pickle(delta)});
        } else if (verb == "delete") {
            command(words, Type::Delete, text(words.at(1)));
        } else if (verb == "right") {
            command(words, Type::Right,
                    Value::dict({{text("uuid"), text_list(words.at(2))},
                                 {text("owner"), text(words.at(1))}}));
        } else if (verb == "kick") {
            command(words, Type::Kick, Value::dict({{text("user"), text(words.at(1))}}));
        } else if (verb == "meta") {
            std::vector<std::pair<Value, Value>> fields;
            for (const auto& [key, value] : words.named) {
                fields.emplace_back(text(key), text(value));
            }
            command(words, Type::UpdateUserMetadata, Value::dict(std::move(fields)), words.at(1));
        } else if (verb == "beat") {
            say(words, Channel::Heartbeat, {text_bytes("PONG")});
        } else if (verb == "junk") {
            say(words, channels(words.at(1)).front(),
                {text_bytes("cos\nsystem\n(S'true'\ntR."), text_bytes("x")});
        } else if (verb == "stopping") {
            session_.stopping();
        } else if (verb == "stop") {
            session_.stop("shutting down", now_, effects_);
        } else {
            FAIL_CHECK("unknown verb " << verb);
        }
    }

    void advance(long long milliseconds) {
        const auto end = now_ + common::Millis{milliseconds};
        while (now_ < end) {
            now_ = std::min(end, now_ + common::Millis{10});
            session_.on_tick(now_, effects_);
        }
    }

    void login(const Words& words) {
        const std::string admin = words.named_or("admin", "");
        command(words, broker::wire::Type::Auth,
                Value::dict({{text("AUTH_TYPE"), text(admin.empty() ? "CLIENT" : "ADMIN")},
                             {text("AUTH_ID"), text(words.at(1))},
                             {text("S_PWD"), Value()},
                             {text("A_PWD"), text(admin)},
                             {text("VERSION"), text(words.named_or("version", "0.9.10"))}}),
                words.at(1));
    }

    void restore(const std::string& ids, const std::string& owner) {
        common::Graph graph;
        for (const std::string& id : split(ids, ',')) {
            Words words;
            words.named["owner"] = owner;
            auto node = common::read_node(node_chunks(id, words));
            REQUIRE(node.has_value());
            REQUIRE(graph.apply(common::PutNode{*node}).has_value());
        }
        REQUIRE(graph.apply(common::Initialised{common::Timeline{3}}).has_value());
        session_.restore(std::move(graph), now_, effects_);
    }

    // ---- Effects as text -----------------------------------------------------------------------

    static std::string print(const broker::Effects& effects) {
        std::string lines;
        std::string last;
        std::size_t times = 0;
        const auto finish = [&] {
            lines += times == 0  ? ""
                     : times > 1 ? last + "  (" + std::to_string(times) + " times)\n"
                                 : last + "\n";
        };
        for (const broker::Effect& effect : effects) {
            std::string line = std::visit([](const auto& one) { return print(one); }, effect);
            if (line != last) {
                finish();
                times = 0;
            }
            last = std::move(line);
            ++times;
        }
        finish();
        return lines;
    }

    static std::string print(const broker::Publish& publish) {
        struct Name {
            std::string operator()(const common::EpochStarted&) { return "EpochStarted"; }
            std::string operator()(const common::PutNode& m) { return "PutNode " + m.node.id; }
            std::string operator()(const common::PatchNode& m) { return "PatchNode " + m.id; }
            std::string operator()(const common::DeleteNode& m) { return "DeleteNode " + m.id; }
            std::string operator()(const common::SetOwner& m) {
                std::string ids;
                for (const auto& id : m.ids) {
                    ids += " " + id;
                }
                return "SetOwner " + m.owner + ids;
            }
            std::string operator()(const common::Cleared&) { return "Cleared"; }
            std::string operator()(const common::Initialised&) { return "Initialised"; }
            std::string operator()(const common::UserJoined& m) { return "UserJoined " + m.name; }
            std::string operator()(const common::UserLeft& m) {
                return "UserLeft " + m.name + " (" + m.reason + ")";
            }
            std::string operator()(const common::SetMetadata& m) {
                return "SetMetadata " + m.name + " " +
                       common::repr(*common::read_pickle(m.metadata));
            }
        };
        return "publish " + std::visit(Name(), publish.mutation);
    }

    static std::string print(const broker::Send& send) {
        std::string to;
        for (const ClientId id : send.to) {
            to += (to.empty() ? "" : ",") + std::to_string(static_cast<std::uint64_t>(id));
        }
        return "to " + to + " " + broker::name(send.channel) + ": " + print(*send.chunks);
    }

    static std::string print(const Chunks& chunks) {
        if (chunks.size() == 1) {
            return std::string(chunks[0].view());
        }
        using broker::wire::Type;
        const auto type = broker::wire::decode_type(chunks);
        REQUIRE(type.has_value());
        switch (*type) {
            case Type::Node:
                return "Node " + std::string(chunks[1].view()) + " owner " +
                       std::string(chunks[2].view()) + " " +
                       common::repr(*common::read_pickle(chunks[4]));
            case Type::Commit:
                return "Commit " + std::string(chunks[1].view());
            case Type::Snapshot:
                return "Snapshot " + print_snapshot(*common::read_pickle(chunks[2]));
            default:
                return std::string(type_name(*type)) + " " +
                       common::repr(*common::read_pickle(chunks[2]), 400);
        }
    }

    static std::string print_snapshot(const Value& data) {
        const Value* chunks = data.find("DATA");
        if (chunks == nullptr || chunks->as_list() == nullptr) {
            return common::repr(data, 400);
        }
        Chunks node;
        for (const Value& chunk : chunks->as_list()->items) {
            node.push_back(*chunk.as_bytes());
        }
        return "SET " + print(node);
    }

    static const char* type_name(broker::wire::Type type) {
        using broker::wire::Type;
        switch (type) {
            case Type::Delete:
                return "Delete";
            case Type::Right:
                return "Right";
            case Type::ServerSnapshot:
                return "ServerSnapshot";
            case Type::Auth:
                return "Auth";
            case Type::Disconnect:
                return "Disconnect";
            case Type::UpdateClientsState:
                return "UpdateClientsState";
            case Type::UpdateUserMetadata:
                return "UpdateUserMetadata";
            case Type::RequestServerInfo:
                return "RequestServerInfo";
            default:
                return "?";
        }
    }

    static std::string print(const broker::Close& close) {
        return "close " + std::to_string(static_cast<std::uint64_t>(close.client)) +
               (close.after_flush ? "" : " at once");
    }
    static std::string print(const broker::Trust& trust) {
        return (trust.trusted ? "trust " : "distrust ") +
               std::to_string(static_cast<std::uint64_t>(trust.client));
    }
    static std::string print(const broker::Log& log) {
        static const char* const kLevels[] = {"debug", "info", "warning", "error"};
        return std::string(kLevels[static_cast<int>(log.level)]) + ": " + log.text;
    }

    broker::Session session_;
    broker::Effects effects_;
    common::Instant now_{common::Millis{1'000'000}};
};

// The file as it should be, with the effects as they are.
std::string replay(std::istream& file) {
    Story story;
    std::string out;
    std::string effects;
    bool in_effects = false;
    for (std::string line; std::getline(file, line);) {
        if (in_effects) {
            if (line.empty()) {
                in_effects = false;
                out += "\n";
            }
            continue;
        }
        out += line + "\n";
        if (line == "----") {
            out += std::exchange(effects, {});
            in_effects = true;
        } else if (!line.empty() && line[0] != '#') {
            effects += story.run(line);
        }
    }
    return out;
}

}  // namespace

TEST_CASE("transcripts") {
    const char* const given = std::getenv("HOLDFAST_SOURCE");
    REQUIRE_MESSAGE(given != nullptr, "HOLDFAST_SOURCE names the source tree (meson sets it)");
    const auto folder = std::filesystem::path(given) / "tests" / "transcripts";
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    REQUIRE(!paths.empty());
    for (const auto& path : paths) {
        CAPTURE(path.string());
        std::ifstream file(path);
        std::stringstream before;
        before << file.rdbuf();
        std::istringstream input(before.str());
        const std::string after = replay(input);
        if (std::getenv("REWRITE") != nullptr) {
            std::ofstream(path) << after;
        } else {
            CHECK(after == before.str());
        }
    }
}
