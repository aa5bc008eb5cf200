#pragma once
// Records on the feed: packed into packets of bounded size, and taken out of them again. Pure.
//
// A ZeroMQ message for each record would cost more than all else that is done for a small one. And
// PUB bounds by number what waits for a listener that is frozen: as no packet is longer than
// limits::kFeedPacketBytesMax, that is a bound in bytes.
//
// All records are one stream of bytes, which is cut where a packet is full or somebody wants what
// is there to leave. Grammar: docs/FEED.md.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/feed.h"

namespace common::feed {

class PacketWriter {
public:
    // `first_number` of the packets: random, so that nobody takes the first packets of one broker
    // for those that follow after the last ones of another.
    explicit PacketWriter(std::uint64_t first_number) : number_(first_number) {}

    // Packs a record; appends to `full` the packets that this fills.
    void add(const Frames& record, std::vector<Packet>& full);

    // What has not left yet, if anything.
    std::optional<Packet> flush();

private:
    void write_number(std::size_t number, std::vector<Packet>& full);
    void write(std::string_view bytes, std::vector<Packet>& full);
    Packet take();

    std::uint64_t number_;
    std::string payload_;
    std::uint64_t continued_ = 0;  // bytes of `payload_` that end an earlier packet's record
    bool in_record_ = false;
};

class PacketReader {
public:
    // Appends the records that are complete. Of a record of which a packet was missed nothing is
    // given. On an error the rest of the packet is left out; the next record that begins in another
    // packet is read again.
    Result<void> read(const Packet& packet, std::vector<Frames>& records);

private:
    Result<void> read_records(std::string_view bytes, std::vector<Frames>& records);

    std::optional<std::uint64_t> next_;  // number of the packet that goes on
    std::string begun_;                  // what has come of a record that is not complete
};

}  // namespace common::feed
