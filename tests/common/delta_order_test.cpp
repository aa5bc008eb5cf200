#include "common/delta_order.h"

#include <doctest/doctest.h>

using common::ErrorKind;
using common::PathItem;

namespace {

std::vector<PathItem> items(const std::vector<std::string_view>& paths) {
    std::vector<PathItem> result;
    for (const std::string_view path : paths) {
        PathItem& item = result.emplace_back(PathItem{path, {}, {}});
        REQUIRE(common::parse_delta_path(path, item.steps));
    }
    return result;
}

using Paths = std::vector<std::string_view>;

Paths sorted(const Paths& paths, bool backwards = false) {
    std::vector<PathItem> all = items(paths);
    REQUIRE(common::sort_path_items(all, backwards));
    Paths result;
    for (const PathItem& item : all) {
        result.push_back(item.path);
    }
    return result;
}

}  // namespace

TEST_CASE("indexes are sorted as numbers, a list before what is in it") {
    CHECK(sorted({"root[10]", "root[2]['a']", "root[2]", "root[1.5]"}) ==
          Paths{"root[1.5]", "root[2]", "root[2]['a']", "root[10]"});
    CHECK(sorted({"root[1]", "root[2]", "root[10]"}, true) ==
          Paths{"root[10]", "root[2]", "root[1]"});
}

TEST_CASE("equal paths keep their order, backwards too") {
    CHECK(sorted({"root[1]", "root[True]", "root[0]"}, true) ==
          Paths{"root[1]", "root[True]", "root[0]"});
}

TEST_CASE("keys that cannot be compared are compared as text, or deepdiff raises") {
    CHECK(sorted({"root['b']", "root[10]", "root['a']"}) ==
          Paths{"root[10]", "root['a']", "root['b']"});
    std::vector<PathItem> mixed = items({"root['x'][1]", "root['x']['a']"});
    const auto done = common::sort_path_items(mixed, false);
    REQUIRE_FALSE(done);
    CHECK(done.error().kind == ErrorKind::BadInput);
}

TEST_CASE("many items of several types are refused, many of one are not") {
    std::vector<std::string> texts;
    for (int i = 0; i < 100; ++i) {
        texts.push_back("root[" + std::to_string(99 - i) + "]");
    }
    const Paths paths(texts.begin(), texts.end());
    CHECK(sorted(paths).front() == "root[0]");
    Paths mixed = paths;
    mixed.push_back("root['a']");
    std::vector<PathItem> all = items(mixed);
    const auto done = common::sort_path_items(all, false);
    REQUIRE_FALSE(done);
    CHECK(done.error().kind == ErrorKind::Unsupported);
}
