#pragma once
// Who is alive: one client's heartbeat connection. Pure.
//
// The client's heartbeat process says b'INIT' once, answers each b'PING' with b'PONG', and gives up
// when it hears nothing for the client's own timeout + 1 s. So a client is pinged when more than
// kPingMs have passed since the last frame in each direction.

#include <algorithm>
#include <cstdint>

#include "common/ids.h"

namespace broker {

class Heartbeat {
public:
    static constexpr common::Millis kPing{1000};
    static constexpr std::int64_t kLatencyUnknown = 999;  // what the reference server shows

    // Made anew it has all its time again, or who was lost would be lost for good.
    void on_opened(common::Instant now) {
        open_ = true;
        received_ = now;
        sent_ = now;
    }
    void on_closed(common::Instant now) {
        open_ = false;
        closed_at_ = now;
    }
    // A frame came, whatever it says.
    void on_frame(common::Instant now) {
        if (!heard_) {
            sent_ = now;  // nothing was asked yet: the first latency is that of the first answer
        }
        heard_ = true;
        received_ = now;
    }
    void on_ping_sent(common::Instant now) { sent_ = now; }

    bool ping_due(common::Instant now) const {
        return open_ && heard_ && now - received_ > kPing && now - sent_ > kPing;
    }
    bool can_ping() const { return open_ && heard_; }

    // |last received - last sent|, as the reference server computes it.
    std::int64_t latency_ms() const {
        if (!heard_) {
            return kLatencyUnknown;
        }
        const auto difference = received_ - sent_;
        return std::max(difference, -difference).count();
    }
    // It was asked and did not answer, or its connection has been gone, for longer than `timeout`.
    bool lost(common::Instant now, common::Millis timeout) const {
        if (!heard_) {
            return false;
        }
        return open_ ? sent_ - received_ > timeout : now - closed_at_ > timeout;
    }

private:
    bool open_ = false;
    bool heard_ = false;
    common::Instant received_{};
    common::Instant sent_{};
    common::Instant closed_at_{};
};

}  // namespace broker
