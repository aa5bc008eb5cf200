// The conversations in tests/transcripts show the outbox at work; here are its corners.

#include "broker/outbox.h"

#include <doctest/doctest.h>

namespace {

using broker::Channel;
using broker::ClientId;
using broker::Effects;
using broker::Outbox;
using common::Instant;
using common::Millis;

const Instant kStart{Millis{1'000'000}};

broker::wire::Encoded message(std::string_view text) {
    return std::make_shared<const common::Chunks>(common::Chunks{common::Bytes::copy_of(text)});
}

// The first chunk of each Send, in order; an empty Right (three chunks) is "-".
std::string sent(Effects& effects) {
    std::string all;
    for (const broker::Effect& effect : effects) {
        const auto& send = std::get<broker::Send>(effect);
        all += send.chunks->size() == 3 ? "-" : std::string(send.chunks->front().view());
    }
    effects.clear();
    return all;
}

}  // namespace

TEST_CASE("a command about a node that was not sent lately goes at once") {
    Outbox outbox(ClientId{1});
    Effects effects;
    outbox.data("a", message("a"), kStart, effects);
    outbox.graph_command({"b"}, message("B"), kStart, effects);
    CHECK(sent(effects) == "aB");
    CHECK_FALSE(outbox.waiting());
}

TEST_CASE("later data about the same node does not put off a command any further") {
    Outbox outbox(ClientId{1});
    Effects effects;
    outbox.data("a", message("1"), kStart, effects);
    outbox.graph_command({"a"}, message("R"), kStart, effects);
    outbox.on_arrived(Channel::Data, 1, kStart);
    outbox.data("a", message("2"), kStart, effects);
    outbox.flush(kStart + Millis{50}, effects);
    CHECK(sent(effects) == "12------R");
}

TEST_CASE("commands keep their order, also those that need not wait") {
    Outbox outbox(ClientId{1});
    Effects effects;
    outbox.data("a", message("1"), kStart, effects);
    outbox.graph_command({"a"}, message("R"), kStart, effects);
    outbox.graph_command({"b"}, message("S"), kStart, effects);
    CHECK(sent(effects) == "1");
    outbox.on_arrived(Channel::Data, 1, kStart);
    outbox.flush(kStart + Millis{50}, effects);
    CHECK(sent(effects) == "------RS");
}

TEST_CASE("data that arrived more than ten seconds ago counts as handled") {
    Outbox outbox(ClientId{1});
    Effects effects;
    outbox.data("a", message("1"), kStart, effects);
    const Instant late = kStart + Millis{10'001};
    outbox.graph_command({"a"}, message("R"), late, effects);
    CHECK(sent(effects) == "1");  // not sent ten seconds ago
    outbox.on_arrived(Channel::Data, 1, late);
    outbox.flush(late + Millis{50}, effects);
    CHECK(sent(effects) == "------R");
    outbox.graph_command({"a"}, message("R"), late + Millis{10'001}, effects);
    CHECK(sent(effects) == "R");
}

TEST_CASE("a client of the framed generation takes more ticks for big data messages") {
    Outbox outbox(ClientId{1});
    outbox.set_generation(broker::Generation::Framed);
    Effects effects;
    outbox.data("a", message("1"), kStart, effects);
    outbox.data("b", message(std::string(200 << 10, 'x')), kStart, effects);
    effects.clear();
    outbox.graph_command({"b"}, message("R"), kStart, effects);
    outbox.on_arrived(Channel::Data, 2, kStart);
    outbox.flush(kStart + Millis{50}, effects);
    CHECK(sent(effects) ==
          "----------R");  // two, five more, and 200 KiB are three times 64 and some
}

TEST_CASE("what arrived on a connection that broke counts, and ticks that may be lost do not") {
    Outbox outbox(ClientId{1});
    Effects effects;
    outbox.data("a", message("1"), kStart, effects);
    outbox.data("a", message("2"), kStart, effects);
    outbox.on_arrived(Channel::Data, 1, kStart);
    outbox.on_opened(Channel::Data, kStart);
    outbox.data("b", message("3"), kStart, effects);
    outbox.graph_command({"a"}, message("R"), kStart, effects);
    outbox.flush(kStart + Millis{50}, effects);
    CHECK(sent(effects) == "123-------R");  // for 1 and 2, and five more
    outbox.graph_command({"b"}, message("S"), kStart, effects);
    outbox.on_arrived(Channel::Data, 1, kStart);
    outbox.flush(kStart + Millis{50}, effects);
    CHECK(sent(effects) == "------S");  // for 3 only
    outbox.on_opened(Channel::Command, kStart);
    outbox.graph_command({"b"}, message("T"), kStart, effects);
    outbox.flush(kStart + Millis{50}, effects);
    CHECK(sent(effects) == "--------T");
}

TEST_CASE("what a client sends crosses what has not arrived two seconds before") {
    Outbox outbox(ClientId{1});
    Effects effects;
    CHECK_FALSE(outbox.may_cross("a", kStart));
    outbox.data("a", message("1"), kStart, effects);
    outbox.data("b", message("2"), kStart, effects);
    CHECK(outbox.may_cross("a", kStart + Millis{60'000}));
    outbox.on_arrived(Channel::Data, 1, kStart);
    CHECK(outbox.may_cross("a", kStart + Millis{1'999}));
    CHECK_FALSE(outbox.may_cross("a", kStart + Millis{2'000}));
    CHECK(outbox.may_cross("b", kStart + Millis{2'000}));
    outbox.set_hold(Outbox::Hold::All, kStart, effects);
    outbox.data("c", message("3"), kStart, effects);
    CHECK(outbox.may_cross("c", kStart));
}

TEST_CASE("a flood of data: the command waits until empty Rights are few enough") {
    Outbox outbox(ClientId{1});
    Effects effects;
    for (std::uint64_t i = 1; i <= 2'500; ++i) {
        const Instant now = kStart + Millis{static_cast<int>(i)};
        outbox.data("a", message("1"), now, effects);
        outbox.on_arrived(Channel::Data, i, now);
    }
    sent(effects);
    outbox.graph_command({"a"}, message("R"), kStart + Millis{2'500}, effects);
    outbox.flush(kStart + Millis{9'000}, effects);
    CHECK(sent(effects).empty());
    outbox.flush(kStart + Millis{11'000}, effects);
    const std::string all = sent(effects);
    CHECK(all.back() == 'R');
    CHECK(all.size() <= 2'006);
}

TEST_CASE("a hold keeps data and commands, in order, until it is eased") {
    Outbox outbox(ClientId{1});
    Effects effects;
    outbox.set_hold(Outbox::Hold::All, kStart, effects);
    outbox.data("a", message("1"), kStart, effects);
    outbox.graph_command({"a"}, message("R"), kStart, effects);
    CHECK(effects.empty());
    CHECK(outbox.held_bytes() == 2);
    outbox.set_hold(Outbox::Hold::GraphCommands, kStart, effects);
    CHECK(sent(effects) == "1");
    outbox.set_hold(Outbox::Hold::Nothing, kStart, effects);
    CHECK(sent(effects).empty());  // the command must not overtake the data that waited with it
    outbox.on_arrived(Channel::Data, 1, kStart);
    outbox.flush(kStart + Millis{50}, effects);
    CHECK(sent(effects) == "------R");
    CHECK(outbox.held_bytes() == 0);
}
