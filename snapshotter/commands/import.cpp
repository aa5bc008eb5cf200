#include "snapshotter/commands/commands.h"

namespace snapshotter::commands {

using common::Result;

Result<Replacement> import_session(const Surroundings& around, const CommandLine& line) {
    const auto read = [&](const Moments&) -> Result<Moment> {
        const common::Bytes bytes = TRY(around.files.read(line.target));
        Result<common::SessionFile> session = common::read_session_file(bytes);
        if (!session) {
            return common::fail(session.error().kind, line.target + ": " + session.error().what);
        }
        return Moment{std::move(session->graph), std::move(session->stamp), line.target, {}};
    };
    return replace_session(around, line, read);
}

}  // namespace snapshotter::commands
