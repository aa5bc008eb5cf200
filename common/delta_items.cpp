#include "common/delta_items.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace common {
namespace {

using Type = Value::Type;

// The names that getattr finds on plain values, with blanks around each.
constexpr std::string_view kAttributes =
    "  add append as_integer_ratio bit_count bit_length capitalize casefold center clear"
    " conjugate copy count decode denominator difference difference_update discard encode"
    " endswith expandtabs extend find format format_map from_bytes from_number fromhex"
    " fromkeys get hex imag index insert intersection intersection_update is_integer isalnum"
    " isalpha isascii isdecimal isdigit isdisjoint isidentifier islower isnumeric isprintable"
    " isspace issubset issuperset istitle isupper items join keys ljust lower lstrip maketrans"
    " numerator partition pop popitem real remove removeprefix removesuffix replace reverse"
    " rfind rindex rjust rpartition rsplit rstrip setdefault sort split splitlines startswith"
    " strip swapcase symmetric_difference symmetric_difference_update title to_bytes translate"
    " union update upper values zfill"
    " ";

std::size_t character_count(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    }));
}

// The characters of a value without what is in it.
std::size_t own_logged_size(const Value& value) {
    if (const std::string* text = value.as_str()) {
        return 4 * text->size() + 2;
    }
    if (const Bytes* bytes = value.as_bytes()) {
        return 4 * bytes->size() + 3;
    }
    if (const ByteArray* array = value.as_byte_array()) {
        return 4 * array->bytes.size() + 14;
    }
    if (const auto* number = std::get_if<BigIntRef>(&value.storage())) {
        return 3 * (*number)->bytes.size();
    }
    return 26;  // a float, with the comma that follows
}

// Takes from `left` what the value has. False if there are not so many left.
bool take_logged(const Value& value, std::size_t& left);

bool take_logged(const std::vector<Value>& items, std::size_t& left) {
    return std::all_of(items.begin(), items.end(),
                       [&](const Value& item) { return take_logged(item, left); });
}

bool take_logged(const Value& value, std::size_t& left) {
    const std::size_t size = own_logged_size(value);
    if (size > left) {
        return false;
    }
    left -= size;
    switch (value.type()) {
        case Type::List:
            return take_logged(value.as_list()->items, left);
        case Type::Tuple:
            return take_logged(value.as_tuple()->items, left);
        case Type::Set:
            return take_logged(value.as_set()->items(), left);
        case Type::FrozenSet:
            return take_logged(value.as_frozen_set()->items(), left);
        case Type::Dict: {
            const auto& entries = value.as_dict()->entries();
            return std::all_of(entries.begin(), entries.end(), [&](const Dict::Entry& entry) {
                return take_logged(entry.key, left) && take_logged(entry.value, left);
            });
        }
        case Type::Object:
            return take_logged(value.as_object()->args, left) &&
                   take_logged(value.as_object()->state, left);
        default:
            return true;
    }
}

std::string_view character_at(std::string_view text, std::size_t place) {
    std::size_t begin = 0;
    const auto next = [&](std::size_t at) {
        do {
            ++at;
        } while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80);
        return at;
    };
    for (; place > 0; --place) {
        begin = next(begin);
    }
    return text.substr(begin, next(begin) - begin);
}

}  // namespace

bool is_number(const Value& key) {
    return key.is(Type::Int) || key.is(Type::Bool) || key.is(Type::Float) || key.is(Type::BigInt);
}

Index index_of(const PathStep& step) {
    if (step.is_text) {
        return {};
    }
    if (const auto number = step.key.as_int()) {
        return {Index::Kind::Place, *number};
    }
    if (const auto flag = step.key.as_bool()) {
        return {Index::Kind::Place, *flag ? 1 : 0};
    }
    if (step.key.is(Type::BigInt)) {
        return {Index::Kind::Outside, 0};
    }
    return {};
}

std::size_t place_in(std::size_t size, const Index& index) {
    if (index.kind != Index::Kind::Place) {
        return kNowhere;
    }
    const auto length = static_cast<std::int64_t>(size);
    const std::int64_t place = index.number < 0 ? index.number + length : index.number;
    return place >= 0 && place < length ? static_cast<std::size_t>(place) : kNowhere;
}

std::size_t length_of(const Value& value) {
    switch (value.type()) {
        case Type::List:
            return value.as_list()->items.size();
        case Type::Tuple:
            return value.as_tuple()->items.size();
        case Type::Dict:
            return value.as_dict()->size();
        case Type::Set:
            return value.as_set()->size();
        case Type::FrozenSet:
            return value.as_frozen_set()->size();
        case Type::Str:
            return character_count(*value.as_str());
        case Type::Bytes:
            return value.as_bytes()->size();
        default:
            return kNowhere;
    }
}

bool holds_opaque(const Value& value) {
    if (const Object* object = value.as_object()) {
        return object->opaque;
    }
    if (value.is(Type::BackReference)) {
        return true;
    }
    if (const Dict* dict = value.as_dict()) {
        return std::any_of(dict->entries().begin(), dict->entries().end(),
                           [](const Dict::Entry& entry) { return holds_opaque(entry.value); });
    }
    const List* list = value.as_list();
    const Tuple* tuple = value.as_tuple();
    if (list == nullptr && tuple == nullptr) {
        return false;
    }
    const std::vector<Value>& items = list != nullptr ? list->items : tuple->items;
    return std::any_of(items.begin(), items.end(), holds_opaque);
}

std::size_t logged_size(const Value& value) {
    std::size_t left = kLoggedMax;
    return take_logged(value, left) ? kLoggedMax - left : kLoggedMax + 1;
}

bool is_foreign(const Value& value) {
    return value.is(Type::ByteArray) || value.is(Type::Class) || value.is(Type::Object) ||
           value.is(Type::BackReference);
}

std::size_t entry_index(const Dict& dict, const Value* value) {
    const auto* first = reinterpret_cast<const char*>(&dict.entries().front().value);
    return static_cast<std::size_t>(reinterpret_cast<const char*>(value) - first) /
           sizeof(Dict::Entry);
}

Value* find_in(Dict& dict, const PathStep& step) {
    return step.is_text ? dict.find(step.text) : dict.find(step.key);
}

bool is_attribute(std::string_view name) {
    return !name.empty() && kAttributes.find(" " + std::string(name) + " ") != kAttributes.npos;
}

const Value* item_of(const Value& value, const PathStep& step, Value& scratch) {
    if (Dict* dict = value.as_dict()) {
        return find_in(*dict, step);
    }
    const Index index = index_of(step);
    if (const List* list = value.as_list()) {
        const std::size_t place = place_in(list->items.size(), index);
        return place == kNowhere ? nullptr : &list->items[place];
    }
    if (const Tuple* tuple = value.as_tuple()) {
        const std::size_t place = place_in(tuple->items.size(), index);
        return place == kNowhere ? nullptr : &tuple->items[place];
    }
    if (index.kind != Index::Kind::Place) {
        return nullptr;
    }
    if (const std::string* text = value.as_str()) {
        const std::size_t place = place_in(character_count(*text), index);
        if (place == kNowhere) {
            return nullptr;
        }
        scratch = Value::str(character_at(*text, place));
        return &scratch;
    }
    if (const Bytes* bytes = value.as_bytes()) {
        const std::size_t place = place_in(bytes->size(), index);
        if (place == kNowhere) {
            return nullptr;
        }
        scratch = Value::integer(static_cast<unsigned char>(bytes->view()[place]));
        return &scratch;
    }
    return nullptr;
}

std::size_t nearest_item(const List& list, const Value& key, const Value& wanted) {
    const auto number =
        key.is(Type::Bool) ? std::optional<std::int64_t>(*key.as_bool() ? 1 : 0) : key.as_int();
    // Distances are exact: 64 bits of mantissa for ints; Python's own rounding for floats.
    const auto distance = [&](std::size_t place) -> long double {
        if (number) {
            return std::abs(static_cast<long double>(place) - static_cast<long double>(*number));
        }
        if (const auto real = key.as_float()) {
            return std::abs(static_cast<double>(place) - *real);
        }
        const bool negative = (std::get<BigIntRef>(key.storage())->bytes.back() & '\x80') != 0;
        return negative ? static_cast<long double>(place)
                        : static_cast<long double>(list.items.size() - place);
    };
    std::size_t nearest = kNowhere;
    long double nearest_distance = std::numeric_limits<long double>::infinity();
    for (std::size_t place = 0; place < list.items.size(); ++place) {
        const long double here = distance(place);
        if (here > nearest_distance) {
            break;
        }
        if (here < nearest_distance && equal(list.items[place], wanted)) {
            nearest = place;
            nearest_distance = here;
        }
    }
    return nearest;
}

}  // namespace common
