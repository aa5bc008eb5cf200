#include "common/feed_stream.h"

#include <doctest/doctest.h>

#include <random>

#include "common/limits.h"

using namespace common;
using feed::Frames;
using feed::Packet;
using feed::PacketReader;
using feed::PacketWriter;

namespace {

constexpr std::size_t kPacket = limits::kFeedPacketBytesMax;

Bytes filled(std::size_t size, char letter) {
    return Bytes(std::string(size, letter));
}

// One record of each kind of size: tiny ones, some that end where a packet ends, and some that go
// over several.
std::vector<Frames> records() {
    std::vector<Frames> all;
    std::mt19937_64 random(7);
    for (std::size_t i = 0; i < 300; ++i) {
        const auto letter = static_cast<char>('a' + i % 26);
        if (i % 50 == 13) {
            all.push_back({filled(kPacket - 8, letter)});
            continue;
        }
        const std::size_t size = i % 50 == 7 ? random() % (5 * kPacket) : random() % 2000;
        Frames record = {filled(1 + i % 5, letter)};
        if (i % 3 > 0) {
            record.push_back(filled(i % 7, letter));
        }
        record.push_back(filled(size, letter));
        all.push_back(std::move(record));
    }
    return all;
}

// Flushes after every `flush_every`-th record, and at the end.
std::vector<Packet> packets_of(const std::vector<Frames>& records, std::size_t flush_every,
                               std::uint64_t first_number = 1000) {
    PacketWriter writer(first_number);
    std::vector<Packet> packets;
    const auto flush = [&] {
        if (auto packet = writer.flush()) {
            packets.push_back(std::move(*packet));
        }
    };
    for (std::size_t i = 0; i < records.size(); ++i) {
        writer.add(records[i], packets);
        if ((i + 1) % flush_every == 0) {
            flush();
            CHECK_FALSE(writer.flush());
        }
    }
    flush();
    return packets;
}

std::vector<Frames> read_all(PacketReader& reader, const std::vector<Packet>& packets) {
    std::vector<Frames> records;
    for (const Packet& packet : packets) {
        CHECK(reader.read(packet, records).has_value());
    }
    return records;
}

Packet packet_of(std::uint64_t number, std::uint64_t continued, std::string payload) {
    return {number, continued, Bytes(std::move(payload))};
}

std::string record_bytes(std::string_view frame) {
    std::string bytes("\0\0\0\1\0\0\0", 7);
    bytes += static_cast<char>(frame.size());
    return bytes.append(frame);
}

}  // namespace

TEST_CASE("records come out of packets as they went in") {
    const std::vector<Frames> all = records();
    for (const std::size_t flush_every : {1U, 3U, 1000U}) {
        CAPTURE(flush_every);
        PacketReader reader;
        CHECK(read_all(reader, packets_of(all, flush_every)) == all);
    }
}

TEST_CASE("no packet is longer than its bound, so a bound on their number is one on bytes") {
    const std::vector<Frames> all = records();
    std::size_t bytes = 0;
    for (const Frames& record : all) {
        bytes += total_size(record) + 4 * (1 + record.size());
    }
    const std::vector<Packet> packets = packets_of(all, all.size());
    for (std::size_t i = 0; i < packets.size(); ++i) {
        CAPTURE(i);
        CHECK(packets[i].number == 1000 + i);
        CHECK(packets[i].continued <= packets[i].payload.size());
        // Without a flush each is full.
        CHECK((packets[i].payload.size() == kPacket || i + 1 == packets.size()));
        bytes -= packets[i].payload.size();
    }
    CHECK(bytes == 0);
    CHECK(kPacket * limits::kFeedPacketsMax <= limits::kRingBytesMax);
}

TEST_CASE("a flush makes no empty packet, and nothing waits after it") {
    PacketWriter writer(1);
    CHECK_FALSE(writer.flush());
    std::vector<Packet> full;
    writer.add({filled(10, 'x')}, full);
    CHECK(full.empty());
    const auto packet = writer.flush();
    REQUIRE(packet);
    CHECK(packet->payload.size() == 4 + 4 + 10);
    CHECK_FALSE(writer.flush());
}

TEST_CASE("a lost packet costs the records that it has bytes of, and no others") {
    const std::vector<Frames> all = records();
    const std::vector<Packet> packets = packets_of(all, 40);
    for (std::size_t lost = 0; lost < packets.size(); ++lost) {
        CAPTURE(lost);
        std::vector<Packet> rest = packets;
        rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(lost));
        PacketReader reader;
        const std::vector<Frames> came = read_all(reader, rest);
        // What came is a beginning of all, and an end of it.
        std::size_t first = 0;
        while (first < came.size() && came[first] == all[first]) {
            ++first;
        }
        const std::size_t missing = all.size() - came.size();
        CHECK(std::equal(came.begin() + static_cast<std::ptrdiff_t>(first), came.end(),
                         all.begin() + static_cast<std::ptrdiff_t>(first + missing)));
        CHECK(missing <= 40);
        CHECK(missing > 0);
    }
}

TEST_CASE("who begins to listen in the middle of a record begins with the next one") {
    PacketReader reader;
    std::vector<Frames> records;
    REQUIRE(reader.read(packet_of(9, 3, "end" + record_bytes("next")), records));
    CHECK(records == std::vector<Frames>{{Bytes(std::string("next"))}});
}

TEST_CASE("packets of another broker do not end a record of this one") {
    PacketReader reader;
    std::vector<Frames> records;
    const std::string record = record_bytes("0123456789");
    REQUIRE(reader.read(packet_of(9, 0, record.substr(0, 12)), records));
    REQUIRE(reader.read(packet_of(77, record.size() - 12, record.substr(12)), records));
    CHECK(records.empty());
    REQUIRE(reader.read(packet_of(78, 0, record), records));
    CHECK(records.size() == 1);
}

TEST_CASE("what is no row of records is refused, and the reader goes on after it") {
    const std::string good = record_bytes("good");
    const std::string no_frames("\0\0\0\0", 4);
    const std::string many_frames("\0\0\1\0", 4);
    const std::string huge("\0\0\0\2\xff\xff\xff\xff\0\0\0\1", 12);
    for (const std::string& bad : {no_frames, many_frames, huge}) {
        PacketReader reader;
        std::vector<Frames> records;
        CHECK_FALSE(reader.read(packet_of(1, 0, good + bad + good), records));
        CHECK(records.size() == 1);
        // Of what was refused nothing is gone on with.
        CHECK(reader.read(packet_of(2, 3, "abc" + good), records));
        CHECK(records.size() == 2);
    }
    PacketReader reader;
    std::vector<Frames> records;
    CHECK_FALSE(reader.read(packet_of(1, 5, "abc"), records));
    REQUIRE(reader.read(packet_of(2, 0, good.substr(0, 9)), records));
    // A begun record that the next packet says nothing of, and ones that end too early or too late.
    CHECK_FALSE(reader.read(packet_of(3, 0, good), records));
    REQUIRE(reader.read(packet_of(4, 0, good.substr(0, 9)), records));
    CHECK_FALSE(reader.read(packet_of(5, 2, good.substr(9, 2) + good), records));
    REQUIRE(reader.read(packet_of(6, 0, good.substr(0, 9)), records));
    CHECK_FALSE(reader.read(packet_of(7, 4, good.substr(9) + "x"), records));
    CHECK(records.empty());
    REQUIRE(reader.read(packet_of(8, 0, good), records));
    CHECK(records.size() == 1);
}
