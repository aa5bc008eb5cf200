#include "common/mutation.h"

#include <doctest/doctest.h>

#include "tests/support/graph_gen.h"

using namespace common;

TEST_CASE("work is what changes nodes, or makes them a session") {
    CHECK(is_work(PutNode{support::make_node("a", "ada", {}, 1)}));
    CHECK(is_work(support::make_patch("a", {}, 1)));
    CHECK(is_work(DeleteNode{"a"}));
    CHECK(is_work(Initialised{Timeline{1}}));
    CHECK_FALSE(is_work(EpochStarted{}));
    CHECK_FALSE(is_work(SetOwner{{"a"}, "COMMON"}));
    CHECK_FALSE(is_work(Cleared{}));
    CHECK_FALSE(is_work(UserJoined{"ada"}));
    CHECK_FALSE(is_work(UserLeft{"ada", "left"}));
    CHECK_FALSE(is_work(SetMetadata{"ada", {}}));
}
