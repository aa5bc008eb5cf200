#pragma once
// What the pickle gate says of a pickle that a unit test spells out.

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "common/pickle.h"

namespace tests {

// What both say; the checker and the reader must agree on every pickle given here.
inline std::string outcome(const std::string& pickle,
                           common::PickleUse use = common::PickleUse::Any) {
    const common::Bytes bytes(pickle);
    const auto value = common::read_pickle(bytes, use);
    const auto checked = common::check_pickle(bytes, use);
    REQUIRE(value.has_value() == checked.has_value());
    if (!value) {
        CHECK(value.error().what == checked.error().what);
        CHECK(value.error().kind == checked.error().kind);
        return "refused: " + value.error().what;
    }
    return common::repr(*value);
}

inline std::string p2(const std::string& body) {
    return "\x80\x02" + body + ".";
}
inline std::string p4(const std::string& body) {
    return "\x80\x04" + body + ".";
}

inline bool is_refused(const std::string& pickle, std::string_view why) {
    const std::string said = outcome(pickle);
    INFO(said);
    const bool fits = said.starts_with("refused: ") && said.find(why) != std::string::npos;
    CHECK(fits);
    return fits;
}

inline common::Value read(const std::string& pickle) {
    auto value = common::read_pickle(common::Bytes(pickle));
    REQUIRE(value);
    return *value;
}

}  // namespace tests
