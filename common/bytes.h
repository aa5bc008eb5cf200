#pragma once
// Bytes: an immutable piece of shared memory. Copying shares, slicing shares; nothing is ever
// changed behind it, so it may be read from any thread.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace common {

class Bytes {
public:
    Bytes() = default;
    // Takes over the string's memory.
    explicit Bytes(std::string text);
    // `view` must point into what `owner` keeps alive.
    Bytes(std::shared_ptr<const void> owner, std::string_view view)
        : owner_(std::move(owner)), view_(view) {}

    static Bytes copy_of(std::string_view view) { return Bytes(std::string(view)); }

    std::string_view view() const { return view_; }
    const char* data() const { return view_.data(); }
    std::size_t size() const { return view_.size(); }
    bool empty() const { return view_.empty(); }

    // Shares the memory: a small slice keeps the whole of it alive. `offset` and `length` must lie
    // inside.
    Bytes slice(std::size_t offset, std::size_t length) const;

    // What keeps the memory alive, for handing it to a library that wants a free function.
    const std::shared_ptr<const void>& owner() const { return owner_; }

    friend bool operator==(const Bytes& a, const Bytes& b) { return a.view_ == b.view_; }

private:
    std::shared_ptr<const void> owner_;
    std::string_view view_;
};

// Numbers of up to 8 bytes, the most significant first, as the network writes them.
std::uint64_t read_big_endian(std::string_view bytes);
void append_big_endian(std::string& out, std::uint64_t value, int size);

// A client's message or a node: see docs/PROTOCOL.md. Chunk 0 is the pickled type number.
using Chunks = std::vector<Bytes>;

std::size_t total_size(const Chunks& chunks);

}  // namespace common
