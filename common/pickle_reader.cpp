#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>

#include "common/extent.h"
#include "common/pickle.h"
#include "common/pickle_machine.h"
#include "common/pickle_recursion.h"

namespace common {

namespace pickle {

std::optional<std::uint32_t> find_class(std::string_view module, std::string_view name,
                                        unsigned protocol, PickleUse use) {
    // deepdiff's own table is asked with the names as they stand in the pickle.
    if (protocol == 2 && module == "__builtin__" && use != PickleUse::Delta) {
        if (name == "unicode") {
            return kStr;
        }
        if (name == "long") {
            return kInt;
        }
        module = "builtins";
    }
    for (std::uint32_t index = 0; index < kNoneType; ++index) {
        const KnownClass& known = kClasses[index];
        if (known.name == name && known.module == module) {
            return use == PickleUse::Delta && !known.in_deltas ? std::nullopt
                                                               : std::optional(index);
        }
    }
    return std::nullopt;
}

template <std::size_t Size>
bool is_ascii(const char* text) {
    std::array<std::uint64_t, Size / 8> words;
    std::memcpy(words.data(), text, Size);
    std::uint64_t any = 0;
    for (const std::uint64_t word : words) {
        any |= word;
    }
    return (any & 0x8080808080808080U) == 0;
}

bool is_python_utf8(std::string_view text) {
    const char* at = text.data();
    const char* const end = at + text.size();
    const auto byte = [&](int offset) { return static_cast<unsigned char>(at[offset]); };
    const auto follows = [&](int offset) { return (byte(offset) & 0xc0U) == 0x80U; };
    while (at != end) {
        if (end - at >= 32 && is_ascii<32>(at)) {
            at += 32;
            continue;
        }
        if (end - at >= 8 && is_ascii<8>(at)) {
            at += 8;
            continue;
        }
        const unsigned first = byte(0);
        if (first < 0x80) {
            at += 1;
        } else if (first >= 0xc2 && first < 0xe0 && end - at >= 2 && follows(1)) {
            at += 2;
        } else if (first >= 0xe0 && first < 0xf0 && end - at >= 3 && follows(1) && follows(2) &&
                   (first != 0xe0 || byte(1) >= 0xa0)) {
            at += 3;
        } else if (first >= 0xf0 && first < 0xf5 && end - at >= 4 && follows(1) && follows(2) &&
                   follows(3) && (first != 0xf0 || byte(1) >= 0x90) &&
                   (first != 0xf4 || byte(1) < 0x90)) {
            at += 4;
        } else {
            return false;
        }
    }
    return true;
}

std::optional<std::string> latin1(std::string_view text) {
    std::string result;
    result.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto first = static_cast<unsigned char>(text[i]);
        if (first < 0x80) {
            result += text[i];
        } else if (first < 0xc4) {
            ++i;
            result += static_cast<char>((first & 3U) << 6 |
                                        (static_cast<unsigned char>(text[i]) & 0x3fU));
        } else {
            return std::nullopt;
        }
    }
    return result;
}

std::string_view shortest_int(std::string_view bytes) {
    while (!bytes.empty()) {
        const bool negative =
            bytes.size() > 1 && (static_cast<unsigned char>(bytes[bytes.size() - 2]) & 0x80U) != 0;
        const char redundant = negative ? '\xff' : '\0';
        if (bytes.back() != redundant) {
            break;
        }
        bytes.remove_suffix(1);
    }
    return bytes;
}

std::int64_t small_int(std::string_view bytes) {
    std::uint64_t result =
        !bytes.empty() && (static_cast<unsigned char>(bytes.back()) & 0x80U) != 0 ? ~0ULL : 0;
    for (std::size_t i = bytes.size(); i > 0; --i) {
        result = result << 8 | static_cast<unsigned char>(bytes[i - 1]);
    }
    return static_cast<std::int64_t>(result);
}

std::string printable(std::string_view text) {
    std::string result(text.substr(0, 80));
    for (char& letter : result) {
        if (letter < 0x20 || letter > 0x7e) {
            letter = '?';
        }
    }
    return result;
}

}  // namespace pickle

namespace {

using pickle::kClasses;

constexpr std::size_t kSharedBytesMin = 1024;

using pickle::Box;
using pickle::Kind;
using pickle::Shadow;
using Items = std::span<const Shadow>;
using Boxes = std::vector<Box>;

// Makes nothing: the machine's decisions are all that is wanted.
struct Checker {
    struct Result {};

    static Result result(const Shadow&) { return {}; }
    static std::uint32_t new_list() { return 0; }
    static std::uint32_t new_dict() { return 0; }
    static std::uint32_t new_set() { return 0; }
    static std::uint32_t new_bytes(std::string_view) { return 0; }
    static std::uint32_t new_byte_array(std::string_view) { return 0; }
    static std::uint32_t new_shared(const Shadow&) { return 0; }
    static std::uint32_t byte_array_of(const Shadow&) { return 0; }
    static std::uint32_t tuple(Items, const Boxes&) { return 0; }
    static std::uint32_t frozen_set(Items, const Boxes&) { return 0; }
    static std::uint32_t set_of_list(Kind, const Shadow&) { return 0; }
    static std::uint32_t object(const Shadow&, const Shadow&, const Boxes&) { return 0; }
    static void append(const Shadow&, Items, const Boxes&) {}
    static void set_items(const Shadow&, Items, const Boxes&) {}
    static void add_items(const Shadow&, Items, const Boxes&) {}
    static void build(const Shadow&, const Shadow&, const Boxes&) {}
    static std::uint32_t allowed_class(std::string_view, std::string_view) { return 0; }
    static std::uint32_t opaque_object(Items, Object::Call, const Boxes&) { return 0; }
    static void object_items(const Shadow&, Items, const Boxes&) {}
    static void object_keys(const Shadow&, Items, const Boxes&) {}
    static void object_state(const Shadow&, const Shadow&, const Boxes&) {}
};

// Makes Values. A leaf is made when a container takes it; what is made before that is kept in
// `made_`, and moved out when nothing can refer to it again.
class Builder {
public:
    using Result = Value;

    // `made` is for what is made on the way; it is left empty.
    Builder(const Bytes& pickle, std::vector<Value>& made) : pickle_(pickle), made_(made) {
        made_.emplace_back();
    }
    Builder(const Builder&) = delete;
    Builder& operator=(const Builder&) = delete;
    ~Builder() { made_.clear(); }

    Value result(const Shadow& shadow) {
        return shadow.made == 0 ? leaf(shadow) : made_[shadow.made];
    }

    std::uint32_t new_list() { return keep(Value(std::make_shared<List>())); }
    std::uint32_t new_dict() { return keep(Value(std::make_shared<Dict>())); }
    std::uint32_t new_set() { return keep(Value(std::make_shared<Set>())); }
    std::uint32_t new_bytes(std::string_view bytes) {
        return keep(Value::bytes(Bytes::copy_of(bytes)));
    }
    std::uint32_t new_byte_array(std::string_view bytes) {
        return keep(Value(std::make_shared<ByteArray>(ByteArray{std::string(bytes)})));
    }
    std::uint32_t new_shared(const Shadow& text) { return keep(leaf(text)); }
    std::uint32_t byte_array_of(const Shadow& bytes) {
        return new_byte_array(bytes.made == 0 ? text_of(bytes)
                                              : made_[bytes.made].as_bytes()->view());
    }
    std::uint32_t tuple(Items items, const Boxes& boxes) {
        auto tuple = std::make_shared<Tuple>();
        add_all(tuple->items, items, boxes);
        return keep(Value(TupleRef(std::move(tuple))));
    }
    std::uint32_t frozen_set(Items items, const Boxes& boxes) {
        auto set = std::make_shared<Set>();
        for (const Shadow& item : items) {
            set->add(take(item, boxes));
        }
        return keep(Value(FrozenSetRef(std::move(set))));
    }
    std::uint32_t set_of_list(Kind kind, const Shadow& arguments) {
        auto set = std::make_shared<Set>();
        for (const Value& item : made_[arguments.made].as_tuple()->items[0].as_list()->items) {
            set->add(item);
        }
        return keep(kind == Kind::Set ? Value(std::move(set))
                                      : Value(FrozenSetRef(std::move(set))));
    }
    std::uint32_t object(const Shadow& cls, const Shadow& arguments, const Boxes& boxes) {
        return keep(Value(std::make_shared<Object>(
            Object{std::get<ClassPtr>(leaf(cls).storage()), take(arguments, boxes), Value()})));
    }
    std::uint32_t allowed_class(std::string_view module, std::string_view name) {
        return keep(Value(ClassPtr(
            std::make_shared<const ClassRef>(ClassRef{std::string(module), std::string(name)}))));
    }
    // `parts`: the class, and what it is called with.
    std::uint32_t opaque_object(Items parts, Object::Call call, const Boxes& boxes) {
        Value arguments = take(parts[1], boxes);
        if (call == Object::Call::NewWithNames) {
            arguments = Value::tuple({arguments, take(parts[2], boxes)});
        }
        return keep(Value(std::make_shared<Object>(
            Object{std::get<ClassPtr>(made_[parts[0].made].storage()), std::move(arguments),
                   Value::tuple({Value::list(), Value::list(), Value()}), call, true})));
    }
    void object_items(const Shadow& object, Items items, const Boxes& boxes) {
        add_all(inside(object)[0].as_list()->items, items, boxes);
    }
    void object_keys(const Shadow& object, Items items, const Boxes& boxes) {
        add_all(inside(object)[1].as_list()->items, items, boxes);
    }
    void object_state(const Shadow& object, const Shadow& state, const Boxes& boxes) {
        const std::vector<Value>& parts = inside(object);
        made_[object.made].as_object()->state =
            Value::tuple({parts[0], parts[1], take(state, boxes)});
    }

    void append(const Shadow& list, Items items, const Boxes& boxes) {
        add_all(made_[list.made].as_list()->items, items, boxes);
    }
    void set_items(const Shadow& dict, Items items, const Boxes& boxes) {
        Dict& to = *made_[dict.made].as_dict();
        if (to.size() == 0) {
            to.reserve(items.size() / 2);
        }
        for (std::size_t i = 0; i < items.size(); i += 2) {
            to.set(take(items[i], boxes), take(items[i + 1], boxes));
        }
    }
    void add_items(const Shadow& set, Items items, const Boxes& boxes) {
        Set& to = *made_[set.made].as_set();
        for (const Shadow& item : items) {
            to.add(take(item, boxes));
        }
    }
    void build(const Shadow& object, const Shadow& state, const Boxes& boxes) {
        made_[object.made].as_object()->state = take(state, boxes);
    }

protected:
    const std::vector<Value>& made() const { return made_; }

private:
    const std::vector<Value>& inside(const Shadow& object) const {
        return made_[object.made].as_object()->state.as_tuple()->items;
    }

    std::uint32_t keep(Value value) {
        made_.push_back(std::move(value));
        return static_cast<std::uint32_t>(made_.size() - 1);
    }

    Value take(const Shadow& shadow, const Boxes& boxes) {
        if (shadow.made == 0) {
            return leaf(shadow);
        }
        if (has_box(shadow.kind) && shadow.aux != 0 && !boxes[shadow.aux].memoized) {
            return std::move(made_[shadow.made]);
        }
        return made_[shadow.made];
    }

    void add_all(std::vector<Value>& to, Items items, const Boxes& boxes) {
        if (to.empty()) {
            to.reserve(items.size());
        }
        for (const Shadow& item : items) {
            to.push_back(take(item, boxes));
        }
    }

    Value leaf(const Shadow& shadow) const {
        switch (shadow.kind) {
            case Kind::Bool:
                return Value(shadow.bits != 0);
            case Kind::Int:
                return Value(static_cast<std::int64_t>(shadow.bits));
            case Kind::BigInt:
                return Value(BigIntRef(
                    std::make_shared<const BigInt>(BigInt{std::string(text_of(shadow))})));
            case Kind::Float:
                return Value(std::bit_cast<double>(shadow.bits));
            case Kind::Str:
                return Value::str(text_of(shadow));
            case Kind::Bytes:
                return bytes(text_of(shadow));
            case Kind::Class: {
                const pickle::KnownClass& known = kClasses[shadow.aux];
                return Value(ClassPtr(std::make_shared<const ClassRef>(
                    ClassRef{std::string(known.module), std::string(known.name)})));
            }
            default:
                return {};  // None; the others are made before
        }
    }

    Value bytes(std::string_view view) const {
        if (view.size() < kSharedBytesMin) {
            return Value::bytes(Bytes::copy_of(view));
        }
        return Value::bytes(
            pickle_.slice(static_cast<std::size_t>(view.data() - pickle_.data()), view.size()));
    }

    const Bytes& pickle_;
    std::vector<Value>& made_;  // from 1 on
};

// Makes recursive Values: with references in circles at first, which nobody would ever free.
class RecursiveBuilder : public Builder {
public:
    using Builder::Builder;
    RecursiveBuilder(const RecursiveBuilder&) = delete;
    RecursiveBuilder& operator=(const RecursiveBuilder&) = delete;
    ~RecursiveBuilder() {
        for (const Value& value : made()) {
            if (!is_cut_ || !cutter_.reached(value)) {
                pickle::empty(value);
            }
        }
    }

    common::Result<Value> result(const Shadow& shadow) {
        Value value = TRY(cutter_.cut(Builder::result(shadow)));
        is_cut_ = true;
        Extent extent;
        if (!Measure().fits(value, extent)) {
            return fail(ErrorKind::Limit, "pickle: recursive value that is too deep or too large");
        }
        return value;
    }

private:
    pickle::CircleCutter cutter_;
    bool is_cut_ = false;
};

// Of one thread: kept from pickle to pickle, unless a big one made it large.
struct Workplace {
    pickle::Scratch scratch;
    std::vector<Value> made;

    bool is_large() const {
        constexpr std::size_t kItemsMax = 4096;
        return std::max({scratch.stack.capacity(), scratch.memo.capacity(),
                         scratch.boxes.capacity(), made.capacity()}) > kItemsMax;
    }
};

template <typename Read>
auto at_workplace(const Read& read) {
    thread_local Workplace workplace;
    auto result = read(workplace);
    if (workplace.is_large()) {
        workplace = {};
    }
    return result;
}

bool may_be_recursive(PickleUse use) {
    return use != PickleUse::Plain;
}

Result<Value> read_recursive(const Bytes& pickle, PickleUse use, Workplace& workplace) {
    RecursiveBuilder builder(pickle, workplace.made);
    return pickle::Machine(pickle.view(), use, builder, workplace.scratch, true).run();
}

}  // namespace

Result<Value> read_pickle(const Bytes& pickle, PickleUse use) {
    return at_workplace([&](Workplace& workplace) -> Result<Value> {
        {
            Builder builder(pickle, workplace.made);
            pickle::Machine machine(pickle.view(), use, builder, workplace.scratch);
            Result<Value> value = machine.run();
            if (!machine.met_recursion() || !may_be_recursive(use)) {
                return value;
            }
        }
        return read_recursive(pickle, use, workplace);
    });
}

Result<void> check_pickle(const Bytes& pickle, PickleUse use) {
    return at_workplace([&](Workplace& workplace) -> Result<void> {
        Checker checker;
        pickle::Machine machine(pickle.view(), use, checker, workplace.scratch);
        const auto checked = machine.run();
        if (machine.met_recursion() && may_be_recursive(use)) {
            TRY(read_recursive(pickle, use, workplace));
            return {};
        }
        TRY(checked);
        return {};
    });
}

}  // namespace common
