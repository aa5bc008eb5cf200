#include "broker/resync.h"

#include <doctest/doctest.h>

#include "common/limits.h"
#include "tests/support/graph_gen.h"

using namespace common;
using namespace broker;
using feed::BrokerState;
using feed::Verdict;

namespace {

Instant at(int ms) {
    return Instant{Millis{ms}};
}

constexpr std::uint64_t kRun = 77;

struct Rig {
    Publisher publisher;
    Resync resync;
    Graph graph;
    BrokerState state = BrokerState::Active;
    LinkEffects effects;
    int now = 0;

    explicit Rig(std::size_t ring_bytes = 1 << 20, std::size_t offers = 1)
        : publisher(ring_bytes), resync(publisher, offers, kRun) {}

    void add(const Mutation& mutation) {
        REQUIRE(graph.apply(mutation));
        publisher.publish(mutation, "ada", WallTime{1});
    }
    void begin() {
        publisher.start(Epoch{1}, {}, {}, WallTime{1});
        for (const char* id : {"a", "b", "c"}) {
            add(PutNode{support::make_node(id, "ada", {}, 1)});
        }
        add(Initialised{Timeline{1}});
    }
    feed::Holding holding() {
        feed::Holding holding;
        holding.position = publisher.position();
        holding.lineage = publisher.lineage();
        holding.timeline = graph.timeline();
        holding.initialised = graph.initialised();
        return holding;
    }
    void link(const PeerId& from, feed::LinkMessage message) {
        resync.on_link(from, std::move(message), state, graph, at(now), effects);
    }
    void hello(const PeerId& from, std::optional<feed::Holding> holding, std::string name = "s") {
        link(from, feed::Hello{1, std::move(name), std::move(holding), kRun});
    }
    void tick(int ms) {
        now = ms;
        resync.on_tick(state, graph, at(now), effects);
    }
    template <typename T>
    std::vector<T> sent(const PeerId& to) {
        std::vector<T> found;
        std::erase_if(effects, [&](auto& effect) {
            auto* send = std::get_if<LinkSend>(&effect);
            if (send == nullptr || send->to != to || !std::holds_alternative<T>(send->message)) {
                return false;
            }
            found.push_back(std::move(std::get<T>(send->message)));
            return true;
        });
        return found;
    }
    template <typename T>
    std::vector<T> took() {
        std::vector<T> found;
        std::erase_if(effects, [&](auto& effect) {
            if (auto* one = std::get_if<T>(&effect)) {
                found.push_back(std::move(*one));
                return true;
            }
            return false;
        });
        return found;
    }
    Verdict verdict(const PeerId& to) {
        const auto verdicts = sent<Verdict>(to);
        REQUIRE(verdicts.size() == 1);
        return verdicts[0];
    }
};

feed::Holding foreign_session() {
    feed::Holding holding;
    holding.position = {Epoch{99}, Seq{50}, {1, 2}};
    holding.lineage = {{Epoch{99}, {}}};
    holding.timeline = Timeline{99};
    holding.initialised = true;
    return holding;
}

feed::Piece only_piece(std::uint64_t stream, GraphCopy graph, const feed::Holding& holding) {
    WholeSender sender(stream, std::move(graph), holding);
    sender.grant(1);
    auto piece = sender.next();
    REQUIRE(piece);
    REQUIRE(piece->last);
    return *piece;
}

GraphCopy session_graph() {
    GraphCopy graph;
    graph.nodes = {std::make_shared<const Node>(support::make_node("x", "ada", {}, 1))};
    graph.initialised = true;
    graph.timeline = Timeline{99};
    return graph;
}

}  // namespace

TEST_CASE("who has it all is told so") {
    Rig rig;
    rig.begin();
    rig.hello("p", rig.holding());
    CHECK(rig.verdict("p").kind == Verdict::Kind::UpToDate);
}

TEST_CASE("who is a little behind gets a tail, in pieces as credit comes, and then a mark") {
    Rig rig;
    rig.begin();
    const auto behind = rig.holding();
    for (int i = 0; i < 30; ++i) {
        rig.add(PutNode{support::make_node("big", "ada", {}, 1, 100'000)});
    }
    // In a ring of 1 MiB not all of them are left.
    rig.hello("p", behind);
    CHECK(rig.verdict("p").kind == Verdict::Kind::Whole);

    Rig roomy(64 << 20);
    roomy.begin();
    const auto position = roomy.publisher.position();
    const auto held = roomy.holding();
    for (int i = 0; i < 30; ++i) {
        roomy.add(PutNode{support::make_node("big", "ada", {}, 1, 100'000)});
    }
    roomy.hello("p", held);
    const Verdict verdict = roomy.verdict("p");
    CHECK(verdict.kind == Verdict::Kind::Tail);
    CHECK_FALSE(verdict.pin_first);
    CHECK(verdict.lineage == roomy.publisher.lineage());
    CHECK(roomy.sent<feed::Piece>("p").empty());
    Position at_mirror = position;
    std::uint32_t pieces = 0;
    bool last = false;
    while (!last) {
        CHECK(roomy.took<PublishMark>().empty());
        roomy.link("p", feed::Pull{verdict.stream, 1});
        const auto piece = roomy.sent<feed::Piece>("p");
        REQUIRE(piece.size() == 1);
        CHECK(piece[0].number == pieces++);
        for (const auto& frames : piece[0].records) {
            at_mirror = {Epoch{1}, next(at_mirror.seq), feed::chain_after(at_mirror.chain, frames)};
        }
        last = piece[0].last;
        if (pieces == 1) {  // live traffic goes on, and belongs to the tail
            roomy.add(DeleteNode{"a"});
        }
    }
    CHECK(pieces == 3);
    CHECK(at_mirror == roomy.publisher.position());
    CHECK(roomy.took<PublishMark>().size() == 1);
}

TEST_CASE("a tail that the ring overtakes is broken off") {
    Rig rig;
    rig.begin();
    const auto behind = rig.holding();
    rig.add(DeleteNode{"a"});
    rig.hello("p", behind);
    const Verdict verdict = rig.verdict("p");
    REQUIRE(verdict.kind == Verdict::Kind::Tail);
    for (int i = 0; i < 30; ++i) {
        rig.add(PutNode{support::make_node("big", "ada", {}, 1, 100'000)});
    }
    rig.link("p", feed::Pull{verdict.stream, 16});
    CHECK(rig.sent<feed::Piece>("p").empty());
    CHECK(rig.sent<feed::StreamBroken>("p").size() == 1);
}

TEST_CASE("who has nothing gets all, by tail if the ring has it from the first record") {
    Rig rig;
    rig.begin();
    rig.hello("p", std::nullopt);
    CHECK(rig.verdict("p").kind == Verdict::Kind::Tail);
    Rig small(800);
    small.begin();
    small.hello("p", std::nullopt);
    const Verdict verdict = small.verdict("p");
    CHECK(verdict.kind == Verdict::Kind::Whole);
    CHECK_FALSE(verdict.pin_first);
    small.link("p", feed::Pull{verdict.stream, 16});
    const auto pieces = small.sent<feed::Piece>("p");
    REQUIRE(pieces.size() == 1);
    WholeReceiver receiver(verdict.stream);
    const auto whole = receiver.on_piece(pieces[0]);
    REQUIRE(whole);
    REQUIRE(*whole);
    CHECK((*whole)->holding.position == small.publisher.position());
    CHECK((*whole)->holding.lineage == small.publisher.lineage());
    CHECK((*whole)->graph.digest() == small.graph.digest());
    CHECK(small.took<PublishMark>().size() == 1);
}

TEST_CASE("a whole graph that takes long says how far it is") {
    Rig rig(800);
    rig.begin();
    for (int i = 0; i < 37; ++i) {
        rig.add(PutNode{support::make_node("n" + std::to_string(i), "ada", {}, 1, 100'000)});
    }
    rig.hello("p", std::nullopt);
    const Verdict verdict = rig.verdict("p");
    REQUIRE(verdict.kind == Verdict::Kind::Whole);
    CHECK(rig.took<LinkLog>().back().text ==
          "snapshotter s: nothing here yet; it gets the whole session, 40 nodes");
    rig.tick(0);
    rig.link("p", feed::Pull{verdict.stream, 1});
    rig.tick(1'999);
    CHECK(rig.took<LinkLog>().empty());
    const auto first = rig.sent<feed::Piece>("p");
    REQUIRE(first.size() == 1);
    const std::size_t percent = first[0].nodes.size() * 100 / 40;
    CHECK(percent > 0);
    rig.tick(2'000);
    const auto said = rig.took<LinkLog>();
    REQUIRE(said.size() == 1);
    CHECK(said[0].level == LinkLog::Level::Info);
    CHECK(said[0].text ==
          "Giving the session to snapshotter s: " + std::to_string(percent) + " %, 2 s");
    rig.link("p", feed::Pull{verdict.stream, 100});
    rig.tick(9'000);  // it is given
    CHECK(rig.took<LinkLog>().empty());
}

TEST_CASE("what is ahead, forked or another session is pinned and replaced") {
    Rig rig;
    rig.begin();
    feed::Holding holding = rig.holding();
    SUBCASE("ahead") {
        holding.position.seq = Seq{1000};
    }
    SUBCASE("forked") {
        holding.position.chain.low ^= 1;
    }
    SUBCASE("another session") {
        holding = foreign_session();
    }
    rig.hello("p", holding);
    const Verdict verdict = rig.verdict("p");
    CHECK(verdict.kind == Verdict::Kind::Whole);
    CHECK(verdict.pin_first);
    CHECK(rig.took<LinkLog>().back().level == LinkLog::Level::Warning);
}

TEST_CASE("what was never a session is replaced without a pin") {
    Rig rig;
    rig.begin();
    feed::Holding holding = foreign_session();
    holding.initialised = false;
    rig.hello("p", holding);
    const Verdict verdict = rig.verdict("p");
    CHECK(verdict.kind == Verdict::Kind::Whole);
    CHECK_FALSE(verdict.pin_first);
}

TEST_CASE("after a restore the parent's position gets a tail") {
    Rig before;
    before.begin();
    const auto held = before.holding();
    Rig rig;
    rig.graph = Graph(before.graph.copy());
    rig.publisher.start(Epoch{2}, held.position, held.lineage, WallTime{9});
    rig.add(DeleteNode{"a"});
    rig.hello("p", held);
    CHECK(rig.verdict("p").kind == Verdict::Kind::Tail);
}

TEST_CASE("restoring: an offer is asked for, and its graph given to the session") {
    Rig rig;
    rig.state = BrokerState::Restoring;
    rig.tick(0);
    CHECK(rig.effects.empty());
    rig.hello("p", foreign_session());
    const auto verdicts = rig.sent<Verdict>("p");
    REQUIRE(verdicts.size() == 2);
    CHECK(verdicts[0].kind == Verdict::Kind::Wait);
    CHECK(verdicts[1].kind == Verdict::Kind::Restore);
    const auto pulls = rig.sent<feed::Pull>("p");
    REQUIRE(pulls.size() == 1);
    CHECK(pulls[0].stream == verdicts[1].stream);
    CHECK(pulls[0].credit == limits::kWholeCredit);
    rig.link("p", only_piece(verdicts[1].stream, session_graph(), foreign_session()));
    const auto restored = rig.took<RestoredGraph>();
    REQUIRE(restored.size() == 1);
    CHECK(restored[0].from == "s");
    CHECK_FALSE(restored[0].forked);
    CHECK(restored[0].whole.graph.digest() == session_graph().digest());
    CHECK(restored[0].whole.holding.position == foreign_session().position);
}

TEST_CASE("restoring: what takes long says how far it is") {
    Rig rig;
    rig.state = BrokerState::Restoring;
    rig.hello("p", foreign_session());
    GraphCopy graph = session_graph();
    for (int i = 0; i < 39; ++i) {
        graph.nodes.push_back(std::make_shared<const Node>(
            support::make_node("n" + std::to_string(i), "ada", {}, 1, 100'000)));
    }
    const auto verdicts = rig.sent<Verdict>("p");
    REQUIRE(verdicts.size() == 2);
    WholeSender sender(verdicts[1].stream, graph, foreign_session());
    sender.grant(100);
    rig.tick(1);
    rig.link("p", *sender.next());
    rig.took<LinkLog>();
    rig.tick(2'001);
    const auto said = rig.took<LinkLog>();
    REQUIRE(said.size() == 1);
    CHECK(said[0].text ==
          "Restoring the session: " + std::to_string(sender.nodes_sent() * 100 / 40) + " %, 2 s");
    while (auto piece = sender.next()) {
        rig.link("p", std::move(*piece));
    }
    REQUIRE(rig.took<RestoredGraph>().size() == 1);
    rig.tick(9'000);
    CHECK(rig.took<LinkLog>().empty());
}

TEST_CASE("restoring: nothing but empty directories starts fresh") {
    Rig rig;
    rig.state = BrokerState::Restoring;
    rig.hello("p", std::nullopt);
    CHECK(rig.took<StartFresh>().size() == 1);
}

TEST_CASE("restoring: what was offered to an earlier broker is not counted") {
    Rig rig;
    rig.state = BrokerState::Restoring;
    rig.link("p1", feed::Hello{1, "s", std::nullopt, kRun - 1});
    rig.tick(10'000);
    CHECK(rig.took<StartFresh>().empty());
    CHECK(rig.sent<Verdict>("p1").empty());
    rig.hello("p1", std::nullopt);
    rig.tick(20'000);
    CHECK(rig.took<StartFresh>().size() == 1);
}

TEST_CASE("waiting: a session that turns up late is restored") {
    Rig rig;
    rig.publisher.start(Epoch{1}, {}, {}, WallTime{1});
    rig.state = BrokerState::Waiting;
    rig.hello("q", std::nullopt, "t");
    CHECK(rig.verdict("q").kind == Verdict::Kind::Tail);
    rig.hello("p", foreign_session());
    const auto verdicts = rig.sent<Verdict>("p");
    REQUIRE(verdicts.size() == 2);
    CHECK(verdicts[1].kind == Verdict::Kind::Restore);
    SUBCASE("in time") {
        rig.link("p", only_piece(verdicts[1].stream, session_graph(), foreign_session()));
        CHECK(rig.took<RestoredGraph>().size() == 1);
    }
    SUBCASE("too late: somebody has begun") {
        rig.state = BrokerState::Uploading;
        rig.link("p", only_piece(verdicts[1].stream, session_graph(), foreign_session()));
        CHECK(rig.took<RestoredGraph>().empty());
        rig.hello("p", foreign_session());
        const Verdict verdict = rig.verdict("p");
        CHECK(verdict.kind == Verdict::Kind::Whole);
        CHECK(verdict.pin_first);
    }
    CHECK(rig.took<StartFresh>().empty());
}

TEST_CASE("a new hello ends the stream before it, and silence ends one too") {
    Rig rig;
    rig.begin();
    rig.hello("p", std::nullopt);
    const Verdict first = rig.verdict("p");
    rig.hello("p", std::nullopt);
    const Verdict second = rig.verdict("p");
    rig.link("p", feed::Pull{first.stream, 1});
    CHECK(rig.sent<feed::StreamBroken>("p").size() == 1);
    rig.tick(10'000);
    CHECK(rig.sent<feed::StreamBroken>("p").empty());
    rig.tick(10'001);
    CHECK(rig.sent<feed::StreamBroken>("p").at(0).stream == second.stream);
    rig.link("stranger", feed::Pull{1, 1});
    CHECK(rig.sent<feed::StreamBroken>("stranger").size() == 1);
}

TEST_CASE("what is durable counts in the present history only") {
    Rig rig;
    rig.begin();
    CHECK_FALSE(rig.resync.durable());
    rig.hello("p", rig.holding());
    const Position early = rig.publisher.position();
    rig.add(DeleteNode{"a"});
    rig.link("p", feed::Durable{rig.publisher.position(), WallTime{7}});
    CHECK(rig.took<PublishMark>().size() == 1);
    rig.link("p", feed::Durable{rig.publisher.position(), WallTime{7}});
    CHECK(rig.took<PublishMark>().empty());
    CHECK(rig.resync.durable() == rig.publisher.position());
    rig.link("q", feed::Durable{early, WallTime{8}});
    CHECK(rig.resync.durable() == rig.publisher.position());
    rig.link("q", feed::Durable{foreign_session().position, WallTime{8}});
    CHECK(rig.resync.durable() == rig.publisher.position());
    const auto all = rig.resync.snapshotters();
    REQUIRE(all.size() == 2);
    CHECK(all[0].name == "s");
    CHECK(all[0].saved == WallTime{7});
    rig.link("p", feed::Bye{1});
    CHECK(rig.resync.snapshotters().size() == 1);
    CHECK(rig.resync.durable() == rig.publisher.position());  // it is still on its disk
}

TEST_CASE("a save on demand goes to the snapshotters and the answer to who asked") {
    Rig rig;
    rig.begin();
    rig.link("cli", feed::SaveNow{5, ""});
    CHECK_FALSE(rig.sent<feed::Saved>("cli").at(0).ok);
    rig.hello("p", rig.holding(), "s");
    rig.hello("q", rig.holding(), "t");
    rig.effects.clear();
    rig.link("cli", feed::SaveNow{6, "before lunch"});
    const auto to_p = rig.sent<feed::SaveNow>("p");
    REQUIRE(to_p.size() == 1);
    CHECK(to_p[0].reason == "before lunch");
    CHECK(rig.sent<feed::SaveNow>("q").size() == 1);
    SUBCASE("one good save is enough") {
        rig.link("p", feed::Saved{to_p[0].request, false, "disk full"});
        CHECK(rig.sent<feed::Saved>("cli").empty());
        rig.link("q", feed::Saved{to_p[0].request, true, "done"});
        const auto saved = rig.sent<feed::Saved>("cli");
        REQUIRE(saved.size() == 1);
        CHECK(saved[0].ok);
        CHECK(saved[0].request == 6);
        CHECK(saved[0].text == "done");
    }
    SUBCASE("none of them could") {
        rig.link("p", feed::Saved{to_p[0].request, false, "disk full"});
        rig.link("q", feed::Saved{to_p[0].request, false, "disk full"});
        const auto saved = rig.sent<feed::Saved>("cli");
        REQUIRE(saved.size() == 1);
        CHECK_FALSE(saved[0].ok);
        CHECK(saved[0].text.find("disk full") != std::string::npos);
    }
    SUBCASE("nobody answers") {
        rig.tick(120'000);
        CHECK_FALSE(rig.sent<feed::Saved>("cli").at(0).ok);
    }
}

TEST_CASE("a snapshotter that was started again is one snapshotter") {
    Rig rig;
    rig.begin();
    rig.hello("p1", rig.holding());
    rig.hello("p2", rig.holding());
    CHECK(rig.resync.snapshotters().size() == 1);
    rig.resync.on_unreachable("p2");
    CHECK(rig.resync.snapshotters().empty());
}
