#include "common/io/scheduling.h"

#include <doctest/doctest.h>
#include <sched.h>
#include <sys/resource.h>

#include <thread>

namespace {

struct Seen {
    int policy = -1;
    int nice = -1;
};

Seen after(void (*ask)()) {
    Seen seen;
    std::thread([&] {
        ::setpriority(PRIO_PROCESS, 0, 3);  // of this thread
        ask();
        seen = {::sched_getscheduler(0), ::getpriority(PRIO_PROCESS, 0)};
    }).join();
    return seen;
}

}  // namespace

TEST_CASE("a thread that lets others first is a batch thread, of the priority that it had") {
    const Seen seen = after(common::io::let_others_first);
    CHECK(seen.policy == SCHED_BATCH);
    CHECK(seen.nice == 3);
}

TEST_CASE("a thread that goes first for short is an ordinary one, of the priority that it had") {
    const Seen seen = after(common::io::go_first_for_short);
    CHECK(seen.policy == SCHED_OTHER);
    CHECK(seen.nice == 3);
}
