#include "common/tidying.h"

namespace common {

namespace {

constexpr Millis kRest{1'000};
constexpr std::size_t kBytesPerTurn = 64 << 10;

}  // namespace

void Tidying::on_turn(Graph& graph, Instant now) {
    if (now - noted_at_ >= kRest) {
        rested_ = noted_;
        noted_ = graph.edits();
        noted_at_ = now;
    }
    graph.tidy(kBytesPerTurn, rested_);
}

}  // namespace common
