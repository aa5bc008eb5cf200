#include "common/secret.h"

#include <doctest/doctest.h>

#include <string_view>

using common::constant_time_equal;
using namespace std::string_view_literals;

TEST_CASE("strings compare as they would with ==") {
    CHECK(constant_time_equal("", ""));
    CHECK(constant_time_equal("secret", "secret"));
    CHECK_FALSE(constant_time_equal("secret", "Secret"));
    CHECK_FALSE(constant_time_equal("secret", "secreT"));
    CHECK_FALSE(constant_time_equal("secret", "secre"));
    CHECK_FALSE(constant_time_equal("secret", ""));
    CHECK_FALSE(constant_time_equal("", "secret"));
    CHECK_FALSE(constant_time_equal("a\0b"sv, "a\0c"sv));
    CHECK_FALSE(constant_time_equal("\x80", "\x7f"));
}
