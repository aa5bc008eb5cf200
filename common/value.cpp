// Python's equality, hashing and repr over Value, and the index behind Dict and Set.
//
// Numbers: an int, a float and a bool that are equal hash alike, so a float that is whole hashes as
// the int that it is. A nan equals nothing but itself; floats have no identity here, the tuple that
// holds one has, so a nan hashes by the place where it stands: that spreads keys that can never be
// found again, and a shared tuple still finds itself.

#include "common/value.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <random>
#include <unordered_map>
#include <unordered_set>

#include "common/verify.h"

namespace common {

namespace {

constexpr std::size_t kSmallSize = 8;  // up to here a row is searched faster than an index

// Keys come from strangers, and a table full of keys of one hash costs hours. So each process has
// its own hashes; nothing that leaves it depends on them.
std::uint64_t hash_seed() {
    static const std::uint64_t seed =
        std::random_device{}() * 0x100000001ULL + std::random_device{}();
    return seed;
}

std::size_t mix(std::uint64_t bits) {
    bits = (bits ^ hash_seed()) * 0x9e3779b97f4a7c15U;
    bits ^= bits >> 30;
    bits *= 0xbf58476d1ce4e5b9U;
    bits ^= bits >> 27;
    bits *= 0x94d049bb133111ebU;
    return bits ^ (bits >> 31);
}

std::size_t hash_text(std::string_view text) {
    return XXH3_64bits_withSeed(text.data(), text.size(), hash_seed());
}

// The magnitude of a BigInt, least significant byte first.
std::string magnitude(const BigInt& number, bool& negative) {
    std::string bytes = number.bytes;
    negative = !bytes.empty() && (static_cast<unsigned char>(bytes.back()) & 0x80U) != 0;
    if (negative) {
        unsigned carry = 1;
        for (char& byte : bytes) {
            carry += static_cast<unsigned char>(~byte);
            byte = static_cast<char>(carry & 0xffU);
            carry >>= 8;
        }
    }
    while (!bytes.empty() && bytes.back() == 0) {
        bytes.pop_back();
    }
    return bytes;
}

// The float that equals this int, if there is one.
std::optional<double> exact_double(const BigInt& number) {
    bool negative = false;
    const std::string bytes = magnitude(number, negative);
    if (bytes.size() > 128) {
        return std::nullopt;
    }
    std::size_t low = 0;
    while (low < bytes.size() && bytes[low] == 0) {
        ++low;
    }
    if (bytes.size() - low > 8) {
        return std::nullopt;  // at least 58 bits between the highest and the lowest one that is set
    }
    std::uint64_t significant = 0;
    for (std::size_t i = bytes.size(); i > low; --i) {
        significant = significant << 8 | static_cast<unsigned char>(bytes[i - 1]);
    }
    const int zeros = significant == 0 ? 0 : std::countr_zero(significant);
    significant >>= zeros;
    if (significant >> 53 != 0) {
        return std::nullopt;
    }
    const double result =
        std::ldexp(static_cast<double>(significant), static_cast<int>(low * 8) + zeros);
    if (!std::isfinite(result)) {
        return std::nullopt;
    }
    return negative ? -result : result;
}

// The int64 that equals this float, if there is one.
std::optional<std::int64_t> exact_int(double number) {
    constexpr double kLimit = 9223372036854775808.0;
    if (number >= -kLimit && number < kLimit && std::trunc(number) == number) {
        return static_cast<std::int64_t>(number);
    }
    return std::nullopt;
}

// bool and int as one.
std::optional<std::int64_t> whole(const Value& value) {
    if (const auto* number = std::get_if<std::int64_t>(&value.storage())) {
        return *number;
    }
    if (const auto* truth = std::get_if<bool>(&value.storage())) {
        return *truth ? 1 : 0;
    }
    return std::nullopt;
}

const BigInt* as_big(const Value& value) {
    const auto* ref = std::get_if<BigIntRef>(&value.storage());
    return ref != nullptr ? ref->get() : nullptr;
}

bool equal_float(double a, const Value& b) {
    if (const auto* other = std::get_if<double>(&b.storage())) {
        return a == *other;
    }
    if (const auto number = whole(b)) {
        const auto same = exact_int(a);
        return same && *same == *number;
    }
    if (const BigInt* big = as_big(b)) {
        const auto same = exact_double(*big);
        return same && *same == a;
    }
    return false;
}

std::optional<std::string_view> bytes_like(const Value& value) {
    if (const Bytes* bytes = value.as_bytes()) {
        return bytes->view();
    }
    if (const ByteArray* bytes = value.as_byte_array()) {
        return bytes->bytes;
    }
    return std::nullopt;
}

// The address of what a Value refers to, null for values that are held in place.
const void* address(const Value& value) {
    return std::visit(
        [](const auto& held) -> const void* {
            if constexpr (requires { held.get(); }) {
                return held.get();
            } else {
                return nullptr;
            }
        },
        value.storage());
}

// Python's test for items of containers: the same object, or equal.
bool same_or_equal(const Value& a, const Value& b) {
    const void* place = address(a);
    return (place != nullptr && a.type() == b.type() && place == address(b)) || equal(a, b);
}

bool equal_items(const std::vector<Value>& a, const std::vector<Value>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), same_or_equal);
}

const Set* any_set(const Value& value) {
    const Set* set = value.as_set();
    return set != nullptr ? set : value.as_frozen_set();
}

bool equal_sets(const Set& a, const Set& b) {
    return a.size() == b.size() &&
           std::all_of(a.items().begin(), a.items().end(),
                       [&b](const Value& item) { return b.contains(item); });
}

bool equal_dicts(const Dict& a, const Dict& b) {
    return a.size() == b.size() &&
           std::all_of(a.entries().begin(), a.entries().end(), [&b](const Dict::Entry& entry) {
               const Value* other = b.find(entry.key);
               return other != nullptr && same_or_equal(entry.value, *other);
           });
}

std::size_t hash_items(const std::vector<Value>& items) {
    std::size_t result = 0x345678U + items.size();
    for (const Value& item : items) {
        result = mix(result * 31 + hash(item));
    }
    return result;
}

}  // namespace

Value Value::str(std::string_view text) {
    return Value(StrRef(std::make_shared<const std::string>(text)));
}

Value Value::bytes(Bytes bytes) {
    return Value(BytesRef(std::make_shared<const Bytes>(std::move(bytes))));
}

Value Value::list(std::vector<Value> items) {
    return Value(std::make_shared<List>(List{std::move(items)}));
}

Value Value::tuple(std::vector<Value> items) {
    return Value(TupleRef(std::make_shared<const Tuple>(Tuple{std::move(items)})));
}

Value Value::dict(std::vector<std::pair<Value, Value>> items) {
    auto dict = std::make_shared<Dict>();
    for (auto& [key, value] : items) {
        dict->set(std::move(key), std::move(value));
    }
    return Value(std::move(dict));
}

namespace {

template <typename Ref, typename Storage>
auto* pointee(const Storage& storage) {
    const auto* ref = std::get_if<Ref>(&storage);
    return ref != nullptr ? ref->get() : nullptr;
}

template <typename T>
std::optional<T> held(const Value::Storage& storage) {
    const auto* value = std::get_if<T>(&storage);
    return value != nullptr ? std::optional<T>(*value) : std::nullopt;
}

}  // namespace

const std::string* Value::as_str() const {
    return pointee<StrRef>(storage_);
}
const Bytes* Value::as_bytes() const {
    return pointee<BytesRef>(storage_);
}
List* Value::as_list() const {
    return pointee<ListRef>(storage_);
}
const Tuple* Value::as_tuple() const {
    return pointee<TupleRef>(storage_);
}
Dict* Value::as_dict() const {
    return pointee<DictRef>(storage_);
}
Set* Value::as_set() const {
    return pointee<SetRef>(storage_);
}
const Set* Value::as_frozen_set() const {
    return pointee<FrozenSetRef>(storage_);
}
const ClassRef* Value::as_class() const {
    return pointee<ClassPtr>(storage_);
}
Object* Value::as_object() const {
    return pointee<ObjectRef>(storage_);
}
ByteArray* Value::as_byte_array() const {
    return pointee<ByteArrayRef>(storage_);
}
std::optional<std::int64_t> Value::as_int() const {
    return held<std::int64_t>(storage_);
}
std::optional<bool> Value::as_bool() const {
    return held<bool>(storage_);
}
std::optional<double> Value::as_float() const {
    return held<double>(storage_);
}

const Value* Value::find(std::string_view key) const {
    const Dict* dict = as_dict();
    return dict != nullptr ? dict->find(key) : nullptr;
}

bool equal(const Value& a, const Value& b) {
    if (const auto* number = std::get_if<double>(&a.storage())) {
        return equal_float(*number, b);
    }
    if (const auto* number = std::get_if<double>(&b.storage())) {
        return equal_float(*number, a);
    }
    if (const auto number = whole(a)) {
        return number == whole(b);
    }
    if (const auto bytes = bytes_like(a)) {
        return bytes == bytes_like(b);
    }
    if (const Set* set = any_set(a)) {
        const Set* other = any_set(b);
        return other != nullptr && (other == set || equal_sets(*set, *other));
    }
    if (a.type() != b.type()) {
        return false;
    }
    switch (a.type()) {
        case Value::Type::None:
            return true;
        case Value::Type::BigInt:
            return as_big(a)->bytes == as_big(b)->bytes;
        case Value::Type::Str:
            return *a.as_str() == *b.as_str();
        case Value::Type::List:
            return a.as_list() == b.as_list() ||
                   equal_items(a.as_list()->items, b.as_list()->items);
        case Value::Type::Tuple:
            return a.as_tuple() == b.as_tuple() ||
                   equal_items(a.as_tuple()->items, b.as_tuple()->items);
        case Value::Type::Dict:
            return a.as_dict() == b.as_dict() || equal_dicts(*a.as_dict(), *b.as_dict());
        case Value::Type::Class:
            return *a.as_class() == *b.as_class();
        case Value::Type::BackReference:
            return std::get<BackReference>(a.storage()) == std::get<BackReference>(b.storage());
        case Value::Type::Object: {
            const Object& left = *a.as_object();
            const Object& right = *b.as_object();
            return &left == &right ||
                   (*left.cls == *right.cls && left.call == right.call &&
                    equal(left.args, right.args) && equal(left.state, right.state));
        }
        default:
            return false;  // the others were handled above
    }
}

bool is_hashable(const Value& value) {
    switch (value.type()) {
        case Value::Type::ByteArray:
        case Value::Type::List:
        case Value::Type::Dict:
        case Value::Type::Set:
        case Value::Type::Object:
        case Value::Type::BackReference:
            return false;
        case Value::Type::Tuple:
            return std::all_of(value.as_tuple()->items.begin(), value.as_tuple()->items.end(),
                               is_hashable);
        default:
            return true;
    }
}

std::size_t hash(const Value& value) {
    if (const auto number = whole(value)) {
        return mix(static_cast<std::uint64_t>(*number));
    }
    switch (value.type()) {
        case Value::Type::None:
            return 0x6e6f6e65U;
        case Value::Type::BigInt: {
            const auto same = exact_double(*as_big(value));
            return same ? mix(std::bit_cast<std::uint64_t>(*same))
                        : hash_text(as_big(value)->bytes);
        }
        case Value::Type::Float: {
            const double number = *value.as_float();
            if (const auto same = exact_int(number)) {
                return mix(static_cast<std::uint64_t>(*same));
            }
            return std::isnan(number) ? std::hash<const void*>{}(&value)
                                      : mix(std::bit_cast<std::uint64_t>(number));
        }
        case Value::Type::Str:
            return hash_text(*value.as_str());
        case Value::Type::Bytes:
            return hash_text(value.as_bytes()->view());
        case Value::Type::Tuple:
            return hash_items(value.as_tuple()->items);
        case Value::Type::FrozenSet: {
            std::size_t sum = 0;  // order does not matter
            for (const Value& item : value.as_frozen_set()->items()) {
                sum += mix(hash(item));
            }
            return mix(sum);
        }
        case Value::Type::Class:
            return mix(hash_text(value.as_class()->module) + hash_text(value.as_class()->name));
        default:
            VERIFY(is_hashable(value));
            return 0;
    }
}

namespace {

// One walk over two values at once. A mutable container of one side belongs to one of the other.
class Identity {
public:
    bool same(const Value& a, const Value& b);

private:
    bool same_items(const std::vector<Value>& a, const std::vector<Value>& b) {
        return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                          [this](const Value& x, const Value& y) { return same(x, y); });
    }
    bool same_dicts(const Dict& a, const Dict& b) {
        return std::equal(a.entries().begin(), a.entries().end(), b.entries().begin(),
                          b.entries().end(), [this](const Dict::Entry& x, const Dict::Entry& y) {
                              return same(x.key, y.key) && same(x.value, y.value);
                          });
    }
    bool same_sets(const Set& a, const Set& b) {
        if (same_items(a.items(), b.items())) {
            return true;
        }
        return a.size() == b.size() &&
               std::all_of(a.items().begin(), a.items().end(), [&](const Value& item) {
                   return std::any_of(b.items().begin(), b.items().end(),
                                      [&](const Value& other) { return same(item, other); });
               });
    }
    // True if the pair is new and the contents are still to be compared; sets `result` otherwise.
    bool is_new_pair(const void* a, const void* b, bool& result) {
        const auto [left, left_new] = right_of_.try_emplace(a, b);
        const auto [right, right_new] = left_of_.try_emplace(b, a);
        result = left->second == b && right->second == a;
        return result && left_new && right_new;
    }

    std::unordered_map<const void*, const void*> right_of_;
    std::unordered_map<const void*, const void*> left_of_;
};

bool Identity::same(const Value& a, const Value& b) {
    if (a.type() != b.type()) {
        return false;
    }
    bool result = true;
    switch (a.type()) {
        case Value::Type::Float:
            return std::bit_cast<std::uint64_t>(*a.as_float()) ==
                   std::bit_cast<std::uint64_t>(*b.as_float());
        case Value::Type::Tuple:
            return same_items(a.as_tuple()->items, b.as_tuple()->items);
        case Value::Type::FrozenSet:
            return same_sets(*a.as_frozen_set(), *b.as_frozen_set());
        case Value::Type::ByteArray:
            return is_new_pair(address(a), address(b), result)
                       ? a.as_byte_array()->bytes == b.as_byte_array()->bytes
                       : result;
        case Value::Type::List:
            return is_new_pair(address(a), address(b), result)
                       ? same_items(a.as_list()->items, b.as_list()->items)
                       : result;
        case Value::Type::Dict:
            return is_new_pair(address(a), address(b), result)
                       ? same_dicts(*a.as_dict(), *b.as_dict())
                       : result;
        case Value::Type::Set:
            return is_new_pair(address(a), address(b), result) ? same_sets(*a.as_set(), *b.as_set())
                                                               : result;
        case Value::Type::Object: {
            const Object& left = *a.as_object();
            const Object& right = *b.as_object();
            return is_new_pair(&left, &right, result)
                       ? *left.cls == *right.cls && left.call == right.call &&
                             left.opaque == right.opaque && same(left.args, right.args) &&
                             same(left.state, right.state)
                       : result;
        }
        default:
            return equal(a, b);
    }
}

class DeepCopy {
public:
    Value copy(const Value& value);

private:
    std::vector<Value> copy_items(const std::vector<Value>& items) {
        std::vector<Value> result;
        result.reserve(items.size());
        for (const Value& item : items) {
            result.push_back(copy(item));
        }
        return result;
    }
    Value copy_new(const Value& value);

    std::unordered_map<const void*, Value> copies_;
};

Value DeepCopy::copy(const Value& value) {
    // Nothing in it can change, so it may be shared.
    if (is_hashable(value) || value.is(Value::Type::BackReference)) {
        return value;
    }
    // Only what somebody else refers to as well can turn up again.
    const long users = std::visit(
        [](const auto& held_value) -> long {
            if constexpr (requires { held_value.use_count(); }) {
                return held_value.use_count();
            } else {
                return 0;
            }
        },
        value.storage());
    if (users == 1) {
        return copy_new(value);
    }
    if (const auto known = copies_.find(address(value)); known != copies_.end()) {
        return known->second;
    }
    Value result = copy_new(value);
    copies_.emplace(address(value), result);
    return result;
}

Value DeepCopy::copy_new(const Value& value) {
    switch (value.type()) {
        case Value::Type::ByteArray:
            return Value(std::make_shared<ByteArray>(*value.as_byte_array()));
        case Value::Type::List:
            return Value::list(copy_items(value.as_list()->items));
        case Value::Type::Tuple:
            return Value::tuple(copy_items(value.as_tuple()->items));
        case Value::Type::Dict: {
            auto dict = std::make_shared<Dict>(*value.as_dict());
            for (Dict::Entry& entry : dict->entries_for_values()) {
                entry.value = copy(entry.value);
            }
            return Value(std::move(dict));
        }
        case Value::Type::Set:
            return Value(std::make_shared<Set>(*value.as_set()));
        case Value::Type::Object: {
            const Object& object = *value.as_object();
            return Value(std::make_shared<Object>(Object{
                object.cls, copy(object.args), copy(object.state), object.call, object.opaque}));
        }
        default:
            return value;
    }
}

class MemorySum {
public:
    std::size_t of(const Value& value) {
        if (const void* place = address(value); place != nullptr && !seen_.insert(place).second) {
            return 0;
        }
        constexpr std::size_t kControlBlock = 16;
        switch (value.type()) {
            case Value::Type::BigInt:
                return kControlBlock + sizeof(BigInt) + as_big(value)->bytes.size();
            case Value::Type::Str:
                return kControlBlock + sizeof(std::string) + value.as_str()->size();
            case Value::Type::Bytes:
                return kControlBlock + sizeof(Bytes) + value.as_bytes()->size();
            case Value::Type::ByteArray:
                return kControlBlock + sizeof(ByteArray) + value.as_byte_array()->bytes.size();
            case Value::Type::List:
                return kControlBlock + sizeof(List) + of_items(value.as_list()->items);
            case Value::Type::Tuple:
                return kControlBlock + sizeof(Tuple) + of_items(value.as_tuple()->items);
            case Value::Type::Dict: {
                std::size_t sum = kControlBlock + sizeof(Dict);
                for (const Dict::Entry& entry : value.as_dict()->entries()) {
                    sum += sizeof(Dict::Entry) + of(entry.key) + of(entry.value);
                }
                return sum;
            }
            case Value::Type::Set:
            case Value::Type::FrozenSet:
                return kControlBlock + sizeof(Set) + of_items(any_set(value)->items());
            case Value::Type::Object:
                return kControlBlock + sizeof(Object) + of(value.as_object()->args) +
                       of(value.as_object()->state);
            default:
                return 0;  // held in place; what holds it counts it
        }
    }

private:
    std::size_t of_items(const std::vector<Value>& items) {
        std::size_t sum = items.capacity() * sizeof(Value);
        for (const Value& item : items) {
            sum += of(item);
        }
        return sum;
    }

    std::unordered_set<const void*> seen_;
};

class Repr {
public:
    explicit Repr(std::size_t length_max) : length_max_(length_max) {}

    std::string text(const Value& value) {
        add(value);
        if (out_.size() > length_max_) {
            out_.resize(length_max_ < 3 ? 0 : length_max_ - 3);
            out_ += "...";
        }
        return std::move(out_);
    }

private:
    void add(const Value& value);
    void add_number(double number);
    void add_big(const BigInt& number);
    void add_quoted(std::string_view text, bool is_bytes);
    void add_items(const std::vector<Value>& items) {
        for (std::size_t i = 0; i < items.size() && out_.size() <= length_max_; ++i) {
            out_ += i == 0 ? "" : ", ";
            add(items[i]);
        }
    }
    void add_set(const Set& set, bool frozen) {
        out_ += frozen ? "frozenset(" : set.size() == 0 ? "set(" : "";
        if (set.size() > 0) {
            out_ += '{';
            add_items(set.items());
            out_ += '}';
        }
        out_ += frozen || set.size() == 0 ? ")" : "";
    }
    void add_object(const Object& object) {
        out_ += object.cls->name;
        if (const Tuple* args = object.args.as_tuple();
            args != nullptr && args->items.size() == 1) {
            out_ += '(';
            add_items(args->items);
            out_ += ')';
        } else {
            add(object.args);
        }
        if (!object.state.is_none()) {
            out_ += '.';
            add(object.state);
        }
    }

    std::string out_;
    std::size_t length_max_;
};

void Repr::add(const Value& value) {
    if (out_.size() > length_max_) {
        return;
    }
    switch (value.type()) {
        case Value::Type::None:
            out_ += "None";
            break;
        case Value::Type::Bool:
            out_ += *value.as_bool() ? "True" : "False";
            break;
        case Value::Type::Int:
            out_ += std::to_string(*value.as_int());
            break;
        case Value::Type::BigInt:
            add_big(*as_big(value));
            break;
        case Value::Type::Float:
            add_number(*value.as_float());
            break;
        case Value::Type::Str:
            add_quoted(*value.as_str(), false);
            break;
        case Value::Type::Bytes:
            out_ += 'b';
            add_quoted(value.as_bytes()->view(), true);
            break;
        case Value::Type::ByteArray:
            out_ += "bytearray(b";
            add_quoted(value.as_byte_array()->bytes, true);
            out_ += ')';
            break;
        case Value::Type::List:
            out_ += '[';
            add_items(value.as_list()->items);
            out_ += ']';
            break;
        case Value::Type::Tuple:
            out_ += '(';
            add_items(value.as_tuple()->items);
            out_ += value.as_tuple()->items.size() == 1 ? ",)" : ")";
            break;
        case Value::Type::Dict: {
            out_ += '{';
            std::string_view separator = "";
            for (const Dict::Entry& entry : value.as_dict()->entries()) {
                out_ += separator;
                separator = ", ";
                add(entry.key);
                out_ += ": ";
                add(entry.value);
                if (out_.size() > length_max_) {
                    break;
                }
            }
            out_ += '}';
            break;
        }
        case Value::Type::Set:
            add_set(*value.as_set(), false);
            break;
        case Value::Type::FrozenSet:
            add_set(*value.as_frozen_set(), true);
            break;
        case Value::Type::Class:
            out_ += "<class '";
            if (value.as_class()->module != "builtins") {
                out_ += value.as_class()->module + ".";
            }
            out_ += value.as_class()->name + "'>";
            break;
        case Value::Type::Object:
            add_object(*value.as_object());
            break;
        case Value::Type::BackReference:
            out_ += "...";
            break;
    }
}

// Python's float.__repr__: the shortest digits that read back, plain from 1e-4 up to 1e16.
void Repr::add_number(double number) {
    if (!std::isfinite(number)) {
        out_ += std::isnan(number) ? "nan" : number < 0 ? "-inf" : "inf";
        return;
    }
    std::array<char, 64> buffer{};
    char* const end = buffer.data() + buffer.size();
    const auto scientific =
        std::to_chars(buffer.data(), end, number, std::chars_format::scientific);
    const std::string_view text(buffer.data(),
                                static_cast<std::size_t>(scientific.ptr - buffer.data()));
    const int exponent = std::atoi(std::string(text.substr(text.find('e') + 1)).c_str());
    if (exponent < -4 || exponent >= 16) {
        out_ += text;
        return;
    }
    const auto fixed = std::to_chars(buffer.data(), end, number, std::chars_format::fixed);
    const std::string_view plain(buffer.data(),
                                 static_cast<std::size_t>(fixed.ptr - buffer.data()));
    out_ += plain;
    out_ += plain.find('.') == std::string_view::npos ? ".0" : "";
}

void Repr::add_big(const BigInt& number) {
    bool negative = false;
    std::string rest = magnitude(number, negative);
    std::string digits;  // least significant first
    while (!rest.empty()) {
        constexpr unsigned kBase = 1'000'000;
        unsigned remainder = 0;
        for (std::size_t i = rest.size(); i > 0; --i) {
            remainder = remainder << 8 | static_cast<unsigned char>(rest[i - 1]);
            rest[i - 1] = static_cast<char>(remainder / kBase);
            remainder %= kBase;
        }
        while (!rest.empty() && rest.back() == 0) {
            rest.pop_back();
        }
        for (int i = 0; i < 6 && (!rest.empty() || remainder > 0); ++i, remainder /= 10) {
            digits += static_cast<char>('0' + remainder % 10);
        }
    }
    out_ += negative ? "-" : "";
    out_.append(digits.rbegin(), digits.rend());
}

void Repr::add_quoted(std::string_view text, bool is_bytes) {
    const bool double_quotes =
        text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
    const char quote = double_quotes ? '"' : '\'';
    out_ += quote;
    for (const char letter : text) {
        if (out_.size() > length_max_) {
            return;
        }
        const auto code = static_cast<unsigned char>(letter);
        if (letter == '\n') {
            out_ += "\\n";
        } else if (letter == '\r') {
            out_ += "\\r";
        } else if (letter == '\t') {
            out_ += "\\t";
        } else if (letter == '\\' || letter == quote) {
            out_ += '\\';
            out_ += letter;
        } else if (code < 0x20 || code == 0x7f || (is_bytes && code >= 0x80)) {
            constexpr std::string_view kHex = "0123456789abcdef";
            out_ += "\\x";
            out_ += kHex[code >> 4];
            out_ += kHex[code & 15U];
        } else {
            out_ += letter;
        }
    }
    out_ += quote;
}

}  // namespace

bool identical(const Value& a, const Value& b) {
    return Identity().same(a, b);
}

Value deep_copy(const Value& value) {
    return DeepCopy().copy(value);
}

std::size_t memory_bytes(const Value& value) {
    return sizeof(Value) + MemorySum().of(value);
}

std::string repr(const Value& value, std::size_t length_max) {
    return Repr(length_max).text(value);
}

// ValueIndex: an open table of slots by hash, half full at most; hashes are kept for growing.

template <typename Matches>
std::size_t ValueIndex::find_slot(std::size_t key_hash, const Matches& matches) const {
    const std::size_t mask = table_.size() - 1;
    for (std::size_t at = key_hash & mask;; at = (at + 1) & mask) {
        const std::uint32_t entry = table_[at];
        if (entry == 0) {
            return npos;
        }
        const std::size_t slot = entry - 1;
        if (hashes_[slot] == key_hash && matches(slot)) {
            return slot;
        }
    }
}

void ValueIndex::enter(std::size_t key_hash, std::size_t slot) {
    const std::size_t mask = table_.size() - 1;
    std::size_t at = key_hash & mask;
    while (table_[at] != 0) {
        at = (at + 1) & mask;
    }
    table_[at] = static_cast<std::uint32_t>(slot + 1);
}

void ValueIndex::rebuild() {
    table_.assign(std::bit_ceil(hashes_.size() * 2 + 2), 0);
    for (std::size_t slot = 0; slot < hashes_.size(); ++slot) {
        enter(hashes_[slot], slot);
    }
}

void ValueIndex::append(std::size_t key_hash) {
    hashes_.push_back(key_hash);
    if (hashes_.size() * 2 > table_.size()) {
        rebuild();
    } else {
        enter(key_hash, hashes_.size() - 1);
    }
}

void ValueIndex::remove(std::size_t slot) {
    if (hashes_.empty()) {
        return;
    }
    hashes_.erase(hashes_.begin() + static_cast<std::ptrdiff_t>(slot));
    rebuild();
}

namespace {

const Value& key_of(const Value& item) {
    return item;
}
const Value& key_of(const Dict::Entry& entry) {
    return entry.key;
}

template <typename Row, typename Matches>
std::size_t slot_in_row(const Row& row, const Matches& matches) {
    for (std::size_t slot = 0; slot < row.size(); ++slot) {
        if (matches(slot)) {
            return slot;
        }
    }
    return ValueIndex::npos;
}

}  // namespace

template <typename Row>
std::size_t ValueIndex::slot_of(const Row& row, const Value& key) const {
    const auto matches = [&](std::size_t slot) { return same_or_equal(key_of(row[slot]), key); };
    return hashes_.empty() ? slot_in_row(row, matches) : find_slot(hash(key), matches);
}

template <typename Row>
std::size_t ValueIndex::slot_of(const Row& row, std::string_view key) const {
    const auto matches = [&](std::size_t slot) {
        const std::string* text = key_of(row[slot]).as_str();
        return text != nullptr && *text == key;
    };
    return hashes_.empty() ? slot_in_row(row, matches) : find_slot(hash_text(key), matches);
}

// `row` just got an entry at its end.
template <typename Row>
void ValueIndex::appended(const Row& row) {
    if (!hashes_.empty()) {
        append(hash(key_of(row.back())));
        return;
    }
    if (row.size() > kSmallSize) {
        for (const auto& entry : row) {
            hashes_.push_back(hash(key_of(entry)));
        }
        rebuild();
    }
}

const Value* Dict::find(const Value& key) const {
    const std::size_t at = slot_of(entries_, key);
    return at == npos ? nullptr : &entries_[at].value;
}

Value* Dict::find(const Value& key) {
    const std::size_t at = slot_of(entries_, key);
    return at == npos ? nullptr : &entries_[at].value;
}

const Value* Dict::find(std::string_view str_key) const {
    const std::size_t at = slot_of(entries_, str_key);
    return at == npos ? nullptr : &entries_[at].value;
}

Value* Dict::find(std::string_view str_key) {
    const std::size_t at = slot_of(entries_, str_key);
    return at == npos ? nullptr : &entries_[at].value;
}

void Dict::set(Value key, Value value) {
    VERIFY(is_hashable(key));
    if (Value* known = find(key)) {
        *known = std::move(value);
        return;
    }
    entries_.push_back({std::move(key), std::move(value)});
    appended(entries_);
}

bool Dict::erase(const Value& key) {
    const std::size_t at = slot_of(entries_, key);
    if (at == npos) {
        return false;
    }
    entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(at));
    remove(at);
    return true;
}

bool Set::contains(const Value& item) const {
    return slot_of(items_, item) != npos;
}

bool Set::add(Value item) {
    VERIFY(is_hashable(item));
    if (contains(item)) {
        return false;
    }
    items_.push_back(std::move(item));
    appended(items_);
    return true;
}

bool Set::erase(const Value& item) {
    const std::size_t at = slot_of(items_, item);
    if (at == npos) {
        return false;
    }
    items_.erase(items_.begin() + static_cast<std::ptrdiff_t>(at));
    remove(at);
    return true;
}

}  // namespace common
