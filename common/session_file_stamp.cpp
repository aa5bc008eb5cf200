#include "common/session_file_stamp.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/limits.h"
#include "common/pickle.h"

namespace common::session_file {

namespace {

constexpr std::int64_t kFormat = 1;

// ---- numbers as text ---------------------------------------------------------------------------

Result<std::uint64_t> read_number(std::string_view text, int base, const char* what) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    if (error != std::errc() || end != text.data() + text.size()) {
        return bad_input(std::string("holdfast: ") + what + " is not a number");
    }
    return number;
}

Result<Hash128> read_hash(std::string_view text, const char* what) {
    if (text.size() != 32) {
        return bad_input(std::string("holdfast: ") + what + " is not a hash");
    }
    return Hash128{TRY(read_number(text.substr(0, 16), 16, what)),
                   TRY(read_number(text.substr(16), 16, what))};
}

Result<std::string_view> find_text(const Value& dict, const char* key) {
    const Value* value = dict.find(key);
    const std::string* text = value == nullptr ? nullptr : value->as_str();
    if (text == nullptr) {
        return bad_input(std::string("holdfast: no text '") + key + "'");
    }
    return std::string_view(*text);
}

Result<std::int64_t> find_int(const Value& dict, const char* key) {
    const Value* value = dict.find(key);
    const std::optional<std::int64_t> number = value == nullptr ? std::nullopt : value->as_int();
    if (!number) {
        return bad_input(std::string("holdfast: no number '") + key + "'");
    }
    return *number;
}

// ---- the stamp ---------------------------------------------------------------------------------

Value position_value(const Position& position) {
    return Value::list({Value::str(hex(number(position.epoch))),
                        Value::str(std::to_string(number(position.seq))),
                        Value::str(hex(position.chain))});
}

Result<Position> read_position(const Value& value) {
    const List* list = value.as_list();
    if (list == nullptr || list->items.size() != 3) {
        return bad_input("holdfast: a position has three parts");
    }
    std::array<const std::string*, 3> parts{};
    for (std::size_t i = 0; i < parts.size(); ++i) {
        parts[i] = list->items[i].as_str();
        if (parts[i] == nullptr) {
            return bad_input("holdfast: a position is made of text");
        }
    }
    return Position{Epoch{TRY(read_number(*parts[0], 16, "an epoch"))},
                    Seq{TRY(read_number(*parts[1], 10, "a seq"))},
                    TRY(read_hash(*parts[2], "a chain"))};
}

Value lineage_value(const Lineage& lineage) {
    std::vector<Value> entries;
    for (const LineageEntry& entry : lineage) {
        entries.push_back(
            Value::list({Value::str(hex(number(entry.epoch))), position_value(entry.parent)}));
    }
    return Value::list(std::move(entries));
}

Result<Lineage> read_lineage(const Value& value) {
    const List* list = value.as_list();
    if (list == nullptr || list->items.size() > limits::kLineageMax) {
        return bad_input("holdfast: no lineage, or one that is too long");
    }
    Lineage lineage;
    for (const Value& item : list->items) {
        const List* entry = item.as_list();
        const std::string* epoch =
            entry == nullptr || entry->items.size() != 2 ? nullptr : entry->items[0].as_str();
        if (epoch == nullptr) {
            return bad_input("holdfast: a lineage entry has an epoch and a parent");
        }
        lineage.push_back(
            {Epoch{TRY(read_number(*epoch, 16, "an epoch"))}, TRY(read_position(entry->items[1]))});
    }
    return lineage;
}

// What a client makes anew itself: half-restored, these break the addon.
bool is_made_by_the_client(std::string_view key) {
    static constexpr std::array<std::string_view, 5> kNames = {
        "color", "scene_current", "mode_current", "frame_current", "selected_objects"};
    return key.starts_with("view_") || std::find(kNames.begin(), kNames.end(), key) != kNames.end();
}

}  // namespace

Value stamp_value(const GraphCopy& graph, const SessionStamp& stamp) {
    std::vector<std::pair<Value, Value>> metadata;
    for (const auto& [name, pickled] : graph.metadata) {
        metadata.emplace_back(Value::str(name), Value::bytes(pickled));
    }
    return Value::dict({{Value::str("format"), Value::integer(kFormat)},
                        {Value::str("position"), position_value(stamp.position)},
                        {Value::str("lineage"), lineage_value(stamp.lineage)},
                        {Value::str("timeline"), Value::str(hex(number(graph.timeline)))},
                        {Value::str("initialised"), Value::boolean(graph.initialised)},
                        {Value::str("last_mutation"), Value::integer(number(stamp.last_mutation))},
                        {Value::str("saved"), Value::integer(number(stamp.saved))},
                        {Value::str("digest"), Value::str(hex(stamp.digest))},
                        {Value::str("metadata"), Value::dict(std::move(metadata))}});
}

Result<SessionStamp> read_stamp(const Value& value, GraphCopy& graph) {
    const std::int64_t format = TRY(find_int(value, "format"));
    if (format != kFormat) {
        return fail(ErrorKind::Unsupported,
                    "it was written by another version of Holdfast (format " +
                        std::to_string(format) + ", this one reads " + std::to_string(kFormat) +
                        ")");
    }
    const Value* position = value.find("position");
    const Value* lineage = value.find("lineage");
    const Value* initialised = value.find("initialised");
    const Value* metadata = value.find("metadata");
    if (position == nullptr || lineage == nullptr || initialised == nullptr ||
        !initialised->as_bool() || metadata == nullptr || metadata->as_dict() == nullptr) {
        return bad_input("holdfast: position, lineage, initialised or metadata is missing");
    }
    SessionStamp stamp;
    stamp.position = TRY(read_position(*position));
    stamp.lineage = TRY(read_lineage(*lineage));
    stamp.last_mutation = WallTime{TRY(find_int(value, "last_mutation"))};
    stamp.saved = WallTime{TRY(find_int(value, "saved"))};
    const std::string_view digest = TRY(find_text(value, "digest"));
    stamp.digest = TRY(read_hash(digest, "the digest"));
    const std::string_view timeline = TRY(find_text(value, "timeline"));
    graph.timeline = Timeline{TRY(read_number(timeline, 16, "a timeline"))};
    graph.initialised = *initialised->as_bool();
    for (const Dict::Entry& entry : metadata->as_dict()->entries()) {
        const std::string* name = entry.key.as_str();
        const Bytes* pickled = entry.value.as_bytes();
        if (name == nullptr || pickled == nullptr) {
            return bad_input("holdfast: a user's metadata are not bytes");
        }
        graph.metadata[*name] = Bytes::copy_of(pickled->view());
    }
    return stamp;
}

// ---- users -------------------------------------------------------------------------------------

Result<Value> users_value(const GraphCopy& graph) {
    std::vector<std::pair<Value, Value>> users;
    for (const auto& [name, pickled] : graph.metadata) {
        Value metadata = TRY(read_pickle(pickled, PickleUse::Plain));
        users.emplace_back(Value::str(name),
                           Value::dict({{Value::str("id"), Value::str(name)},
                                        {Value::str("admin"), Value::boolean(false)},
                                        {Value::str("latency"), Value::integer(0)},
                                        {Value::str("status"), Value::integer(0)},
                                        {Value::str("metadata"), std::move(metadata)}}));
    }
    return Value::dict(std::move(users));
}

std::map<UserName, Bytes> read_users(const Value& users) {
    std::map<UserName, Bytes> result;
    const Dict* dict = users.as_dict();
    if (dict == nullptr) {
        return result;
    }
    for (const Dict::Entry& user : dict->entries()) {
        const std::string* name = user.key.as_str();
        const Value* metadata = user.value.find("metadata");
        if (name == nullptr || name->empty() || name->size() > limits::kUserNameBytesMax ||
            metadata == nullptr || metadata->as_dict() == nullptr) {
            continue;
        }
        std::vector<std::pair<Value, Value>> kept;
        for (const Dict::Entry& entry : metadata->as_dict()->entries()) {
            const std::string* key = entry.key.as_str();
            if (key != nullptr && !is_made_by_the_client(*key)) {
                kept.emplace_back(entry.key, entry.value);
            }
        }
        Bytes pickled = write_pickle(Value::dict(std::move(kept)));
        if (pickled.size() <= limits::kUserMetadataBytesMax) {
            result[*name] = std::move(pickled);
        }
    }
    return result;
}

}  // namespace common::session_file
