#include "snapshotter/restore_server.h"

#include <utility>

namespace snapshotter {

void RestoreServer::begin(std::uint64_t stream, common::GraphCopy graph,
                          common::feed::Holding holding) {
    sender_.emplace(stream, std::move(graph), std::move(holding));
}

std::vector<common::feed::Piece> RestoreServer::on_pull(const common::feed::Pull& pull) {
    std::vector<common::feed::Piece> pieces;
    if (!sender_ || sender_->stream() != pull.stream) {
        return pieces;
    }
    sender_->grant(pull.credit);
    while (auto piece = sender_->next()) {
        pieces.push_back(std::move(*piece));
    }
    if (sender_->finished()) {
        sender_.reset();
    }
    return pieces;
}

std::optional<common::Progress> RestoreServer::progress() const {
    if (!sender_) {
        return std::nullopt;
    }
    return common::Progress{"Giving the session to the broker", sender_->nodes_sent(),
                            sender_->nodes()};
}

}  // namespace snapshotter
