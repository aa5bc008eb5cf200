#include "snapshotter/commands/save_now.h"

#include <cstdio>
#include <string>
#include <variant>

#include "common/feed.h"
#include "common/io/clock.h"
#include "common/io/random.h"
#include "common/io/zmq_socket.h"

namespace snapshotter::commands {

using common::fail;
using common::Millis;
using common::Result;
using common::io::PollItem;
using common::io::ZmqSocket;

namespace {

constexpr Millis kConnectMax{5'000};
// A large session on a slow disk.
constexpr Millis kSaveMax{300'000};

Result<void> wait_for(PollItem item, common::Instant end, const std::string& complaint) {
    while (TRY(common::io::poll({&item, 1}, end - common::io::instant_now())) == 0) {
        if (common::io::instant_now() >= end) {
            return fail(common::ErrorKind::Io, complaint);
        }
    }
    return {};
}

Result<common::feed::Saved> ask(const common::Settings& settings) {
    common::io::ZmqContext context;
    const auto link = TRY(ZmqSocket::open(context, common::io::ZmqKind::Dealer, {}));
    TRY(link->connect(settings.link));
    TRY(wait_for({.socket = link.get(), .want_read = false, .want_write = true},
                 common::io::instant_now() + kConnectMax, "no broker at " + settings.link));

    const std::uint64_t request = common::io::random_id();
    const common::feed::SaveNow question{request, settings.save_reason};
    if (TRY(link->send(common::feed::encode(question))) != common::io::Sent::Done) {
        return fail(common::ErrorKind::Io, "the broker went away");
    }
    const common::Instant end = common::io::instant_now() + kSaveMax;
    for (;;) {
        TRY(wait_for({.socket = link.get()}, end, "no answer within 5 minutes"));
        const auto frames = TRY(link->receive());
        if (!frames) {
            continue;
        }
        const common::feed::LinkMessage message = TRY(common::feed::decode_link(*frames));
        const auto* saved = std::get_if<common::feed::Saved>(&message);
        if (saved != nullptr && saved->request == request) {
            return *saved;
        }
    }
}

}  // namespace

int save_now(const common::Settings& settings) {
    const Result<common::feed::Saved> saved = ask(settings);
    if (!saved) {
        std::fprintf(stderr, "not saved: %s\n", saved.error().what.c_str());
        return 1;
    }
    std::fprintf(saved->ok ? stdout : stderr, "%s%s\n",
                 saved->ok ? "" : "not saved: ", saved->text.c_str());
    return saved->ok ? 0 : 1;
}

}  // namespace snapshotter::commands
