#pragma once
// What leaves for the snapshotters: records, packed, and beats, in the order in which they are
// given. Pure: `send` is the socket.
//
// What a client has seen has left for the snapshotters. So bytes go to clients (Listener::flush)
// only in exchange for a Left, and only flush() makes one.

#include <cstdint>
#include <functional>
#include <vector>

#include "common/feed.h"
#include "common/feed_stream.h"

namespace broker {

class FeedSender {
public:
    using Send = std::function<void(const common::feed::FeedMessage&)>;
    // `first_number`: see PacketWriter.
    FeedSender(std::uint64_t first_number, Send send);
    FeedSender(const FeedSender&) = delete;
    FeedSender& operator=(const FeedSender&) = delete;

    // Packets that are full leave at once.
    void add(const common::feed::Frames& record);
    // After all that was added.
    void beat(const common::feed::Beat& beat);

    // All that was added has left.
    class Left {
    public:
        Left(Left&&) = default;

    private:
        friend FeedSender;
        Left() {}
    };
    [[nodiscard]] Left flush();

private:
    common::feed::PacketWriter packets_;
    std::vector<common::feed::Packet> full_;
    Send send_;
};

}  // namespace broker
