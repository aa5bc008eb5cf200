#include "snapshotter/handover.h"

#include <doctest/doctest.h>

#include "tests/support/sample_store.h"

using namespace snapshotter;
using support::at;
using support::sample_save;

namespace {

Recovered recovered(const SaveRequest& save) {
    Recovered found;
    found.session.emplace();
    found.session->graph = save.graph;
    found.stamp = save.stamp;
    found.history_base = HistoryBase{save.stamp.position, save.stamp.lineage};
    return found;
}

void check_same(const SaveRequest& request, const SaveRequest& save) {
    CHECK(request.graph.digest() == save.graph.digest());
    CHECK(request.stamp.position == save.stamp.position);
    CHECK(request.stamp.lineage == save.stamp.lineage);
    CHECK(request.stamp.last_mutation == save.stamp.last_mutation);
}

}  // namespace

TEST_CASE("what was saved and recovered is what the mirror gives to be saved") {
    const SaveRequest save = sample_save(3);
    const auto whole = stored_whole(recovered(save));
    REQUIRE(whole);
    CHECK(whole->holding.initialised);
    CHECK(whole->holding.timeline == save.graph.timeline);
    CHECK(whole->holding.node_count == 3);

    Mirror mirror(1, "here", whole);
    const SaveRequest request = save_request(mirror, "auto-save", at(10));
    check_same(request, save);
    CHECK(request.reason == "auto-save");
    CHECK(request.now == at(10));
    CHECK_FALSE(request.broker_digest.has_value());

    const SaveRequest pin =
        pin_request({mirror.graph().copy(), *mirror.holding(), "a fork"}, at(11));
    check_same(pin, save);
    CHECK(pin.reason == "a fork");
    CHECK(pin.now == at(11));
}

TEST_CASE("a fresh directory") {
    CHECK_FALSE(stored_whole({}).has_value());
    CHECK_FALSE(wants_save({}));
    Mirror mirror(1, "here", std::nullopt);
    const SaveRequest request = save_request(mirror, "auto-save", at(1));
    CHECK(request.graph.nodes.empty());
    CHECK(request.stamp.position == common::Position{});
}

TEST_CASE("what the directory does not show is saved soon") {
    const Recovered shown = recovered(sample_save(3));
    CHECK_FALSE(wants_save(shown));
    Recovered other = shown;
    other.restored_by_hand = true;
    CHECK(wants_save(other));
    other = shown;
    other.from_backup = true;
    CHECK(wants_save(other));
    other = shown;
    other.changes = 1;
    CHECK(wants_save(other));
    other = shown;
    other.history_base.reset();
    CHECK(wants_save(other));
}
