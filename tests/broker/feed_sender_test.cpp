#include "broker/feed_sender.h"

#include <doctest/doctest.h>

#include <type_traits>
#include <variant>

#include "common/limits.h"

using namespace broker;
using namespace common;

namespace {

struct Rig {
    std::vector<feed::FeedMessage> sent;
    FeedSender sender{7, [this](const feed::FeedMessage& message) { sent.push_back(message); }};

    // The records in what was sent, and "beat" for a beat.
    std::vector<std::string> heard() {
        std::vector<std::string> all;
        feed::PacketReader reader;
        for (const feed::FeedMessage& message : sent) {
            const auto* packet = std::get_if<feed::Packet>(&message);
            if (packet == nullptr) {
                all.emplace_back("beat");
                continue;
            }
            std::vector<feed::Frames> records;
            REQUIRE(reader.read(*packet, records));
            for (const feed::Frames& record : records) {
                all.emplace_back(record.front().view().substr(0, 10));
            }
        }
        return all;
    }
};

feed::Frames record(const std::string& text) {
    return {Bytes(text)};
}

using Heard = std::vector<std::string>;

}  // namespace

TEST_CASE("bytes for clients cannot be had without what they follow from having left") {
    CHECK_FALSE(std::is_default_constructible_v<FeedSender::Left>);
    CHECK_FALSE(std::is_copy_constructible_v<FeedSender::Left>);
    Rig rig;
    rig.sender.add(record("one"));
    rig.sender.add(record("two"));
    CHECK(rig.sent.empty());
    static_cast<void>(rig.sender.flush());
    CHECK(rig.heard() == Heard{"one", "two"});
    static_cast<void>(rig.sender.flush());
    CHECK(rig.sent.size() == 1);
}

TEST_CASE("a beat does not overtake a record") {
    Rig rig;
    rig.sender.add(record("one"));
    rig.sender.beat({});
    rig.sender.add(record("two"));
    static_cast<void>(rig.sender.flush());
    CHECK(rig.heard() == Heard{"one", "beat", "two"});
}

TEST_CASE("what fills a packet leaves at once") {
    Rig rig;
    rig.sender.add(record(std::string(limits::kFeedPacketBytesMax, 'x')));
    CHECK(rig.sent.size() == 1);
    static_cast<void>(rig.sender.flush());
    CHECK(rig.heard() == Heard{std::string(10, 'x')});
}
