#include "snapshotter/commands/commands.h"

namespace snapshotter::commands {

using common::Result;

Result<Listing> list(const Surroundings& around) {
    const Moments moments = TRY(Moments::open(around.files, around.data_dir));
    Listing listing;
    for (const StoredSave& save : moments.saves()) {
        Listing::Line line{save, std::nullopt, ""};
        const Result<common::Bytes> bytes = around.files.read(save.path);
        if (!bytes && bytes.error().kind == common::ErrorKind::NotFound) {
            continue;  // it has gone since it was listed
        }
        const auto stamp =
            bytes ? common::check_session_file(*bytes)
                  : Result<std::optional<common::SessionStamp>>(tl::unexpected(bytes.error()));
        if (stamp) {
            line.stamp = *stamp;
        } else {
            line.damage = stamp.error().what;
        }
        listing.saves.push_back(std::move(line));
    }
    listing.disk = TRY(disk_use(around.files, around.data_dir));
    return listing;
}

}  // namespace snapshotter::commands
