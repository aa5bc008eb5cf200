#include "broker/zmtp.h"

// The grammar, as far as it concerns a server with mechanism NULL (integers big-endian):
//
//   connection = greeting handshake traffic
//   greeting   = signature version mechanism as-server filler            ; 64 bytes
//   signature  = FF 8*ANY 7F
//   version    = 03 minor
//   mechanism  = 20 bytes, "NULL" and zeros;  as-server = 1 byte;  filler = 31 bytes
//                ; libzmq sends its version when it has our signature, and the rest when it has our
//                ; version. We hold our mechanism back until we have the peer's: one that wants
//                ; another hangs up at the sight of ours, and we could not say why it was refused.
//   handshake  = ready | error           ; from both sides; we answer the peer's
//   ready      = command "READY" *( name-length(1) name value-length(4) value )
//   traffic    = *( message | command )
//   message    = *more last              ; frames with flag MORE, and one without
//   frame      = flags(1) length(1 or, with flag LONG, 8) body
//   flags      = 01 MORE | 02 LONG | 04 COMMAND
//   command    = frame with flag COMMAND, its body: name-length(1) name rest
//   ping       = command "PING" ttl(2, tenths of a second) context(0..16)
//   pong       = command "PONG" context
//   error      = command "ERROR" reason-length(1) reason
//
// libzmq puts a PING wherever its timer fires, also between two frames of one message: commands
// and the message that is arriving are therefore kept apart.

#include <algorithm>
#include <array>
#include <span>

#include "broker/first_bytes.h"
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

constexpr std::size_t kSignatureBytes = 10;
constexpr std::size_t kGreetingBytes = 64;
constexpr std::size_t kMechanismOffset = 12;
constexpr std::size_t kMechanismBytes = 20;

constexpr unsigned char kMore = 1;
constexpr unsigned char kLong = 2;
constexpr unsigned char kCommand = 4;
constexpr std::size_t kHeaderBytesMax = 9;

constexpr std::size_t kPingContextBytesMax = 16;

using namespace std::string_view_literals;
constexpr std::string_view kSignature = "\xff\0\0\0\0\0\0\0\x01\x7f"sv;
static_assert(kSignature.size() == kSignatureBytes);
constexpr std::string_view kVersion = "\x03\x01"sv;

unsigned char byte_at(std::string_view bytes, std::size_t index) {
    return static_cast<unsigned char>(bytes[index]);
}

void append_header(std::string& out, unsigned char flags, std::size_t length) {
    if (length > 255) {
        out += static_cast<char>(flags | kLong);
        append_big_endian(out, length, 8);
    } else {
        out += static_cast<char>(flags);
        out += static_cast<char>(length);
    }
}

void append_command(std::string& out, std::string_view name, std::string_view rest) {
    append_header(out, kCommand, 1 + name.size() + rest.size());
    out += static_cast<char>(name.size());
    out += name;
    out += rest;
}

void append_property(std::string& out, std::string_view name, std::string_view value) {
    out += static_cast<char>(name.size());
    out += name;
    append_big_endian(out, value.size(), 4);
    out += value;
}

void append_error(std::string& out, std::string_view reason) {
    reason = reason.substr(0, 255);
    append_command(out, "ERROR", static_cast<char>(reason.size()) + std::string(reason));
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
    auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return std::ranges::equal(a, b, {}, lower, lower);
}

// Whose first bytes these are, when they are not a ZMTP signature. Empty: more are needed.
std::string describe_stranger(std::string_view bytes) {
    const std::optional<Visitor> visitor = classify(bytes);
    if (!visitor) {
        return {};
    }
    if (*visitor == Visitor::Other) {
        return "not a ZeroMQ client: its first bytes are " + quoted(bytes.substr(0, 4));
    }
    return std::string(what(*visitor)) + " connected, this port speaks ZeroMQ";
}

}  // namespace

Zmtp::Zmtp() : message_bytes_max_(limits::kMessageBytesMaxBeforeLogin) {}

std::string Zmtp::hello() {
    return std::string(kSignature);
}

Result<std::size_t> Zmtp::receive(std::string_view bytes, std::size_t messages_max,
                                  std::vector<Chunks>& messages, std::string& reply) {
    VERIFY(state_ != State::Failed);
    std::size_t taken = 0;
    auto advance = [&](Result<std::size_t> step) -> Result<void> {
        taken += TRY(std::move(step));
        return {};
    };
    auto run = [&]() -> Result<void> {
        if (state_ == State::Signature || state_ == State::Greeting) {
            TRY(advance(receive_greeting(bytes, reply)));
        }
        if (state_ == State::Ready || state_ == State::Traffic) {
            TRY(advance(receive_frames(bytes.substr(taken), messages_max, messages, reply)));
        }
        return {};
    };
    if (Result<void> done = run(); !done) {
        state_ = State::Failed;
        return tl::unexpected(std::move(done).error());
    }
    return taken;
}

Result<std::size_t> Zmtp::receive_greeting(std::string_view bytes, std::string& reply) {
    std::size_t taken = std::min(bytes.size(), kGreetingBytes - greeting_.size());
    greeting_ += bytes.substr(0, taken);
    if (state_ == State::Signature && !greeting_.empty()) {
        if (byte_at(greeting_, 0) != 0xff) {
            std::string stranger = describe_stranger(greeting_);
            if (!stranger.empty()) {
                return bad_input(std::move(stranger));
            }
            return taken;
        }
        if (greeting_.size() >= kSignatureBytes) {
            // Without this bit it is the long form of a ZMTP 1.0 identity frame.
            if ((byte_at(greeting_, kSignatureBytes - 1) & 1) == 0) {
                return bad_input("a ZMTP 1.0 peer (libzmq 2) connected, ZMTP 3 is needed");
            }
            state_ = State::Greeting;
            reply += kVersion;
        }
    }
    if (greeting_.size() > kSignatureBytes && byte_at(greeting_, kSignatureBytes) < 3) {
        return fail(ErrorKind::Unsupported,
                    "a ZMTP 2.0 peer (libzmq 3) connected, ZMTP 3 is needed (libzmq 4 or later)");
    }
    if (greeting_.size() == kGreetingBytes) {
        reply += "NULL";
        reply.append(kGreetingBytes - kMechanismOffset - 4, '\0');
        TRY(check_mechanism());
        state_ = State::Ready;
        greeting_ = std::string();
    }
    return taken;
}

Result<void> Zmtp::check_mechanism() const {
    std::string_view field = std::string_view(greeting_).substr(kMechanismOffset, kMechanismBytes);
    std::string_view mechanism = field.substr(0, field.find('\0'));
    if (mechanism != "NULL") {
        return fail(ErrorKind::Unsupported, "the peer wants the ZeroMQ mechanism " +
                                                quoted(mechanism) + ", this server speaks NULL");
    }
    return {};
}

namespace {

// The header at the start of `bytes`; nothing when more bytes are needed to tell.
template <typename Header>
bool read_header(std::string_view bytes, Header& header) {
    if (bytes.size() < 2) {
        return false;
    }
    header.flags = byte_at(bytes, 0);
    if ((header.flags & kLong) == 0) {
        header.size = 2;
        header.length = byte_at(bytes, 1);
        return true;
    }
    header.size = kHeaderBytesMax;
    if (bytes.size() < kHeaderBytesMax) {
        return false;
    }
    header.length = read_big_endian(bytes.substr(1, 8));
    return true;
}

}  // namespace

// Called when the header of a frame is there, before anything is done with its body.
Result<void> Zmtp::check_frame(const Header& header, std::size_t bytes_before,
                               std::size_t chunks_before) const {
    if ((header.flags & ~(kMore | kLong | kCommand)) != 0 ||
        (header.flags & (kMore | kCommand)) == (kMore | kCommand)) {
        return bad_input("a ZMTP frame with impossible flags");
    }
    if ((header.flags & kCommand) != 0) {
        if (header.length > limits::kCommandBytesMax) {
            return fail(ErrorKind::Limit,
                        "a ZMTP command of " + std::to_string(header.length) + " bytes, at most " +
                            std::to_string(limits::kCommandBytesMax) + " are taken");
        }
        return {};
    }
    if (state_ != State::Traffic) {
        return bad_input("a ZMTP message before the handshake was done");
    }
    if (chunks_before >= limits::kMessageChunksMax) {
        return fail(ErrorKind::Limit, "a message of more than " +
                                          std::to_string(limits::kMessageChunksMax) + " frames");
    }
    if (bytes_before > message_bytes_max_ || header.length > message_bytes_max_ - bytes_before) {
        return fail(ErrorKind::Limit,
                    "a message of more than " + std::to_string(message_bytes_max_) + " bytes");
    }
    return {};
}

// The quick way, for a message that lies in `bytes` as a whole: the number of bytes it took, or 0
// if what comes next is something else (a command, or not all there).
Result<std::size_t> Zmtp::receive_whole(std::string_view bytes,
                                        std::vector<Chunks>& messages) const {
    std::array<std::string_view, limits::kMessageChunksMax> bodies;
    std::size_t chunks = 0;
    std::size_t total = 0;
    std::size_t at = 0;
    Header header;
    do {
        if (!read_header(bytes.substr(at), header)) {
            return 0;
        }
        TRY(check_frame(header, total, chunks));
        at += header.size;
        if ((header.flags & kCommand) != 0 || header.length > bytes.size() - at) {
            return 0;
        }
        bodies[chunks++] = bytes.substr(at, header.length);
        total += header.length;
        at += header.length;
    } while ((header.flags & kMore) != 0);

    messages.push_back(whole_message(std::span(bodies).first(chunks)));
    return at;
}

Result<std::size_t> Zmtp::receive_frames(std::string_view bytes, std::size_t messages_max,
                                         std::vector<Chunks>& messages, std::string& reply) {
    std::size_t taken = 0;
    std::size_t messages_done = 0;
    while (taken < bytes.size() && messages_done < messages_max) {
        std::string_view rest = bytes.substr(taken);
        if (!in_frame_) {
            if (header_.empty() && message_.chunks() == 0 && state_ == State::Traffic) {
                std::size_t whole = TRY(receive_whole(rest, messages));
                if (whole > 0) {
                    taken += whole;
                    ++messages_done;
                    continue;
                }
            }
            // The header may come byte by byte; it is read from where it is gathered.
            Header header;
            std::size_t known = header_.size();
            header_ += rest.substr(0, kHeaderBytesMax - known);
            if (!read_header(header_, header)) {
                return bytes.size();
            }
            taken += header.size - known;
            header_.clear();
            TRY(begin_frame(header));
            rest = bytes.substr(taken);
        }
        std::string_view body = rest.substr(
            0, static_cast<std::size_t>(std::min<std::uint64_t>(rest.size(), frame_left_)));
        if ((frame_.flags & kCommand) != 0) {
            command_ += body;
        } else {
            message_.append(body, frame_left_);
        }
        taken += body.size();
        frame_left_ -= body.size();
        if (frame_left_ == 0) {
            State before = state_;
            if (TRY(end_frame(messages, reply))) {
                ++messages_done;
            }
            if (state_ != before) {
                break;  // the owner looks at the identity first
            }
        }
    }
    return taken;
}

Result<void> Zmtp::begin_frame(const Header& header) {
    TRY(check_frame(header, message_.bytes(), message_.chunks()));
    frame_ = header;
    frame_left_ = header.length;
    in_frame_ = true;
    return {};
}

// Returns whether a message is complete now.
Result<bool> Zmtp::end_frame(std::vector<Chunks>& messages, std::string& reply) {
    in_frame_ = false;
    if ((frame_.flags & kCommand) != 0) {
        TRY(on_command(reply));
        command_.clear();
        return false;
    }
    message_.end_chunk();
    if ((frame_.flags & kMore) != 0) {
        return false;
    }
    messages.push_back(message_.take());
    return true;
}

Result<void> Zmtp::on_command(std::string& reply) {
    std::string_view body = command_;
    std::size_t name_size = body.empty() ? 0 : byte_at(body, 0);
    if (name_size == 0 || name_size >= body.size()) {
        return bad_input("a ZMTP command without a name");
    }
    std::string_view name = body.substr(1, name_size);
    std::string_view rest = body.substr(1 + name_size);
    if (name == "ERROR") {
        std::string_view reason = rest.empty() ? rest : rest.substr(1, byte_at(rest, 0));
        return bad_input("the peer refuses this server: " + quoted(reason));
    }
    if (state_ == State::Ready) {
        if (name != "READY") {
            return bad_input("a ZMTP command " + quoted(name) + " where READY is due");
        }
        return on_ready(rest, reply);
    }
    if (name == "PING") {
        if (rest.size() < 2 || rest.size() > 2 + kPingContextBytesMax) {
            return bad_input("a ZMTP PING of a wrong size");
        }
        silence_max_ = common::Millis(100 * read_big_endian(rest.substr(0, 2)));
        append_command(reply, "PONG", rest.substr(2));
    }
    // PONG, and whatever a later version may bring, asks nothing of us.
    return {};
}

Result<void> Zmtp::on_ready(std::string_view properties, std::string& reply) {
    std::string_view socket_type;
    std::string_view identity;
    while (!properties.empty()) {
        std::size_t name_size = byte_at(properties, 0);
        if (name_size == 0 || properties.size() < 1 + name_size + 4) {
            return bad_input("a ZMTP READY whose properties are cut off");
        }
        std::string_view name = properties.substr(1, name_size);
        std::uint64_t value_size = read_big_endian(properties.substr(1 + name_size, 4));
        properties.remove_prefix(1 + name_size + 4);
        if (value_size > properties.size()) {
            return bad_input("a ZMTP READY whose properties are cut off");
        }
        std::string_view value = properties.substr(0, static_cast<std::size_t>(value_size));
        properties.remove_prefix(value.size());
        if (equals_ignoring_case(name, "Socket-Type")) {
            socket_type = value;
        } else if (equals_ignoring_case(name, "Identity")) {
            identity = value;
        }
    }
    if (socket_type != "DEALER") {
        append_error(reply, "this server takes DEALER sockets only");
        return fail(ErrorKind::Unsupported, "a ZeroMQ socket of type " + quoted(socket_type) +
                                                " connected, Multi-User clients are DEALERs");
    }
    if (identity.size() > limits::kIdentityBytesMax) {
        append_error(reply, "identity too long");
        return fail(ErrorKind::Limit, "an identity of " + std::to_string(identity.size()) +
                                          " bytes, at most " +
                                          std::to_string(limits::kIdentityBytesMax) + " are taken");
    }
    identity_ = identity;
    std::string ours;
    append_property(ours, "Socket-Type", "ROUTER");
    append_property(ours, "Identity", "");
    append_command(reply, "READY", ours);
    state_ = State::Traffic;
    return {};
}

Chunks Zmtp::encode(const Chunks& chunks) const {
    VERIFY(!chunks.empty());
    MessageLayout layout(chunks, kHeaderBytesMax);
    for (const Bytes& chunk : chunks) {
        append_header(layout.text(), &chunk == &chunks.back() ? 0 : kMore, chunk.size());
        layout.add(chunk);
    }
    return layout.take();
}

}  // namespace broker
