#include "common/delta_convert.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "common/limits.h"

namespace common {
namespace {

// What Python's str() and int() convert between text and int without asking.
constexpr std::size_t kDecimalDigitsMax = 4300;

using Type = Value::Type;
using Converted = Result<std::optional<Value>>;

Error unsupported(const ClassRef& type, const Value& value) {
    return {ErrorKind::Unsupported,
            "a change of type to " + type.name + " without the new value, of " + repr(value, 60)};
}

// --- Ints of any size -------------------------------------------------------------------------

using Words = std::vector<std::uint32_t>;  // magnitude, least first, no zeros at the end

Value integer_from_words(Words words, bool negative) {
    while (!words.empty() && words.back() == 0) {
        words.pop_back();
    }
    if (words.size() <= 2) {
        std::uint64_t magnitude = 0;
        for (std::size_t i = words.size(); i-- > 0;) {
            magnitude = (magnitude << 32) | words[i];
        }
        constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
        if (magnitude <= kMax) {
            const auto number = static_cast<std::int64_t>(magnitude);
            return Value::integer(negative ? -number : number);
        }
        if (negative && magnitude == kMax + 1) {
            return Value::integer(std::numeric_limits<std::int64_t>::min());
        }
    }
    std::string bytes;
    bool carry = true;
    for (const std::uint32_t word : words) {
        for (unsigned shift = 0; shift < 32; shift += 8) {
            auto byte = static_cast<unsigned char>(word >> shift);
            if (negative) {
                byte = static_cast<unsigned char>(~byte);
                if (carry) {
                    carry = ++byte == 0;
                }
            }
            bytes += static_cast<char>(byte);
        }
    }
    const char sign = negative ? '\xff' : '\0';
    bytes += sign;
    while (bytes.size() > 1 && bytes.back() == sign &&
           ((bytes[bytes.size() - 2] & '\x80') != 0) == negative) {
        bytes.pop_back();
    }
    return Value(BigIntRef(std::make_shared<const BigInt>(BigInt{std::move(bytes)})));
}

struct Magnitude {
    Words words;
    bool negative = false;
};

Magnitude magnitude_of(const BigInt& number) {
    Magnitude result;
    result.negative = !number.bytes.empty() && (number.bytes.back() & '\x80') != 0;
    bool carry = true;
    for (std::size_t i = 0; i < number.bytes.size(); ++i) {
        auto byte = static_cast<unsigned char>(number.bytes[i]);
        if (result.negative) {
            byte = static_cast<unsigned char>(~byte);
            if (carry) {
                carry = ++byte == 0;
            }
        }
        if (i % 4 == 0) {
            result.words.push_back(0);
        }
        result.words.back() |= static_cast<std::uint32_t>(byte) << (8 * (i % 4));
    }
    if (result.negative && carry) {  // a power of 256: one more digit
        result.words.push_back(1);
    }
    while (!result.words.empty() && result.words.back() == 0) {
        result.words.pop_back();
    }
    return result;
}

std::string decimal(const BigInt& number) {
    Magnitude magnitude = magnitude_of(number);
    std::string digits;
    while (!magnitude.words.empty()) {
        std::uint64_t rest = 0;
        for (std::size_t i = magnitude.words.size(); i-- > 0;) {
            rest = (rest << 32) | magnitude.words[i];
            magnitude.words[i] = static_cast<std::uint32_t>(rest / 1'000'000'000);
            rest %= 1'000'000'000;
        }
        while (!magnitude.words.empty() && magnitude.words.back() == 0) {
            magnitude.words.pop_back();
        }
        for (int i = 0; i < 9 && (rest != 0 || !magnitude.words.empty()); ++i, rest /= 10) {
            digits += static_cast<char>('0' + rest % 10);
        }
    }
    if (magnitude.negative) {
        digits += '-';
    }
    std::reverse(digits.begin(), digits.end());
    return digits;
}

// --- Text ---------------------------------------------------------------------------------------

std::string real_repr(double number) {
    if (std::isnan(number)) {
        return "nan";
    }
    if (std::isinf(number)) {
        return number < 0 ? "-inf" : "inf";
    }
    char buffer[64];
    const auto result =
        std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::scientific);
    const std::string_view text(buffer, static_cast<std::size_t>(result.ptr - buffer));
    const std::size_t mark = text.find('e');
    int exponent = 0;
    const std::string_view exponent_text = text.substr(mark + (text[mark + 1] == '+' ? 2 : 1));
    std::from_chars(exponent_text.data(), exponent_text.data() + exponent_text.size(), exponent);
    if (exponent < -4 || exponent >= 16) {
        return std::string(text);
    }
    std::string digits;
    for (const char c : text.substr(0, mark)) {
        if (c >= '0' && c <= '9') {
            digits += c;
        }
    }
    std::string fixed = text[0] == '-' ? "-" : "";
    if (exponent < 0) {
        return fixed + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
    }
    const std::size_t whole = static_cast<std::size_t>(exponent) + 1;
    if (digits.size() <= whole) {
        return fixed + digits + std::string(whole - digits.size(), '0') + ".0";
    }
    return fixed + digits.substr(0, whole) + "." + digits.substr(whole);
}

// In quotes as Python chooses them; `text` is ASCII or bytes.
void append_quoted(std::string_view text, std::string& out) {
    static constexpr char kHex[] = "0123456789abcdef";
    const bool has_single = text.find('\'') != text.npos;
    const char quote = has_single && text.find('"') == text.npos ? '"' : '\'';
    out += quote;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == quote || c == '\\') {
            (out += '\\') += c;
        } else if (c == '\n') {
            out += "\\n";
        } else if (c == '\r') {
            out += "\\r";
        } else if (c == '\t') {
            out += "\\t";
        } else if (byte < 0x20 || byte >= 0x7f) {
            ((out += "\\x") += kHex[byte >> 4]) += kHex[byte & 15];
        } else {
            out += c;
        }
    }
    out += quote;
}

bool is_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

Result<void> append_repr(const Value& value, std::string& out);

template <typename Items>
Result<void> append_items(const Items& items, std::string& out) {
    bool first = true;
    for (const Value& item : items) {
        out += first ? "" : ", ";
        first = false;
        TRY(append_repr(item, out));
    }
    return {};
}

Result<void> append_set_repr(const Set& set, bool frozen, std::string& out) {
    if (set.size() > 1) {
        return fail(ErrorKind::Unsupported, "the text of a set, whose order is Python's own");
    }
    if (set.size() == 0) {
        out += frozen ? "frozenset()" : "set()";
        return {};
    }
    out += frozen ? "frozenset({" : "{";
    TRY(append_items(set.items(), out));
    out += frozen ? "})" : "}";
    return {};
}

Result<void> append_repr(const Value& value, std::string& out) {
    if (out.size() > limits::kPickleExpandedMax) {
        return fail(ErrorKind::Unsupported, "a text too long to be made by a delta");
    }
    switch (value.type()) {
        case Type::None:
            out += "None";
            return {};
        case Type::Bool:
            out += *value.as_bool() ? "True" : "False";
            return {};
        case Type::Int:
            out += std::to_string(*value.as_int());
            return {};
        case Type::BigInt: {
            const std::string digits = decimal(*std::get<BigIntRef>(value.storage()));
            if (digits.size() > kDecimalDigitsMax) {
                return fail(ErrorKind::Unsupported, "the text of a very large int");
            }
            out += digits;
            return {};
        }
        case Type::Float:
            out += real_repr(*value.as_float());
            return {};
        case Type::Str:
            if (!is_ascii(*value.as_str())) {
                return fail(ErrorKind::Unsupported, "the repr of a text that is not ASCII");
            }
            append_quoted(*value.as_str(), out);
            return {};
        case Type::Bytes:
            out += 'b';
            append_quoted(value.as_bytes()->view(), out);
            return {};
        case Type::List:
            out += '[';
            TRY(append_items(value.as_list()->items, out));
            out += ']';
            return {};
        case Type::Tuple:
            out += '(';
            TRY(append_items(value.as_tuple()->items, out));
            out += value.as_tuple()->items.size() == 1 ? ",)" : ")";
            return {};
        case Type::Dict: {
            out += '{';
            bool first = true;
            for (const auto& [key, item] : value.as_dict()->entries()) {
                out += first ? "" : ", ";
                first = false;
                TRY(append_repr(key, out));
                out += ": ";
                TRY(append_repr(item, out));
            }
            out += '}';
            return {};
        }
        case Type::Set:
            return append_set_repr(*value.as_set(), false, out);
        case Type::FrozenSet:
            return append_set_repr(*value.as_frozen_set(), true, out);
        case Type::ByteArray:
        case Type::Class:
        case Type::Object:
        case Type::BackReference:
            break;
    }
    return fail(ErrorKind::Unsupported, "the text of " + repr(value, 60));
}

// --- The types ----------------------------------------------------------------------------------

bool truth(const Value& value) {
    switch (value.type()) {
        case Type::None:
            return false;
        case Type::Bool:
            return *value.as_bool();
        case Type::Int:
            return *value.as_int() != 0;
        case Type::Float:
            return *value.as_float() != 0;
        case Type::Str:
            return !value.as_str()->empty();
        case Type::Bytes:
            return !value.as_bytes()->empty();
        case Type::ByteArray:
            return !value.as_byte_array()->bytes.empty();
        case Type::List:
            return !value.as_list()->items.empty();
        case Type::Tuple:
            return !value.as_tuple()->items.empty();
        case Type::Dict:
            return value.as_dict()->size() > 0;
        case Type::Set:
            return value.as_set()->size() > 0;
        case Type::FrozenSet:
            return value.as_frozen_set()->size() > 0;
        case Type::BigInt:
        case Type::Class:
        case Type::Object:
        case Type::BackReference:
            break;
    }
    return true;
}

std::optional<std::string_view> text_of(const Value& value) {
    if (const std::string* text = value.as_str()) {
        return *text;
    }
    if (const Bytes* bytes = value.as_bytes()) {
        return bytes->view();
    }
    return std::nullopt;
}

std::string_view trim(std::string_view text) {
    constexpr std::string_view kSpace = " \t\n\r\v\f";
    constexpr std::string_view kTextSpace = "\x1c\x1d\x1e\x1f";
    const auto is_space = [&](char c) {
        return kSpace.find(c) != kSpace.npos || kTextSpace.find(c) != kTextSpace.npos;
    };
    while (!text.empty() && is_space(text.front())) {
        text.remove_prefix(1);
    }
    while (!text.empty() && is_space(text.back())) {
        text.remove_suffix(1);
    }
    return text;
}

// Digits with single underscores between them, taken from the front of `text`.
std::string take_digits(std::string_view& text) {
    const auto is_digit = [&](std::size_t i) {
        return i < text.size() && text[i] >= '0' && text[i] <= '9';
    };
    std::string digits;
    std::size_t at = 0;
    while (is_digit(at) ||
           (!digits.empty() && at < text.size() && text[at] == '_' && is_digit(at + 1))) {
        if (text[at] != '_') {
            digits += text[at];
        }
        ++at;
    }
    text.remove_prefix(at);
    return digits;
}

Converted int_from_text(std::string_view text) {
    text = trim(text);
    const bool negative = text.starts_with('-');
    if (negative || text.starts_with('+')) {
        text.remove_prefix(1);
    }
    const std::string digits = take_digits(text);
    if (digits.empty() || !text.empty()) {
        return std::nullopt;
    }
    const Value number = integer_from_digits(digits, 10, negative);
    const auto* big = std::get_if<BigIntRef>(&number.storage());
    if (big != nullptr && (*big)->bytes.size() > limits::kPickleIntBytesMax) {
        return fail(ErrorKind::Unsupported, "an int of 4,300 digits");
    }
    return number;
}

Converted real_from_python_text(std::string_view text) {
    text = trim(text);
    const bool negative = text.starts_with('-');
    if (negative || text.starts_with('+')) {
        text.remove_prefix(1);
    }
    std::string lower(text);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    const auto with_sign = [&](double number) { return Value::real(negative ? -number : number); };
    if (lower == "inf" || lower == "infinity") {
        return with_sign(std::numeric_limits<double>::infinity());
    }
    if (lower == "nan") {
        return with_sign(std::numeric_limits<double>::quiet_NaN());
    }
    std::string number = take_digits(text);
    bool any = !number.empty();
    if (text.starts_with('.')) {
        text.remove_prefix(1);
        const std::string fraction = take_digits(text);
        any = any || !fraction.empty();
        number += "." + fraction;
    }
    if (!any) {
        return std::nullopt;
    }
    if (text.starts_with('e') || text.starts_with('E')) {
        text.remove_prefix(1);
        number += 'e';
        if (text.starts_with('-') || text.starts_with('+')) {
            number += text.front();
            text.remove_prefix(1);
        }
        const std::string exponent = take_digits(text);
        if (exponent.empty()) {
            return std::nullopt;
        }
        number += exponent;
    }
    if (!text.empty()) {
        return std::nullopt;
    }
    return with_sign(real_from_text(number));
}

Converted to_int(const ClassRef& type, const Value& value) {
    if (value.is(Type::Int) || value.is(Type::BigInt)) {
        return value;
    }
    if (const auto flag = value.as_bool()) {
        return Value::integer(*flag ? 1 : 0);
    }
    if (const auto number = value.as_float()) {
        if (!std::isfinite(*number)) {
            return std::nullopt;
        }
        const double whole = std::trunc(*number);
        int exponent = 0;
        const double fraction = std::frexp(std::abs(whole), &exponent);  // in [0.5, 1)
        const auto mantissa = static_cast<std::uint64_t>(std::ldexp(fraction, 53));
        Words words;
        if (exponent <= 53) {
            const std::uint64_t magnitude = mantissa >> (53 - exponent);
            words = {static_cast<std::uint32_t>(magnitude),
                     static_cast<std::uint32_t>(magnitude >> 32)};
        } else {
            const auto shift = static_cast<std::size_t>(exponent - 53);
            words.assign(shift / 32 + 3, 0);
            const std::uint64_t low = (mantissa & 0xffff'ffff) << (shift % 32);
            const std::uint64_t high = ((mantissa >> 32) << (shift % 32)) + (low >> 32);
            words[shift / 32] = static_cast<std::uint32_t>(low);
            words[shift / 32 + 1] = static_cast<std::uint32_t>(high);
            words[shift / 32 + 2] = static_cast<std::uint32_t>(high >> 32);
        }
        return integer_from_words(std::move(words), whole < 0);
    }
    if (const auto text = text_of(value)) {
        if (!is_ascii(*text) || text->size() > kDecimalDigitsMax) {
            return tl::unexpected(unsupported(type, value));
        }
        return int_from_text(*text);
    }
    if (value.is(Type::ByteArray) || value.is(Type::Object)) {
        return tl::unexpected(unsupported(type, value));
    }
    return std::nullopt;
}

// The nearest double, ties to even, as Python rounds.
std::optional<double> real_from_big(const BigInt& number) {
    const Magnitude magnitude = magnitude_of(number);
    const std::size_t bits = magnitude.words.size() * 32 -
                             static_cast<std::size_t>(__builtin_clz(magnitude.words.back()));
    if (bits > 1024) {
        return std::nullopt;
    }
    const auto bit = [&](std::size_t i) { return (magnitude.words[i / 32] >> (i % 32)) & 1U; };
    std::uint64_t mantissa = 0;
    for (std::size_t i = 0; i < 53; ++i) {
        mantissa = (mantissa << 1) | bit(bits - 1 - i);
    }
    bool below = false;
    for (std::size_t i = 0; i + 54 < bits; ++i) {
        below = below || bit(i) != 0;
    }
    if (bit(bits - 54) != 0 && (below || (mantissa & 1) != 0)) {
        ++mantissa;
    }
    const double result = std::ldexp(static_cast<double>(mantissa), static_cast<int>(bits) - 53);
    if (std::isinf(result)) {
        return std::nullopt;
    }
    return magnitude.negative ? -result : result;
}

Converted to_float(const ClassRef& type, const Value& value) {
    if (value.is(Type::Float)) {
        return value;
    }
    if (const auto flag = value.as_bool()) {
        return Value::real(*flag ? 1 : 0);
    }
    if (const auto number = value.as_int()) {
        return Value::real(static_cast<double>(*number));
    }
    if (value.is(Type::BigInt)) {
        const auto number = real_from_big(*std::get<BigIntRef>(value.storage()));
        return number ? std::optional(Value::real(*number)) : std::nullopt;
    }
    if (const auto text = text_of(value)) {
        if (!is_ascii(*text) || text->size() > kDecimalDigitsMax) {
            return tl::unexpected(unsupported(type, value));
        }
        return real_from_python_text(*text);
    }
    if (value.is(Type::ByteArray) || value.is(Type::Object)) {
        return tl::unexpected(unsupported(type, value));
    }
    return std::nullopt;
}

using Items = std::optional<std::vector<Value>>;

// `list(value)`; nothing where it is no iterable.
Result<Items> items_of(const ClassRef& type, const Value& value) {
    std::vector<Value> items;
    const auto too_long = [](std::size_t size) { return size > limits::kPickleExpandedMax; };
    switch (value.type()) {
        case Type::List:
            return value.as_list()->items;
        case Type::Tuple:
            return value.as_tuple()->items;
        case Type::Dict:
            for (const auto& entry : value.as_dict()->entries()) {
                items.push_back(entry.key);
            }
            return items;
        case Type::Set:
        case Type::FrozenSet: {
            const Set& set = value.is(Type::Set) ? *value.as_set() : *value.as_frozen_set();
            const bool ordered = type.name == "list" || type.name == "tuple" || type.name == "dict";
            if (set.size() > 1 && (ordered || type.name == "bytes")) {
                return tl::unexpected(unsupported(type, value));
            }
            return set.items();
        }
        case Type::Str: {
            const std::string& text = *value.as_str();
            if (too_long(text.size())) {
                return tl::unexpected(unsupported(type, value));
            }
            for (std::size_t begin = 0, end = 0; begin < text.size(); begin = end) {
                do {
                    ++end;
                } while (end < text.size() &&
                         (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80);
                items.push_back(Value::str(std::string_view(text).substr(begin, end - begin)));
            }
            return items;
        }
        case Type::Bytes:
            if (too_long(value.as_bytes()->size())) {
                return tl::unexpected(unsupported(type, value));
            }
            for (const char c : value.as_bytes()->view()) {
                items.push_back(Value::integer(static_cast<unsigned char>(c)));
            }
            return items;
        case Type::ByteArray:
        case Type::Class:
        case Type::Object:
        case Type::BackReference:
            return tl::unexpected(unsupported(type, value));
        case Type::None:
        case Type::Bool:
        case Type::Int:
        case Type::BigInt:
        case Type::Float:
            break;
    }
    return std::nullopt;
}

Converted to_set(const ClassRef& type, const Value& value, bool frozen) {
    if (value.is(Type::FrozenSet) && frozen) {
        return value;
    }
    const Items items = TRY(items_of(type, value));
    if (!items) {
        return std::nullopt;
    }
    auto set = std::make_shared<Set>();
    for (const Value& item : *items) {
        if (!is_hashable(item)) {
            return std::nullopt;
        }
        set->add(item);
    }
    return frozen ? Value(FrozenSetRef(std::move(set))) : Value(SetRef(std::move(set)));
}

Converted to_dict(const ClassRef& type, const Value& value) {
    if (const Dict* dict = value.as_dict()) {
        return Value(DictRef(std::make_shared<Dict>(*dict)));
    }
    const Items pairs = TRY(items_of(type, value));
    if (!pairs) {
        return std::nullopt;
    }
    auto dict = std::make_shared<Dict>();
    for (const Value& pair : *pairs) {
        const Items items = TRY(items_of(type, pair));
        if (!items || items->size() != 2 || !is_hashable((*items)[0])) {
            return std::nullopt;
        }
        dict->set((*items)[0], (*items)[1]);
    }
    return Value(DictRef(std::move(dict)));
}

Converted to_bytes(const ClassRef& type, const Value& value) {
    if (value.is(Type::Bytes)) {
        return value;
    }
    if (value.is(Type::Int) || value.is(Type::Bool)) {
        const std::int64_t size = value.is(Type::Bool) ? *value.as_bool() : *value.as_int();
        if (size < 0) {
            return std::nullopt;
        }
        if (size > static_cast<std::int64_t>(limits::kPickleExpandedMax)) {
            return tl::unexpected(unsupported(type, value));
        }
        return Value::bytes(Bytes(std::string(static_cast<std::size_t>(size), '\0')));
    }
    if (value.is(Type::BigInt)) {
        return std::nullopt;
    }
    if (value.is(Type::Str)) {  // without an encoding
        return std::nullopt;
    }
    const Items items = TRY(items_of(type, value));
    if (!items) {
        return std::nullopt;
    }
    std::string bytes;
    for (const Value& item : *items) {
        const auto number =
            item.is(Type::Bool) ? std::optional<std::int64_t>(*item.as_bool()) : item.as_int();
        if (!number || *number < 0 || *number > 255) {
            return std::nullopt;
        }
        bytes += static_cast<char>(*number);
    }
    return Value::bytes(Bytes(std::move(bytes)));
}

}  // namespace

Value integer_from_digits(std::string_view digits, unsigned base, bool negative) {
    constexpr std::size_t kAtOnce = 7;  // 16 ** 7 fits into a word
    Words words;
    for (std::size_t at = 0; at < digits.size(); at += kAtOnce) {
        std::uint64_t carry = 0;
        std::uint64_t scale = 1;
        for (const char c : digits.substr(at, kAtOnce)) {
            const int digit = c <= '9' ? c - '0' : (c <= 'F' ? c - 'A' : c - 'a') + 10;
            carry = carry * base + static_cast<std::uint64_t>(digit);
            scale *= base;
        }
        for (std::uint32_t& word : words) {
            carry += word * scale;
            word = static_cast<std::uint32_t>(carry);
            carry >>= 32;
        }
        if (carry != 0) {
            words.push_back(static_cast<std::uint32_t>(carry));
        }
    }
    return integer_from_words(std::move(words), negative);
}

double real_from_text(std::string_view text) {
    double number = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
    if (result.ec == std::errc::result_out_of_range) {
        // from_chars does not say which way; strtod does.
        return std::strtod(std::string(text).c_str(), nullptr);
    }
    return number;
}

Result<std::string> python_str(const Value& value) {
    if (const std::string* text = value.as_str()) {
        return *text;
    }
    std::string text;
    TRY(append_repr(value, text));
    return text;
}

Converted convert_value(const ClassRef& type, const Value& value) {
    if (type.module != "builtins") {
        return tl::unexpected(unsupported(type, value));
    }
    if (type.name == "NoneType") {  // takes no arguments
        return std::nullopt;
    }
    if (type.name == "bool") {
        if (value.is(Type::Object)) {
            return tl::unexpected(unsupported(type, value));
        }
        return Value::boolean(truth(value));
    }
    if (type.name == "int") {
        return to_int(type, value);
    }
    if (type.name == "float") {
        return to_float(type, value);
    }
    if (type.name == "str") {
        return value.is(Type::Str) ? value : Value::str(TRY(python_str(value)));
    }
    if (type.name == "bytes") {
        return to_bytes(type, value);
    }
    if (type.name == "set" || type.name == "frozenset") {
        return to_set(type, value, type.name == "frozenset");
    }
    if (type.name == "dict") {
        return to_dict(type, value);
    }
    if (type.name == "list" || type.name == "tuple") {
        if (type.name == "tuple" && value.is(Type::Tuple)) {
            return value;
        }
        Items items = TRY(items_of(type, value));
        if (!items) {
            return std::nullopt;
        }
        return type.name == "list" ? Value::list(std::move(*items))
                                   : Value::tuple(std::move(*items));
    }
    return tl::unexpected(unsupported(type, value));
}

}  // namespace common
