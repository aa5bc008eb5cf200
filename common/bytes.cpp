#include "common/bytes.h"

#include "common/verify.h"

namespace common {

Bytes::Bytes(std::string text) {
    auto owned = std::make_shared<const std::string>(std::move(text));
    view_ = *owned;
    owner_ = std::move(owned);
}

Bytes Bytes::slice(std::size_t offset, std::size_t length) const {
    VERIFY(offset <= view_.size() && length <= view_.size() - offset);
    return Bytes(owner_, view_.substr(offset, length));
}

std::uint64_t read_big_endian(std::string_view bytes) {
    std::uint64_t value = 0;
    for (char byte : bytes) {
        value = value << 8 | static_cast<unsigned char>(byte);
    }
    return value;
}

void append_big_endian(std::string& out, std::uint64_t value, int size) {
    char bytes[8];
    VERIFY(size >= 1 && size <= 8);
    for (int at = size - 1; at >= 0; --at) {
        bytes[at] = static_cast<char>(value & 0xff);
        value >>= 8;
    }
    out.append(bytes, static_cast<std::size_t>(size));
}

std::size_t total_size(const Chunks& chunks) {
    std::size_t total = 0;
    for (const Bytes& chunk : chunks) {
        total += chunk.size();
    }
    return total;
}

}  // namespace common
