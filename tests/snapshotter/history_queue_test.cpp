#include "snapshotter/history_queue.h"

#include <doctest/doctest.h>

#include "tests/support/sample_history.h"

using namespace snapshotter;
using namespace common;
using support::SampleHistory;

namespace {

Instant at(std::int64_t ms) {
    return Instant{Millis{ms}};
}

AppliedRecord applied(HistoryRow row) {
    return {std::move(row.record), std::move(row.frames), row.position};
}

struct Mirror {
    SampleHistory broker;
    HistoryQueueOptions options{.delay = Millis(50)};

    HistoryQueue queue(bool with_base = true) {
        return HistoryQueue(options, with_base ? std::optional(broker.base()) : std::nullopt);
    }
    void feed(HistoryQueue& queue, std::size_t records, std::int64_t ms) {
        for (HistoryRow& row : broker.work(records, 1)) {
            queue.add(applied(std::move(row)), at(ms));
        }
    }
    // What is written at `ms`, all of it.
    Position written(HistoryQueue& queue, std::int64_t ms) {
        Position last;
        while (const auto group = queue.take(at(ms))) {
            last = queue.committed(*group).value();
        }
        return last;
    }
};

}  // namespace

TEST_CASE_FIXTURE(Mirror, "records gather for a moment, then are one group") {
    broker.begin(7, 2);
    HistoryQueue queue = this->queue();
    CHECK_FALSE(queue.next_due().has_value());
    const HistoryBase base = broker.base();
    feed(queue, 3, 1000);
    feed(queue, 2, 1040);
    CHECK(queue.next_due() == at(1050));
    CHECK(queue.take(at(1049)) == nullptr);
    const auto group = queue.take(at(1050));
    REQUIRE(group != nullptr);
    CHECK(group->begin == base);
    CHECK(group->rows.size() == 5);
    CHECK(group->last == broker.position());
    CHECK(queue.age(at(1060)) == Millis(60));
    feed(queue, 1, 1070);
    CHECK(queue.take(at(2000)) == nullptr);  // one at a time
    CHECK(queue.committed(*group) == group->last);
    CHECK(queue.age(at(1080)) == Millis(10));
    const auto next = queue.take(at(1120));
    REQUIRE(next != nullptr);
    CHECK_FALSE(next->begin.has_value());
    CHECK(queue.committed(*next) == broker.position());
    CHECK_FALSE(queue.age(at(1200)).has_value());
    CHECK(queue.bytes() == 0);
}

TEST_CASE_FIXTURE(Mirror, "much is written at once, in bounded groups; at the end nothing waits") {
    broker.begin(7, 2);
    options.group_bytes = 20'000;
    options.group_rows = 10;
    HistoryQueue queue = this->queue();
    feed(queue, 25, 1000);
    const auto group = queue.take(at(1000));
    REQUIRE(group != nullptr);
    CHECK(group->rows.size() <= 10);
    CHECK(queue.committed(*group).has_value());
    feed(queue, 1, 1000);
    queue.hurry();
    CHECK(written(queue, 1000) == broker.position());
}

TEST_CASE_FIXTURE(Mirror, "what is worth a sync waits for no more, and takes along all there is") {
    broker.begin(7, 2);
    options.enough_bytes_per_ms = 100;
    HistoryQueue queue = this->queue();
    feed(queue, 1, 1000);
    std::size_t fed = 1;
    for (; queue.bytes() < 50 * options.enough_bytes_per_ms; ++fed) {
        CHECK(queue.next_due() == at(1050));
        feed(queue, 1, 1010);
    }
    CHECK(queue.next_due() == at(1000));
    feed(queue, 20, 1011);
    const auto group = queue.take(at(1011));
    REQUIRE(group != nullptr);
    CHECK(group->rows.size() == fed + 20);
    // What comes meanwhile is measured alone.
    feed(queue, 1, 1020);
    CHECK(queue.committed(*group).has_value());
    CHECK(queue.next_due() == at(1070));
}

TEST_CASE_FIXTURE(Mirror, "who allows more time gets larger groups, and fewer syncs") {
    broker.begin(7, 2);
    options.enough_bytes_per_ms = 100;
    options.delay = Millis(500);
    HistoryQueue queue = this->queue();
    for (; queue.bytes() < 50'000; feed(queue, 1, 1010)) {
        CHECK((queue.bytes() == 0 || queue.next_due() == at(1510)));
    }
    CHECK(queue.next_due() == at(1010));
}

TEST_CASE_FIXTURE(Mirror, "after a failure the same group comes again, a second later") {
    broker.begin(7, 2);
    HistoryQueue queue = this->queue();
    feed(queue, 3, 1000);
    const auto group = queue.take(at(1050));
    REQUIRE(group != nullptr);
    queue.failed(*group, at(1100));
    feed(queue, 1, 1200);
    CHECK(queue.next_due() == at(2100));
    CHECK(queue.take(at(2099)) == nullptr);
    CHECK(queue.take(at(2100)) == group);
    CHECK(queue.age(at(2100)) == Millis(1100));
    CHECK(queue.committed(*group).has_value());
    CHECK(written(queue, 3000) == broker.position());
}

TEST_CASE_FIXTURE(Mirror, "a fresh session begins from nothing") {
    HistoryQueue queue = this->queue(false);
    for (HistoryRow& row : broker.begin(7, 3)) {
        queue.add(applied(std::move(row)), at(0));
    }
    CHECK_FALSE(queue.wants_save().has_value());
    const auto group = queue.take(at(50));
    REQUIRE(group != nullptr);
    CHECK(group->begin == HistoryBase{});
    CHECK(queue.committed(*group) == broker.position());
}

TEST_CASE_FIXTURE(Mirror, "another graph: history goes on after a save of it") {
    broker.begin(7, 2);
    HistoryQueue queue = this->queue();
    feed(queue, 1, 500);
    CHECK(written(queue, 1000) == broker.position());
    SampleHistory other;
    other.begin(8, 4);
    broker = std::move(other);
    queue.on_replaced(broker.position());
    CHECK_FALSE(queue.flowing());
    feed(queue, 2, 2000);  // before the save: it holds them
    CHECK(queue.take(at(9000)) == nullptr);
    CHECK(queue.age(at(3000)) == Millis(1000));
    const HistoryBase base = broker.base();
    queue.save_begins(base);
    feed(queue, 3, 4000);
    CHECK(queue.take(at(9000)) == nullptr);  // it is not there yet
    SUBCASE("the save works") {
        queue.save_ended(true);
        CHECK(queue.age(at(4500)) == Millis(500));
        const auto group = queue.take(at(9000));
        REQUIRE(group != nullptr);
        CHECK(group->begin == base);
        CHECK(group->rows.size() == 3);
        CHECK(queue.committed(*group) == broker.position());
        CHECK_FALSE(queue.age(at(9000)).has_value());
    }
    SUBCASE("the save fails") {
        queue.save_ended(false);
        CHECK(queue.take(at(9000)) == nullptr);
        CHECK(queue.age(at(3000)) == Millis(1000));
        queue.save_begins(broker.base());
        queue.save_ended(true);
        CHECK_FALSE(queue.age(at(9000)).has_value());
        feed(queue, 1, 9000);
        CHECK(written(queue, 9900) == broker.position());
    }
    CHECK_FALSE(queue.wants_save().has_value());  // who replaced the graph has asked for one
}

TEST_CASE_FIXTURE(Mirror, "a save that began before the graph was replaced does not count") {
    broker.begin(7, 2);
    HistoryQueue queue = this->queue();
    queue.save_begins(broker.base());
    SampleHistory other;
    other.begin(8, 4);
    broker = std::move(other);
    queue.on_replaced(broker.position());
    queue.save_ended(true);
    CHECK_FALSE(queue.flowing());
    feed(queue, 1, 0);
    CHECK(queue.take(at(9000)) == nullptr);
}

TEST_CASE_FIXTURE(Mirror, "a graph that stands where the records have led changes nothing") {
    broker.begin(7, 2);
    HistoryQueue queue = this->queue();
    feed(queue, 1, 0);
    queue.on_replaced(broker.position());
    CHECK(written(queue, 100) == broker.position());
}

TEST_CASE_FIXTURE(Mirror, "what the disk cannot follow is dropped, and a save wanted") {
    broker.begin(7, 2);
    options.bytes_max = 20'000;
    HistoryQueue queue = this->queue();
    feed(queue, 3, 1000);
    const auto group = queue.take(at(2000));
    REQUIRE(group != nullptr);
    for (int i = 0; i < 20 && queue.flowing(); ++i) {
        feed(queue, 5, 2000);
    }
    CHECK_FALSE(queue.flowing());
    CHECK(queue.wants_save() == HistoryStop::Behind);
    CHECK_FALSE(queue.wants_save().has_value());
    CHECK(queue.bytes() == 0);
    CHECK_FALSE(queue.committed(*group).has_value());  // out of date
    CHECK(queue.age(at(3000)) == Millis(2000));
    queue.save_begins(broker.base());
    queue.save_ended(true);
    feed(queue, 1, 4000);
    CHECK(written(queue, 5000) == broker.position());
}

TEST_CASE_FIXTURE(Mirror,
                  "what went on from something that is gone is dropped, and a save wanted") {
    broker.begin(7, 2);
    HistoryQueue queue = this->queue();
    feed(queue, 3, 1000);
    const auto group = queue.take(at(1050));
    REQUIRE(group != nullptr);
    feed(queue, 3, 1060);
    queue.lost(*group);
    CHECK(queue.wants_save() == HistoryStop::Removed);
    CHECK_FALSE(queue.wants_save().has_value());
    CHECK_FALSE(queue.flowing());
    CHECK(queue.take(at(9000)) == nullptr);
    CHECK(queue.age(at(2000)) == Millis(1000));
    feed(queue, 1, 2000);
    CHECK_FALSE(queue.wants_save().has_value());  // it was asked for
    const HistoryBase base = broker.base();
    queue.save_begins(base);
    feed(queue, 1, 3000);
    queue.save_ended(true);
    const auto next = queue.take(at(3050));
    REQUIRE(next != nullptr);
    CHECK(next->begin == base);
    queue.lost(*group);  // out of date
    CHECK(queue.committed(*next) == broker.position());
    CHECK_FALSE(queue.age(at(4000)).has_value());
}

TEST_CASE_FIXTURE(Mirror, "a record that does not go on is never written") {
    broker.begin(7, 2);
    HistoryQueue queue = this->queue();
    broker.work(1, 9);  // missed
    feed(queue, 3, 0);
    CHECK(queue.take(at(9000)) == nullptr);
    CHECK(queue.wants_save() == HistoryStop::Behind);
}
