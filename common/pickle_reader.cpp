#include <cstring>
#include <memory>

#include "common/pickle.h"
#include "common/pickle_machine.h"

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

bool is_python_utf8(std::string_view text) {
    const char* at = text.data();
    const char* const end = at + text.size();
    const auto byte = [&](int offset) { return static_cast<unsigned char>(at[offset]); };
    const auto follows = [&](int offset) { return (byte(offset) & 0xc0U) == 0x80U; };
    while (at != end) {
        if (end - at >= 8) {
            std::uint64_t eight = 0;
            std::memcpy(&eight, at, 8);
            if ((eight & 0x8080808080808080U) == 0) {
                at += 8;
                continue;
            }
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

struct Nothing {};

// Makes nothing: the machine's decisions are all that is wanted.
struct Checker {
    using Made = Nothing;

    static Nothing none() { return {}; }
    static Nothing boolean(bool) { return {}; }
    static Nothing integer(std::int64_t) { return {}; }
    static Nothing big_int(std::string_view) { return {}; }
    static Nothing real(double) { return {}; }
    static Nothing str(std::string_view) { return {}; }
    static Nothing bytes(std::string_view) { return {}; }
    static Nothing new_bytes(const std::string&) { return {}; }
    static Nothing byte_array(std::string_view) { return {}; }
    static Nothing byte_array_of(Nothing) { return {}; }
    static Nothing named_class(std::uint32_t) { return {}; }
    static Nothing list() { return {}; }
    static Nothing dict() { return {}; }
    static Nothing set() { return {}; }
    template <typename Items>
    static Nothing tuple(Items) {
        return {};
    }
    template <typename Items>
    static Nothing frozen_set(Items) {
        return {};
    }
    static Nothing set_of_list(Nothing) { return {}; }
    static Nothing frozen_set_of_list(Nothing) { return {}; }
    static Nothing object(Nothing, Nothing) { return {}; }
    template <typename Items>
    static void append(Nothing, Items) {}
    template <typename Items>
    static void set_items(Nothing, Items) {}
    template <typename Items>
    static void add_items(Nothing, Items) {}
    static void build(Nothing, Nothing) {}
};

// Makes Values. Items are moved out of the stack, which drops them next.
struct Builder {
    using Made = Value;

    const Bytes* pickle;

    static Value none() { return {}; }
    static Value boolean(bool truth) { return Value(truth); }
    static Value integer(std::int64_t number) { return Value(number); }
    static Value real(double number) { return Value(number); }
    static Value big_int(std::string_view bytes) {
        return Value(BigIntRef(std::make_shared<const BigInt>(BigInt{std::string(bytes)})));
    }
    static Value str(std::string_view text) { return Value::str(text); }
    Value bytes(std::string_view view) const {
        if (view.size() < kSharedBytesMin) {
            return Value::bytes(Bytes::copy_of(view));
        }
        return Value::bytes(
            pickle->slice(static_cast<std::size_t>(view.data() - pickle->data()), view.size()));
    }
    static Value new_bytes(std::string bytes) { return Value::bytes(Bytes(std::move(bytes))); }
    static Value byte_array(std::string_view bytes) {
        return Value(std::make_shared<ByteArray>(ByteArray{std::string(bytes)}));
    }
    static Value byte_array_of(const Value& arguments) {
        return byte_array(arguments.as_tuple()->items[0].as_bytes()->view());
    }
    static Value named_class(std::uint32_t index) {
        return Value(ClassPtr(std::make_shared<const ClassRef>(
            ClassRef{std::string(kClasses[index].module), std::string(kClasses[index].name)})));
    }
    static Value list() { return Value(std::make_shared<List>()); }
    static Value dict() { return Value(std::make_shared<Dict>()); }
    static Value set() { return Value(std::make_shared<Set>()); }

    template <typename Items>
    static Value tuple(Items items) {
        auto tuple = std::make_shared<Tuple>();
        tuple->items.reserve(items.size());
        for (auto& item : items) {
            tuple->items.push_back(std::move(item.made));
        }
        return Value(TupleRef(std::move(tuple)));
    }
    template <typename Items>
    static Value frozen_set(Items items) {
        auto set = std::make_shared<Set>();
        for (auto& item : items) {
            set->add(std::move(item.made));
        }
        return Value(FrozenSetRef(std::move(set)));
    }
    template <typename Items>
    static void append(const Value& list, Items items) {
        std::vector<Value>& to = list.as_list()->items;
        if (to.empty()) {
            to.reserve(items.size());
        }
        for (auto& item : items) {
            to.push_back(std::move(item.made));
        }
    }
    template <typename Items>
    static void set_items(const Value& dict, Items items) {
        Dict& to = *dict.as_dict();
        if (to.size() == 0) {
            to.reserve(items.size() / 2);
        }
        for (std::size_t i = 0; i < items.size(); i += 2) {
            to.set(std::move(items[i].made), std::move(items[i + 1].made));
        }
    }
    template <typename Items>
    static void add_items(const Value& set, Items items) {
        for (auto& item : items) {
            set.as_set()->add(std::move(item.made));
        }
    }
    static std::shared_ptr<Set> new_set_of_list(const Value& arguments) {
        auto set = std::make_shared<Set>();
        for (const Value& item : arguments.as_tuple()->items[0].as_list()->items) {
            set->add(item);
        }
        return set;
    }
    static Value set_of_list(const Value& arguments) { return Value(new_set_of_list(arguments)); }
    static Value frozen_set_of_list(const Value& arguments) {
        return Value(FrozenSetRef(new_set_of_list(arguments)));
    }
    static Value object(const Value& cls, const Value& arguments) {
        return Value(std::make_shared<Object>(
            Object{std::get<ClassPtr>(cls.storage()), arguments, Value()}));
    }
    static void build(const Value& object, const Value& state) {
        object.as_object()->state = state;
    }
};

}  // namespace

Result<Value> read_pickle(const Bytes& pickle, PickleUse use) {
    return pickle::Machine<Builder>(pickle.view(), use, Builder{&pickle}).run();
}

Result<void> check_pickle(const Bytes& pickle, PickleUse use) {
    TRY(pickle::Machine<Checker>(pickle.view(), use, Checker{}).run());
    return {};
}

}  // namespace common
