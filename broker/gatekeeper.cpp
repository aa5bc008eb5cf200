#include "broker/gatekeeper.h"

#include <algorithm>
#include <array>

namespace broker {
namespace {

using common::Instant;
using common::Millis;

constexpr std::size_t kGroups = 8;         // of an IPv6 address
constexpr std::size_t kNetworkGroups = 4;  // the first 64 bits

std::size_t count_groups(std::string_view text) {
    return text.empty() ? 0 : static_cast<std::size_t>(std::ranges::count(text, ':')) + 1;
}

// "2001:db8::7" as "2001:db8:0:0". The kernel writes addresses in one way only, so that texts can
// be compared.
std::string network_of(std::string_view address) {
    const auto gap = address.find("::");
    std::string network;
    std::size_t groups = 0;
    const auto append = [&](std::string_view part) {
        while (!part.empty() && groups < kNetworkGroups) {
            const auto end = std::min(part.find(':'), part.size());
            network += (groups++ == 0 ? "" : ":") + std::string(part.substr(0, end));
            part.remove_prefix(std::min(end + 1, part.size()));
        }
    };
    if (gap == std::string_view::npos) {
        append(address);
        return network;
    }
    const std::string_view head = address.substr(0, gap);
    const std::string_view tail = address.substr(gap + 2);
    append(head);
    const std::size_t written = count_groups(head) + count_groups(tail);
    for (std::size_t i = written; i < kGroups && groups < kNetworkGroups; ++i) {
        append("0");
    }
    append(tail);
    return network;
}

}  // namespace

std::string address_of(std::string_view peer) {
    if (!peer.starts_with('[')) {
        return std::string(peer.substr(0, peer.find(':')));
    }
    const auto end = peer.find(']');
    if (end == std::string_view::npos) {
        return std::string(peer);
    }
    std::string_view address = peer.substr(1, end - 1);
    if (address.starts_with("::ffff:") && address.find('.') != std::string_view::npos) {
        return std::string(address.substr(7));
    }
    address = address.substr(0, address.find('%'));
    return network_of(address);
}

// ---- ConnectionGate ----------------------------------------------------------------------------

ConnectionGate::ConnectionGate(std::uint32_t per_second) : per_second_(per_second) {}

// Each connection fills the budget by 1 / per_second; time empties it.
bool ConnectionGate::admit(const std::string& address, Instant now) {
    if (per_second_ == 0) {
        return true;
    }
    using Micros = std::chrono::microseconds;
    Budget& budget = budgets_.at(address);
    const Micros cost{1'000'000 / per_second_};
    const Micros now_exact = now.time_since_epoch();
    const Micros start = std::max(budget.empty_at, now_exact);
    if (start + cost > now_exact + Micros{kBurstSeconds * 1'000'000}) {
        return false;
    }
    budget.empty_at = start + cost;
    return true;
}

// ---- LoginGate ---------------------------------------------------------------------------------

Millis LoginGate::pause_after(std::uint32_t failures) const {
    if (free_attempts_ == 0 || failures < free_attempts_) {
        return Millis{0};
    }
    Millis pause = kWaitMin;
    for (std::uint32_t i = free_attempts_; i < failures && pause < kWaitMax; ++i) {
        pause *= 2;
    }
    return std::min(pause, kWaitMax);
}

void LoginGate::forgive(Record& record, Instant now) {
    while (record.failures > 0 && now - record.last >= kForgive) {
        --record.failures;
        record.last += kForgive;
    }
}

Millis LoginGate::wait(const std::string& address, Instant now) {
    Record* const record = records_.find(address);
    if (record == nullptr) {
        return Millis{0};
    }
    forgive(*record, now);
    if (record->failures == 0) {
        records_.erase(address);
        return Millis{0};
    }
    return std::max(Millis{0}, record->last + pause_after(record->failures) - now);
}

void LoginGate::failed(const std::string& address, Instant now) {
    if (free_attempts_ == 0) {
        return;
    }
    Record& record = records_.at(address);
    forgive(record, now);
    // More would change nothing, but take longer to be forgiven.
    constexpr std::uint32_t kDoublings = 6;
    record.failures = std::min(record.failures + 1, free_attempts_ + kDoublings);
    record.last = now;
}

}  // namespace broker
