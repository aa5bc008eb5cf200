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

std::size_t total_size(const Chunks& chunks) {
    std::size_t total = 0;
    for (const Bytes& chunk : chunks) {
        total += chunk.size();
    }
    return total;
}

}  // namespace common
