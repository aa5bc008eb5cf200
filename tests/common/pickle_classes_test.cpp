#include "common/pickle_classes.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "common/delta.h"
#include "common/pickle.h"

using namespace common;
using namespace std::string_literals;

namespace {

// The setting for as long as it lives.
struct Allowed {
    explicit Allowed(std::string_view text) { allow_classes(read_class_list(text).value()); }
    ~Allowed() { allow_classes({}); }
    Allowed(const Allowed&) = delete;
    Allowed& operator=(const Allowed&) = delete;
};

std::string pickled(std::string_view rest) {
    return "\x80\x04"s + std::string(rest) + ".";
}
const std::string kPose = "\x8c\x06studio\x8c\x04Pose\x93";

std::string outcome(std::string_view rest, PickleUse use = PickleUse::Plain) {
    const Bytes bytes(pickled(rest));
    const auto value = read_pickle(bytes, use);
    CHECK(value.has_value() == check_pickle(bytes, use).has_value());
    if (!value) {
        return value.error().what;
    }
    const Bytes written = write_pickle(*value);
    const auto again = read_pickle(written, use);
    REQUIRE(again);
    CHECK(identical(*value, *again));
    CHECK(identical(*value, deep_copy(*value)));
    CHECK(write_pickle(*again) == written);
    return "read";
}

}  // namespace

TEST_CASE("the setting is a list of names with dots") {
    CHECK(read_class_list("studio.Pose")->size() == 1);
    CHECK(read_class_list(" studio.rig.Pose , _a1.B ")->back() == "_a1.B");
    CHECK(read_class_list("")->empty());
    CHECK(read_class_list("studio.Pose,")->size() == 1);
    for (const char* wrong : {"Pose", "studio.", ".Pose", "a..b", "a.b c.d", "a.1b",
                              "builtins.eval", "__builtin__.eval", "a.b;c.d", "a.\xc3\xa9"}) {
        CAPTURE(wrong);
        CHECK_FALSE(read_class_list(wrong));
    }
}

TEST_CASE("a class is let in by its whole name, and in node data only") {
    const std::string closed = outcome(kPose + ")\x81");
    CHECK(closed.find("studio.Pose is not allowed") != closed.npos);
    const Allowed allowed("studio.Pose");
    CHECK(outcome(kPose + ")\x81") == "read");
    CHECK(outcome(kPose) == "read");
    CHECK(outcome("cstudio\nPose\n)\x81") == "read");
    CHECK(outcome("\x8c\x06studio\x8c\x05Poser\x93)\x81") != "read");
    CHECK(outcome("\x8c\x02os\x8c\x06system\x93)\x81") != "read");
    CHECK(outcome(kPose + ")\x81", PickleUse::Delta) != "read");
    const Allowed dates("datetime.time");
    const std::string time =
        "\x8c\x08"
        "datetime\x8c\x04time\x93"
        "C\x02"
        "ab\x85R";
    CHECK(outcome(time) == "read");
    CHECK(outcome(time, PickleUse::Delta) == "read");  // as deepdiff at the clients does
}

TEST_CASE("objects are made in each way of a pickler, filled in its order, and kept so") {
    const Allowed allowed("studio.Pose");
    CHECK(outcome(kPose + "K\x01\x85\x81") == "read");                    // __new__(1)
    CHECK(outcome(kPose + "K\x01K\x02\x86R") == "read");                  // a call
    CHECK(outcome(kPose + ")}\x8c\x01nK\x01s\x92") == "read");            // named arguments
    CHECK(outcome(kPose + ")\x81}\x8c\x01xK\x05sb") == "read");           // a state
    CHECK(outcome(kPose + ")\x81K\x01" + "a") == "read");                 // a list
    CHECK(outcome(kPose + ")\x81(K\x01K\x02" + "e") == "read");           // ... of two
    CHECK(outcome(kPose + ")\x81(K\x01K\x02u") == "read");                // a dict
    CHECK(outcome(kPose + ")\x81(K\x01" + "e(K\x01K\x02u}b") == "read");  // all of it
    CHECK(outcome("]\x94(" + kPose + ")\x81\x94h\x01" + "e") == "read");  // twice the same
    CHECK(outcome(kPose + ")\x81(K\x01K\x02u(K\x01" + "e") != "read");    // items after keys
    CHECK(outcome(kPose + ")\x81}b(K\x01" + "e") != "read");              // ... after the state
    CHECK(outcome(kPose + ")\x81}b}b") != "read");                        // two states
    CHECK(outcome(kPose + ")\x81Nb") != "read");                          // a state of None
    CHECK(outcome(kPose + "]\x81") != "read");                            // no tuple
    CHECK(outcome(kPose + ")]\x92") != "read");                           // no names
    CHECK(outcome(kPose + ")\x81\x94]h\x00"s + "aa") != "read");          // in itself
    CHECK(outcome("}" + kPose + ")\x81K\x01s") != "read");                // as a key
}

TEST_CASE("a delta goes around an object, not through it, and compares nothing with it") {
    const Allowed allowed("studio.Pose");
    const auto folded = [](std::string_view action, std::string_view path, Value change) {
        Value base = *read_pickle(Bytes(pickled("}(\x8c\x01p" + kPose + ")\x81\x8c\x01l](" + kPose +
                                                ")\x81K\x07" + "e\x8c\x01nK\x01u")));
        const Value delta = Value::dict(
            {{Value::str(action), Value::dict({{Value::str(path), std::move(change)}})}});
        const auto done = fold_delta(base, delta);
        return done ? repr(base) : done.error().kind == ErrorKind::Unsupported ? "refused" : "?";
    };
    const Value two = Value::dict({{Value::str("new_value"), Value::integer(2)}});
    CHECK(folded("values_changed", "root['n']", two) ==
          "{'p': Pose().([], [], None), 'l': [Pose().([], [], None), 7], 'n': 2}");
    CHECK(folded("values_changed", "root['p']", two) ==
          "{'p': 2, 'l': [Pose().([], [], None), 7], 'n': 1}");
    CHECK(folded("dictionary_item_removed", "root['p']", Value()) ==
          "{'l': [Pose().([], [], None), 7], 'n': 1}");
    CHECK(folded("values_changed", "root['p']['x']", two) == "refused");
    CHECK(folded("values_changed", "root['p'].x", two) == "refused");
    CHECK(folded("iterable_item_removed", "root['l'][0]", Value::integer(7)) == "refused");
    CHECK(folded("iterable_item_removed", "root['l'][1]", Value::integer(7)) ==
          "{'p': Pose().([], [], None), 'l': [Pose().([], [], None)], 'n': 1}");
}
