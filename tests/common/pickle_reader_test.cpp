#include <doctest/doctest.h>

#include <random>
#include <string>
#include <string_view>

#include "common/limits.h"
#include "common/pickle.h"
#include "tests/support/pickle_outcome.h"
#include "tests/support/pickle_property.h"

using common::Bytes;
using common::ErrorKind;
using common::PickleUse;
using common::Value;
using namespace std::string_literals;
using namespace tests;

TEST_CASE("leaves") {
    CHECK(outcome(p4("N")) == "None");
    CHECK(outcome(p4("\x88")) == "True");
    CHECK(outcome(p4("\x89")) == "False");
    CHECK(outcome(p4("K\xff")) == "255");
    CHECK(outcome(p4("M\xff\xff")) == "65535");
    CHECK(outcome(p4("J\xff\xff\xff\xff")) == "-1");
    CHECK(outcome(p4("\x8a\x00"s)) == "0");
    CHECK(outcome(p4("\x8a\x01\xff")) == "-1");
    CHECK(outcome(p4("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00"s)) == "9223372036854775808");
    CHECK(outcome(p4("\x8a\x0a\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00"s)) == "5");
    CHECK(outcome(p4("\x8b\x02\x00\x00\x00\x00\x80"s)) == "-32768");
    CHECK(outcome(p4("G\x3f\xf8\x00\x00\x00\x00\x00\x00"s)) == "1.5");
    CHECK(outcome(p4("\x8c\x03"
                     "a\xc3\xbc")) == "'a\xc3\xbc'");
    CHECK(outcome(p4("X\x01\x00\x00\x00z"s)) == "'z'");
    CHECK(outcome(p4("\x8d\x01\x00\x00\x00\x00\x00\x00\x00z"s)) == "'z'");
    CHECK(outcome(p4("C\x02"
                     "a\xff")) == "b'a\\xff'");
    CHECK(outcome(p4("\x96\x01\x00\x00\x00\x00\x00\x00\x00z"s)) == "bytearray(b'z')");
}

TEST_CASE("a lone surrogate is a str, other bytes that are not UTF-8 are none") {
    CHECK(outcome(p4("\x8c\x03\xed\xa0\x80")) == "'\xed\xa0\x80'");
    is_refused(p4("\x8c\x01\xff"), "not UTF-8");
    is_refused(p4("\x8c\x02\xc0\x80"), "not UTF-8");
    is_refused(p4("\x8c\x03\xe0\x80\x80"), "not UTF-8");
    is_refused(p4("\x8c\x04\xf4\x90\x80\x80"), "not UTF-8");
    is_refused(p4("\x8c\x0a"
                  "12345678\xc3z"),
               "not UTF-8");
}

TEST_CASE("containers") {
    CHECK(outcome(p4("](K\x01K\x02"
                     "e")) == "[1, 2]");
    CHECK(outcome(p4("]K\x01"
                     "a(K\x02K\x03"
                     "e")) == "[1, 2, 3]");
    CHECK(outcome(p4(")")) == "()");
    CHECK(outcome(p4("K\x01\x85")) == "(1,)");
    CHECK(outcome(p4("K\x01K\x02\x86")) == "(1, 2)");
    CHECK(outcome(p4("K\x01K\x02K\x03\x87")) == "(1, 2, 3)");
    CHECK(outcome(p4("(K\x01K\x02K\x03K\x04t")) == "(1, 2, 3, 4)");
    CHECK(outcome(p4("}(K\x01NK\x02]u")) == "{1: None, 2: []}");
    CHECK(outcome(p4("}K\x01Ns")) == "{1: None}");
    CHECK(outcome(p4("\x8f(K\x01K\x02\x90")) == "{1, 2}");
    CHECK(outcome(p4("(K\x01K\x02\x91")) == "frozenset({1, 2})");
}

TEST_CASE("equal keys are one: the first key stays, the last value wins") {
    CHECK(outcome(p4("}(K\x01K\x0a\x88K\x0bG\x3f\xf0\x00\x00\x00\x00\x00\x00K\x0cu"s)) ==
          "{1: 12}");
    CHECK(outcome(p4("\x8f(\x88K\x01\x90")) == "{True}");
}

TEST_CASE("what cannot be hashed is no key") {
    is_refused(p4("}]Ns"), "cannot be hashed");
    is_refused(p4("}]\x85Ns"), "cannot be hashed");
    is_refused(p4("\x8f(\x8f\x90"), "cannot be hashed");
    is_refused(p4("(}\x91"), "cannot be hashed");
    CHECK(outcome(p4("}(K\x01\x91\x85Ns")) == "{(frozenset({1}),): None}");
}

TEST_CASE("shared containers stay shared, in every order of the memo") {
    const Value value =
        read(p4("](]\x94K\x01"
                "ah\x00"
                "e"s));
    const auto& items = value.as_list()->items;
    CHECK(items[0].as_list() == items[1].as_list());
    CHECK(common::repr(value) == "[[1], [1]]");
    CHECK(outcome(p2("](]q\x00K\x01"
                     "ah\x00"
                     "e"s)) == "[[1], [1]]");
}

TEST_CASE("protocol 2 and 3 spell bytes, bytearrays and sets as calls") {
    CHECK(outcome(p2("c__builtin__\nset\nq\x00]q\x01(K\x01K\x02"
                     "e\x85q\x02Rq\x03"s)) == "{1, 2}");
    CHECK(outcome(p2("cbuiltins\nfrozenset\nq\x00]q\x01K\x01"
                     "a\x85q\x02Rq\x03"s)) == "frozenset({1})");
    CHECK(outcome(p2("c_codecs\nencode\nX\x03\x00\x00\x00"
                     "a\xc3\xbfX\x06\x00\x00\x00latin1\x86R"s)) == "b'a\\xff'");
    CHECK(outcome(p2("c__builtin__\nbytes\n)R")) == "b''");
    CHECK(outcome(p2("c__builtin__\nbytearray\n)R")) == "bytearray(b'')");
    CHECK(outcome(p4("\x8c\x08"
                     "builtins\x8c\x09"
                     "bytearray\x93"
                     "C\x01z\x85R")) == "bytearray(b'z')");
    CHECK(outcome(p2("c__builtin__\nunicode\n")) == "<class 'str'>");
    is_refused(
        "\x80\x03"
        "c__builtin__\nset\n.",
        "__builtin__.set");
    is_refused(p2("c_codecs\nencode\n"), "as a value");
    is_refused(p2("](c_codecs\nencode\ne"), "as a value");
    is_refused(p2("c_codecs\nencode\nX\x02\x00\x00\x00\xc4\x80X\x06\x00\x00\x00latin1\x86R"s),
               "Latin-1");
}

TEST_CASE("what deepdiff writes: classes, NoneType, Opcode, SetOrdered") {
    const std::string builtins =
        "\x8c\x08"
        "builtins";
    const std::string helper =
        "\x8c\x0f"
        "deepdiff.helper";
    CHECK(outcome(p4(builtins + "\x8c\x03str\x93")) == "<class 'str'>");
    CHECK(outcome(p4("\x8c\x0c<<NoneType>>Q")) == "<class 'NoneType'>");
    CHECK(outcome(p4(helper + "\x8c\x06Opcode\x93(\x8c\x06insertK\x00K\x01K\x02K\x03NNt\x81"s)) ==
          "Opcode('insert', 0, 1, 2, 3, None, None)");
    CHECK(outcome(p4(helper + "\x8c\x0aSetOrdered\x93)\x81](K\x01K\x02"
                              "eb")) == "SetOrdered().[1, 2]");
    CHECK(outcome(p4(helper + "\x8c\x0aSetOrdered\x93)\x81N\x85"
                              "b")) == "SetOrdered().(None,)");
    // That tuple is a constant in Python: the second empty set has it from the memo.
    CHECK(outcome(p4("(" + helper +
                     "\x8c\x0aSetOrdered\x93\x94)\x81N\x85\x94"
                     "bK\x07\x85h\x00)\x81h\x01"
                     "bt"s)) == "(SetOrdered().(None,), (7,), SetOrdered().(None,))");
    is_refused(p4("(K\x01\x85\x94N\x85" + helper +
                  "\x8c\x0aSetOrdered\x93)\x81h\x00"
                  "bt"s),
               "SetOrdered");
    is_refused(p4(builtins + "\x8c\x08NoneType\x93"), "builtins.NoneType");
    is_refused(p4("\x8c\x03"
                  "fooQ"),
               "persistent id");
    is_refused(p4(helper + "\x8c\x0aSetOrdered\x93)\x81"), "without its state");
    is_refused(p4(helper + "\x8c\x0aSetOrdered\x93)\x81](]]"
                           "eb"),
               "SetOrdered");
    is_refused(p4(helper + "\x8c\x06Opcode\x93)\x81"), "as no pickler writes it");
    is_refused(p4(builtins + "\x8c\x04list\x93)\x81"), "as no pickler writes it");
}

TEST_CASE("calls that cost more than their bytes, or run something, are refused") {
    const std::string builtins =
        "\x8c\x08"
        "builtins";
    const std::string number = "J\x00\xca\x9a\x3b"s;
    is_refused(p4(builtins +
                  "\x8c\x05"
                  "bytes\x93" +
                  number + "\x85R"),
               "as no pickler writes it");
    is_refused(p4(builtins +
                  "\x8c\x09"
                  "bytearray\x93" +
                  number + "\x85R"),
               "as no pickler writes it");
    is_refused(p4(builtins + "\x8c\x04list\x93]\x85R"), "as no pickler writes it");
    is_refused(p4(builtins + "\x8c\x05range\x93" + number + "\x85R"), "builtins.range");
    is_refused(p4("\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R"), "posix.system is not allowed");
    is_refused(
        "\x80\x02"
        "cos\nsystem\nX\x02\x00\x00\x00id\x85R."s,
        "os.system is not allowed");
    is_refused("cos\nsystem\n(S'id'\ntR.", "protocol");
    is_refused(p4(builtins + "\x8c\x04"
                             "eval\x93\x8c\x01"
                             "1\x85R"),
               "builtins.eval");
    is_refused(p4("\x8c\x15numpy.core.multiarray\x8c\x0c_reconstruct\x93"),
               "numpy.core.multiarray._reconstruct is not allowed");
}

TEST_CASE("a delta of another deepdiff is refused in words that say so") {
    const std::string of_5_7_0 =
        p4("\x8c\x0f"
           "deepdiff.helper\x8c\x0fOrderedDictPlus\x93)R");
    CHECK(outcome(of_5_7_0, PickleUse::Delta).find("the client has not deepdiff 8.1.1") !=
          std::string::npos);
    CHECK(outcome(of_5_7_0, PickleUse::Plain).find("setting CLASSES") != std::string::npos);
}

TEST_CASE("what only one use allows") {
    const std::string none_type = p4("\x8c\x0c<<NoneType>>Q");
    CHECK(outcome(none_type, PickleUse::Delta) == "<class 'NoneType'>");
    CHECK(outcome(none_type, PickleUse::Plain).starts_with("refused: "));
    const std::string array =
        p4("\x8c\x08"
           "builtins\x8c\x09"
           "bytearray\x93"
           "C\x01z\x85R");
    CHECK(outcome(array, PickleUse::Plain) == "bytearray(b'z')");
    CHECK(outcome(array, PickleUse::Delta).starts_with("refused: "));
}

TEST_CASE("what Python reads in another way, or not at all, is refused") {
    is_refused("", "does not begin with a protocol");
    is_refused("N.", "does not begin with a protocol");
    is_refused("\x80\x06N.", "unknown protocol 6");
    is_refused("\x80\x01N.", "unknown protocol 1");
    is_refused("\x80\x04\x80\x04N.", "a second PROTO");
    is_refused("\x80\x04N", "ends before STOP");
    is_refused("\x80\x04N.N", "bytes after STOP");
    is_refused("\x80\x04.", "does not hold one value");
    is_refused("\x80\x04NN.", "does not hold one value");
    is_refused("\x80\x04N(.", "does not hold one value");
    is_refused(p4("K"), "ends before STOP");  // the STOP is its argument
    is_refused(p4("h\x00"s), "not set");
    is_refused(p4("Nq\x01"), "out of order");
    is_refused(p4("Nq\x00q\x00"s), "out of order");
    is_refused(p4("\x94"), "too few values");
    is_refused(p4("]K\x01(a"), "too few values");
    is_refused(p4("e"), "no MARK");
    is_refused(p4("(K\x01"
                  "e"),
               "too few values");
    is_refused(p4("}(K\x01u"), "without a value");
    is_refused(p4(")K\x01"
                  "a"),
               "not a list");
    is_refused(p4("]NNs"), "not a dict");
    is_refused(p4("](N\x90"), "not a set");
    for (const char opcode : "IFLSTUVPgipod012l\x82\x83\x84\x97\x98\xff"s) {
        is_refused(p4("NN"s + opcode), "is not one that we read");
    }
}

TEST_CASE("frames hold whole opcodes") {
    const auto framed = [](char size, const std::string& rest) {
        return "\x80\x04\x95"s + size + std::string(7, '\0') + rest;
    };
    CHECK(outcome(framed(3, "K\x01.")) == "1");
    CHECK(outcome(framed(2, "K\x01.")) == "1");
    is_refused(framed(1, "K\x01."), "over the end of its frame");
    is_refused(framed(4, "K\x01."), "cut off");
    is_refused(framed(12, "\x95\x02\0\0\0\0\0\0\0K\x01."s), "frame inside a frame");
}

TEST_CASE("no memory is taken on the word of a length") {
    is_refused(p4("X\xff\xff\xff\xff"), "cut off");
    is_refused(p4("\x8e\xff\xff\xff\xff\xff\xff\xff\x7f"), "cut off");
    is_refused(p4("\x96\xff\xff\xff\xff\xff\xff\xff\xff"), "cut off");
    is_refused(p4("\x8b\xff\xff\xff\xff"), "too many digits");
    is_refused("\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xffN.", "cut off");
}

TEST_CASE("bounds: depth, expanded size, digits") {
    const auto nested = [](std::size_t depth) {
        return p4(std::string(depth, ']') + std::string(depth - 1, 'a'));
    };
    CHECK(outcome(nested(common::limits::kPickleDepthMax)).starts_with("[[["));
    is_refused(nested(common::limits::kPickleDepthMax + 1), "too deep");
    is_refused(p4(std::string(10'000, '(')), "too deep");

    // Each tuple holds the one before twice: 2 ** n values.
    const auto bomb = [](int levels) {
        std::string body = ")\x94"s;
        for (int i = 0; i < levels; ++i) {
            body += "h"s + static_cast<char>(i) + "\x86\x94";
        }
        return p4(body);
    };
    CHECK(outcome(bomb(20)).starts_with("((("));
    is_refused(bomb(40), "too many values");

    const auto digits = [](std::size_t size) {
        return p4("\x8b"s + static_cast<char>(size & 0xff) + static_cast<char>(size >> 8) +
                  "\0\0"s + std::string(size, '\x01'));
    };
    CHECK(common::read_pickle(Bytes(digits(common::limits::kPickleIntBytesMax))));
    is_refused(digits(common::limits::kPickleIntBytesMax + 1), "too many digits");
    CHECK(common::read_pickle(Bytes(digits(5000))).error().kind == ErrorKind::Limit);
}

TEST_CASE("keys whose hashes in Python an enemy can choose are few") {
    // n * (2^61 - 1) hashes as 0 in Python, (-1, -2) as (-2, -1).
    const auto big = [](std::size_t i) {
        return "\x8a\x09" + std::string(1, static_cast<char>(i & 0xff)) +
               std::string(1, static_cast<char>(i >> 8)) + std::string(6, '\0') + "\x01";
    };
    const auto dict = [&](std::size_t count, const auto& key) {
        std::string items;
        for (std::size_t i = 0; i < count; ++i) {
            items += key(i) + "N";
        }
        return "}(" + items + "u";
    };
    const auto set = [&](std::size_t count, const auto& key) {
        std::string items;
        for (std::size_t i = 0; i < count; ++i) {
            items += key(i);
        }
        return "(" + items;
    };
    const auto small = [](std::size_t i) {
        return "M" + std::string(1, static_cast<char>(i & 0xff)) +
               std::string(1, static_cast<char>(i >> 8));
    };
    const auto tuple = [&](std::size_t i) { return small(i) + "\x85"; };
    constexpr std::size_t kFew = 3'900;
    constexpr std::size_t kMany = 4'100;
    CHECK(outcome(p4(dict(kFew, big))).starts_with("{"));
    is_refused(p4(dict(kMany, big)), "too many values");
    is_refused(p4("](" + dict(2'100, big) + dict(2'100, big) + "e"), "too many values");
    CHECK(outcome(p4(dict(50'000, small))).starts_with("{"));
    is_refused(p4(dict(kMany, tuple)), "too many values");
    CHECK(outcome(p4("\x8f" + set(kFew, tuple) + "\x90")).starts_with("{"));
    is_refused(p4("\x8f" + set(kMany, tuple) + "\x90"), "too many values");
    is_refused(p4(set(kMany, tuple) + "\x91"), "too many values");
    CHECK(outcome(p4("]" + set(kMany, tuple) + "e")).starts_with("["));
    const std::string set_of =
        "\x8c\x08"
        "builtins\x8c\x03set\x93";
    is_refused(p4(set_of + "]" + set(kMany, tuple) + "e\x85R"), "too many values");
    CHECK(outcome(p4(set_of + "]" + set(kMany, small) + "e\x85R")).starts_with("{"));
    // Each counts where it is a key, not again with what it stands in.
    std::string nested = ")";
    for (int i = 0; i < 50; ++i) {
        nested =
            "\x8c\x08"
            "builtins\x8c\x09"
            "frozenset\x93]" +
            nested + "a\x85R";
    }
    CHECK(outcome(p4(nested)).starts_with("frozenset({frozenset({"));
}

TEST_CASE("copies are bounded by the bytes that are there") {
    // One text of 1,000 bytes, made a bytearray again and again.
    std::string body = "](C\xc8" + std::string(200, 'x') +
                       "\x94\x8c\x08"
                       "builtins\x8c\x09"
                       "bytearray\x93\x94";
    for (int i = 0; i < 100; ++i) {
        body += "h\x01h\x00\x85R"s;
    }
    is_refused(p4(body + "e"), "too many copied bytes");
}

TEST_CASE("long byte strings share the memory of the pickle, short ones do not") {
    const Bytes pickle(p4("(B\x00\x04\x00\x00"s + std::string(1024, 'x') +
                          "C\x03"
                          "abct"));
    const auto value = common::read_pickle(pickle);
    REQUIRE(value);
    const auto& items = value->as_tuple()->items;
    CHECK(items[0].as_bytes()->owner() == pickle.owner());
    CHECK(items[0].as_bytes()->size() == 1024);
    CHECK(items[1].as_bytes()->owner() != pickle.owner());
}

TEST_CASE("whatever the bytes, reader, checker and writer agree") {
    std::vector<std::string> seeds;
    const auto add = [&seeds](const Value& value) {
        seeds.emplace_back(common::write_pickle(value).view());
    };
    const Value shared = Value::list({Value::integer(1), Value::str("shared")});
    add(Value::dict({{Value::str("a"), Value::tuple({shared, Value::real(1.5), shared})},
                     {Value::integer(70'000), Value::bytes(Bytes("bytes"s))},
                     {Value::tuple({Value::boolean(true)}), Value::integer(INT64_MIN)}}));
    add(Value::list({Value(std::make_shared<common::ByteArray>(common::ByteArray{"array"})),
                     Value(std::make_shared<common::Set>()), Value::str("\xed\xa0\x80"), shared}));
    seeds.push_back(
        p2("c__builtin__\nset\nq\x00]q\x01(K\x01K\x02"
           "e\x85q\x02Rq\x03"s));
    seeds.push_back(
        p4("\x8c\x0f"
           "deepdiff.helper\x8c\x0aSetOrdered\x93)\x81](K\x01K\x02"
           "eb"));
    seeds.push_back(
        p4("\x8c\x0f"
           "deepdiff.helper\x8c\x06Opcode\x93(\x8c\x06insertK\x00K\x01K\x02K\x03NNt\x81"s));
    std::mt19937 random(7);
    std::size_t accepted = 0;
    for (int round = 0; round < 3000; ++round) {
        std::string pickle = seeds[random() % seeds.size()];
        for (std::size_t changes = random() % 4; changes > 0; --changes) {
            const std::size_t at = random() % pickle.size();
            switch (random() % 4) {
                case 0:
                    pickle[at] = static_cast<char>(random());
                    break;
                case 1:
                    pickle.erase(at, 1 + random() % 3);
                    break;
                case 2:
                    pickle.insert(at, pickle.substr(random() % pickle.size(), random() % 8));
                    break;
                default:
                    pickle.insert(at, 1,
                                  "(.J]})\x85\x94"
                                  "aesu\x81Rb\x8f\x90"[random() % 17]);
            }
            if (pickle.empty()) {
                break;
            }
        }
        CAPTURE(round);
        CHECK(tests::broken_pickle_property(Bytes(pickle), PickleUse::Any) == "");
        accepted += common::check_pickle(Bytes(pickle)) ? 1U : 0U;
    }
    CHECK(accepted > 300);
    CHECK(accepted < 2700);
}
