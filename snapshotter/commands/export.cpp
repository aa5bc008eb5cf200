#include "snapshotter/commands/commands.h"
#include "snapshotter/commands/session_change.h"

namespace snapshotter::commands {

using common::Result;

Result<Exported> export_session(const Surroundings& around, const CommandLine& line) {
    const Moments moments = TRY(open_moments(around));
    Exported exported;
    exported.moment = TRY(moment_of(moments, around, line));
    common::GraphCopy graph = exported.moment.graph;
    std::optional<common::SessionStamp> stamp = exported.moment.stamp;
    if (!line.nodes.empty()) {
        graph.nodes = TRY(with_dependencies(graph, line.nodes));
        graph.metadata.clear();
        exported.whole = false;
    }
    // What is only a part stands nowhere in the session's history.
    if (!exported.whole || !stamp) {
        stamp = begin_history(graph, around.now, around.fresh);
    }
    exported.file = line.to;
    exported.nodes = graph.nodes.size();
    if (around.files.stat(line.to)) {
        return common::fail(common::ErrorKind::Io,
                            line.to + " is there already; name another file, or remove it first");
    }
    const std::size_t slash = line.to.rfind('/');
    const std::string directory = slash == std::string::npos ? "."
                                  : slash == 0               ? "/"
                                                             : line.to.substr(0, slash);
    const std::string name = slash == std::string::npos ? line.to : line.to.substr(slash + 1);
    if (!around.files.stat(directory)) {
        return common::fail(common::ErrorKind::NotFound,
                            "there is no directory " + directory + " to write " + name + " into");
    }
    TRY(write_session(around.files, directory, name, graph, *stamp, around.now, around.tell));
    return exported;
}

}  // namespace snapshotter::commands
