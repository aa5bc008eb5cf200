#pragma once
// A position as both health pages and the metadata show it.

#include "common/ids.h"

namespace common {

// `Json` is one of nlohmann's, which this room does not know. Epoch and chain are texts: scripts
// read JSON numbers as floats.
template <typename Json>
Json position_json(const Position& position) {
    return {{"epoch", hex(number(position.epoch))},
            {"seq", number(position.seq)},
            {"chain", hex(position.chain)}};
}

}  // namespace common
