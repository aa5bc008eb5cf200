#include <algorithm>
#include <deque>

#include "common/pickle.h"
#include "common/value.h"
#include "snapshotter/commands/commands.h"

namespace snapshotter::commands {

using common::fail;
using common::NodeId;
using common::NodePtr;
using common::Result;

namespace {

constexpr std::size_t kDataBytesShown = 4000;
constexpr std::size_t kChangesMax = 100'000;

Result<Inspection::Detail> detail_of(const Inspection& inspection, const NodeId& id) {
    const auto& nodes = inspection.moment.graph.nodes;
    const auto found = std::find_if(nodes.begin(), nodes.end(),
                                    [&](const NodePtr& node) { return node->id == id; });
    if (found == nodes.end()) {
        return fail(common::ErrorKind::NotFound,
                    "there is no node '" + id + "' in " + inspection.moment.source);
    }
    Inspection::Detail detail;
    detail.node = view_of(**found);
    const auto data = common::read_pickle((*found)->data, common::PickleUse::NodeData);
    detail.data = data ? common::repr(*data, kDataBytesShown) : data.error().what;
    for (const NodeView& other : inspection.nodes) {
        if (std::find(other.dependencies.begin(), other.dependencies.end(), id) !=
            other.dependencies.end()) {
            detail.needed_by.push_back(other.id);
        }
    }
    return detail;
}

bool is_asked_for(const CommandLine& line, const NodeId& id) {
    return line.nodes.empty() ||
           std::find(line.nodes.begin(), line.nodes.end(), id) != line.nodes.end();
}

Result<void> add_changes(const Moments& moments, const CommandLine& line, Inspection& inspection) {
    if (!inspection.moment.stamp) {
        return {};
    }
    std::deque<Inspection::Change> newest;
    const auto take = [&](HistoryRow&& row) -> Result<bool> {
        const auto doing = doing_of(row.record.mutation);
        if (doing && is_asked_for(line, doing->node)) {
            Inspection::Change change{row.record.time, row.record.user, doing->node, doing->what,
                                      number(row.position.seq)};
            if (!change.node.empty()) {
                inspection.last_changes[change.node] = change;
            }
            newest.push_back(std::move(change));
        }
        if (newest.size() > kChangesMax) {
            newest.pop_front();
            ++inspection.changes_left_out;
        }
        return true;
    };
    const Replayed replayed = TRY(moments.records_until(inspection.moment.stamp->position, take));
    inspection.changes.assign(newest.begin(), newest.end());
    if (replayed.damage) {
        inspection.moment.notes.push_back(to_string(*replayed.damage));
    }
    return {};
}

}  // namespace

Result<Inspection> inspect(const Surroundings& around, const CommandLine& line) {
    const Moments moments = TRY(open_moments(around));
    Inspection inspection;
    inspection.moment = TRY(moment_of(moments, around, line));
    const auto& nodes = inspection.moment.graph.nodes;
    const common::TellDone tell = telling(around.tell, "Looking at the nodes");
    for (const NodePtr& node : nodes) {
        if (tell) {
            tell(inspection.nodes.size(), nodes.size());
        }
        inspection.nodes.push_back(view_of(*node));
    }
    for (const NodeId& id : line.nodes) {
        inspection.details.push_back(TRY(detail_of(inspection, id)));
    }
    if (line.changes) {
        TRY(add_changes(moments, line, inspection));
    }
    return inspection;
}

}  // namespace snapshotter::commands
