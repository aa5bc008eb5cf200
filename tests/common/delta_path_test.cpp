#include "common/delta_path.h"

#include <doctest/doctest.h>

using common::ErrorKind;
using common::parse_delta_path;
using common::PathStep;
using common::Value;

namespace {

// Keys as Python's repr, attributes with a dot before them.
std::vector<std::string> parts(std::string_view path) {
    std::vector<PathStep> steps;
    REQUIRE(parse_delta_path(path, steps));
    std::vector<std::string> result;
    for (const PathStep& step : steps) {
        result.push_back((step.attribute ? "." : "") + common::repr(step.value()));
    }
    return result;
}

using Parts = std::vector<std::string>;

}  // namespace

TEST_CASE("a path as deepdiff writes it") {
    CHECK(parts("root") == Parts{});
    CHECK(parts("root['modifiers'][0]['name']") == Parts{"'modifiers'", "0", "'name'"});
    CHECK(parts("root[-1][\"it's\"].location") == Parts{"-1", "\"it's\"", ".'location'"});
    CHECK(parts("root['a.b']['[0]']['']") == Parts{"'a.b'", "'[0]'", "''"});
}

TEST_CASE("keys without quotes are literals, or else texts") {
    CHECK(parts("root[1.5][None][True][()][(1, (2,))]") ==
          Parts{"1.5", "None", "True", "()", "(1, (2,))"});
    CHECK(parts("root[1_000][0x1f][-0][007][1__0]") == Parts{"1000", "31", "0", "'007'", "'1__0'"});
    CHECK(parts("root[1e400][nan][--1][1 2]") == Parts{"inf", "'nan'", "'--1'", "'1 2'"});
    CHECK(parts("root[36893488147419103232][-9223372036854775808]") ==
          Parts{"36893488147419103232", "-9223372036854775808"});
    CHECK(parts("root[b'k'][u'k'][f'k']") == Parts{"b'k'", "'k'", "\"f'k'\""});
}

TEST_CASE("what is in quotes means itself") {
    CHECK(parts(R"(root['back\\slash'])") == Parts{R"('back\\\\slash')"});
    CHECK(parts("root['line\nend']") == Parts{R"('line\nend')"});
    // A quote behind deepdiff's mark does not end the part, and the mark stays.
    CHECK(parts("root[\"a\xf0\x9d\x87\x80\"b\"]")[0].find("\"b") != std::string::npos);
}

TEST_CASE("oddities of deepdiff's parser") {
    CHECK(parts("xxxx['a']") == Parts{"'a'"});  // the first four characters are not looked at
    CHECK(parts("\xc3\xa9toi[1]") == Parts{"1"});
    CHECK(parts("root.__class__['a']") == Parts{"'a'"});  // private names are left out
    CHECK(parts("root[('a', 1)]") == Parts{"\"('a'\"", "', 1)'"});
    CHECK(parts("root['a'b]") == Parts{"'a'", "'b'"});
    CHECK(parts("root[[1]]") == Parts{"'[1'"});
    CHECK(parts("root['open") == Parts{"\"'open\""});
    CHECK(parts("roo") == Parts{});
}

TEST_CASE("literals that are no Value are refused") {
    std::vector<PathStep> steps;
    for (const char* path : {"root[1j]", "root[1+2j]", "root[0o17-0.0j]", "root[(1, 0xf+1J)]",
                             "root[...]", "root[{1}]", "root[{}]", "root[set()]", "root#B\"\n[]"}) {
        CAPTURE(path);
        const auto done = parse_delta_path(path, steps);
        REQUIRE_FALSE(done);
        CHECK(done.error().kind == ErrorKind::Unsupported);
    }
}

TEST_CASE("what Python's parser raises on, or would take long to read, is refused") {
    std::vector<PathStep> steps;
    for (const std::string& part :
         {std::string(129, '-') + "1", std::string(129, '('), "1" + std::string(500, '0'),
          "0x" + std::string(10'000, 'f'), "a" + std::string(128, '+')}) {
        CAPTURE(part.size());
        for (const std::string& path : {"root[" + part + "]", "root." + part}) {
            const auto done = parse_delta_path(path, steps);
            REQUIRE_FALSE(done);
            CHECK(done.error().kind == ErrorKind::Unsupported);
        }
        CHECK(parts("root['" + part + "']").size() == 1);
    }
    CHECK(parts("root[" + std::string(128, '-') + "]").size() == 1);
    const std::string longest = "root[" + std::string(500, '9') + "]";
    REQUIRE(parse_delta_path(longest, steps));
    CHECK(steps.at(0).key.is(Value::Type::BigInt));
    std::string tuple = "(";
    for (int i = 0; i < 100; ++i) {
        tuple += "1, ";
    }
    CHECK(parts("root[" + tuple + ")]").size() == 1);
}

TEST_CASE("clients keep paths, so there are none without end") {
    std::vector<PathStep> steps;
    CHECK(parse_delta_path("root['" + std::string(16'000, 'x') + "']", steps));
    const auto done = parse_delta_path("root['" + std::string(17'000, 'x') + "']", steps);
    REQUIRE_FALSE(done);
    CHECK(done.error().kind == ErrorKind::Limit);
}

TEST_CASE("steps are equal as keys are") {
    const PathStep text{false, true, "a", {}};
    CHECK(equal(text, PathStep{false, false, {}, Value::str("a")}));
    CHECK_FALSE(equal(text, PathStep{true, true, "a", {}}));
    CHECK(equal(PathStep{false, false, {}, Value::integer(1)},
                PathStep{false, false, {}, Value::boolean(true)}));
}
