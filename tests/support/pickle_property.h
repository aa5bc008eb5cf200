#pragma once
// What must hold for every sequence of bytes that is given to the pickle gate. Used by the fuzzer,
// by the tool that the oracle asks, and by the unit tests.

#include <string>

#include "common/pickle.h"

namespace tests {

// What is broken, or nothing. `rewritten`, if wanted, gets what the writer makes of an accepted
// one.
inline std::string broken_pickle_property(const common::Bytes& pickle, common::PickleUse use,
                                          common::Bytes* rewritten = nullptr) {
    const auto value = common::read_pickle(pickle, use);
    const auto checked = common::check_pickle(pickle, use);
    if (value.has_value() != checked.has_value()) {
        return "the reader and the checker disagree";
    }
    if (!value) {
        return value.error().what == checked.error().what ? "" : "they refuse for other reasons";
    }
    const common::Bytes once = common::write_pickle(*value);
    const auto again = common::read_pickle(once, use);
    if (!again) {
        return "what we wrote is refused: " + again.error().what;
    }
    if (!common::identical(*value, *again)) {
        return "what we wrote is another value";
    }
    if (!(common::write_pickle(*again) == once)) {
        return "writing it again gives other bytes";
    }
    if (!common::identical(*value, common::deep_copy(*value))) {
        return "its copy is another value";
    }
    if (rewritten != nullptr) {
        *rewritten = once;
    }
    return "";
}

}  // namespace tests
