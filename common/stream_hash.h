#pragma once
// Hash128 of bytes that come in pieces, however they are cut.

#include <memory>
#include <string_view>

#include "common/ids.h"

namespace common {

class StreamHash {
public:
    StreamHash();
    ~StreamHash();
    StreamHash(const StreamHash&) = delete;
    StreamHash& operator=(const StreamHash&) = delete;

    void add(std::string_view bytes);
    Hash128 hash() const;  // of all so far

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace common
