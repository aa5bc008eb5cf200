#include <nlohmann/json.hpp>

#include "common/position_json.h"
#include "snapshotter/commands/report.h"
#include "snapshotter/storage/disk_use_json.h"
#include "snapshotter/storage/file_names.h"

namespace snapshotter::commands {

using common::hex;
using common::position_json;
using common::SessionStamp;
using file_names::iso_local;
using Json = nlohmann::ordered_json;

namespace {

std::string dump(const Json& json) {
    // Names may hold bytes that are not UTF-8; they must not become an exception.
    return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

const char* name_of(StoredSave::Kind kind) {
    switch (kind) {
        case StoredSave::Kind::Session:
            return "session";
        case StoredSave::Kind::Backup:
            return "backup";
        case StoredSave::Kind::Pinned:
            return "pinned";
    }
    return "";
}

Json json_of(const StoredSave& save, const std::optional<SessionStamp>& stamp,
             const std::string& damage) {
    Json json{{"name", save.name},
              {"kind", name_of(save.kind)},
              {"file", save.path},
              {"bytes", save.info.bytes},
              {"good", damage.empty()}};
    if (!damage.empty()) {
        json["damage"] = damage;
    }
    if (stamp) {
        json["saved"] = iso_local(stamp->saved);
        json["last_change"] = iso_local(stamp->last_mutation);
        json["position"] = position_json<Json>(stamp->position);
        json["digest"] = hex(stamp->digest);
    }
    return json;
}

Json json_of(const NodeView& node) {
    return {{"id", node.id},       {"type", node.type},   {"name", node.name},
            {"owner", node.owner}, {"bytes", node.bytes}, {"dependencies", node.dependencies}};
}

Json json_of(const std::vector<NodeView>& nodes) {
    Json json = Json::array();
    for (const NodeView& node : nodes) {
        json.push_back(json_of(node));
    }
    return json;
}

Json json_of(const Moment& moment) {
    Json json{{"source", moment.source},
              {"nodes", moment.graph.nodes.size()},
              {"timeline", hex(number(moment.graph.timeline))},
              {"digest", hex(moment.graph.digest())},
              {"notes", moment.notes}};
    if (moment.stamp) {
        json["position"] = position_json<Json>(moment.stamp->position);
        json["last_change"] = iso_local(moment.stamp->last_mutation);
    }
    Json users = Json::array();
    for (const auto& [name, ignored] : moment.graph.metadata) {
        users.push_back(name);
    }
    json["users"] = std::move(users);
    return json;
}

Json json_of(const GraphChange& change) {
    Json changed = Json::array();
    for (const GraphChange::Changed& one : change.changed) {
        Json json = json_of(one.node);
        json["data_changed"] = one.data;
        json["dependencies_changed"] = one.dependencies;
        changed.push_back(std::move(json));
    }
    return {{"added", json_of(change.added)},
            {"removed", json_of(change.removed)},
            {"changed", std::move(changed)},
            {"unchanged", change.unchanged},
            {"metadata_changed", change.metadata}};
}

Json text_or_null(const std::string& text) {
    return text.empty() ? Json() : Json(text);
}

}  // namespace

std::string to_json(const Listing& listing, const Surroundings& around) {
    Json saves = Json::array();
    for (const StoredSave& save : listing.saves) {
        saves.push_back(json_of(save, save.stamp, save.damage));
    }
    const Listing::History& history = listing.history;
    Json span{{"files", history.segments},
              {"changes", history.records},
              {"first", history.records > 0 ? Json(iso_local(history.first)) : Json()},
              {"last", history.records > 0 ? Json(iso_local(history.last)) : Json()},
              {"damage", history.damage}};
    return dump({{"data_dir", around.data_dir},
                 {"now", iso_local(around.now)},
                 {"saves", std::move(saves)},
                 {"history", std::move(span)},
                 {"disk", disk_use_json<Json>(listing.disk)}});
}

std::string to_json(const Verification& verification, const Surroundings& around) {
    Json saves = Json::array();
    for (const Verification::Line& line : verification.saves) {
        Json json = json_of(line.save, line.stamp, line.damage);
        json["nodes"] = line.nodes;
        saves.push_back(std::move(json));
    }
    Json segments = Json::array();
    for (const Verification::Segment& segment : verification.segments) {
        segments.push_back({{"file", segment.file},
                            {"changes", segment.records},
                            {"good", segment.damage.empty()},
                            {"damage", text_or_null(segment.damage)}});
    }
    return dump({{"data_dir", around.data_dir},
                 {"good", verification.good},
                 {"metadata_damage", text_or_null(verification.metadata_damage)},
                 {"note", text_or_null(verification.note)},
                 {"saves", std::move(saves)},
                 {"history", std::move(segments)},
                 {"proved", verification.proved}});
}

std::string to_json(const Inspection& inspection, const Surroundings&) {
    Json details = Json::array();
    for (const Inspection::Detail& detail : inspection.details) {
        Json json = json_of(detail.node);
        json["needed_by"] = detail.needed_by;
        json["data"] = detail.data;
        details.push_back(std::move(json));
    }
    Json json{{"moment", json_of(inspection.moment)}, {"nodes", json_of(inspection.nodes)}};
    if (!inspection.details.empty()) {
        json["details"] = std::move(details);
    }
    Json changes = Json::array();
    for (const Inspection::Change& change : inspection.changes) {
        changes.push_back({{"time", iso_local(change.time)},
                           {"user", change.user},
                           {"node", text_or_null(change.node)},
                           {"what", change.what},
                           {"position", change.position}});
    }
    if (!inspection.changes.empty()) {
        json["changes"] = std::move(changes);
        json["changes_left_out"] = inspection.changes_left_out;
    }
    return dump(json);
}

std::string to_json(const Exported& exported, const Surroundings&) {
    return dump({{"file", exported.file},
                 {"nodes", exported.nodes},
                 {"whole", exported.whole},
                 {"moment", json_of(exported.moment)}});
}

std::string to_json(const Replacement& replacement, const Surroundings& around) {
    return dump({{"data_dir", around.data_dir},
                 {"dry_run", replacement.dry_run},
                 {"moment", json_of(replacement.moment)},
                 {"change", json_of(replacement.change)},
                 {"kept", text_or_null(replacement.kept)},
                 {"set_aside", text_or_null(replacement.set_aside)},
                 {"notes", replacement.notes}});
}

std::string to_json(const Renamed& renamed, const Surroundings&) {
    return dump({{"from", renamed.from}, {"to", renamed.to}});
}

std::string error_json(const common::Error& error) {
    return dump({{"error", error.what}});
}

}  // namespace snapshotter::commands
