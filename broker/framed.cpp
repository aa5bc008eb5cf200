#include "broker/framed.h"

// The grammar (integers are 4 bytes, big-endian):
//
//   connection = handshake *message        ; a handshake from the client only
//   handshake  = length identity role      ; length 0 to 256
//   role       = "C" | "D" | "T"           ; command, data, heartbeat
//   message    = count *chunk              ; so many chunks, none is possible
//   chunk      = length bytes
//
// There is no word for an error: who is wrong is cut off, and so does the library.

#include <algorithm>
#include <array>
#include <span>

#include "common/limits.h"
#include "common/verify.h"

namespace broker {

namespace limits = common::limits;
using common::append_big_endian;
using common::bad_input;
using common::Bytes;
using common::Chunks;
using common::ErrorKind;
using common::fail;
using common::read_big_endian;
using common::Result;

namespace {

constexpr std::size_t kNumberBytes = 4;
constexpr std::size_t kRoleBytes = 1;

std::optional<Channel> channel_of(char role) {
    switch (role) {
        case 'C':
            return Channel::Command;
        case 'D':
            return Channel::Data;
        case 'T':
            return Channel::Heartbeat;
        default:
            return std::nullopt;
    }
}

Result<void> check_count(std::uint64_t count) {
    if (count > limits::kMessageChunksMax) {
        return fail(ErrorKind::Limit, "a message of " + std::to_string(count) +
                                          " chunks, at most " +
                                          std::to_string(limits::kMessageChunksMax) + " are taken");
    }
    return {};
}

}  // namespace

Framed::Framed() : message_bytes_max_(limits::kMessageBytesMaxBeforeLogin) {}

Result<std::size_t> Framed::receive(std::string_view bytes, std::size_t messages_max,
                                    std::vector<Chunks>& messages, std::string&) {
    VERIFY(state_ != State::Failed);
    auto taken = state_ == State::Handshake ? receive_handshake(bytes)
                                            : receive_messages(bytes, messages_max, messages);
    if (!taken) {
        state_ = State::Failed;
    }
    return taken;
}

Result<std::size_t> Framed::receive_handshake(std::string_view bytes) {
    std::size_t taken = 0;
    auto complete = [&](std::size_t size) {
        const std::string_view more = bytes.substr(taken, size - handshake_.size());
        handshake_ += more;
        taken += more.size();
        return handshake_.size() == size;
    };
    if (handshake_.size() < kNumberBytes && !complete(kNumberBytes)) {
        return taken;
    }
    const std::string_view start = std::string_view(handshake_).substr(0, kNumberBytes);
    const std::uint64_t length = read_big_endian(start);
    if (length > limits::kFramedIdentityBytesMax) {
        return bad_input("not the handshake of a client with framed TCP: its first bytes are " +
                         quoted(start));
    }
    if (!complete(kNumberBytes + static_cast<std::size_t>(length) + kRoleBytes)) {
        return taken;
    }
    channel_ = channel_of(handshake_.back());
    if (!channel_) {
        return bad_input("a client with the unknown role " +
                         quoted(std::string_view(&handshake_.back(), kRoleBytes)));
    }
    identity_ = handshake_.substr(kNumberBytes, static_cast<std::size_t>(length));
    handshake_ = std::string();
    state_ = State::Traffic;
    return taken;
}

Result<void> Framed::check_chunk(std::uint64_t length, std::size_t bytes_before) const {
    if (bytes_before > message_bytes_max_ || length > message_bytes_max_ - bytes_before) {
        return fail(ErrorKind::Limit,
                    "a message of more than " + std::to_string(message_bytes_max_) + " bytes");
    }
    return {};
}

// The quick way, for a message that lies in `bytes` as a whole: the number of bytes it took, or 0.
Result<std::size_t> Framed::receive_whole(std::string_view bytes,
                                          std::vector<Chunks>& messages) const {
    if (bytes.size() < kNumberBytes) {
        return 0;
    }
    const std::uint64_t count = read_big_endian(bytes.substr(0, kNumberBytes));
    TRY(check_count(count));
    std::array<std::string_view, limits::kMessageChunksMax> chunks;
    const std::span<std::string_view> all =
        std::span(chunks).first(static_cast<std::size_t>(count));
    std::size_t total = 0;
    std::size_t at = kNumberBytes;
    for (std::string_view& chunk : all) {
        if (bytes.size() - at < kNumberBytes) {
            return 0;
        }
        const std::uint64_t length = read_big_endian(bytes.substr(at, kNumberBytes));
        TRY(check_chunk(length, total));
        at += kNumberBytes;
        if (length > bytes.size() - at) {
            return 0;
        }
        chunk = bytes.substr(at, static_cast<std::size_t>(length));
        total += chunk.size();
        at += chunk.size();
    }
    messages.push_back(whole_message(all));
    return at;
}

// A count or a length is there.
Result<void> Framed::on_number(std::uint64_t number) {
    if (!in_message_) {
        TRY(check_count(number));
        in_message_ = true;
        chunks_left_ = number;
    } else {
        TRY(check_chunk(number, message_.bytes()));
        in_chunk_ = true;
        chunk_left_ = number;
    }
    return {};
}

Result<std::size_t> Framed::receive_messages(std::string_view bytes, std::size_t messages_max,
                                             std::vector<Chunks>& messages) {
    std::size_t taken = 0;
    std::size_t messages_done = 0;
    while (taken < bytes.size() && messages_done < messages_max) {
        const std::string_view rest = bytes.substr(taken);
        if (!in_message_ && number_.empty()) {
            const std::size_t whole = TRY(receive_whole(rest, messages));
            if (whole > 0) {
                taken += whole;
                ++messages_done;
                continue;
            }
        }
        if (in_chunk_) {
            const std::string_view body = rest.substr(
                0, static_cast<std::size_t>(std::min<std::uint64_t>(rest.size(), chunk_left_)));
            message_.append(body, chunk_left_);
            taken += body.size();
            chunk_left_ -= body.size();
        } else {
            const std::string_view part = rest.substr(0, kNumberBytes - number_.size());
            number_ += part;
            taken += part.size();
            if (number_.size() < kNumberBytes) {
                return taken;
            }
            TRY(on_number(read_big_endian(number_)));
            number_.clear();
        }
        if (in_chunk_ && chunk_left_ == 0) {
            message_.end_chunk();
            in_chunk_ = false;
            --chunks_left_;
        }
        if (in_message_ && chunks_left_ == 0) {
            messages.push_back(message_.take());
            in_message_ = false;
            ++messages_done;
        }
    }
    return taken;
}

Chunks Framed::encode(const Chunks& chunks) const {
    VERIFY(!chunks.empty());
    MessageLayout layout(chunks, kNumberBytes);
    append_big_endian(layout.text(), chunks.size(), kNumberBytes);
    for (const Bytes& chunk : chunks) {
        append_big_endian(layout.text(), chunk.size(), kNumberBytes);
        layout.add(chunk);
    }
    return layout.take();
}

}  // namespace broker
