#pragma once
// What both framings do with the bytes of a message, whatever stands between its chunks. Pure.
//
// An arrived message is one piece of memory, of which its chunks are slices; its bytes are copied
// once (a message that came in many pieces: twice, since memory grows as they come).

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/bytes.h"

namespace broker {

// A message of which all bytes are there.
common::Chunks whole_message(std::span<const std::string_view> chunks);

// A message that is arriving in pieces. The caller checks the bounds.
class MessageAssembly {
public:
    // Some more of the chunk that is arriving, of which `chunk_left` bytes (these included) miss.
    void append(std::string_view bytes, std::uint64_t chunk_left);
    void end_chunk() { ends_.push_back(size_); }

    std::size_t bytes() const { return size_; }
    std::size_t chunks() const { return ends_.size(); }  // that are complete

    // The message; empty again afterwards.
    common::Chunks take();

private:
    std::shared_ptr<char[]> memory_;
    std::size_t capacity_ = 0;
    std::size_t size_ = 0;
    std::vector<std::size_t> ends_;  // of the chunks that are complete
};

// A message on its way out: headers and small chunks are gathered in one piece of memory, whose
// slices take turns with the big chunks, which are shared.
class MessageLayout {
public:
    // `header_bytes_max`: of one chunk.
    MessageLayout(const common::Chunks& chunks, std::size_t header_bytes_max);

    // What is written here comes next. Only append to it.
    std::string& text() { return text_; }
    // `chunk` must outlive the layout.
    void add(const common::Bytes& chunk);

    common::Chunks take();

private:
    std::string text_;
    // After so many bytes of text comes this chunk.
    std::vector<std::pair<std::size_t, const common::Bytes*>> cuts_;
};

// Foreign text for a log line: printable, short, in quotes.
std::string quoted(std::string_view text);

}  // namespace broker
