// The model client of the joins simulation, spoken to by test_model_client.py.
//
// A line is `new zmtp` or `new framed`, `init ID,ID`, or `tick COMMAND DATA`: a message is `-` for
// none, or its chunks in hexadecimal with commas between. The answer, one line:
//   STATE sent CHANNEL:MESSAGE ... graph ID:OWNER:DEPENDENCIES:DATA ...   (pickles in hexadecimal)

#include <iostream>
#include <optional>
#include <sstream>
#include <string>

#include "common/pickle.h"
#include "tests/support/model_client.h"

using broker::Channel;
using common::Bytes;
using common::Chunks;
using common::Value;
using support::ModelClient;

namespace {

std::string to_hex(std::string_view bytes) {
    static const char kDigits[] = "0123456789abcdef";
    std::string text;
    for (const char byte : bytes) {
        const auto value = static_cast<unsigned char>(byte);
        text += {kDigits[value >> 4], kDigits[value & 15]};
    }
    return text;
}

std::string from_hex(const std::string& text) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        bytes += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
    }
    return bytes;
}

Chunks to_chunks(const std::string& text) {
    Chunks chunks;
    std::istringstream parts(text);
    for (std::string part; std::getline(parts, part, ',');) {
        chunks.emplace_back(from_hex(part));
    }
    return chunks;
}

std::string to_text(const Chunks& chunks) {
    std::string text;
    for (const Bytes& chunk : chunks) {
        text += (text.empty() ? "" : ",") + to_hex(chunk.view());
    }
    return text;
}

Value dependencies_of(const ModelClient::Node& node) {
    if (!node.dependencies) {
        return {};
    }
    std::vector<Value> ids;
    for (const common::NodeId& id : *node.dependencies) {
        ids.push_back(Value::str(id));
    }
    return Value::list(std::move(ids));
}

void answer(ModelClient& client) {
    std::cout << support::name(client.state()) << " sent";
    for (const ModelClient::Sent& sent : client.take_sent()) {
        std::cout << " " << broker::name(sent.channel) << ":" << to_text(sent.chunks);
    }
    std::cout << " graph";
    for (const auto& [id, node] : client.graph()) {
        std::cout << " " << id << ":" << node.owner << ":"
                  << to_hex(common::write_pickle(dependencies_of(node)).view()) << ":"
                  << to_hex(common::write_pickle(node.data).view());
    }
    std::cout << std::endl;
}

}  // namespace

int main() {
    std::optional<ModelClient> client;
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string verb;
        std::string first;
        std::string second;
        words >> verb >> first >> second;
        if (verb == "new") {
            client.emplace(
                "me", "",
                first == "framed" ? broker::Generation::Framed : broker::Generation::Zmtp);
        } else if (verb == "init") {
            std::istringstream ids(first);
            for (std::string id; std::getline(ids, id, ',');) {
                client->stage(id, common::kOwnerCommon);
            }
            client->press_init();
        } else {
            if (first != "-") {
                client->arrived(Channel::Command, to_chunks(first));
            }
            if (second != "-") {
                client->arrived(Channel::Data, to_chunks(second));
            }
            client->tick();
        }
        answer(*client);
    }
    return 0;
}
