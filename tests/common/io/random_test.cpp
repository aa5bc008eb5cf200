#include "common/io/random.h"

#include <doctest/doctest.h>

#include <set>

TEST_CASE("random ids and passwords do not repeat") {
    std::set<std::uint64_t> ids;
    std::set<std::string> passwords;
    for (int i = 0; i < 1000; ++i) {
        ids.insert(common::io::random_id());
        passwords.insert(common::io::random_password());
    }
    CHECK(ids.size() == 1000);
    CHECK(ids.count(0) == 0);
    CHECK(passwords.size() == 1000);
}

TEST_CASE("a random password has 20 letters in groups of five, none that look alike") {
    const std::string password = common::io::random_password();
    CHECK(password.size() == 23);
    for (std::size_t i = 0; i < password.size(); ++i) {
        CHECK((password[i] == '-') == (i % 6 == 5));
    }
    CHECK(password.find_first_of("01OIl") == std::string::npos);
}
