#include "snapshotter/commands/commands.h"
#include "snapshotter/storage/session_reader.h"

namespace snapshotter::commands {

using common::Result;

Result<Replacement> import_session(const Surroundings& around, const CommandLine& line) {
    const auto read = [&](const Moments&) -> Result<Moment> {
        Result<common::SessionFile> session =
            load_session(around.files, line.target, telling(around.tell, "Reading " + line.target));
        if (!session && session.error().kind == common::ErrorKind::NotFound) {
            return common::fail(session.error().kind, "there is no file " + line.target);
        }
        if (!session) {
            return common::fail(session.error().kind, line.target + ": " + session.error().what);
        }
        return Moment{std::move(session->graph), std::move(session->stamp), line.target, {}};
    };
    return replace_session(around, line, read);
}

}  // namespace snapshotter::commands
