#include "broker/assembly.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace broker {

using common::Bytes;
using common::Chunks;

namespace {

constexpr std::size_t kAssemblyBytesMin = 4096;
// A chunk up to this size is cheaper to copy than to hand to the kernel as a piece of its own.
constexpr std::size_t kCopiedChunkBytesMax = 4096;
constexpr std::size_t kQuotedBytesMax = 40;

}  // namespace

Chunks whole_message(std::span<const std::string_view> chunks) {
    std::size_t total = 0;
    for (std::string_view chunk : chunks) {
        total += chunk.size();
    }
    auto memory = std::make_shared_for_overwrite<char[]>(total);
    Chunks message;
    message.reserve(chunks.size());
    char* end = memory.get();
    for (std::string_view chunk : chunks) {
        chunk.copy(end, chunk.size());
        message.emplace_back(memory, std::string_view(end, chunk.size()));
        end += chunk.size();
    }
    return message;
}

// Doubles at most, so that what is reserved is justified by what has arrived, and never beyond the
// chunk: the last chunk of a message is mostly the big one, and then the memory fits exactly.
void MessageAssembly::append(std::string_view bytes, std::uint64_t chunk_left) {
    if (bytes.size() > capacity_ - size_) {
        const std::size_t chunk_end = size_ + static_cast<std::size_t>(chunk_left);
        const std::size_t grown =
            std::max({2 * capacity_, size_ + bytes.size(), kAssemblyBytesMin});
        capacity_ = std::min(grown, chunk_end);
        auto bigger = std::make_shared_for_overwrite<char[]>(capacity_);
        if (size_ > 0) {
            std::memcpy(bigger.get(), memory_.get(), size_);
        }
        memory_ = std::move(bigger);
    }
    bytes.copy(memory_.get() + size_, bytes.size());
    size_ += bytes.size();
}

// The message lives on in the graph, perhaps for days: it does not keep spare memory with it.
Chunks MessageAssembly::take() {
    if (capacity_ > size_ + size_ / 8) {
        auto fitting = std::make_shared_for_overwrite<char[]>(size_);
        std::memcpy(fitting.get(), memory_.get(), size_);
        memory_ = std::move(fitting);
    }
    Chunks chunks;
    chunks.reserve(ends_.size());
    std::size_t start = 0;
    for (std::size_t end : ends_) {
        chunks.emplace_back(memory_, std::string_view(memory_.get() + start, end - start));
        start = end;
    }
    *this = MessageAssembly();
    return chunks;
}

MessageLayout::MessageLayout(const Chunks& chunks, std::size_t header_bytes_max) {
    std::size_t gathered_bytes = header_bytes_max;
    std::size_t big = 0;
    for (const Bytes& chunk : chunks) {
        const bool copied = chunk.size() <= kCopiedChunkBytesMax;
        gathered_bytes += header_bytes_max + (copied ? chunk.size() : 0);
        big += copied ? 0 : 1;
    }
    text_.reserve(gathered_bytes);
    cuts_.reserve(big);
}

void MessageLayout::add(const Bytes& chunk) {
    if (chunk.size() <= kCopiedChunkBytesMax) {
        text_ += chunk.view();
    } else {
        cuts_.emplace_back(text_.size(), &chunk);
    }
}

Chunks MessageLayout::take() {
    const Bytes gathered(std::move(text_));
    Chunks pieces;
    pieces.reserve(2 * cuts_.size() + 1);
    std::size_t start = 0;
    for (const auto& [end, chunk] : cuts_) {
        pieces.push_back(gathered.slice(start, end - start));
        pieces.push_back(*chunk);
        start = end;
    }
    if (start < gathered.size()) {
        pieces.push_back(gathered.slice(start, gathered.size() - start));
    }
    return pieces;
}

std::string quoted(std::string_view text) {
    std::string out = "'";
    for (char c : text.substr(0, kQuotedBytesMax)) {
        if (c >= ' ' && c <= '~' && c != '\'') {
            out += c;
        } else {
            char escaped[5];
            std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(c));
            out += escaped;
        }
    }
    return out + (text.size() > kQuotedBytesMax ? "...'" : "'");
}

}  // namespace broker
