#include "common/mutation.h"

namespace common {

bool is_work(const Mutation& mutation) {
    return std::holds_alternative<PutNode>(mutation) ||
           std::holds_alternative<PatchNode>(mutation) ||
           std::holds_alternative<DeleteNode>(mutation) ||
           std::holds_alternative<Initialised>(mutation);
}

}  // namespace common
