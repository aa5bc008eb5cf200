#include "common/session_file.h"

#include <doctest/doctest.h>

#include <random>

#include "common/limits.h"
#include "common/pickle.h"
#include "tests/support/sample_session.h"
#include "tests/support/session_file_property.h"

using namespace common;
using support::gzip;
using support::sample_file;
using support::sample_graph;
using support::sample_stamp;

namespace {

Bytes file_of(const Value& value) {
    return gzip(write_pickle(value).view());
}

Value chunks_value(const Node& node) {
    std::vector<Value> chunks;
    for (const Bytes& chunk : node.chunks()) {
        chunks.push_back(Value::bytes(chunk));
    }
    return Value::list(std::move(chunks));
}

Error error_of(const Bytes& file) {
    Result<SessionFile> session = read_session_file(file);
    REQUIRE_FALSE(session.has_value());
    return session.error();
}

}  // namespace

TEST_CASE("a session comes back from its file as it was saved") {
    const GraphCopy graph = sample_graph(2500);  // more than two batches
    SessionStamp stamp = sample_stamp(42);
    stamp.position.epoch = Epoch{0xffffffffffffffff};  // more than an int64
    stamp.position.seq = Seq{0xfffffffffffffffe};
    stamp.lineage = {{Epoch{3}, Position{}}, {Epoch{9}, {Epoch{3}, Seq{17}, Hash128{1, 2}}}};
    stamp.last_mutation = WallTime{1234};
    stamp.saved = WallTime{5678};
    stamp.digest = graph.digest();

    const Result<SessionFile> back = read_session_file(sample_file(graph, stamp));
    REQUIRE(back.has_value());
    CHECK(back->graph.digest() == graph.digest());
    CHECK(back->graph.initialised);
    CHECK(back->graph.timeline == graph.timeline);
    CHECK(back->graph.metadata == graph.metadata);
    REQUIRE(back->graph.nodes.size() == graph.nodes.size());
    CHECK(back->graph.nodes[1234]->chunks() == graph.nodes[1234]->chunks());
    REQUIRE(back->stamp.has_value());
    CHECK(back->stamp->position == stamp.position);
    CHECK(back->stamp->lineage == stamp.lineage);
    CHECK(back->stamp->last_mutation == stamp.last_mutation);
    CHECK(back->stamp->saved == stamp.saved);
    CHECK(back->stamp->digest == stamp.digest);
}

TEST_CASE("sessions without nodes or users, and nodes of every size of chunk") {
    for (const std::size_t bytes : {0U, 200U, 256U, 70'000U, 600'000U}) {
        CAPTURE(bytes);
        const GraphCopy graph = sample_graph(3, 1, bytes);
        const Result<SessionFile> back = read_session_file(sample_file(graph, sample_stamp(1)));
        REQUIRE(back.has_value());
        CHECK(back->graph.digest() == graph.digest());
    }
    GraphCopy empty;
    empty.initialised = true;
    const Result<SessionFile> back = read_session_file(sample_file(empty, sample_stamp(1)));
    REQUIRE(back.has_value());
    CHECK(back->graph.nodes.empty());
    CHECK(back->graph.digest() == empty.digest());
}

TEST_CASE("the same session gives the same bytes") {
    CHECK(sample_file(sample_graph(20), sample_stamp(3)) ==
          sample_file(sample_graph(20), sample_stamp(3)));
}

TEST_CASE("a peek reads the head and no further") {
    GraphCopy graph = sample_graph(3000);
    graph.timeline = Timeline{9};
    const SessionStamp stamp = sample_stamp(77);
    const Bytes file = sample_file(graph, stamp);
    std::size_t given = 0;
    const auto source = [&]() -> Result<std::string_view> {
        const std::string_view piece = file.view().substr(given, 1000);
        given += piece.size();
        return piece;
    };
    const Result<SessionHead> head = peek_session_file(source);
    REQUIRE(head.has_value());
    REQUIRE(head->stamp.has_value());
    CHECK(head->stamp->position == stamp.position);
    CHECK(head->stamp->lineage == stamp.lineage);
    CHECK(head->stamp->digest == graph.digest());
    CHECK(head->timeline == Timeline{9});
    CHECK(given < file.size() / 4);
    // Damage of the head shows, damage behind it does not.
    CHECK_FALSE(peek_session_file(source_of(file.slice(0, 40))).has_value());
    CHECK(peek_session_file(source_of(file.slice(0, file.size() / 2))).has_value());
}

TEST_CASE("a peek at a file that is not ours finds no stamp, however long it is") {
    const Value nodes =
        Value::list({Value::list({Value::bytes(Bytes(std::string(40'000'000, '(')))})});
    const Bytes file = file_of(Value::dict({{Value::str("nodes"), nodes}}));
    const Result<SessionHead> head = peek_session_file(source_of(file));
    REQUIRE(head.has_value());
    CHECK_FALSE(head->stamp.has_value());
}

TEST_CASE("an error of the sink ends the writing") {
    int calls = 0;
    const Result<void> written = write_session_file(
        sample_graph(100, 0, 100'000), sample_stamp(1), 1, [&](std::string_view) {
            ++calls;
            return Result<void>(fail(ErrorKind::Io, "disk full"));
        });
    REQUIRE_FALSE(written.has_value());
    CHECK(written.error().what == "disk full");
    CHECK(calls == 1);
}

TEST_CASE("a file of the addon has no stamp, and its users' metadata are kept by name") {
    const GraphCopy graph = sample_graph(2);
    const Value metadata = Value::dict({{Value::str("tasks"), Value::str("paint")},
                                        {Value::str("color"), Value::tuple({})},
                                        {Value::str("view_matrix"), Value::list()},
                                        {Value::str("scene_current"), Value::str("Scene")}});
    const Value file = Value::dict(
        {{Value::str("nodes"),
          Value::list({chunks_value(*graph.nodes[0]), chunks_value(*graph.nodes[1])})},
         {Value::str("users"),
          Value::dict({{Value::str("ann"), Value::dict({{Value::str("metadata"), metadata}})},
                       {Value::str("bob"), Value::str("not what it should be")}})}});
    const Result<SessionFile> back = read_session_file(file_of(file));
    REQUIRE(back.has_value());
    CHECK_FALSE(back->stamp.has_value());
    CHECK(back->graph.initialised);
    CHECK(back->graph.nodes.size() == 2);
    REQUIRE(back->graph.metadata.size() == 1);
    CHECK(back->graph.metadata.at("ann") ==
          write_pickle(Value::dict({{Value::str("tasks"), Value::str("paint")}})));
}

TEST_CASE("a file without users, as the addon saves it when it is offline") {
    const GraphCopy graph = sample_graph(1);
    const Result<SessionFile> back = read_session_file(file_of(
        Value::dict({{Value::str("nodes"), Value::list({chunks_value(*graph.nodes[0])})}})));
    REQUIRE(back.has_value());
    CHECK(back->graph.nodes.size() == 1);
}

TEST_CASE("a gzip file of several members is read as one") {
    const GraphCopy graph = sample_graph(1);
    const Bytes pickle = write_pickle(
        Value::dict({{Value::str("nodes"), Value::list({chunks_value(*graph.nodes[0])})}}));
    const std::string members = std::string(gzip(pickle.view().substr(0, 50)).view()) +
                                std::string(gzip(pickle.view().substr(50)).view());
    const Result<SessionFile> back = read_session_file(Bytes(members));
    REQUIRE(back.has_value());
    CHECK(back->graph.nodes.size() == 1);
}

TEST_CASE("what is not a session file is refused in words") {
    CHECK(error_of(Bytes()).kind == ErrorKind::BadInput);
    CHECK(error_of(Bytes(std::string("not gzip at all"))).kind == ErrorKind::BadInput);
    CHECK(error_of(gzip("not a pickle")).kind == ErrorKind::BadInput);
    CHECK(error_of(file_of(Value::integer(3))).what.find("not a session file") !=
          std::string::npos);
    CHECK(error_of(file_of(Value::dict({{Value::str("nodes"), Value::str("x")}}))).kind ==
          ErrorKind::BadInput);
}

TEST_CASE("a node that no client may send is refused, and named") {
    Value broken = chunks_value(*sample_graph(1).nodes[0]);
    broken.as_list()->items[4] = Value::bytes(write_pickle(Value::str("no dict")));
    const Value good = chunks_value(*sample_graph(2).nodes[1]);
    const Error error =
        error_of(file_of(Value::dict({{Value::str("nodes"), Value::list({good, broken})}})));
    CHECK(error.what.find("node 2: ") != std::string::npos);

    const Error twice =
        error_of(file_of(Value::dict({{Value::str("nodes"), Value::list({good, good})}})));
    CHECK(twice.what.find("node-1") != std::string::npos);
}

TEST_CASE("checking says what the file says of itself") {
    const Result<std::optional<SessionStamp>> stamp =
        check_session_file(sample_file(sample_graph(3), sample_stamp(9)));
    REQUIRE(stamp.has_value());
    REQUIRE(stamp->has_value());
    CHECK((*stamp)->position == sample_stamp(9).position);
    CHECK((*stamp)->digest == sample_graph(3).digest());
    const auto none = check_session_file(support::sample_addon_file(sample_graph(3)));
    REQUIRE(none.has_value());
    CHECK_FALSE(none->has_value());
}

TEST_CASE("a file that holds something else than what was saved is refused") {
    const GraphCopy graph = sample_graph(3);
    SessionStamp stamp = sample_stamp(1);
    stamp.digest = sample_graph(3, 1).digest();  // of another graph
    std::string file;
    REQUIRE(write_session_file(graph, stamp, 1, [&](std::string_view piece) {
                file.append(piece);
                return Result<void>();
            }).has_value());
    CHECK(error_of(Bytes(file)).what.find("digest") != std::string::npos);
    CHECK_FALSE(check_session_file(Bytes(file)).has_value());
}

TEST_CASE("a file of a later version is refused as such") {
    const Value file = Value::dict(
        {{Value::str("nodes"), Value::list()},
         {Value::str("holdfast"), Value::dict({{Value::str("format"), Value::integer(2)}})}});
    CHECK(error_of(file_of(file)).kind == ErrorKind::Unsupported);
}

TEST_CASE("our own files are read node by node, those of others as a whole, with one result") {
    for (const std::size_t nodes : {0U, 1U, 1000U, 1001U}) {
        CAPTURE(nodes);
        const GraphCopy graph = sample_graph(nodes);
        const Bytes file = sample_file(graph, sample_stamp(1));
        GzipReader gzip(source_of(file));
        std::string inflated;
        std::vector<std::size_t> ends;
        do {
            for (std::string_view piece = gzip.read().value(); !piece.empty();
                 piece = gzip.read().value()) {
                inflated.append(piece);
            }
            ends.push_back(inflated.size());
        } while (gzip.next_member().value());
        REQUIRE(ends.size() == 2);
        CHECK(inflated[ends[0] - 1] == '(');
        const auto whole = read_session_file(support::gzip(inflated));
        REQUIRE(whole.has_value());
        CHECK(whole->graph.digest() == graph.digest());
        // It is one pickle, and no gzip file of another cut is taken for ours.
        CHECK(read_pickle(Bytes(inflated)).has_value());
        const auto elsewhere = read_session_file(
            Bytes(support::gzip_of(inflated.substr(0, ends[0] - 1), inflated.substr(ends[0] - 1))));
        REQUIRE(elsewhere.has_value());
        CHECK(elsewhere->graph.digest() == graph.digest());
    }
}

TEST_CASE("progress goes from nothing to all") {
    const GraphCopy graph = sample_graph(10);
    std::uint64_t last = 0;
    REQUIRE(write_session_file(
                graph, sample_stamp(1), 1, [](std::string_view) { return Result<void>(); },
                [&](std::uint64_t done) {
                    CHECK(done > last);
                    last = done;
                })
                .has_value());
    CHECK(last == session_bytes(graph));
}

TEST_CASE("an error of the source is returned as it is") {
    const auto session = read_session_file(
        []() -> Result<std::string_view> { return fail(ErrorKind::Io, "bad sector"); });
    REQUIRE_FALSE(session.has_value());
    CHECK(session.error().kind == ErrorKind::Io);
    CHECK(session.error().what == "bad sector");
}

TEST_CASE("changed bytes are read alike by all, or refused") {
    const Bytes file = sample_file(sample_graph(4), sample_stamp(1));
    GzipReader gzip(source_of(file));
    std::string head(gzip.read().value());
    REQUIRE(gzip.read().value().empty());
    REQUIRE(gzip.next_member().value());
    std::string inflated = head + std::string(gzip.read().value());
    const std::size_t n = head.size() + 1;
    const std::string prefix{static_cast<char>(n & 0xff), static_cast<char>(n >> 8)};
    CHECK(support::broken_session_file_property(prefix + inflated) == "");
    std::mt19937 random(3);
    for (int i = 0; i < 1500; ++i) {
        std::string changed = inflated;
        for (auto changes = 1 + random() % 3; changes > 0; --changes) {
            // Mostly among the opcodes of the nodes.
            const std::size_t at = random() % changed.size();
            switch (random() % 3) {
                case 0:
                    changed[at] = static_cast<char>(random());
                    break;
                case 1:
                    changed.erase(at, 1 + random() % 4);
                    break;
                default:
                    changed.insert(at, 1,
                                   "](CB\x8e"
                                   "eu."[random() % 8]);
            }
        }
        CAPTURE(i);
        REQUIRE(support::broken_session_file_property(prefix + changed) == "");
    }
}
