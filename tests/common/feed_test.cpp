#include "common/feed.h"

#include <doctest/doctest.h>

#include <random>

#include "common/limits.h"
#include "common/pickle.h"
#include "tests/support/graph_gen.h"

using namespace common;
using feed::Frames;

namespace {

Hash128 hash_of(std::uint64_t n) {
    return {n * 0x9E3779B97F4A7C15U, n};
}

Position position_of(std::uint64_t n) {
    return {Epoch{~n}, Seq{n}, hash_of(n)};
}

feed::Holding some_holding() {
    feed::Holding holding;
    holding.position = position_of(7);
    holding.lineage = {{Epoch{1}, {}}, {Epoch{2}, position_of(3)}};
    holding.timeline = Timeline{1};
    holding.initialised = true;
    holding.node_count = 2;
    holding.last_mutation = WallTime{-5};
    return holding;
}

std::vector<Mutation> one_of_each() {
    return {EpochStarted{position_of(9)},
            PutNode{support::make_node("id", "ada", {"x", "y"}, 3)},
            support::make_patch("id", {"x"}, 1.5),
            DeleteNode{"id"},
            SetOwner{{"a", "b"}, "COMMON"},
            SetOwner{{}, "COMMON"},
            Cleared{},
            Initialised{Timeline{~0ULL}},
            UserJoined{"Zoë"},
            UserLeft{"ada", "connection lost"},
            SetMetadata{"ada", write_pickle(Value::dict())}};
}

Frames record_of(Mutation mutation) {
    return feed::encode_record(
        {Epoch{5}, Seq{6}, WallTime{1700000000000}, "ada", std::move(mutation)});
}

std::vector<feed::LinkMessage> links() {
    feed::Verdict verdict;
    verdict.kind = feed::Verdict::Kind::Whole;
    verdict.pin_first = true;
    verdict.stream = 3;
    verdict.lineage = some_holding().lineage;
    verdict.reason = "forked";
    feed::Piece whole;
    whole.stream = 3;
    whole.number = 0;
    whole.head =
        feed::WholeHead{some_holding(), {{"ada", write_pickle(Value::dict())}, {"bob", {}}}};
    whole.nodes = {std::make_shared<const Node>(support::make_node("a", "ada", {"b"}, 1)),
                   std::make_shared<const Node>(support::make_node("b", "COMMON", {}, 2))};
    feed::Piece last;
    last.stream = 3;
    last.number = 0xFFFFFFFF;
    last.last = true;
    last.digest = hash_of(4);
    feed::Piece tail;
    tail.number = 1;
    tail.records = {record_of(Cleared{}), record_of(support::make_patch("id", {}, 1)),
                    record_of(PutNode{support::make_node("id", "ada", {}, 3)})};
    return {feed::Hello{1, "host:/data", some_holding(), 7},
            feed::Hello{1, "", std::nullopt},
            verdict,
            feed::Verdict{},
            feed::Pull{3, 16},
            whole,
            last,
            tail,
            feed::StreamBroken{3, "overtaken"},
            feed::Durable{position_of(8), WallTime{12}},
            feed::SaveNow{9, "manual"},
            feed::Saved{9, true, "done"},
            feed::Bye{1}};
}

std::vector<feed::FeedMessage> feeds() {
    return {feed::Beat{position_of(1), feed::BrokerState::Stopped, hash_of(2), 7},
            feed::Beat{{}, feed::BrokerState::Restoring, std::nullopt},
            feed::Packet{~0ULL, 3, Bytes(std::string("payload"))}, feed::Packet{}};
}

// Every message there is, as frames.
std::vector<Frames> everything() {
    std::vector<Frames> all;
    for (const Mutation& mutation : one_of_each()) {
        all.push_back(record_of(mutation));
    }
    for (const auto& message : feeds()) {
        all.push_back(feed::encode(message));
    }
    for (const auto& message : links()) {
        all.push_back(feed::encode(message));
    }
    return all;
}

// Decodes as everything it could be; what is understood must encode to the same bytes again.
// Returns how many understood it.
int decode_anyhow(const Frames& frames) {
    int understood = 0;
    if (const auto record = feed::decode_record(frames)) {
        CHECK(feed::encode_record(*record).size() == frames.size());
        ++understood;
    }
    if (const auto message = feed::decode_feed(frames)) {
        CHECK(feed::encode(*message).size() == frames.size());
        ++understood;
    }
    if (const auto message = feed::decode_link(frames)) {
        CHECK(feed::encode(*message).size() == frames.size());
        ++understood;
    }
    return understood;
}

template <typename T>
T get(Result<feed::LinkMessage> message) {
    REQUIRE(message);
    REQUIRE(std::holds_alternative<T>(*message));
    return std::get<T>(*std::move(message));
}

Bytes bytes_of(std::initializer_list<int> values) {
    std::string text;
    for (const int value : values) {
        text.push_back(static_cast<char>(value));
    }
    return Bytes(std::move(text));
}

}  // namespace

TEST_CASE("every record decodes to what was encoded") {
    const auto mutations = one_of_each();
    for (const Mutation& mutation : mutations) {
        CAPTURE(mutation.index());
        const Frames frames = record_of(mutation);
        const auto record = feed::decode_record(frames);
        REQUIRE(record);
        CHECK(record->epoch == Epoch{5});
        CHECK(record->seq == Seq{6});
        CHECK(record->time == WallTime{1700000000000});
        CHECK(record->user == "ada");
        CHECK(record->mutation.index() == mutation.index());
        CHECK(feed::encode_record(*record) == frames);
    }
}

TEST_CASE("a record's fields arrive where they belong") {
    const auto read = [](Mutation mutation) {
        auto record = feed::decode_record(record_of(std::move(mutation)));
        REQUIRE(record);
        return std::move(record->mutation);
    };
    CHECK(std::get<EpochStarted>(read(EpochStarted{position_of(9)})).parent == position_of(9));
    const Node node = support::make_node("id", "ada", {"x", "y"}, 3);
    const auto put = std::get<PutNode>(read(PutNode{node}));
    CHECK(put.node.hash() == node.hash());
    CHECK(put.node.dependencies.ids == node.dependencies.ids);
    const PatchNode patch = support::make_patch("id", {"x"}, 1.5);
    const auto patched = std::get<PatchNode>(read(patch));
    CHECK(patched.id == "id");
    CHECK(patched.delta == patch.delta);
    CHECK(patched.dependencies.ids == patch.dependencies.ids);
    CHECK_FALSE(patched.parsed);
    const auto right = std::get<SetOwner>(read(SetOwner{{"a", "b"}, "bob"}));
    CHECK(right.ids == std::vector<NodeId>{"a", "b"});
    CHECK(right.owner == "bob");
    const auto left = std::get<UserLeft>(read(UserLeft{"bob", "kicked"}));
    CHECK(left.name == "bob");
    CHECK(left.reason == "kicked");
    CHECK(std::get<Initialised>(read(Initialised{Timeline{4}})).timeline == Timeline{4});
}

TEST_CASE("chunks pass as they are, without a copy") {
    const PatchNode patch = support::make_patch("id", {"x"}, 1.5);
    const Frames frames = record_of(patch);
    REQUIRE(frames.size() == 3);
    CHECK(frames[2].data() == patch.delta.data());
    const auto record = feed::decode_record(frames);
    REQUIRE(record);
    CHECK(std::get<PatchNode>(record->mutation).delta.data() == patch.delta.data());
}

TEST_CASE("what was parsed does not travel") {
    PatchNode patch = support::make_patch("id", {"x"}, 1.5);
    const Frames frames = record_of(patch);
    patch.parsed = Value::integer(1);
    CHECK(record_of(patch) == frames);
}

TEST_CASE("every message of feed and link decodes to what was encoded") {
    for (const auto& message : feeds()) {
        const Frames frames = feed::encode(message);
        const auto decoded = feed::decode_feed(frames);
        REQUIRE(decoded);
        CHECK(decoded->index() == message.index());
        CHECK(feed::encode(*decoded) == frames);
    }
    for (const auto& message : links()) {
        CAPTURE(message.index());
        const Frames frames = feed::encode(message);
        const auto decoded = feed::decode_link(frames);
        REQUIRE(decoded);
        CHECK(decoded->index() == message.index());
        CHECK(feed::encode(*decoded) == frames);
    }
}

TEST_CASE("fields of link messages arrive where they belong") {
    const auto all = links();
    const auto hello = get<feed::Hello>(feed::decode_link(feed::encode(all[0])));
    REQUIRE(hello.holding);
    CHECK(hello.name == "host:/data");
    CHECK(hello.holding->position == position_of(7));
    CHECK(hello.holding->lineage == some_holding().lineage);
    CHECK(hello.holding->timeline == Timeline{1});
    CHECK(hello.holding->initialised);
    CHECK(hello.holding->node_count == 2);
    CHECK(hello.holding->last_mutation == WallTime{-5});
    const auto verdict = get<feed::Verdict>(feed::decode_link(feed::encode(all[2])));
    CHECK(verdict.kind == feed::Verdict::Kind::Whole);
    CHECK(verdict.pin_first);
    CHECK(verdict.stream == 3);
    CHECK(verdict.reason == "forked");
    const auto whole = get<feed::Piece>(feed::decode_link(feed::encode(all[5])));
    REQUIRE(whole.head);
    CHECK(whole.head->metadata.size() == 2);
    CHECK(whole.head->metadata.at("ada") == write_pickle(Value::dict()));
    REQUIRE(whole.nodes.size() == 2);
    CHECK(whole.nodes[0]->hash() == support::make_node("a", "ada", {"b"}, 1).hash());
    CHECK(whole.nodes[0]->dependencies.ids == std::vector<NodeId>{"b"});
    const auto last = get<feed::Piece>(feed::decode_link(feed::encode(all[6])));
    CHECK(last.last);
    CHECK(last.number == 0xFFFFFFFF);
    CHECK(last.digest == hash_of(4));
    const auto tail = get<feed::Piece>(feed::decode_link(feed::encode(all[7])));
    CHECK(tail.records == std::get<feed::Piece>(all[7]).records);
    const auto durable = get<feed::Durable>(feed::decode_link(feed::encode(all[9])));
    CHECK(durable.position == position_of(8));
    CHECK(durable.saved == WallTime{12});
}

TEST_CASE("a frame lost or added is refused") {
    for (const Frames& frames : everything()) {
        Frames fewer = frames;
        fewer.pop_back();
        // What decode_feed passes on unread is refused by decode_record.
        const bool is_record = feed::decode_record(frames).has_value();
        CHECK_FALSE(feed::decode_record(fewer));
        CHECK_FALSE(feed::decode_link(fewer));
        Frames more = frames;
        more.emplace_back(std::string("x"));
        CHECK_FALSE(feed::decode_record(more));
        CHECK_FALSE(feed::decode_link(more));
        if (!is_record) {
            CHECK_FALSE(feed::decode_feed(more));
        }
    }
}

TEST_CASE("an envelope cut anywhere is refused") {
    for (Frames frames : everything()) {
        const Bytes envelope = frames[0];
        for (std::size_t size = 0; size < envelope.size(); ++size) {
            frames[0] = envelope.slice(0, size);
            CHECK(decode_anyhow(frames) == 0);
        }
        frames[0] = Bytes(std::string(envelope.view()) + '\0');
        CHECK(decode_anyhow(frames) == 0);
    }
}

TEST_CASE("changed bytes are refused or read as something that encodes again") {
    std::mt19937_64 random(20261123);
    int refused = 0;
    for (const Frames& frames : everything()) {
        for (int round = 0; round < 400; ++round) {
            Frames changed = frames;
            const std::size_t which = random() % 3 == 0 ? random() % frames.size() : 0;
            std::string bytes(changed[which].view());
            if (bytes.empty()) {
                continue;
            }
            bytes[random() % bytes.size()] = static_cast<char>(random());
            changed[which] = Bytes(std::move(bytes));
            refused += decode_anyhow(changed) == 0 ? 1 : 0;
        }
    }
    CHECK(refused > 1000);
}

TEST_CASE("a length that is not there takes no memory") {
    // An array of 2^32-1 items, a str of 2^32-1 bytes, arrays in arrays without end.
    CHECK(decode_anyhow({bytes_of({0xDD, 0xFF, 0xFF, 0xFF, 0xFF})}) == 0);
    CHECK(decode_anyhow({bytes_of({0x92, 0x01, 0xDB, 0xFF, 0xFF, 0xFF, 0xFF})}) == 0);
    CHECK(decode_anyhow({Bytes(std::string(1 << 20, '\x91'))}) == 0);
    CHECK(decode_anyhow({bytes_of({0x93, 0x01, 0x01, 0xDF, 0x00, 0x10, 0x00, 0x00})}) == 0);
    CHECK(decode_anyhow({}) == 0);
    CHECK(decode_anyhow({Bytes()}) == 0);
    CHECK(decode_anyhow({bytes_of({0x90})}) == 0);
    CHECK(decode_anyhow({bytes_of({0xC0})}) == 0);
}

TEST_CASE("another version is refused in words") {
    constexpr unsigned char kOurs = feed::kVersion;
    for (const Error& error : {feed::decode_record({bytes_of({0x92, 0x06, 0x02})}).error(),
                               feed::decode_feed({bytes_of({0x92, 0x14, kOurs - 1})}).error(),
                               feed::decode_link({bytes_of({0x92, 0x1E, kOurs + 1})}).error()}) {
        CHECK(error.kind == ErrorKind::Unsupported);
        CHECK(error.what.find("the other side speaks version") != std::string::npos);
    }
    CHECK(feed::decode_link({bytes_of({0x92, 0x63, kOurs})}).error().kind ==
          ErrorKind::Unsupported);
    CHECK(feed::decode_feed({bytes_of({0x92, 0x63, kOurs})}).error().kind ==
          ErrorKind::Unsupported);
    CHECK(feed::decode_record({bytes_of({0x92, 0x63, kOurs})}).error().kind ==
          ErrorKind::BadInput);  // fields are missing, before the number matters
}

TEST_CASE("the bytes of a record are as docs/FEED.md shows them") {
    const Frames frames = feed::encode_record(
        {Epoch{0x0102030405060708}, Seq{6}, WallTime{1000}, "ada", DeleteNode{"id"}});
    REQUIRE(frames.size() == 1);
    CHECK(frames[0] == bytes_of({0x97, 0x04, 0x01, 0xCF, 1,    2,   3,   4,   5,    6,   7,  8,
                                 0x06, 0xCD, 0x03, 0xE8, 0xA3, 'a', 'd', 'a', 0xA2, 'i', 'd'}));
}

TEST_CASE("the chain depends on what was before, on the frames and on where they end") {
    const Frames one = record_of(DeleteNode{"id"});
    CHECK(feed::chain_after({}, one) == feed::chain_after({}, one));
    CHECK(feed::chain_after({}, one) != feed::chain_after(hash_of(1), one));
    CHECK(feed::chain_after({}, one) != feed::chain_after({}, record_of(DeleteNode{"ie"})));
    const Frames ab_c = {Bytes(std::string("ab")), Bytes(std::string("c"))};
    const Frames a_bc = {Bytes(std::string("a")), Bytes(std::string("bc"))};
    const Frames abc = {Bytes(std::string("abc"))};
    CHECK(feed::chain_after({}, ab_c) != feed::chain_after({}, a_bc));
    CHECK(feed::chain_after({}, ab_c) != feed::chain_after({}, abc));
    CHECK(hex(feed::chain_after({}, abc)) == "8a840d95126f4798ebc0e81a1249e24f");
}
