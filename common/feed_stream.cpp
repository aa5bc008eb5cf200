#include "common/feed_stream.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>

#include "common/limits.h"
#include "common/verify.h"

namespace common::feed {

namespace {

constexpr std::size_t kNumberBytes = 4;
constexpr std::size_t kFramesMax = limits::kRecordFramesMax;

std::size_t number_at(std::string_view bytes, std::size_t at) {
    return read_big_endian(bytes.substr(at, kNumberBytes));
}

// How a record begins.
struct Head {
    std::size_t count = 0;
    std::array<std::size_t, kFramesMax> lengths{};
    std::size_t bytes = 0;  // the head's own
    std::size_t total = 0;  // with all frames
};

// Nothing: there is more to come of it.
Result<std::optional<Head>> read_head(std::string_view bytes) {
    if (bytes.size() < kNumberBytes) {
        return std::nullopt;
    }
    Head head;
    head.count = number_at(bytes, 0);
    if (head.count == 0 || head.count > kFramesMax) {
        return bad_input("a record of " + std::to_string(head.count) + " frames");
    }
    head.bytes = kNumberBytes * (1 + head.count);
    if (bytes.size() < head.bytes) {
        return std::nullopt;
    }
    head.total = head.bytes;
    for (std::size_t i = 0; i < head.count; ++i) {
        head.lengths[i] = number_at(bytes, kNumberBytes * (1 + i));
        head.total += head.lengths[i];
    }
    if (head.total > limits::kRecordBytesMax) {
        return fail(ErrorKind::Limit, "a record of " + std::to_string(head.total) + " bytes");
    }
    return head;
}

// The last frame, which may stay in memory for long or be large, has a memory of its own; the
// others, which are small, have one together.
Frames frames_of(const Head& head, std::string_view bytes) {
    Frames frames;
    frames.reserve(head.count);
    const std::size_t last = head.lengths[head.count - 1];
    const auto own_copy = [](std::string_view view) {
        const std::shared_ptr<char[]> copy = std::make_shared_for_overwrite<char[]>(view.size());
        std::memcpy(copy.get(), view.data(), view.size());
        return Bytes(copy, std::string_view(copy.get(), view.size()));
    };
    const Bytes first = own_copy(bytes.substr(head.bytes, head.total - head.bytes - last));
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < head.count; ++i) {
        frames.push_back(first.slice(at, head.lengths[i]));
        at += head.lengths[i];
    }
    frames.push_back(own_copy(bytes.substr(head.total - last, last)));
    return frames;
}

}  // namespace

void PacketWriter::add(const Frames& record, std::vector<Packet>& full) {
    VERIFY(!record.empty() && record.size() <= kFramesMax);
    write_number(record.size(), full);
    for (const Bytes& frame : record) {
        VERIFY(frame.size() <= limits::kRecordBytesMax);
        write_number(frame.size(), full);
    }
    for (const Bytes& frame : record) {
        write(frame.view(), full);
    }
    in_record_ = false;
}

void PacketWriter::write_number(std::size_t number, std::vector<Packet>& full) {
    std::string bytes;
    append_big_endian(bytes, number, kNumberBytes);
    write(bytes, full);
}

void PacketWriter::write(std::string_view bytes, std::vector<Packet>& full) {
    while (!bytes.empty()) {
        if (payload_.empty()) {
            payload_.reserve(limits::kFeedPacketBytesMax);
        }
        const std::size_t room = limits::kFeedPacketBytesMax - payload_.size();
        const std::string_view part = bytes.substr(0, room);
        payload_.append(part);
        bytes.remove_prefix(part.size());
        continued_ += in_record_ ? part.size() : 0;
        if (payload_.size() == limits::kFeedPacketBytesMax) {
            full.push_back(take());
            in_record_ = true;
        }
    }
}

Packet PacketWriter::take() {
    return Packet{number_++, std::exchange(continued_, 0),
                  Bytes(std::exchange(payload_, std::string()))};
}

std::optional<Packet> PacketWriter::flush() {
    if (payload_.empty()) {
        return std::nullopt;
    }
    return take();
}

Result<void> PacketReader::read(const Packet& packet, std::vector<Frames>& records) {
    std::string begun = std::exchange(begun_, std::string());
    if (std::exchange(next_, packet.number + 1) != packet.number) {
        begun.clear();
    }
    std::string_view bytes = packet.payload.view();
    if (packet.continued > bytes.size()) {
        return bad_input("a packet goes on with more than it holds");
    }
    if (!begun.empty()) {
        begun.append(bytes.substr(0, packet.continued));
        const auto head = TRY(read_head(begun));
        const bool complete = head && head->total == begun.size();
        if (complete) {
            records.push_back(frames_of(*head, begun));
        } else if (packet.continued == 0 || packet.continued < bytes.size() ||
                   (head && head->total < begun.size())) {
            return bad_input("a record that does not go on as it began");
        } else {
            begun_ = std::move(begun);
        }
    }
    bytes.remove_prefix(packet.continued);
    return read_records(bytes, records);
}

Result<void> PacketReader::read_records(std::string_view bytes, std::vector<Frames>& records) {
    while (!bytes.empty()) {
        const auto head = TRY(read_head(bytes));
        if (!head || head->total > bytes.size()) {
            begun_ = bytes;
            return {};
        }
        records.push_back(frames_of(*head, bytes));
        bytes.remove_prefix(head->total);
    }
    return {};
}

}  // namespace common::feed
