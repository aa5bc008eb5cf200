#include "common/delta_any_set.h"

#include <xxhash.h>

#include <algorithm>
#include <set>

#include "common/delta_convert.h"

namespace common {
namespace {

using Type = Value::Type;

// True if `text` decodes as Python's strict UTF-8.
bool is_utf8(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        const auto byte = [&](std::size_t at) {
            return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U;
        };
        const unsigned first = byte(i);
        const unsigned second = byte(i + 1);
        const auto follows = [&](std::size_t count) {
            for (std::size_t k = 1; k <= count; ++k) {
                if ((byte(i + k) & 0xc0) != 0x80) {
                    return false;
                }
            }
            return true;
        };
        if (first < 0x80) {
            i += 1;
        } else if (first >= 0xc2 && first <= 0xdf && follows(1)) {
            i += 2;
        } else if (first >= 0xe0 && first <= 0xef && follows(2) &&
                   !(first == 0xe0 && second < 0xa0) && !(first == 0xed && second >= 0xa0)) {
            i += 3;
        } else if (first >= 0xf0 && first <= 0xf4 && follows(3) &&
                   !(first == 0xf0 && second < 0x90) && !(first == 0xf4 && second >= 0x90)) {
            i += 4;
        } else {
            return false;
        }
    }
    return true;
}

std::string digest_of(const std::string& description) {
    const XXH128_hash_t hash = XXH3_128bits(description.data(), description.size());
    static constexpr char kHex[] = "0123456789abcdef";
    std::string digest;
    for (const std::uint64_t half : {hash.high64, hash.low64}) {
        for (int shift = 60; shift >= 0; shift -= 4) {
            digest += kHex[(half >> shift) & 15];
        }
    }
    return digest;
}

}  // namespace

Result<void> AnySet::add(const Value& item) {
    if (is_hashable(item)) {
        hashable_.add(item);
        return {};
    }
    digests_.insert(TRY(digest(item)));
    return {};
}

Result<bool> AnySet::contains(const Value& item) {
    if (is_hashable(item)) {
        return hashable_.contains(item);
    }
    return digests_.contains(TRY(digest(item)));
}

Result<AnySet::Digest> AnySet::digest(const Value& value) {
    if (const auto flag = value.as_bool()) {
        auto& known = digest_by_bool_[*flag ? 1 : 0];
        if (!known) {
            known = TRY(digest_new(value));
        }
        return *known;
    }
    if (!is_hashable(value)) {
        return digest_new(value);
    }
    if (const Value* known = digest_by_value_.find(value)) {
        return *known->as_str();
    }
    Digest digest = TRY(digest_new(value));
    digest_by_value_.set(value, Value::str(digest));
    return digest;
}

Result<AnySet::Digest> AnySet::digest_new(const Value& value) {
    // deepdiff puts 'str:' before every description again, so that a str 'int:1' is the int 1.
    switch (value.type()) {
        case Type::None:
            return digest_of("str:NONE");
        case Type::Bool:
            return digest_of(*value.as_bool() ? "str:bool:true" : "str:bool:false");
        case Type::Int:
        case Type::BigInt:
            return digest_of("str:int:" + TRY(python_str(value)));
        case Type::Float:
            return digest_of("str:float:" + TRY(python_str(value)));
        case Type::Str:
            if (!is_utf8(*value.as_str())) {
                return bad_input("deepdiff cannot hash a text with a lone surrogate");
            }
            return digest_of("str:" + *value.as_str());
        case Type::Bytes:
            if (!is_utf8(value.as_bytes()->view())) {
                return bad_input("deepdiff cannot hash bytes that are no UTF-8");
            }
            return digest_of("bytes:" + std::string(value.as_bytes()->view()));
        case Type::List:
            return digest_of(TRY(describe_items("list", value.as_list()->items)));
        case Type::Tuple:
            return digest_of(TRY(describe_items("tuple", value.as_tuple()->items)));
        case Type::Set:
            return digest_of(TRY(describe_items("set", value.as_set()->items())));
        case Type::FrozenSet:
            return digest_of(TRY(describe_items("frozenset", value.as_frozen_set()->items())));
        case Type::Dict:
            return digest_of(TRY(describe_dict(*value.as_dict())));
        case Type::ByteArray:
        case Type::Class:
        case Type::Object:
        case Type::BackReference:
            break;
    }
    return fail(ErrorKind::Unsupported,
                "lists compared without order that hold " + repr(value, 60));
}

Result<std::string> AnySet::describe_items(const char* type, const std::vector<Value>& items) {
    std::set<Digest> digests;
    for (const Value& item : items) {
        digests.insert(TRY(digest(item)));
    }
    std::string description = std::string("str:") + type + ":";
    for (const Digest& digest : digests) {
        description += digest;
        description += ',';
    }
    if (!digests.empty()) {
        description.pop_back();
    }
    return description;
}

Result<std::string> AnySet::describe_dict(const Dict& dict) {
    std::vector<std::string> parts;
    for (const auto& [key, item] : dict.entries()) {
        if (key.as_str() != nullptr && key.as_str()->starts_with("__")) {
            continue;
        }
        const Digest key_digest = TRY(digest(key));
        parts.push_back(key_digest + ":" + TRY(digest(item)));
    }
    std::sort(parts.begin(), parts.end());
    std::string description = "str:dict:{";
    for (const std::string& part : parts) {
        description += part;
        description += ';';
    }
    if (!parts.empty()) {
        description.pop_back();
    }
    return description + "}";
}

}  // namespace common
