#include "broker/feed_sender.h"

#include <utility>

namespace broker {

FeedSender::FeedSender(std::uint64_t first_number, Send send)
    : packets_(first_number), send_(std::move(send)) {}

void FeedSender::add(const common::feed::Frames& record) {
    packets_.add(record, full_);
    for (common::feed::Packet& packet : full_) {
        send_(std::move(packet));
    }
    full_.clear();
}

void FeedSender::beat(const common::feed::Beat& beat) {
    static_cast<void>(flush());
    send_(beat);
}

FeedSender::Left FeedSender::flush() {
    if (auto packet = packets_.flush()) {
        send_(std::move(*packet));
    }
    return {};
}

}  // namespace broker
