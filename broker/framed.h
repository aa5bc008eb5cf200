#pragma once
// Framed TCP, what replication speaks from 0.9.12 on, the server's side. See framed.cpp for the
// grammar. One port serves all channels: the peer says in its handshake which one it is.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/assembly.h"
#include "broker/framing.h"

namespace broker {

class Framed final : public Framing {
public:
    Framed();

    Generation generation() const override { return Generation::Framed; }
    std::string hello() override { return {}; }  // the server has nothing to say
    common::Result<std::size_t> receive(std::string_view bytes, std::size_t messages_max,
                                        std::vector<common::Chunks>& messages,
                                        std::string& reply) override;
    bool established() const override { return state_ == State::Traffic; }
    const std::string& identity() const override { return identity_; }
    std::optional<Channel> channel() const override { return channel_; }
    void set_message_bytes_max(std::size_t bytes) override { message_bytes_max_ = bytes; }
    common::Millis silence_max() const override { return common::Millis(0); }
    common::Chunks encode(const common::Chunks& chunks) const override;

private:
    enum class State { Handshake, Traffic, Failed };

    common::Result<std::size_t> receive_handshake(std::string_view bytes);
    common::Result<std::size_t> receive_messages(std::string_view bytes, std::size_t messages_max,
                                                 std::vector<common::Chunks>& messages);
    common::Result<std::size_t> receive_whole(std::string_view bytes,
                                              std::vector<common::Chunks>& messages) const;
    common::Result<void> on_number(std::uint64_t number);
    common::Result<void> check_chunk(std::uint64_t length, std::size_t bytes_before) const;

    State state_ = State::Handshake;
    std::string handshake_;  // as far as it came
    std::string identity_;
    std::optional<Channel> channel_;
    std::size_t message_bytes_max_;

    std::string number_;  // a count or a length, as far as it came
    bool in_message_ = false;
    bool in_chunk_ = false;
    std::uint64_t chunks_left_ = 0;  // of the message, the one that is arriving included
    std::uint64_t chunk_left_ = 0;   // bytes of the chunk that is arriving
    MessageAssembly message_;
};

}  // namespace broker
