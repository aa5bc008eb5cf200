#pragma once
// ZMTP 3.0 and 3.1 (RFC 23, RFC 37), the server's side, mechanism NULL: we are a ROUTER, every peer
// must be a DEALER. See zmtp.cpp for the grammar. Any other peer is refused with words that say
// what it seems to be, because "connection closed" helps nobody who typed a wrong port.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/assembly.h"
#include "broker/framing.h"

namespace broker {

class Zmtp final : public Framing {
public:
    Zmtp();

    Generation generation() const override { return Generation::Zmtp; }
    std::string hello() override;
    common::Result<std::size_t> receive(std::string_view bytes, std::size_t messages_max,
                                        std::vector<common::Chunks>& messages,
                                        std::string& reply) override;
    bool established() const override { return state_ == State::Traffic; }
    const std::string& identity() const override { return identity_; }
    void set_message_bytes_max(std::size_t bytes) override { message_bytes_max_ = bytes; }
    common::Millis silence_max() const override { return silence_max_; }
    common::Chunks encode(const common::Chunks& chunks) const override;

private:
    enum class State { Signature, Greeting, Ready, Traffic, Failed };

    struct Header {
        unsigned char flags = 0;
        std::uint64_t length = 0;
        std::size_t size = 0;  // of the header itself
    };

    common::Result<std::size_t> receive_greeting(std::string_view bytes, std::string& reply);
    common::Result<void> check_mechanism() const;
    common::Result<std::size_t> receive_frames(std::string_view bytes, std::size_t messages_max,
                                               std::vector<common::Chunks>& messages,
                                               std::string& reply);
    common::Result<std::size_t> receive_whole(std::string_view bytes,
                                              std::vector<common::Chunks>& messages) const;
    common::Result<void> begin_frame(const Header& header);
    common::Result<bool> end_frame(std::vector<common::Chunks>& messages, std::string& reply);
    common::Result<void> check_frame(const Header& header, std::size_t bytes_before,
                                     std::size_t chunks_before) const;
    common::Result<void> on_command(std::string& reply);
    common::Result<void> on_ready(std::string_view properties, std::string& reply);

    State state_ = State::Signature;
    std::string greeting_;  // as far as it came
    std::string identity_;
    std::size_t message_bytes_max_;
    common::Millis silence_max_{0};

    std::string header_;  // of a frame, as far as it came
    Header frame_;        // the frame whose body is arriving
    std::uint64_t frame_left_ = 0;
    bool in_frame_ = false;
    std::string command_;  // the body of a command, as far as it came
    MessageAssembly message_;
};

}  // namespace broker
