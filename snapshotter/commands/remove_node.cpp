#include "snapshotter/commands/commands.h"

namespace snapshotter::commands {

using common::Result;

Result<Replacement> remove_node(const Surroundings& around, const CommandLine& line) {
    const auto without_node = [&](const Moments& moments) -> Result<Moment> {
        Moment moment = TRY(moments.present());
        common::Graph graph(moment.graph);
        if (!graph.contains(line.target)) {
            return common::fail(common::ErrorKind::NotFound,
                                "there is no node '" + line.target +
                                    "' in the session; holdfast-snapshotter inspect shows them");
        }
        TRY(graph.apply(common::DeleteNode{line.target}));
        moment.graph = graph.copy();
        moment.source += ", without node " + line.target;
        return moment;
    };
    return replace_session(around, line, without_node);
}

}  // namespace snapshotter::commands
