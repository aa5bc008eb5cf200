#include <algorithm>

#include "common/log.h"
#include "snapshotter/commands/report.h"
#include "snapshotter/commands/time_text.h"

namespace snapshotter::commands {

using common::log_text;
using common::SessionStamp;

namespace {

constexpr std::size_t kNodesShown = 20;  // of what a restore would add, remove or change
constexpr std::size_t kTextBytesMax = 120;
using Kind = StoredSave::Kind;

// Foreign text, safe for a terminal.
std::string safe(const std::string& text) {
    return log_text(text, kTextBytesMax);
}

std::string column(std::string text, std::size_t width) {
    text.resize(std::max(width, text.size() + 2), ' ');
    return text;
}

std::string head(const Surroundings& around) {
    return around.data_dir + "   (times are " + show_zone(around.now) + ")\n";
}

std::string describe(const StoredSave& save, const std::optional<SessionStamp>& stamp) {
    std::string text = "  " + column(save.name, 34) + column(readable_bytes(save.info.bytes), 12);
    if (!stamp) {
        return text + "not written by Holdfast";
    }
    return text + column("position " + std::to_string(number(stamp->position.seq)), 20) +
           "last change " + show_time(stamp->last_mutation);
}

const char* title(Kind kind) {
    switch (kind) {
        case Kind::Session:
            return "session";
        case Kind::Backup:
            return "backups";
        case Kind::Pinned:
            return "pinned, never removed";
    }
    return "";
}

std::string describe(const NodeView& node) {
    return column(safe(node.id), 38) + column(safe(node.type), 14) +
           column(node.name.empty() ? "-" : safe(node.name), 24) + column(safe(node.owner), 12) +
           readable_bytes(node.bytes);
}

std::string describe(const Moment& moment) {
    std::string text = moment.source;
    if (moment.stamp) {
        text += ": position " + std::to_string(number(moment.stamp->position.seq)) +
                ", last change " + show_time(moment.stamp->last_mutation);
    } else {
        text += ": not written by Holdfast";
    }
    return text + ", " + std::to_string(moment.graph.nodes.size()) + " nodes\n";
}

void describe(std::string& text, const char* sign, std::size_t index, std::size_t count,
              const NodeView& node) {
    if (index < kNodesShown) {
        text += std::string("  ") + sign + " " + describe(node) + "\n";
    } else if (index == kNodesShown) {
        text += "  " + std::string(sign) + " and " + std::to_string(count - kNodesShown) +
                " more (--json shows all)\n";
    }
}

std::string describe(const GraphChange& change) {
    std::string text;
    for (std::size_t i = 0; i < change.added.size(); ++i) {
        describe(text, "+", i, change.added.size(), change.added[i]);
    }
    for (std::size_t i = 0; i < change.removed.size(); ++i) {
        describe(text, "-", i, change.removed.size(), change.removed[i]);
    }
    for (std::size_t i = 0; i < change.changed.size(); ++i) {
        describe(text, "*", i, change.changed.size(), change.changed[i].node);
    }
    return text;
}

std::string describe(const Inspection::Change& change) {
    return show_time(change.time) + "  " + column(std::to_string(change.position), 10) +
           column(change.user.empty() ? "(server)" : safe(change.user), 14) +
           (change.node.empty() ? "" : safe(change.node) + "  ") + log_text(change.what, 500);
}

std::string list_of(const std::vector<common::NodeId>& ids) {
    std::string text;
    for (const common::NodeId& id : ids) {
        text += (text.empty() ? "" : ", ") + safe(id);
    }
    return text.empty() ? "none" : text;
}

std::string describe_notes(const std::vector<std::string>& notes) {
    std::string text;
    for (const std::string& note : notes) {
        text += "note: " + log_text(note, 1000) + "\n";
    }
    return text;
}

}  // namespace

std::string to_text(const Listing& listing, const Surroundings& around) {
    std::string text = head(around);
    std::optional<Kind> kind;
    for (const StoredSave& save : listing.saves) {
        if (kind != save.kind) {
            kind = save.kind;
            text += std::string(title(*kind)) + "\n";
        }
        text += save.damage.empty()
                    ? describe(save, save.stamp)
                    : "  " + column(save.name, 34) + "DAMAGED: " + log_text(save.damage, 500);
        text += "\n";
    }
    if (listing.saves.empty()) {
        text += "There is no session here.\n";
    }
    const Listing::History& history = listing.history;
    text += "history\n";
    if (history.records == 0) {
        text += "  none\n";
    } else {
        text += "  from " + show_time(history.first) + " to " + show_time(history.last) + ", " +
                std::to_string(history.records) + " changes in " +
                std::to_string(history.segments) + (history.segments == 1 ? " file" : " files") +
                "\n";
    }
    for (const std::string& damage : history.damage) {
        text += "  DAMAGED: " + log_text(damage, 500) + "\n";
    }
    return text + "on disk: " + to_string(listing.disk) + "\n";
}

std::string to_text(const Verification& verification, const Surroundings& around) {
    std::string text = head(around);
    for (const Verification::Line& line : verification.saves) {
        text += line.damage.empty() ? "good     " : "DAMAGED  ";
        text += column(line.save.name, 34);
        text += line.damage.empty() ? std::to_string(line.nodes) + " nodes" +
                                          (line.stamp ? "" : ", not written by Holdfast")
                                    : log_text(line.damage, 1000);
        text += "\n";
    }
    if (!verification.metadata_damage.empty()) {
        text += "DAMAGED  " + column("session_metadata.json", 34) +
                log_text(verification.metadata_damage, 500) +
                " (written anew with the next save)\n";
    }
    for (const Verification::Segment& segment : verification.segments) {
        text += segment.damage.empty() ? "good     " : "DAMAGED  ";
        text += column(segment.file.substr(segment.file.rfind('/') + 1), 34);
        text += segment.damage.empty() ? std::to_string(segment.records) + " changes"
                                       : log_text(segment.damage, 1000);
        text += "\n";
    }
    if (!verification.segments.empty()) {
        text += std::to_string(verification.proved) +
                " saves are what the history leads to from an older one\n";
    }
    if (!verification.note.empty()) {
        text += verification.note + "\n";
    }
    return text + (verification.good ? "All is good.\n"
                                     : "There is damage: see docs/OPERATIONS.md, Damage.\n");
}

std::string to_text(const Inspection& inspection, const Surroundings& around) {
    std::string text = head(around) + describe(inspection.moment);
    text += describe_notes(inspection.moment.notes);
    for (const auto& [name, metadata] : inspection.moment.graph.metadata) {
        text += "  user " + safe(name) + ": " + readable_bytes(metadata.size()) + " kept\n";
    }
    if (inspection.details.empty()) {
        for (const NodeView& node : inspection.nodes) {
            text += "  " + describe(node);
            const auto last = inspection.last_changes.find(node.id);
            if (last != inspection.last_changes.end()) {
                text += "  " + show_time(last->second.time) + " " + safe(last->second.user);
            }
            text += "\n";
        }
    }
    for (const Inspection::Detail& detail : inspection.details) {
        text += describe(detail.node) + "\n";
        text += "  depends on: " + list_of(detail.node.dependencies) + "\n";
        text += "  needed by: " + list_of(detail.needed_by) + "\n";
        text += "  data: " + log_text(detail.data, 4000) + "\n";
    }
    if (inspection.changes_left_out > 0) {
        text += std::to_string(inspection.changes_left_out) + " older changes are left out\n";
    }
    for (const Inspection::Change& change : inspection.changes) {
        text += describe(change) + "\n";
    }
    return text;
}

std::string to_text(const Exported& exported, const Surroundings& around) {
    return head(around) + exported.file + " written: " + std::to_string(exported.nodes) +
           " nodes of " + describe(exported.moment) + describe_notes(exported.moment.notes);
}

std::string to_text(const Replacement& replacement, const Surroundings& around) {
    std::string text = head(around) + describe_notes(replacement.notes);
    text += "to: " + describe(replacement.moment);
    text += "it " + to_string(replacement.change) + "\n" + describe(replacement.change);
    if (!replacement.set_aside.empty()) {
        text += "The session file could not be read; it is kept as " + replacement.set_aside + "\n";
    }
    if (!replacement.kept.empty()) {
        text += "What was the session is kept as " + replacement.kept + "\n";
    }
    return text + (replacement.dry_run ? "Nothing was changed: a dry run.\n"
                                       : "Done. Start broker and snapshotter (if the broker still "
                                         "runs, restart it first).\n");
}

std::string to_text(const Renamed& renamed, const Surroundings&) {
    return renamed.from == renamed.to ? renamed.from + " is so already\n"
                                      : renamed.from + " is now " + renamed.to + "\n";
}

}  // namespace snapshotter::commands
