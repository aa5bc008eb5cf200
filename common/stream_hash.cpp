#include "common/stream_hash.h"

#include <xxhash.h>

#include "common/verify.h"

namespace common {

struct StreamHash::State {
    std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> xxh{XXH3_createState(),
                                                                        XXH3_freeState};
};

StreamHash::StreamHash() : state_(std::make_unique<State>()) {
    VERIFY(state_->xxh != nullptr);
    VERIFY(XXH3_128bits_reset(state_->xxh.get()) == XXH_OK);
}

StreamHash::~StreamHash() = default;

void StreamHash::add(std::string_view bytes) {
    VERIFY(XXH3_128bits_update(state_->xxh.get(), bytes.data(), bytes.size()) == XXH_OK);
}

Hash128 StreamHash::hash() const {
    const XXH128_hash_t hash = XXH3_128bits_digest(state_->xxh.get());
    return {hash.high64, hash.low64};
}

}  // namespace common
