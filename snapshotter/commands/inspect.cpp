#include <algorithm>

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
    const auto data = common::read_pickle((*found)->data, common::PickleUse::Plain);
    detail.data = data ? common::repr(*data, kDataBytesShown) : data.error().what;
    for (const NodeView& other : inspection.nodes) {
        if (std::find(other.dependencies.begin(), other.dependencies.end(), id) !=
            other.dependencies.end()) {
            detail.needed_by.push_back(other.id);
        }
    }
    return detail;
}

}  // namespace

Result<Inspection> inspect(const Surroundings& around, const CommandLine& line) {
    const Moments moments = TRY(Moments::open(around.files, around.data_dir));
    Inspection inspection;
    inspection.moment = TRY(moment_of(moments, around, line));
    for (const NodePtr& node : inspection.moment.graph.nodes) {
        inspection.nodes.push_back(view_of(*node));
    }
    for (const NodeId& id : line.nodes) {
        inspection.details.push_back(TRY(detail_of(inspection, id)));
    }
    return inspection;
}

}  // namespace snapshotter::commands
