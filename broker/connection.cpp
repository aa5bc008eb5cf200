#include "broker/connection.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "broker/first_bytes.h"
#include "common/verify.h"

namespace broker {

using common::Bytes;
using common::Chunks;
using common::Instant;
using common::Millis;

namespace {

constexpr std::size_t kPiecesPerWrite = 256;
constexpr std::size_t kWriteBytesPerTurn = 4 << 20;
// What an entry of the queue costs beside its bytes, so that a million PONGs are not free.
constexpr std::size_t kPieceCost = 64;

}  // namespace

Connection::Connection(int descriptor, std::string peer, std::unique_ptr<Framing> framing,
                       std::size_t queue_bytes_max, Instant now)
    : descriptor_(descriptor),
      peer_(std::move(peer)),
      framing_(std::move(framing)),
      queue_bytes_max_(queue_bytes_max),
      last_received_(now),
      last_progress_(now) {
    VERIFY(descriptor_ >= 0);
    queue_own_words(framing_->hello());
}

Connection::~Connection() {
    ::close(descriptor_);
}

Connection::Reading Connection::ended(std::string reason) {
    end_ = {std::move(reason), false};
    return Reading::Ended;
}

Connection::Reading Connection::read(std::span<char> scratch, std::size_t messages_max, Instant now,
                                     std::vector<Chunks>& messages) {
    VERIFY(messages_max > 0);
    if (!end_.reason.empty()) {
        return Reading::Ended;
    }
    if (!undecoded_.empty()) {
        Decoded decoded =
            decode(std::string_view(undecoded_).substr(undecoded_taken_), messages_max, messages);
        undecoded_taken_ += decoded.taken;
        if (undecoded_taken_ == undecoded_.size() || decoded.failed) {
            undecoded_ = std::string();
            undecoded_taken_ = 0;
        }
        return decoded.failed ? Reading::Ended : Reading::More;
    }
    ssize_t received = ::recv(descriptor_, scratch.data(), scratch.size(), MSG_DONTWAIT);
    if (received < 0) {
        int error = errno;
        if (error == EINTR) {
            return Reading::More;
        }
        if (error == EAGAIN || error == EWOULDBLOCK) {
            return write_failure_.empty() ? Reading::Empty : ended(write_failure_);
        }
        return ended(std::string("connection lost: ") + std::strerror(error));
    }
    if (received == 0) {
        return ended(framing_->established() ? "closed by the client"
                                             : "closed by the peer during the handshake");
    }
    std::size_t size = static_cast<std::size_t>(received);
    statistics_.bytes_in += size;
    last_received_ = now;
    std::string_view bytes(scratch.data(), size);
    if (first_bytes_.size() < kFirstBytesMax) {
        first_bytes_ += bytes.substr(0, kFirstBytesMax - first_bytes_.size());
    }
    Decoded decoded = decode(bytes, messages_max, messages);
    if (decoded.failed) {
        return Reading::Ended;
    }
    undecoded_ = bytes.substr(decoded.taken);
    bool more = !undecoded_.empty() || decoded.handshake_done || size == scratch.size();
    return more ? Reading::More : Reading::Empty;
}

Connection::Decoded Connection::decode(std::string_view bytes, std::size_t messages_max,
                                       std::vector<Chunks>& messages) {
    if (discards_input_) {
        return {.taken = bytes.size()};
    }
    const std::size_t messages_before = messages.size();
    const bool was_established = framing_->established();
    std::string reply;
    auto taken = framing_->receive(bytes, messages_max, messages, reply);
    statistics_.messages_in += messages.size() - messages_before;
    if (!reply.empty()) {
        queue_own_words(std::move(reply));
    }
    if (!taken) {
        end_ = {std::move(taken).error().what, true};
        return {.failed = true};
    }
    return {.taken = *taken, .handshake_done = framing_->established() != was_established};
}

bool Connection::has_room_for(std::size_t bytes, std::size_t pieces) const {
    return takes_output_ &&
           statistics_.bytes_queued + bytes + kPieceCost * (queue_.size() + pieces) <=
               queue_bytes_max_;
}

bool Connection::enqueue(const EncodedMessage& message) {
    const Chunks& pieces = message.pieces(*framing_);
    const std::size_t bytes = common::total_size(pieces);
    if (!has_room_for(bytes, pieces.size())) {
        return false;
    }
    waiting_began_ = waiting_began_ || queue_.empty();
    for (const Bytes& piece : pieces) {
        queue_.push_back({piece, &piece == &pieces.back()});
    }
    statistics_.bytes_queued += bytes;
    ++statistics_.messages_queued;
    return true;
}

// Greeting, READY, PONG. A peer that pings without reading ends like any other that does not read.
void Connection::queue_own_words(std::string words) {
    if (words.empty() || !takes_output_) {
        return;
    }
    if (!has_room_for(words.size(), 1)) {
        write_failure_ = "its outgoing queue is full";
        drop_output();
        return;
    }
    waiting_began_ = waiting_began_ || queue_.empty();
    statistics_.bytes_queued += words.size();
    queue_.push_back({Bytes(std::move(words)), false});
}

Connection::Writing Connection::write(Instant now) {
    if (std::exchange(waiting_began_, false)) {
        last_progress_ = now;
    }
    std::size_t written_bytes = 0;
    while (!queue_.empty()) {
        if (written_bytes >= kWriteBytesPerTurn) {
            return Writing::More;
        }
        std::array<iovec, kPiecesPerWrite> vectors;
        std::size_t count = 0;
        std::size_t offset = front_taken_;
        for (const Piece& piece : queue_) {
            if (count == vectors.size()) {
                break;
            }
            // writev's interface takes no const; it does not write there.
            vectors[count++] = {const_cast<char*>(piece.bytes.data()) + offset,
                                piece.bytes.size() - offset};
            offset = 0;
        }
        msghdr header{};
        header.msg_iov = vectors.data();
        header.msg_iovlen = count;
        ssize_t sent = ::sendmsg(descriptor_, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) {
            int error = errno;
            if (error == EINTR) {
                continue;
            }
            if (error == EAGAIN || error == EWOULDBLOCK) {
                return Writing::Blocked;
            }
            write_failure_ = std::string("connection lost: ") + std::strerror(error);
            drop_output();
            return Writing::Done;
        }
        last_progress_ = now;
        take_from_queue(static_cast<std::size_t>(sent));
        written_bytes += static_cast<std::size_t>(sent);
    }
    finish_output();
    return Writing::Done;
}

void Connection::take_from_queue(std::size_t bytes) {
    statistics_.bytes_out += bytes;
    VERIFY(statistics_.bytes_queued >= bytes);
    statistics_.bytes_queued -= bytes;
    front_taken_ += bytes;
    while (!queue_.empty() && front_taken_ >= queue_.front().bytes.size()) {
        front_taken_ -= queue_.front().bytes.size();
        if (queue_.front().ends_message) {
            ++statistics_.messages_out;
            --statistics_.messages_queued;
        }
        queue_.pop_front();
    }
    VERIFY(!queue_.empty() || (front_taken_ == 0 && statistics_.bytes_queued == 0));
}

std::uint64_t Connection::arrived_messages() {
    const std::uint64_t handed_over =
        unacknowledged_.empty() ? arrived_messages_ : unacknowledged_.back().messages;
    if (statistics_.messages_out != handed_over) {
        unacknowledged_.push_back({statistics_.bytes_out, statistics_.messages_out});
    }
    int bytes_left = 0;  // sent, and not acknowledged
    if (unacknowledged_.empty() || ::ioctl(descriptor_, SIOCOUTQ, &bytes_left) != 0) {
        return arrived_messages_;
    }
    const std::uint64_t acknowledged =
        statistics_.bytes_out -
        std::min(statistics_.bytes_out, static_cast<std::uint64_t>(std::max(bytes_left, 0)));
    while (!unacknowledged_.empty() && unacknowledged_.front().bytes <= acknowledged) {
        arrived_messages_ = unacknowledged_.front().messages;
        unacknowledged_.pop_front();
    }
    return arrived_messages_;
}

void Connection::drop_output() {
    takes_output_ = false;
    queue_.clear();
    front_taken_ = 0;
}

void Connection::discard() {
    discards_input_ = true;
    undecoded_.clear();
    undecoded_taken_ = 0;
    // The end of the conversation for us need not be the end of the descriptor.
    end_ = {};
    takes_output_ = false;
}

void Connection::close_after_flush() {
    discard();
    closes_after_flush_ = true;
    finish_output();
}

// Told only half of the end: if we closed with unread input in the kernel, it would send a reset,
// and the peer would lose the last words that are still on their way to it.
void Connection::finish_output() {
    if (closes_after_flush_ && queue_.empty() && !output_finished_) {
        output_finished_ = true;
        ::shutdown(descriptor_, SHUT_WR);
    }
}

Millis Connection::stalled_for(Instant now) const {
    return queue_.empty() || waiting_began_ ? Millis(0) : now - last_progress_;
}

}  // namespace broker
