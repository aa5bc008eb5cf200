#pragma once
// What one address may do before anybody has logged in: how often connect, how often try a
// password. Pure.
//
// Nobody is trusted for his address, this machine's own included: behind a tunnel or a container's
// proxy everybody comes from there. So the bounds are those of a whole studio behind one address,
// and whoever exceeds one is put off for seconds, never locked out for good.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "common/ids.h"

namespace broker {

// What counts as one address: of "10.1.2.3:40312" the "10.1.2.3"; of "[2001:db8::7]:40312" the
// first 64 bits, since a single machine owns all the others; of an IPv4 address in IPv6 form that
// IPv4 address. Anything else is itself.
std::string address_of(std::string_view peer);

// Something about each address, for so many of them; then the longest unused is forgotten.
template <typename Value>
class AddressTable {
public:
    explicit AddressTable(std::size_t addresses_max) : addresses_max_(addresses_max) {}

    Value* find(const std::string& address) {
        const auto found = index_.find(address);
        if (found == index_.end()) {
            return nullptr;
        }
        entries_.splice(entries_.begin(), entries_, found->second);
        return &found->second->second;
    }
    // Made on demand.
    Value& at(const std::string& address) {
        if (Value* found = find(address)) {
            return *found;
        }
        if (entries_.size() >= addresses_max_) {
            index_.erase(entries_.back().first);
            entries_.pop_back();
        }
        entries_.emplace_front(address, Value());
        index_.emplace(address, entries_.begin());
        return entries_.front().second;
    }
    void erase(const std::string& address) {
        if (const auto found = index_.find(address); found != index_.end()) {
            entries_.erase(found->second);
            index_.erase(found);
        }
    }
    std::size_t size() const { return entries_.size(); }

private:
    using Entries = std::list<std::pair<std::string, Value>>;  // the latest used first
    std::size_t addresses_max_;
    Entries entries_;
    std::unordered_map<std::string, typename Entries::iterator> index_;
};

// How often one address may connect: `per_second` in the long run, and kBurstSeconds times that at
// once, because a studio comes back as one when the server was restarted.
class ConnectionGate {
public:
    static constexpr std::int64_t kBurstSeconds = 10;
    static constexpr std::size_t kAddressesMax = 10'000;

    // 0: as often as it likes.
    explicit ConnectionGate(std::uint32_t per_second);

    // One more connection. False: too many, close it.
    bool admit(const std::string& address, common::Instant now);

private:
    struct Budget {
        // When all that it holds will have run out: exact, because a thousandth of a second is
        // what one connection may weigh.
        std::chrono::microseconds empty_at{0};
    };
    const std::int64_t per_second_;
    AddressTable<Budget> budgets_{kAddressesMax};
};

// Who guesses passwords must wait: after `free_attempts` wrong ones each further one doubles the
// time, from kWaitMin to kWaitMax, in which no attempt from that address is looked at. A quiet
// kForgive forgets one.
class LoginGate {
public:
    static constexpr common::Millis kWaitMin{1'000};
    static constexpr common::Millis kWaitMax{60'000};
    static constexpr common::Millis kForgive{120'000};
    static constexpr std::size_t kAddressesMax = 10'000;

    // 0: as many as they like.
    explicit LoginGate(std::uint32_t free_attempts) : free_attempts_(free_attempts) {}

    // How long this address must still wait before its next attempt is looked at; 0: not at all.
    common::Millis wait(const std::string& address, common::Instant now);
    // A password was wrong.
    void failed(const std::string& address, common::Instant now);

private:
    struct Record {
        std::uint32_t failures = 0;
        common::Instant last{};
    };
    static void forgive(Record& record, common::Instant now);
    common::Millis pause_after(std::uint32_t failures) const;

    const std::uint32_t free_attempts_;
    AddressTable<Record> records_{kAddressesMax};
};

}  // namespace broker
