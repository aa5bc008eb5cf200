#pragma once
// Random sessions from a seed: mutations whose pickles and deltas are valid and mostly meet what is
// there. The same seed gives the same mutations on every machine.

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "common/mutation.h"
#include "common/node.h"

namespace support {

// A node of the kind a client makes: {'type_id': 'object', 'name': ..., 'location': [x, y, z],
// 'props': {...}, 'items': [...], 'blob': b'...'}. `salt` varies it.
common::Node make_node(const common::NodeId& id, const common::UserName& owner,
                       std::vector<common::NodeId> dependencies, std::uint64_t salt,
                       std::size_t blob_bytes = 64);

// A commit to such a node: {'values_changed': {"root['location'][0]": {'new_value': x}}}.
common::PatchNode make_patch(const common::NodeId& id, std::vector<common::NodeId> dependencies,
                             double x);

class GraphGen {
public:
    explicit GraphGen(std::uint64_t seed) : random_(seed) {}

    // The next thing that happens: new and replaced nodes, commits, deletes, rights, users that
    // come and go, metadata. Never EpochStarted, Initialised or Cleared.
    common::Mutation next();

    // An upload of `count` nodes, without the Initialised behind it.
    std::vector<common::Mutation> upload(std::size_t count);

    // Below `end`.
    std::uint64_t below(std::uint64_t end) { return random_() % end; }

private:
    common::NodeId any_id();
    std::vector<common::NodeId> some_ids();
    common::UserName any_user();
    common::Mutation put(const common::NodeId& id);
    common::Mutation patch(const common::NodeId& id);
    common::Value delta();

    std::mt19937_64 random_;
    std::uint64_t made_ = 0;
    std::vector<common::NodeId> ids_;  // those that may be there
    std::map<common::NodeId, std::vector<common::NodeId>> dependencies_;
};

}  // namespace support
