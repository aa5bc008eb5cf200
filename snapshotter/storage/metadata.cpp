#include "snapshotter/storage/metadata.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "common/position_json.h"
#include "snapshotter/storage/file_names.h"

namespace snapshotter {

using common::bad_input;
using common::Hash128;
using common::hex;
using common::Result;
using common::WallTime;
using Json = nlohmann::ordered_json;

namespace {

// Seconds, as scripts know them.
double seconds(WallTime time) {
    return static_cast<double>(number(time)) / 1000.0;
}
WallTime from_seconds(double seconds) {
    return WallTime{static_cast<std::int64_t>(std::llround(seconds * 1000.0))};
}

// Reads the members of an object; the first one that is not as it should be is remembered.
class Reader {
public:
    explicit Reader(const Json& object) : object_(object) {}

    template <typename T>
    T get(const char* key, bool (Json::*is_type)() const noexcept) {
        const auto found = object_.find(key);
        if (found == object_.end() || !((*found).*is_type)()) {
            note(key);
            return T{};
        }
        return found->get<T>();
    }
    std::string text(const char* key) { return get<std::string>(key, &Json::is_string); }
    bool truth(const char* key) { return get<bool>(key, &Json::is_boolean); }
    WallTime time(const char* key) {
        const double value = get<double>(key, &Json::is_number);
        if (!(std::abs(value) < 1e12)) {
            note(key);
            return {};
        }
        return from_seconds(value);
    }
    std::uint64_t count(const char* key) {
        return get<std::uint64_t>(key, &Json::is_number_unsigned);
    }
    std::uint64_t hex_number(const char* key, std::string_view digits) {
        std::uint64_t value = 0;
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
        if (digits.size() != 16 || error != std::errc() || end != digits.data() + digits.size()) {
            note(key);
        }
        return value;
    }
    std::uint64_t hex_number(const char* key) { return hex_number(key, text(key)); }
    Hash128 hash(const char* key) {
        const std::string digits = text(key);
        if (digits.size() != 32) {
            note(key);
            return {};
        }
        const std::string_view view = digits;
        return {hex_number(key, view.substr(0, 16)), hex_number(key, view.substr(16))};
    }
    const Json& object(const char* key) {
        static const Json kEmpty = Json::object();
        const auto found = object_.find(key);
        if (found == object_.end() || !found->is_object()) {
            note(key);
            return kEmpty;
        }
        return *found;
    }
    std::vector<std::string> texts(const char* key) {
        std::vector<std::string> result;
        const auto found = object_.find(key);
        if (found == object_.end() || !found->is_array()) {
            note(key);
            return result;
        }
        for (const Json& item : *found) {
            if (!item.is_string()) {
                note(key);
                break;
            }
            result.push_back(item.get<std::string>());
        }
        return result;
    }

    void note(const char* key) {
        if (wrong_.empty()) {
            wrong_ = key;
        }
    }
    const std::string& wrong() const { return wrong_; }

private:
    const Json& object_;
    std::string wrong_;
};

}  // namespace

std::string write_metadata(const Metadata& metadata) {
    Json json;
    json["timestamp"] = seconds(metadata.time);
    json["datetime"] = file_names::iso_local(metadata.time);
    json["reason"] = metadata.reason;
    json["initialized"] = metadata.initialised;
    json["node_count"] = metadata.node_count;
    json["file_bytes"] = metadata.file_bytes;
    json["users"] = metadata.users;
    json["last_change"] = seconds(metadata.last_change);
    json["verified"] = seconds(metadata.verified);
    json["backup"] = metadata.backup;
    json["backup_digest"] = hex(metadata.backup_digest);
    json["backup_modified_ns"] = metadata.backup_modified_ns;
    json["digest"] = hex(metadata.digest);
    json["position"] = common::position_json<Json>(metadata.position);
    json["timeline"] = hex(number(metadata.timeline));
    json["holdfast_version"] = metadata.version;
    // A name that is not UTF-8 must not cost the file.
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Metadata> read_metadata(std::string_view text) {
    const Json json = Json::parse(text, nullptr, false);
    if (!json.is_object()) {
        return bad_input("it is not a JSON object");
    }
    Reader reader(json);
    Metadata metadata;
    metadata.time = reader.time("timestamp");
    metadata.reason = reader.text("reason");
    metadata.initialised = reader.truth("initialized");
    metadata.node_count = reader.count("node_count");
    metadata.file_bytes = reader.count("file_bytes");
    metadata.users = reader.texts("users");
    metadata.last_change = reader.time("last_change");
    metadata.verified = reader.time("verified");
    metadata.backup = reader.text("backup");
    metadata.backup_digest = reader.hash("backup_digest");
    if (json.contains("backup_modified_ns")) {
        metadata.backup_modified_ns =
            reader.get<std::int64_t>("backup_modified_ns", &Json::is_number_integer);
    }
    metadata.digest = reader.hash("digest");
    metadata.timeline = common::Timeline{reader.hex_number("timeline")};
    metadata.version = reader.text("holdfast_version");
    Reader position(reader.object("position"));
    metadata.position.epoch = common::Epoch{position.hex_number("epoch")};
    metadata.position.seq = common::Seq{position.count("seq")};
    metadata.position.chain = position.hash("chain");
    const std::string& wrong = reader.wrong().empty() ? position.wrong() : reader.wrong();
    if (!wrong.empty()) {
        return bad_input("'" + wrong + "' is missing or not what it should be");
    }
    return metadata;
}

}  // namespace snapshotter
