#include "snapshotter/storage/metadata.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

using namespace snapshotter;
using namespace common;

namespace {

Metadata sample() {
    Metadata metadata;
    metadata.time = WallTime{1'763'894'520'123};
    metadata.reason = "user_disconnect:\"Zoë\"\n";
    metadata.initialised = true;
    metadata.node_count = 12;
    metadata.file_bytes = 34'567;
    metadata.digest = {0xffffffffffffffff, 1};
    metadata.position = {Epoch{0xfffffffffffffff0}, Seq{99}, Hash128{5, 6}};
    metadata.timeline = Timeline{8};
    metadata.last_change = WallTime{1'763'894'000'000};
    metadata.verified = WallTime{1'763'894'520'123};
    metadata.users = {"Ann", "Zoë"};
    metadata.backup = "snapshot_20251123_104200.db";
    metadata.backup_digest = {3, 4};
    metadata.backup_modified_ns = 1'763'894'520'123'456'789;
    metadata.version = "0.1.0";
    return metadata;
}

}  // namespace

TEST_CASE("metadata come back as they were written") {
    const Metadata metadata = sample();
    const Result<Metadata> back = read_metadata(write_metadata(metadata));
    REQUIRE(back.has_value());
    CHECK(back->time == metadata.time);
    CHECK(back->reason == metadata.reason);
    CHECK(back->initialised);
    CHECK(back->node_count == 12);
    CHECK(back->file_bytes == 34'567);
    CHECK(back->digest == metadata.digest);
    CHECK(back->position == metadata.position);
    CHECK(back->timeline == metadata.timeline);
    CHECK(back->last_change == metadata.last_change);
    CHECK(back->verified == metadata.verified);
    CHECK(back->users == metadata.users);
    CHECK(back->backup == metadata.backup);
    CHECK(back->backup_digest == metadata.backup_digest);
    CHECK(back->backup_modified_ns == metadata.backup_modified_ns);
    CHECK(back->version == "0.1.0");
    CHECK(write_metadata(*back) == write_metadata(metadata));
}

TEST_CASE("scripts find what they know") {
    const auto json = nlohmann::json::parse(write_metadata(sample()));
    CHECK(json.at("timestamp").get<double>() == doctest::Approx(1763894520.123));
    CHECK(json.at("initialized").get<bool>());
    CHECK(json.at("node_count").get<int>() == 12);
    CHECK(json.at("reason").get<std::string>() == "user_disconnect:\"Zoë\"\n");
    CHECK(json.at("datetime").get<std::string>().size() == 25);
}

TEST_CASE("text that is not UTF-8 does not cost the file") {
    Metadata metadata = sample();
    metadata.reason = "user_disconnect:\xff";
    CHECK(read_metadata(write_metadata(metadata)).has_value());
}

TEST_CASE("what was changed by hand is read if it still makes sense") {
    auto json = nlohmann::json::parse(write_metadata(sample()));
    json["remark"] = "do not delete";
    json["timestamp"] = 5;
    const Result<Metadata> back = read_metadata(json.dump());
    REQUIRE(back.has_value());
    CHECK(back->time == WallTime{5000});
}

TEST_CASE("what does not is refused, and named") {
    CHECK_FALSE(read_metadata("").has_value());
    CHECK_FALSE(read_metadata("[1]").has_value());
    const auto good = nlohmann::json::parse(write_metadata(sample()));
    for (const auto& [key, value] : good.items()) {
        if (key == "datetime") {
            continue;  // for people only
        }
        CAPTURE(key);
        auto missing = good;
        missing.erase(key);
        const Result<Metadata> back = read_metadata(missing.dump());
        const bool came_later = key == "backup_modified_ns";  // files without it are good
        REQUIRE(back.has_value() == came_later);
        CHECK((came_later || back.error().what.find(key) != std::string::npos));
        auto wrong = good;
        wrong[key] = nlohmann::json::array({nullptr});
        CHECK_FALSE(read_metadata(wrong.dump()).has_value());
    }
    auto huge = good;
    huge["timestamp"] = 1e300;
    CHECK_FALSE(read_metadata(huge.dump()).has_value());
    auto hash = good;
    hash["digest"] = "xyz";
    CHECK_FALSE(read_metadata(hash.dump()).has_value());
}
