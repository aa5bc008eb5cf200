#include "snapshotter/commands/commands.h"

namespace snapshotter::commands {

using common::Result;

Result<Verification> verify(const Surroundings& around) {
    const Moments moments = TRY(Moments::open(around.files, around.data_dir));
    Verification result;
    for (const StoredSave& save : moments.saves()) {
        Verification::Line line{save, 0, std::nullopt, ""};
        const Result<common::Bytes> bytes = around.files.read(save.path);
        if (!bytes && bytes.error().kind == common::ErrorKind::NotFound) {
            continue;  // it has gone since it was listed
        }
        const Result<common::SessionFile> session =
            bytes ? common::read_session_file(*bytes)
                  : Result<common::SessionFile>(tl::unexpected(bytes.error()));
        if (session) {
            line.nodes = session->graph.nodes.size();
            line.stamp = session->stamp;
        } else {
            line.damage = session.error().what;
            result.good = false;
        }
        result.saves.push_back(std::move(line));
    }
    if (result.saves.empty()) {
        result.note = "there is no session in " + around.data_dir;
    }
    return result;
}

}  // namespace snapshotter::commands
