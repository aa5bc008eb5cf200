#include "snapshotter/schedule.h"

#include <doctest/doctest.h>

using namespace snapshotter;
using common::Instant;
using common::Millis;
using Answers = std::vector<std::uint64_t>;

namespace {

Instant at(int seconds) {
    return Instant{} + std::chrono::seconds(seconds);
}

std::string due(Schedule& schedule, int seconds) {
    const auto due = schedule.due(at(seconds));
    return due ? due->reason : "";
}

}  // namespace

TEST_CASE("an auto-save every interval, in step, without making up for what was missed") {
    Schedule schedule(Millis{120'000}, at(0));
    CHECK(schedule.next_due() == at(120));
    CHECK(due(schedule, 119) == "");
    CHECK(due(schedule, 120) == "auto-save");
    CHECK(due(schedule, 121) == "");
    schedule.on_saved();
    CHECK(schedule.next_due() == at(240));
    CHECK(due(schedule, 500) == "auto-save");
    schedule.on_saved();
    CHECK(schedule.next_due() == at(600));
}

TEST_CASE("without an interval there is no auto-save") {
    Schedule schedule(Millis{0}, at(0));
    CHECK_FALSE(schedule.next_due().has_value());
    CHECK(due(schedule, 100'000) == "");
    CHECK(schedule.quiet());
}

TEST_CASE("what is asked for during a save becomes one save") {
    Schedule schedule(Millis{120'000}, at(0));
    schedule.request(reasons::user_disconnect("Ann"));
    CHECK(due(schedule, 1) == "user_disconnect:Ann");
    CHECK(schedule.running());
    schedule.request(reasons::user_disconnect("Bob"));
    schedule.request(reasons::user_disconnect("Zoë"));
    schedule.request(reasons::user_disconnect("Bob"));
    CHECK(due(schedule, 120) == "");  // one at a time
    CHECK_FALSE(schedule.next_due().has_value());
    schedule.on_saved();
    CHECK_FALSE(schedule.quiet());
    CHECK(due(schedule, 121) == "user_disconnect:Bob, user_disconnect:Zoë, auto-save");
    schedule.on_saved();
    CHECK(schedule.quiet());
}

TEST_CASE("a failed save is tried again, later and later, with all its reasons") {
    Schedule schedule(Millis{0}, at(0));
    schedule.request(reasons::kBrokerLost);
    CHECK(due(schedule, 0) == "broker_lost");
    schedule.request(reasons::kAfterResync);
    int now = 0;
    for (const int wait : {1, 2, 4, 8, 16, 30, 30, 30}) {
        schedule.on_failed(at(now));
        CHECK(schedule.next_due() == at(now + wait));
        CHECK(due(schedule, now + wait - 1) == "");
        now += wait;
        CHECK(due(schedule, now) == "broker_lost, after_resync");
    }
    CHECK(schedule.failures() == 8);
    schedule.on_saved();
    CHECK(schedule.failures() == 0);
    schedule.request(reasons::kAfterResync);
    CHECK(due(schedule, now) == "after_resync");
}

TEST_CASE("who is in a hurry does not wait for the next attempt") {
    Schedule schedule(Millis{0}, at(0));
    schedule.request("a");
    CHECK(due(schedule, 0) == "a");
    schedule.on_failed(at(0));
    schedule.request(reasons::kShutdown);
    CHECK(due(schedule, 0) == "");
    schedule.hurry();
    CHECK(due(schedule, 0) == "a, shutdown");
}

TEST_CASE("answers come with the save that they asked for") {
    Schedule schedule(Millis{0}, at(0));
    schedule.request(reasons::manual("before lunch"), 11);
    CHECK(due(schedule, 0) == "manual:before lunch");
    schedule.request(reasons::manual(""), 12);
    CHECK(schedule.on_failed(at(0)) == Answers{11});
    CHECK(due(schedule, 10) == "manual:before lunch, manual");
    CHECK(schedule.on_saved() == Answers{12});
}

TEST_CASE("a flood of reasons is counted, not listed") {
    Schedule schedule(Millis{0}, at(0));
    for (int i = 0; i < 25; ++i) {
        schedule.request(reasons::user_disconnect(std::to_string(i)));
    }
    const std::string reason = due(schedule, 0);
    CHECK(reason.find("user_disconnect:19") != std::string::npos);
    CHECK(reason.find("user_disconnect:20") == std::string::npos);
    CHECK(reason.ends_with(" and 5 more"));
}

TEST_CASE("what was saved is read again every six hours, when there is nothing else to do") {
    Schedule schedule(Millis{0}, at(0));
    const int six_hours = 6 * 3600;
    CHECK_FALSE(schedule.check_due(at(six_hours - 1)));
    schedule.request(reasons::kInitialised);
    CHECK_FALSE(schedule.check_due(at(six_hours)));
    CHECK(due(schedule, six_hours) == "session_initialized");
    CHECK_FALSE(schedule.check_due(at(six_hours)));
    schedule.on_saved();
    CHECK(schedule.check_due(at(six_hours + 1)));
    CHECK_FALSE(schedule.check_due(at(six_hours + 2)));
    CHECK(schedule.check_due(at(2 * six_hours + 1)));
}
