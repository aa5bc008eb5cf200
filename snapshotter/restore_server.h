#pragma once
// Gives the stored or mirrored graph to a broker that asks for it: a thin wrapper over WholeSender,
// one stream at a time. Pure.

#include <optional>
#include <vector>

#include "common/feed.h"
#include "common/progress.h"
#include "common/whole.h"

namespace snapshotter {

class RestoreServer {
public:
    // A verdict Restore arrived: what is given is a copy, so the mirror may go on.
    void begin(std::uint64_t stream, common::GraphCopy graph, common::feed::Holding holding);
    // Pieces to send now.
    std::vector<common::feed::Piece> on_pull(const common::feed::Pull& pull);
    bool giving() const { return sender_.has_value(); }
    // How much of it has been given; none: nothing is under way.
    std::optional<common::Progress> progress() const;
    void cancel() { sender_.reset(); }

private:
    std::optional<common::WholeSender> sender_;
};

}  // namespace snapshotter
