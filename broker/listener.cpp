#include "broker/listener.h"

// How a connection lives:
//
//   Handshake ──▶ Open ──────────▶ Retiring ──▶ Closed, gone        (ended, too slow, replaced)
//       │          │ ▲
//       │          │ └── Held ◀── Handshake, while the identity is in use
//       │          └──▶ Closed, Lingering ──▶ gone                  (close_after_flush)
//       └──▶ Refused, Lingering ──▶ gone
//
// Epoll is level-triggered, and beside it stands a ready list: what epoll reports goes to the
// list's end, unless it is there already, and leaves it when it has been read empty. Whoever is not
// reached in a turn is thus first in the next one, however much the others send.

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <random>
#include <utility>

#include "broker/framed.h"
#include "broker/zmtp.h"
#include "common/verify.h"

namespace broker {

namespace limits = common::limits;
using common::ErrorKind;
using common::fail;
using common::Instant;
using common::Millis;
using common::Result;

namespace {

constexpr std::size_t kScratchBytes = 256 << 10;
constexpr std::size_t kMessagesPerServing = 256;
constexpr std::size_t kBytesPerPoll = 16 << 20;
// What the kernel may have buffered of a connection that is being replaced or thrown out.
constexpr std::size_t kRetiringBytesMax = 16 << 20;
constexpr int kAcceptsPerTurn = 64;
constexpr int kBacklog = 512;
constexpr Millis kAcceptPause{1'000};
constexpr Millis kLastWords{2'000};
constexpr std::uint64_t kSocketMark = std::uint64_t{1} << 63;  // in epoll's data: not a connection
constexpr std::size_t kRandomIdentityBytes = 16;

std::string random_identity() {
    std::random_device random;
    std::string identity;
    while (identity.size() < kRandomIdentityBytes) {
        auto number = random();
        identity.append(reinterpret_cast<const char*>(&number), sizeof number);
    }
    return identity;
}

std::string address_text(const sockaddr_storage& address, socklen_t size) {
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];
    if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host, sizeof host, port,
                      sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return "unknown address";
    }
    bool is_ipv6 = address.ss_family == AF_INET6;
    return (is_ipv6 ? "[" + std::string(host) + "]" : std::string(host)) + ":" + port;
}

void set_option(int descriptor, int level, int option, int value) {
    // Refused only for what is no TCP socket; the connection works without.
    static_cast<void>(::setsockopt(descriptor, level, option, &value, sizeof value));
}

// What we count ourselves comes first: it can say why.
constexpr std::int64_t kUserTimeoutMoreMs = 10'000;

void set_client_options(int descriptor, std::int64_t stall_ms_max) {
    set_option(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
    // A peer that is not there any more: with nothing under way, and with something.
    set_option(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, 30);
    set_option(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, 10);
    set_option(descriptor, IPPROTO_TCP, TCP_KEEPCNT, 6);
    set_option(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT,
               static_cast<int>(std::min<std::int64_t>(stall_ms_max + kUserTimeoutMoreMs,
                                                       std::numeric_limits<int>::max())));
}

std::unique_ptr<Framing> make_framing(Generation generation) {
    if (generation == Generation::Framed) {
        return std::make_unique<Framed>();
    }
    return std::make_unique<Zmtp>();
}

// Keeps the identities of this generation apart from the other's.
constexpr std::string_view kFramedMark = "framed:";

}  // namespace

struct Listener::Entry {
    Entry(ConnectionId id_, const Socket& socket, int descriptor, std::string peer,
          std::size_t queue_bytes_max, Instant now)
        : id(id_),
          generation(socket.generation),
          channel(socket.channel),
          connection(descriptor, std::move(peer), make_framing(generation), queue_bytes_max, now),
          since(now) {}

    const ConnectionId id;
    const Generation generation;
    Channel channel;  // as the port says, or after its handshake the peer
    Connection connection;
    State state = State::Handshake;
    std::string identity;
    const Instant since;
    Instant deadline{};         // Lingering
    std::string retire_reason;  // Retiring
    Instant stranger_since{};
    std::uint64_t stranger_bytes_from = 0;  // what had come when it became a stranger
    std::uint64_t stranger_messages_from = 0;
    std::size_t retire_bytes_left = kRetiringBytesMax;
    ConnectionId successor{};      // Held, until this one is gone
    Ending ending = Ending::Lost;  // why it will be Closed
    bool opened = false;
    bool paused = false;
    bool blocked = false;  // the kernel takes no more
    bool hung_up = false;  // while paused: not watched, epoll would report it for ever
    bool in_ready = false;
    bool in_dirty = false;
    std::uint32_t interest = 0;
};

Listener::Listener(ListenerOptions options)
    : options_(options),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      gate_(options.connections_per_second),
      scratch_(kScratchBytes) {
    VERIFY(epoll_ >= 0);
}

Listener::~Listener() {
    stop_listening();
    entries_.clear();
    ::close(epoll_);
}

// ---- listening

namespace {

Result<int> bound_socket(const addrinfo& address, std::uint16_t port) {
    int descriptor = ::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) {
        return fail(ErrorKind::Io, std::string("no socket: ") + std::strerror(errno));
    }
    // A restart takes over ports whose old connections still linger in the kernel.
    set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
    if (::bind(descriptor, address.ai_addr, address.ai_addrlen) == 0 &&
        ::listen(descriptor, kBacklog) == 0) {
        return descriptor;
    }
    int error = errno;
    ::close(descriptor);
    std::string text = "port " + std::to_string(port);
    if (error == EADDRINUSE) {
        return fail(ErrorKind::Busy, text +
                                         " is in use by another program (another server?): stop "
                                         "that one, or choose another PORT");
    }
    if (error == EACCES) {
        return fail(ErrorKind::Io, text +
                                       " needs rights this user does not have: choose a PORT "
                                       "of 1024 or above");
    }
    return fail(ErrorKind::Io, text + " cannot be opened: " + std::strerror(error));
}

}  // namespace

Result<std::uint16_t> Listener::listen(Channel channel, const std::string& host,
                                       std::uint16_t port) {
    return listen(Socket{-1, Generation::Zmtp, channel}, host, port);
}

Result<std::uint16_t> Listener::listen_framed(const std::string& host, std::uint16_t port) {
    return listen(Socket{-1, Generation::Framed, Channel::Command}, host, port);
}

Result<std::uint16_t> Listener::listen(Socket socket, const std::string& host, std::uint16_t port) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE;
    addrinfo* found = nullptr;
    int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
    if (error != 0) {
        return fail(ErrorKind::Io, "the address '" + host +
                                       "' is not one of this machine: " + gai_strerror(error));
    }
    std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
    // 'localhost' is two addresses; clients are given the IPv4 one.
    const addrinfo* chosen = found;
    for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
        if (each->ai_family == AF_INET) {
            chosen = each;
            break;
        }
    }
    socket.descriptor = TRY(bound_socket(*chosen, port));

    sockaddr_storage address{};
    socklen_t size = sizeof address;
    VERIFY(::getsockname(socket.descriptor, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = kSocketMark | sockets_.size();
    VERIFY(::epoll_ctl(epoll_, EPOLL_CTL_ADD, socket.descriptor, &event) == 0);
    sockets_.push_back(socket);
    return ntohs(address.ss_family == AF_INET6
                     ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                     : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

void Listener::stop_listening() {
    for (const Socket& socket : sockets_) {
        ::close(socket.descriptor);
    }
    sockets_.clear();
    accept_again_at_.reset();
}

void Listener::set_accepting(bool accepting) {
    for (std::size_t i = 0; i < sockets_.size(); ++i) {
        epoll_event event{};
        event.events = accepting ? static_cast<std::uint32_t>(EPOLLIN) : 0;
        event.data.u64 = kSocketMark | i;
        VERIFY(::epoll_ctl(epoll_, EPOLL_CTL_MOD, sockets_[i].descriptor, &event) == 0);
    }
}

void Listener::accept_some(const Socket& socket, Instant now, std::vector<Incoming>& out) {
    for (int i = 0; i < kAcceptsPerTurn; ++i) {
        sockaddr_storage address{};
        socklen_t size = sizeof address;
        int descriptor = ::accept4(socket.descriptor, reinterpret_cast<sockaddr*>(&address), &size,
                                   SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK) {
                return;
            }
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                if (make_room(out)) {
                    continue;
                }
                // The peer stays in the backlog; asking again at once would only burn time.
                ++counters_.accept_failures;
                set_accepting(false);
                accept_again_at_ = now + kAcceptPause;
                return;
            }
            continue;  // this peer is gone already
        }
        ++counters_.accepted;
        std::string peer = address_text(address, size);
        const bool is_too_fast = !gate_.admit(address_of(peer), now);
        if (is_too_fast || (entries_.size() >= options_.connections_max && !make_room(out))) {
            ++(is_too_fast ? counters_.too_fast : counters_.too_many);
            ::close(descriptor);
            continue;
        }
        set_client_options(descriptor, options_.stall_ms_max);
        ConnectionId id{++last_id_};
        auto owned = std::make_unique<Entry>(id, socket, descriptor, std::move(peer),
                                             options_.queue_bytes_max, now);
        Entry& entry = *owned;
        entries_.emplace(id, std::move(owned));
        become_stranger(entry, now);
        epoll_event event{};
        event.events = entry.interest = EPOLLIN;
        event.data.u64 = static_cast<std::uint64_t>(id);
        VERIFY(::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) == 0);
        add_dirty(entry);
    }
}

// ---- reading

void Listener::collect_ready(Instant now, std::vector<Incoming>& out) {
    std::array<epoll_event, 1024> events;
    int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        const std::uint64_t mark = event.data.u64;
        if ((mark & kSocketMark) != 0) {
            accept_some(sockets_.at(mark & ~kSocketMark), now, out);
            continue;
        }
        Entry* entry = find(ConnectionId{mark});
        if (entry == nullptr) {
            continue;  // it had to make room a moment ago
        }
        if ((event.events & EPOLLOUT) != 0) {
            add_dirty(*entry);
        }
        if (entry->paused || entry->state == State::Held) {
            if ((event.events & (EPOLLHUP | EPOLLERR)) != 0) {
                entry->hung_up = true;
                update_interest(*entry);
            }
        } else if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
            add_ready(*entry);
        }
    }
}

void Listener::poll(Instant now, std::size_t messages_max, std::vector<Incoming>& out) {
    std::ranges::move(events_, std::back_inserter(out));
    events_.clear();
    collect_ready(now, out);
    if (now - swept_at_ >= Millis(kSweepMs)) {
        swept_at_ = now;
        sweep(now, out);
    }
    std::size_t messages_left = messages_max;
    std::size_t bytes_left = kBytesPerPoll;
    while (!ready_.empty() && messages_left > 0 && bytes_left > 0) {
        Entry* entry = find(ready_.front());
        ready_.pop_front();
        if (entry != nullptr) {
            entry->in_ready = false;
            serve(*entry, now, messages_left, bytes_left, out);
        }
    }
}

void Listener::serve(Entry& entry, Instant now, std::size_t& messages_left, std::size_t& bytes_left,
                     std::vector<Incoming>& out) {
    if (entry.paused || entry.state == State::Held) {
        return;
    }
    Connection& connection = entry.connection;
    const std::uint64_t bytes_before = connection.statistics().bytes_in;
    const bool was_established = connection.framing().established();
    messages_.clear();
    Connection::Reading reading =
        connection.read(scratch_, std::min(messages_left, kMessagesPerServing), now, messages_);
    std::size_t bytes = static_cast<std::size_t>(connection.statistics().bytes_in - bytes_before);
    bytes_left -= std::min(bytes_left, bytes);
    messages_left -= messages_.size();
    counters_.messages_in += messages_.size();
    for (common::Chunks& chunks : messages_) {
        Incoming& incoming = out.emplace_back(event(Incoming::Kind::Message, entry));
        incoming.chunks = std::move(chunks);
    }
    if (connection.has_output()) {
        add_dirty(entry);  // greeting, READY, PONG
    }

    if (reading == Connection::Reading::Ended) {
        finish(entry, now, out);
        return;
    }
    if (!was_established && connection.framing().established()) {
        on_established(entry, out);
        return;
    }
    if (entry.state == State::Retiring) {
        entry.retire_bytes_left -= std::min(entry.retire_bytes_left, bytes);
        // Empty after a short read may be more by now: only what gives nothing is empty.
        bool read_empty = reading == Connection::Reading::Empty && bytes == 0;
        if (read_empty || entry.retire_bytes_left == 0) {
            finish(entry, now, out);
            return;
        }
        add_ready(entry);
        return;
    }
    if (entry.state == State::Open && !trusted(entry)) {
        check_stranger(entry, now, out);
    }
    if (!connection.write_failure().empty() && entry.state == State::Open) {
        retire(entry, Ending::Lost, connection.write_failure());
    } else if (reading == Connection::Reading::More) {
        add_ready(entry);
    }
}

void Listener::sweep(Instant now, std::vector<Incoming>& out) {
    if (accept_again_at_ && now >= *accept_again_at_) {
        accept_again_at_.reset();
        set_accepting(true);
    }
    oldest_stranger();        // forgets those before it
    std::vector<Entry*> all;  // what follows erases entries
    all.reserve(entries_.size());
    for (const auto& [id, entry] : entries_) {
        all.push_back(entry.get());
    }
    for (Entry* entry : all) {
        const Connection& connection = entry->connection;
        if (entry->state == State::Lingering) {
            if (now >= entry->deadline) {
                erase(*entry);
            }
        } else if (entry->state == State::Handshake) {
            const Millis max = handshake_max(entry->generation);
            if (now - entry->since >= max) {
                refuse(*entry, "no handshake within " + std::to_string(max.count()) + " ms", now,
                       out);
            }
        } else if (entry->state == State::Open) {
            Millis promised = connection.framing().silence_max();
            if (connection.stalled_for(now) >= Millis(options_.stall_ms_max)) {
                ++counters_.stalled;
                retire(*entry, Ending::TooSlow,
                       "took nothing for " + std::to_string(options_.stall_ms_max) +
                           " ms with messages waiting for it");
            } else if (promised > Millis(0) && !entry->paused &&
                       connection.silent_for(now) > promised) {
                retire(*entry, Ending::Lost, "silent for longer than it had promised");
            } else if (!trusted(*entry)) {
                check_stranger(*entry, now, out);
            }
        }
    }
}

// ---- the life of a connection

void Listener::on_established(Entry& entry, std::vector<Incoming>& out) {
    VERIFY(entry.state == State::Handshake);
    const Framing& framing = entry.connection.framing();
    entry.identity = framing.identity().empty() ? random_identity() : framing.identity();
    if (entry.generation == Generation::Framed) {
        entry.identity.insert(0, kFramedMark);
        entry.channel = *framing.channel();
    }
    Entry* old = find(entry.channel, entry.identity);
    if (old == nullptr) {
        open(entry, out);
        return;
    }
    ++counters_.replaced;
    if (Entry* held = find(old->successor); held != nullptr) {
        erase(*held);  // replaced before it ever was anybody
    }
    old->successor = entry.id;
    entry.state = State::Held;
    update_interest(entry);
    retire(*old, Ending::Replaced, "replaced by a new connection of the same client");
}

void Listener::open(Entry& entry, std::vector<Incoming>& out) {
    entry.state = State::Open;
    entry.opened = true;
    entry.connection.framing().set_message_bytes_max(message_bytes_max(entry.identity));
    by_identity_[static_cast<std::size_t>(entry.channel)].emplace(entry.identity, entry.id);
    ++counters_.opened;
    out.push_back(event(Incoming::Kind::Opened, entry));
    entry.hung_up = false;
    update_interest(entry);
    add_ready(entry);  // it may have sent more than its handshake
}

// The client will be Closed, but what it has sent comes first.
void Listener::retire(Entry& entry, Ending ending, std::string reason) {
    if (entry.state != State::Open) {
        return;
    }
    entry.state = State::Retiring;
    entry.ending = ending;
    entry.retire_reason = std::move(reason);
    entry.paused = false;
    entry.connection.drop_output();
    update_interest(entry);
    add_ready(entry);
}

// All that was to be read of this connection has been read.
void Listener::finish(Entry& entry, Instant now, std::vector<Incoming>& out) {
    const Connection::End& end = entry.connection.end();
    if (!entry.opened) {
        if (entry.state == State::Handshake) {
            refuse(entry, end.reason, now, out);
        } else {
            erase(entry);
        }
        return;
    }
    if (entry.state == State::Lingering) {
        erase(entry);
        return;
    }
    std::string reason = entry.state == State::Retiring ? entry.retire_reason : end.reason;
    if (end.fault && entry.state != State::Retiring) {
        entry.ending = Ending::AtFault;
    }
    out.push_back(event(Incoming::Kind::Closed, entry, std::move(reason)));
    release_identity(entry, out);
    if (end.fault && entry.connection.has_output()) {
        linger(entry, now + kLastWords);
    } else {
        erase(entry);
    }
}

void Listener::refuse(Entry& entry, std::string reason, Instant now, std::vector<Incoming>& out) {
    ++counters_.refused;
    Incoming& refused = out.emplace_back(event(Incoming::Kind::Refused, entry, std::move(reason)));
    refused.visitor = classify_last(entry.connection.first_bytes());
    ++counters_.visitors[static_cast<std::size_t>(refused.visitor)];
    linger(entry, now + kLastWords);
}

void Listener::linger(Entry& entry, Instant deadline) {
    entry.state = State::Lingering;
    entry.deadline = deadline;
    entry.paused = false;
    if (entry.generation == Generation::Framed && entry.channel == Channel::Heartbeat) {
        entry.connection.discard();
    } else {
        entry.connection.close_after_flush();
    }
    update_interest(entry);
    add_dirty(entry);
    add_ready(entry);
}

// Lets the one that waits for the identity in, if there is one.
void Listener::release_identity(Entry& entry, std::vector<Incoming>& out) {
    auto& identities = by_identity_[static_cast<std::size_t>(entry.channel)];
    auto place = identities.find(entry.identity);
    VERIFY(place != identities.end() && place->second == entry.id);
    identities.erase(place);
    if (Entry* next = find(std::exchange(entry.successor, {})); next != nullptr) {
        open(*next, out);
    }
}

void Listener::erase(Entry& entry) {
    entries_.erase(entry.id);
}

// ---- strangers

bool Listener::trusted(const Entry& entry) const {
    return message_bytes_max(entry.identity) > limits::kMessageBytesMaxBeforeLogin;
}

void Listener::become_stranger(Entry& entry, Instant now) {
    entry.stranger_since = now;
    entry.stranger_bytes_from = entry.connection.statistics().bytes_in;
    entry.stranger_messages_from = entry.connection.statistics().messages_in;
    strangers_.emplace_back(entry.id, now);
}

// Closes the one that has been a stranger for longest. False: there is none. The newcomer is one
// too, so that everybody has the same chance to log in, and who has is safe.
bool Listener::make_room(std::vector<Incoming>& out) {
    Entry* entry = oldest_stranger();
    if (entry == nullptr) {
        return false;
    }
    ++counters_.crowded_out;
    if (entry->opened && entry->state != State::Lingering) {
        out.push_back(event(Incoming::Kind::Closed, *entry, "gave way to newcomers"));
        release_identity(*entry, out);
    }
    erase(*entry);
    return true;
}

Listener::Entry* Listener::oldest_stranger() {
    while (!strangers_.empty()) {
        const auto [id, since] = strangers_.front();
        Entry* entry = find(id);
        if (entry != nullptr && entry->stranger_since == since && !trusted(*entry)) {
            return entry;
        }
        strangers_.pop_front();
    }
    return nullptr;
}

void Listener::check_stranger(Entry& entry, Instant now, std::vector<Incoming>& out) {
    const ConnectionStatistics& statistics = entry.connection.statistics();
    const std::uint64_t messages = statistics.messages_in - entry.stranger_messages_from;
    const std::uint64_t bytes = statistics.bytes_in - entry.stranger_bytes_from;
    if (messages > options_.stranger_messages_max || bytes > options_.stranger_bytes_max) {
        ++counters_.too_much;
        entry.ending = Ending::AtFault;
        cut_off(entry, "sent too much without having logged in", now, out);
    } else if (now - entry.stranger_since >= Millis(options_.stranger_ms_max)) {
        ++counters_.too_long;
        cut_off(entry, "did not log in within " + std::to_string(options_.stranger_ms_max) + " ms",
                now, out);
    }
}

// What it has sent and we have not read is not waited for.
void Listener::cut_off(Entry& entry, std::string reason, Instant now, std::vector<Incoming>& out) {
    VERIFY(entry.state == State::Open);
    out.push_back(event(Incoming::Kind::Closed, entry, std::move(reason)));
    release_identity(entry, out);
    linger(entry, now + kLastWords);
}

// ---- what the loop asks for

bool Listener::send(Channel channel, std::string_view identity, const EncodedMessage& message) {
    Entry* entry = find(channel, identity);
    if (entry == nullptr || entry->state != State::Open) {
        return false;
    }
    if (!entry->connection.enqueue(message)) {
        if (entry->connection.write_failure().empty()) {
            ++counters_.overflowed;
            retire(*entry, Ending::TooSlow,
                   "outgoing queue full (" + std::to_string(options_.queue_bytes_max) + " bytes)");
        }
        return false;
    }
    ++counters_.messages_out;
    add_dirty(*entry);
    return true;
}

void Listener::flush(FeedSender::Left, Instant now) {
    for (ConnectionId id : std::exchange(dirty_, {})) {
        Entry* entry = find(id);
        if (entry == nullptr) {
            continue;
        }
        entry->in_dirty = false;
        Connection::Writing writing = entry->connection.write(now);
        entry->blocked = writing == Connection::Writing::Blocked;
        update_interest(*entry);
        if (writing == Connection::Writing::More) {
            add_dirty(*entry);
        }
        if (!entry->connection.write_failure().empty()) {
            retire(*entry, Ending::Lost, entry->connection.write_failure());
        }
    }
}

void Listener::set_message_bytes_max(std::string_view identity, std::size_t bytes) {
    message_bytes_max_.insert_or_assign(std::string(identity), bytes);
    for (std::size_t i = 0; i < kChannels; ++i) {
        if (Entry* entry = find(Channel(i), identity); entry != nullptr) {
            entry->connection.framing().set_message_bytes_max(bytes);
        }
    }
}

void Listener::forget(std::string_view identity, Instant now) {
    set_message_bytes_max(identity, limits::kMessageBytesMaxBeforeLogin);
    message_bytes_max_.erase(message_bytes_max_.find(identity));
    for (std::size_t i = 0; i < kChannels; ++i) {
        if (Entry* entry = find(Channel(i), identity); entry != nullptr) {
            become_stranger(*entry, now);
        }
    }
}

void Listener::close_after_flush(Channel channel, std::string_view identity, std::string reason,
                                 Instant deadline) {
    Entry* entry = find(channel, identity);
    if (entry == nullptr) {
        return;
    }
    if (entry->state == State::Open) {
        events_.push_back(event(Incoming::Kind::Closed, *entry, std::move(reason)));
        release_identity(*entry, events_);
        linger(*entry, deadline);
    }
}

void Listener::pause_reading(Channel channel, std::string_view identity) {
    Entry* entry = find(channel, identity);
    if (entry != nullptr && entry->state == State::Open) {
        entry->paused = true;
        update_interest(*entry);
    }
}

void Listener::resume_reading(Channel channel, std::string_view identity) {
    Entry* entry = find(channel, identity);
    if (entry != nullptr && entry->paused) {
        entry->paused = false;
        entry->hung_up = false;
        update_interest(*entry);
        add_ready(*entry);  // it may hold messages that are received already
    }
}

std::optional<ConnectionStatistics> Listener::statistics(Channel channel,
                                                         std::string_view identity) const {
    const Entry* entry = find(channel, identity);
    return entry == nullptr ? std::nullopt : std::optional(entry->connection.statistics());
}

std::uint64_t Listener::arrived_messages(Channel channel, std::string_view identity) const {
    Entry* entry = find(channel, identity);
    return entry == nullptr ? 0 : entry->connection.arrived_messages();
}

bool Listener::connected(Channel channel, std::string_view identity) const {
    const Entry* entry = find(channel, identity);
    return entry != nullptr && entry->state == State::Open;
}

// ---- tables

Listener::Entry* Listener::find(ConnectionId id) const {
    auto place = entries_.find(id);
    return place == entries_.end() ? nullptr : place->second.get();
}

Listener::Entry* Listener::find(Channel channel, std::string_view identity) const {
    const auto& identities = by_identity_[static_cast<std::size_t>(channel)];
    auto place = identities.find(identity);
    return place == identities.end() ? nullptr : find(place->second);
}

Incoming Listener::event(Incoming::Kind kind, const Entry& entry, std::string reason) const {
    return {kind,
            entry.id,
            entry.generation,
            entry.channel,
            entry.identity,
            entry.connection.peer(),
            {},
            std::move(reason),
            entry.connection.statistics(),
            entry.ending};
}

void Listener::add_ready(Entry& entry) {
    if (!std::exchange(entry.in_ready, true)) {
        ready_.push_back(entry.id);
    }
}

void Listener::add_dirty(Entry& entry) {
    if (!std::exchange(entry.in_dirty, true)) {
        dirty_.push_back(entry.id);
    }
}

void Listener::update_interest(Entry& entry) {
    constexpr std::uint32_t kUnwatched =
        EPOLLONESHOT;  // never asked for, marks what is not watched
    const bool reads = !entry.paused && entry.state != State::Held;
    std::uint32_t wanted = (reads ? static_cast<std::uint32_t>(EPOLLIN) : 0) |
                           (entry.blocked ? static_cast<std::uint32_t>(EPOLLOUT) : 0);
    if (entry.hung_up && !reads) {
        wanted = kUnwatched;
    }
    if (wanted == entry.interest) {
        return;
    }
    epoll_event event{};
    event.events = wanted;
    event.data.u64 = static_cast<std::uint64_t>(entry.id);
    int operation = wanted == kUnwatched           ? EPOLL_CTL_DEL
                    : entry.interest == kUnwatched ? EPOLL_CTL_ADD
                                                   : EPOLL_CTL_MOD;
    VERIFY(::epoll_ctl(epoll_, operation, entry.connection.descriptor(), &event) == 0);
    entry.interest = wanted;
}

std::size_t Listener::message_bytes_max(std::string_view identity) const {
    auto place = message_bytes_max_.find(identity);
    return place == message_bytes_max_.end() ? limits::kMessageBytesMaxBeforeLogin : place->second;
}

Millis Listener::handshake_max(Generation generation) const {
    return Millis(generation == Generation::Framed ? options_.framed_handshake_ms_max
                                                   : options_.handshake_ms_max);
}

}  // namespace broker
