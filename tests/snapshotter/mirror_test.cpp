#include "snapshotter/mirror.h"

#include <doctest/doctest.h>

#include "common/limits.h"
#include "common/pickle.h"
#include "common/whole.h"

namespace {

using common::Epoch;
using common::Instant;
using common::Millis;
using common::Position;
using common::Seq;
using common::Value;
using snapshotter::Mirror;
using snapshotter::MirrorEffects;
namespace feed = common::feed;

const Instant kStart{Millis{1'000'000}};

common::Node node(const std::string& id, int value, std::size_t bytes = 0) {
    return common::Node{
        id, "COMMON", common::Dependencies::of(std::vector<common::NodeId>{}),
        common::write_pickle(Value::dict({{Value::str("type_id"), Value::str("Mesh")},
                                          {Value::str("pad"), Value::str(std::string(bytes, '.'))},
                                          {Value::str("v"), Value::integer(value)}}))};
}

// The history that a broker would publish.
class History {
public:
    feed::Frames start(std::uint64_t epoch, Position parent) {
        position_ = Position{Epoch{epoch}, parent.seq, parent.chain};
        return add(common::EpochStarted{parent});
    }
    feed::Frames add(common::Mutation mutation) {
        position_.seq = common::next(position_.seq);
        REQUIRE(graph_.apply(mutation).has_value());
        const feed::Frames frames = feed::encode_record(
            {position_.epoch, position_.seq, common::WallTime{1}, "ada", std::move(mutation)});
        position_.chain = feed::chain_after(position_.chain, frames);
        return frames;
    }
    feed::Beat beat(feed::BrokerState state = feed::BrokerState::Active) const {
        return feed::Beat{position_, state, std::nullopt};
    }
    feed::Beat mark() {
        feed::Beat marked = beat();
        marked.digest = graph_.digest();
        return marked;
    }
    common::Whole whole() {
        return {graph_.copy(), feed::Holding{position_,
                                             {{position_.epoch, Position{}}},
                                             graph_.timeline(),
                                             graph_.initialised(),
                                             graph_.size(),
                                             common::WallTime{1}}};
    }
    const Position& position() const { return position_; }
    common::Hash128 digest() { return graph_.digest(); }

private:
    Position position_;
    common::Graph graph_;
};

struct Rig {
    explicit Rig(std::optional<common::Whole> stored = std::nullopt)
        : mirror(1, "test", std::move(stored)) {}

    void hear(const feed::Beat& beat) { mirror.on_beat(beat, now, effects); }
    void hear(feed::Frames record) { mirror.on_record(std::move(record), now, effects); }
    void link(feed::LinkMessage message) { mirror.on_link(std::move(message), now, effects); }
    void wait(int milliseconds) {
        now += Millis{milliseconds};
        mirror.on_tick(now, effects);
    }
    template <typename Effect>
    std::vector<Effect> take() {
        std::vector<Effect> found;
        std::erase_if(effects, [&](snapshotter::MirrorEffect& effect) {
            if (auto* one = std::get_if<Effect>(&effect)) {
                found.push_back(std::move(*one));
                return true;
            }
            return false;
        });
        return found;
    }
    template <typename Message>
    std::vector<Message> take_sent() {
        std::vector<Message> found;
        for (snapshotter::SendLink& send : take<snapshotter::SendLink>()) {
            if (auto* one = std::get_if<Message>(&send.message)) {
                found.push_back(std::move(*one));
            }
        }
        return found;
    }
    void give_whole(common::Whole whole, std::uint64_t stream) {
        common::WholeSender sender(stream, std::move(whole.graph), std::move(whole.holding));
        sender.grant(100);
        while (auto piece = sender.next()) {
            link(std::move(*piece));
        }
    }

    Instant now = kStart;
    Mirror mirror;
    MirrorEffects effects;
};

feed::Verdict verdict(feed::Verdict::Kind kind, std::uint64_t stream, bool pin_first = false) {
    feed::Verdict verdict;
    verdict.kind = kind;
    verdict.stream = stream;
    verdict.pin_first = pin_first;
    return verdict;
}

// A rig in step with an initialised session of one node.
void begin(Rig& rig, History& history) {
    rig.hear(history.beat(feed::BrokerState::Restoring));
    rig.hear(history.start(10, Position{}));
    rig.hear(history.add(common::PutNode{node("a", 1)}));
    rig.hear(history.add(common::Initialised{common::Timeline{10}}));
    rig.hear(history.beat());
    REQUIRE(rig.mirror.following());
    rig.effects.clear();
}

}  // namespace

TEST_CASE("follows a fresh session from its first record") {
    Rig rig;
    History history;
    CHECK_FALSE(rig.mirror.holding().has_value());
    begin(rig, history);
    CHECK(rig.mirror.holding()->position == history.position());
    CHECK(rig.mirror.graph().size() == 1);
    rig.hear(history.mark());
    CHECK(rig.mirror.following());
}

TEST_CASE("says hello with what it holds to a broker that restores, at once and every second") {
    History history;
    history.start(10, Position{});
    history.add(common::PutNode{node("a", 1)});
    history.add(common::Initialised{common::Timeline{10}});
    Rig rig(history.whole());
    rig.wait(5'000);
    CHECK(rig.effects.empty());  // nobody to talk to
    rig.hear(feed::Beat{Position{}, feed::BrokerState::Restoring, std::nullopt});
    CHECK(rig.take<snapshotter::BrokerBack>().size() == 1);
    rig.wait(10);
    auto hellos = rig.take_sent<feed::Hello>();
    REQUIRE(hellos.size() == 1);
    CHECK(hellos[0].holding->position == history.position());
    rig.wait(900);
    CHECK(rig.take_sent<feed::Hello>().empty());
    rig.wait(100);
    CHECK(rig.take_sent<feed::Hello>().size() == 1);

    // It is asked to restore, and the new epoch that follows is its own history gone on.
    rig.link(verdict(feed::Verdict::Kind::Restore, 5));
    rig.link(feed::Pull{5, 100});
    const auto pieces = rig.take_sent<feed::Piece>();
    REQUIRE(pieces.size() == 1);
    CHECK(pieces[0].last);
    const Position parent = history.position();
    rig.hear(history.start(11, parent));
    rig.hear(history.beat());
    CHECK(rig.mirror.following());
    CHECK(rig.mirror.holding()->lineage.back() == common::LineageEntry{Epoch{11}, parent});
}

TEST_CASE("another broker that restores hears hello at once, with its run") {
    Rig rig;
    rig.hear(feed::Beat{Position{}, feed::BrokerState::Restoring, std::nullopt, 1});
    rig.wait(10);
    for (const std::uint64_t run : {1U, 2U}) {
        rig.hear(feed::Beat{Position{}, feed::BrokerState::Restoring, std::nullopt, run});
        rig.hear(feed::Beat{Position{}, feed::BrokerState::Restoring, std::nullopt, run});
        rig.wait(10);
        const auto hellos = rig.take_sent<feed::Hello>();
        REQUIRE(hellos.size() == 1);
        CHECK(hellos[0].run == run);
    }
}

TEST_CASE("a lost record is seen by the next one, and mended by a tail") {
    Rig rig;
    History history;
    begin(rig, history);
    const auto lost = history.add(common::PutNode{node("b", 1)});
    const auto next = history.add(common::PutNode{node("c", 1)});
    rig.hear(next);
    CHECK_FALSE(rig.mirror.following());
    CHECK(rig.mirror.graph().size() == 1);
    REQUIRE(rig.take_sent<feed::Hello>().size() == 1);
    rig.link(verdict(feed::Verdict::Kind::Tail, 3));
    REQUIRE(rig.take_sent<feed::Pull>().size() == 1);
    feed::Piece piece;
    piece.stream = 3;
    piece.last = true;
    piece.records = {lost};
    rig.link(piece);
    // The early one went on from the tail.
    CHECK(rig.mirror.holding()->position == history.position());
    rig.hear(history.mark());
    CHECK(rig.mirror.following());
}

TEST_CASE("a loss at the end is seen by the beat") {
    Rig rig;
    History history;
    begin(rig, history);
    history.add(common::PutNode{node("b", 1)});
    rig.hear(history.beat());
    CHECK_FALSE(rig.mirror.following());
    CHECK(rig.mirror.lag() == 1);
    CHECK(rig.take_sent<feed::Hello>().size() == 1);
}

TEST_CASE("live records that a tail brings too are taken once") {
    Rig rig;
    History history;
    begin(rig, history);
    const auto second = history.add(common::PutNode{node("b", 1)});
    rig.hear(second);
    rig.link(verdict(feed::Verdict::Kind::Tail, 3));
    feed::Piece piece;
    piece.stream = 3;
    piece.last = true;
    piece.records = {second};
    rig.link(piece);
    CHECK(rig.mirror.holding()->position == history.position());
    CHECK(rig.take<snapshotter::AppliedRecord>().size() == 1);
}

TEST_CASE("another history: what it holds is pinned first, then the whole graph taken") {
    Rig rig;
    History ours;
    begin(rig, ours);
    History theirs;
    theirs.start(20, Position{});
    theirs.add(common::PutNode{node("x", 1)});
    theirs.add(common::PutNode{node("y", 1)});
    theirs.add(common::Initialised{common::Timeline{20}});
    rig.hear(theirs.beat());
    REQUIRE(rig.take_sent<feed::Hello>().size() == 1);
    rig.link(verdict(feed::Verdict::Kind::Whole, 4, true));
    const auto pins = rig.take<snapshotter::PinBackup>();
    REQUIRE(pins.size() == 1);
    CHECK(pins[0].holding.position == ours.position());

    // A live record comes before the whole graph: the old state stays until that is complete.
    common::Whole whole = theirs.whole();
    const auto live = theirs.add(common::PutNode{node("z", 1)});
    rig.hear(live);
    CHECK(rig.mirror.holding()->position == ours.position());
    rig.give_whole(std::move(whole), 4);
    CHECK(rig.mirror.holding()->position == theirs.position());
    CHECK(rig.mirror.graph().digest() == theirs.digest());
    const auto saves = rig.take<snapshotter::WantSave>();
    REQUIRE(saves.size() == 1);
    CHECK(saves[0].reason == "after_resync");
}

namespace {

std::string only_line(Rig& rig) {
    const auto lines = rig.take<snapshotter::MirrorLog>();
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].level == snapshotter::MirrorLog::Level::Info);
    return lines[0].text;
}

// A session of 41 nodes that takes several pieces.
void grow(History& history) {
    history.start(10, Position{});
    for (int i = 0; i < 40; ++i) {
        history.add(common::PutNode{node("n" + std::to_string(i), 1, 100'000)});
    }
    history.add(common::PutNode{node("a", 1)});
    history.add(common::Initialised{common::Timeline{10}});
}

}  // namespace

TEST_CASE("a whole graph that takes long says how far it is") {
    Rig rig;
    History history;
    grow(history);
    rig.hear(history.beat());
    rig.link(verdict(feed::Verdict::Kind::Whole, 4));
    common::Whole whole = history.whole();
    common::WholeSender sender(4, std::move(whole.graph), std::move(whole.holding));
    sender.grant(100);
    rig.wait(0);
    rig.link(*sender.next());
    rig.take<snapshotter::MirrorLog>();
    rig.wait(1'999);
    CHECK(rig.take<snapshotter::MirrorLog>().empty());
    rig.wait(1);
    CHECK(only_line(rig) == "Taking the session from the broker: " +
                                std::to_string(sender.nodes_sent() * 100 / 41) + " %, 2 s");
    while (auto piece = sender.next()) {
        rig.link(std::move(*piece));
    }
    REQUIRE(rig.mirror.following());
    rig.wait(1'500);
    rig.hear(history.beat());
    rig.wait(1'500);
    CHECK(rig.take<snapshotter::MirrorLog>().empty());
}

TEST_CASE("so does a tail, and a session that is given to the broker") {
    History history;
    SUBCASE("a tail") {
        Rig rig;
        begin(rig, history);
        std::vector<feed::Frames> missed;
        for (int i = 0; i < 4; ++i) {
            missed.push_back(history.add(common::PutNode{node("a", i)}));
        }
        rig.hear(history.beat());
        rig.link(verdict(feed::Verdict::Kind::Tail, 4));
        feed::Piece piece;
        piece.stream = 4;
        piece.records = {missed[0]};
        rig.link(std::move(piece));
        rig.wait(0);
        rig.take<snapshotter::MirrorLog>();
        rig.wait(2'000);
        CHECK(only_line(rig) == "Catching up with the broker: 25 %, 2 s");
    }
    SUBCASE("given") {
        grow(history);
        Rig rig(history.whole());
        rig.hear(feed::Beat{{}, feed::BrokerState::Restoring, std::nullopt});
        rig.link(verdict(feed::Verdict::Kind::Restore, 4));
        rig.link(feed::Pull{4, 1});
        const auto pieces = rig.take_sent<feed::Piece>();
        REQUIRE(pieces.size() == 1);
        rig.wait(0);
        rig.take<snapshotter::MirrorLog>();
        rig.wait(2'000);
        CHECK(only_line(rig) == "Giving the session to the broker: " +
                                    std::to_string(pieces[0].nodes.size() * 100 / 41) + " %, 2 s");
    }
}

TEST_CASE("a whole graph that is older than what is here by now is passed over") {
    Rig rig;
    History history;
    begin(rig, history);
    // A second Hello was answered when the first one had brought what was missing.
    rig.link(verdict(feed::Verdict::Kind::Whole, 4));
    common::Whole whole = history.whole();
    rig.hear(history.add(common::PutNode{node("b", 1)}));
    rig.mirror.on_durable(history.position(), rig.effects);
    rig.effects.clear();
    rig.give_whole(std::move(whole), 4);
    CHECK(rig.mirror.holding()->position == history.position());
    CHECK(rig.mirror.graph().digest() == history.digest());
    CHECK(rig.take<snapshotter::GraphReplaced>().empty());
    rig.hear(history.add(common::PutNode{node("c", 1)}));
    rig.hear(history.mark());
    CHECK(rig.mirror.following());
}

TEST_CASE("where the chain disagrees, the whole graph is taken though it is older") {
    Rig rig;
    Rig other;
    History ours;
    History theirs;
    begin(rig, ours);
    begin(other, theirs);
    common::Whole whole = theirs.whole();
    rig.hear(ours.add(common::PutNode{node("b", 1)}));
    theirs.add(common::PutNode{node("b", 2)});
    rig.hear(theirs.beat());
    CHECK_FALSE(rig.mirror.following());
    rig.link(verdict(feed::Verdict::Kind::Whole, 4));
    rig.give_whole(std::move(whole), 4);
    CHECK(rig.take<snapshotter::GraphReplaced>().size() == 1);
    CHECK(rig.mirror.graph().size() == 1);
}

TEST_CASE("a mark that disagrees: the last state is saved, the whole graph asked for") {
    Rig rig;
    History history;
    begin(rig, history);
    feed::Beat mark = history.mark();
    mark.digest->low ^= 1;
    rig.hear(mark);
    CHECK_FALSE(rig.mirror.following());
    CHECK(rig.take<snapshotter::WantSave>().at(0).reason == "mirror_error");
    const auto hellos = rig.take_sent<feed::Hello>();
    REQUIRE(hellos.size() == 1);
    CHECK_FALSE(hellos[0].holding.has_value());
    // What is live goes on being kept for the graph to come.
    common::Whole whole = history.whole();
    rig.hear(history.add(common::PutNode{node("b", 1)}));
    CHECK(rig.mirror.graph().size() == 1);
    rig.link(verdict(feed::Verdict::Kind::Whole, 9));
    rig.give_whole(std::move(whole), 9);
    rig.hear(history.mark());
    CHECK(rig.mirror.following());
    CHECK(rig.mirror.graph().size() == 2);
}

TEST_CASE("what the broker has said of its graph counts for the position it was said of") {
    Rig rig;
    History history;
    begin(rig, history);
    rig.hear(history.mark());
    CHECK(rig.mirror.broker_digest() == history.digest());
    rig.hear(history.add(common::PutNode{node("b", 1)}));
    CHECK_FALSE(rig.mirror.broker_digest().has_value());
    rig.hear(history.mark());
    CHECK(rig.mirror.broker_digest() == rig.mirror.graph().digest());
}

TEST_CASE("to a broker that has nothing, what is not trusted is better than nothing") {
    Rig rig;
    History history;
    begin(rig, history);
    feed::Beat mark = history.mark();
    mark.digest->low ^= 1;
    rig.hear(mark);
    CHECK_FALSE(rig.take_sent<feed::Hello>().at(0).holding.has_value());
    feed::Beat restoring;
    restoring.state = feed::BrokerState::Restoring;
    rig.hear(restoring);
    rig.wait(1'000);
    const auto hellos = rig.take_sent<feed::Hello>();
    REQUIRE(hellos.size() == 1);
    REQUIRE(hellos[0].holding.has_value());
    CHECK(hellos[0].holding->position == history.position());
}

TEST_CASE("a chain that disagrees is another history") {
    Rig rig;
    History history;
    begin(rig, history);
    feed::Beat beat = history.beat();
    beat.position.chain.low ^= 1;
    rig.hear(beat);
    CHECK_FALSE(rig.mirror.following());
    CHECK(rig.take<snapshotter::WantSave>().at(0).reason == "mirror_error");
    CHECK(rig.take_sent<feed::Hello>().at(0).holding.has_value());
}

TEST_CASE("a broker that is lost: said once, saved, and found again") {
    Rig rig;
    History history;
    begin(rig, history);
    rig.wait(static_cast<int>(common::limits::kBrokerLostMs));
    CHECK(rig.take<snapshotter::BrokerLost>().empty());
    rig.wait(1);
    CHECK(rig.take<snapshotter::BrokerLost>().size() == 1);
    CHECK(rig.take<snapshotter::WantSave>().at(0).reason == "broker_lost");
    rig.wait(10'000);
    CHECK(rig.take<snapshotter::BrokerLost>().empty());
    rig.hear(history.beat());
    CHECK(rig.take<snapshotter::BrokerBack>().size() == 1);
    CHECK(rig.mirror.following());
}

TEST_CASE("a broker that stops: its final position is heard out") {
    Rig rig;
    History history;
    begin(rig, history);
    rig.hear(history.beat(feed::BrokerState::Stopping));
    CHECK(rig.take<snapshotter::BrokerStopping>().size() == 1);
    const auto last = history.add(common::PutNode{node("b", 1)});
    rig.hear(history.beat(feed::BrokerState::Stopped));
    CHECK(rig.take<snapshotter::BrokerStopped>().empty());  // one record is missing
    rig.link(verdict(feed::Verdict::Kind::Tail, 3));
    feed::Piece piece;
    piece.stream = 3;
    piece.last = true;
    piece.records = {last};
    rig.link(piece);
    CHECK(rig.take<snapshotter::BrokerStopped>().size() == 1);
    rig.hear(history.beat(feed::BrokerState::Stopped));
    CHECK(rig.take<snapshotter::BrokerStopped>().empty());
}

TEST_CASE("nothing was initialised: another fresh epoch is simply followed") {
    Rig rig;
    History first;
    rig.hear(first.start(10, Position{}));
    rig.hear(first.beat(feed::BrokerState::Waiting));
    CHECK(rig.mirror.following());
    History second;
    rig.hear(second.start(11, Position{}));
    rig.hear(second.beat(feed::BrokerState::Waiting));
    CHECK(rig.mirror.following());
    CHECK(rig.mirror.holding()->position == second.position());
}

TEST_CASE("what is durable is told after a save, and every second") {
    Rig rig;
    History history;
    begin(rig, history);
    rig.mirror.on_saved(history.position(), common::WallTime{7}, rig.effects);
    CHECK(rig.take_sent<feed::Durable>().at(0).position == history.position());
    rig.wait(1'000);
    CHECK(rig.take_sent<feed::Durable>().size() == 1);
    rig.link(feed::SaveNow{42, "before lunch"});
    const auto wants = rig.take<snapshotter::WantSave>();
    REQUIRE(wants.size() == 1);
    CHECK(wants[0].reason == "manual:before lunch");
    CHECK(wants[0].request == 42);
}
