#pragma once
// The opcodes and classes that a pickle may name, and what the machine knows of a value.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/pickle.h"

namespace common::pickle {

// Those of protocols 2 to 5 that Python's picklers write for our types.
enum class Opcode : unsigned char {
    Mark = '(',
    Stop = '.',
    Pop = '0',
    PopMark = '1',
    BinInt = 'J',
    BinInt1 = 'K',
    BinInt2 = 'M',
    None = 'N',
    BinPersId = 'Q',
    Reduce = 'R',
    BinUnicode = 'X',
    Append = 'a',
    Build = 'b',
    Global = 'c',
    Appends = 'e',
    BinGet = 'h',
    LongBinGet = 'j',
    BinPut = 'q',
    LongBinPut = 'r',
    SetItem = 's',
    Tuple = 't',
    SetItems = 'u',
    EmptyList = ']',
    EmptyTuple = ')',
    EmptyDict = '}',
    BinFloat = 'G',
    BinBytes = 'B',
    ShortBinBytes = 'C',
    Proto = 0x80,
    NewObj = 0x81,
    Tuple1 = 0x85,
    Tuple2 = 0x86,
    Tuple3 = 0x87,
    NewTrue = 0x88,
    NewFalse = 0x89,
    Long1 = 0x8a,
    Long4 = 0x8b,
    ShortBinUnicode = 0x8c,
    BinUnicode8 = 0x8d,
    BinBytes8 = 0x8e,
    EmptySet = 0x8f,
    AddItems = 0x90,
    FrozenSet = 0x91,
    StackGlobal = 0x93,
    Memoize = 0x94,
    Frame = 0x95,
    ByteArray8 = 0x96,
    NewObjEx = 0x92,
};

// The persistent id by which deepdiff writes type(None).
inline constexpr std::string_view kNoneTypeId = "<<NoneType>>";

// Classes that may be named. Of all but NoneType, which has no name that can be imported.
struct KnownClass {
    std::string_view module;
    std::string_view name;
    bool in_deltas;  // deepdiff 8.1.1's SAFE_TO_IMPORT has it
};
inline constexpr std::array kClasses = {
    KnownClass{"builtins", "bool", true},
    KnownClass{"builtins", "bytearray", false},
    KnownClass{"builtins", "bytes", true},
    KnownClass{"builtins", "complex", true},
    KnownClass{"builtins", "dict", true},
    KnownClass{"builtins", "float", true},
    KnownClass{"builtins", "frozenset", true},
    KnownClass{"builtins", "int", true},
    KnownClass{"builtins", "list", true},
    KnownClass{"builtins", "set", true},
    KnownClass{"builtins", "str", true},
    KnownClass{"builtins", "tuple", true},
    KnownClass{"deepdiff.helper", "Opcode", true},
    KnownClass{"deepdiff.helper", "SetOrdered", true},
    KnownClass{"orderly_set.sets", "OrderedSet", true},
    KnownClass{"orderly_set.sets", "OrderlySet", true},
    KnownClass{"orderly_set.sets", "StableSetEq", true},
    KnownClass{"builtins", "NoneType", true},
};

consteval std::uint32_t class_index(std::string_view name) {
    std::uint32_t index = 0;
    while (kClasses.at(index).name != name) {
        ++index;
    }
    return index;
}
inline constexpr std::uint32_t kByteArray = class_index("bytearray");
inline constexpr std::uint32_t kBytes = class_index("bytes");
inline constexpr std::uint32_t kFrozenSet = class_index("frozenset");
inline constexpr std::uint32_t kInt = class_index("int");
inline constexpr std::uint32_t kSet = class_index("set");
inline constexpr std::uint32_t kStr = class_index("str");
inline constexpr std::uint32_t kOpcode = class_index("Opcode");
inline constexpr std::uint32_t kSetOrdered = class_index("SetOrdered");
inline constexpr std::uint32_t kNoneType = class_index("NoneType");
// Any of those that the setting allows; the policy knows its name.
inline constexpr std::uint32_t kAllowedClass = kClasses.size();

// Protocol 2 may use Python 2's names.
std::optional<std::uint32_t> find_class(std::string_view module, std::string_view name,
                                        unsigned protocol, PickleUse use);

// What the machine knows of a value on the stack.
enum class Kind : std::uint8_t {
    // Leaves.
    None,
    Bool,
    Int,
    BigInt,
    Float,
    Str,
    Bytes,
    ByteArray,
    // With a box.
    List,
    Tuple,
    Dict,
    Set,
    FrozenSet,
    Object,
    // Names. Encode is _codecs.encode, which protocol 2 calls to write bytes.
    Class,
    Encode
};
inline constexpr Kind kLastLeaf = Kind::ByteArray;
constexpr bool has_text(Kind kind) {
    return kind == Kind::Str || kind == Kind::Bytes;
}
constexpr bool has_box(Kind kind) {
    return kind >= Kind::List && kind <= Kind::Object;
}
constexpr bool is_hashable_kind(Kind kind) {
    return kind == Kind::Tuple || kind == Kind::FrozenSet;
}

// A value on the stack: leaves stand here whole and are made when a container takes them.
struct Shadow {
    Kind kind = Kind::None;
    bool hashable = true;
    std::uint32_t aux = 0;   // length of a text or BigInt; box of a container; class
    std::uint32_t made = 0;  // what the policy made of it, or 0
    union {
        std::uint64_t bits = 0;  // of a Bool, Int or Float
        const char* text;        // of a Str, Bytes, ByteArray or BigInt, in the pickle
    };
};
inline Shadow number_shadow(Kind kind, std::uint64_t bits) {
    Shadow shadow;
    shadow.kind = kind;
    shadow.bits = bits;
    return shadow;
}
inline Shadow text_shadow(Kind kind, std::string_view text) {
    Shadow shadow;
    shadow.kind = kind;
    shadow.hashable = kind != Kind::ByteArray;
    shadow.aux = static_cast<std::uint32_t>(text.size());
    shadow.text = text.data();
    return shadow;
}
inline std::string_view text_of(const Shadow& text) {
    return {text.text, text.aux};
}

// Of each container, shared by all that refer to it.
struct Box {
    std::uint32_t weight = 0;     // values below it, a shared one each time it is reached
    std::uint32_t text = 0;       // bytes of str and bytes below it
    std::uint32_t hard_keys = 0;  // of its own items, those that would be hard keys
    std::uint16_t depth = 1;
    bool items_hashable = true;
    bool placed = false;         // stands in another container, so it must not grow
    bool memoized = false;       // may be referred to again
    bool unbuilt : 1 = false;    // an object that waits for its state
    bool only_none : 1 = false;  // the tuple (None,)
    // An object of an allowed class, and what may be put into it still: a pickler puts in items,
    // then keys, then the state.
    enum class Opaque : std::uint8_t { No, Items, Keys, State, Complete } opaque = Opaque::No;
    std::uint8_t size = 0;  // of a tuple, up to 255
};

// UTF-8 as Python's 'surrogatepass' reads it: lone surrogates are let through.
bool is_python_utf8(std::string_view text);
// Nothing if a character is beyond Latin-1. `text` is UTF-8.
std::optional<std::string> latin1(std::string_view text);

// Two's complement, little endian.
std::string_view shortest_int(std::string_view bytes);
std::int64_t small_int(std::string_view bytes);  // up to 8 bytes

// A piece of foreign text for a log line.
std::string printable(std::string_view text);

}  // namespace common::pickle
