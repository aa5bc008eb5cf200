#include "tests/support/graph_gen.h"

#include <algorithm>

#include "common/pickle.h"
#include "common/value.h"

namespace support {

using common::Bytes;
using common::Dependencies;
using common::Mutation;
using common::Node;
using common::NodeId;
using common::PatchNode;
using common::UserName;
using common::Value;

namespace {

std::string blob(std::uint64_t salt, std::size_t size) {
    std::mt19937_64 random(salt);
    std::string bytes(size, '\0');
    std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<char>(random()); });
    return bytes;
}

using Pairs = std::vector<std::pair<Value, Value>>;

Value dict_of(std::string_view key, Value value) {
    return Value::dict({{Value::str(key), std::move(value)}});
}

PatchNode patch_of(const NodeId& id, std::vector<NodeId> dependencies, const Value& delta) {
    PatchNode patch;
    patch.id = id;
    patch.dependencies = Dependencies::of(std::move(dependencies));
    patch.delta = common::write_pickle(delta);
    return patch;
}

}  // namespace

Node make_node(const NodeId& id, const UserName& owner, std::vector<NodeId> dependencies,
               std::uint64_t salt, std::size_t blob_bytes) {
    const double x = static_cast<double>(salt % 1000) / 8;
    const Value data = Value::dict({
        {Value::str("type_id"), Value::str(salt % 2 == 0 ? "object" : "mesh")},
        {Value::str("name"), Value::str("Cube." + std::to_string(salt))},
        {Value::str("location"), Value::list({Value::real(x), Value::real(-x), Value::real(0.5)})},
        {Value::str("props"), Value::dict({{Value::str("k0"), Value::integer(1)},
                                           {Value::integer(7), Value::boolean(true)}})},
        {Value::str("items"),
         Value::list({Value::str("a"), Value::tuple({Value::integer(3)}), Value()})},
        {Value::str("blob"), Value::bytes(Bytes(blob(salt, blob_bytes)))},
    });
    return Node{id, owner, Dependencies::of(std::move(dependencies)), common::write_pickle(data)};
}

PatchNode make_patch(const NodeId& id, std::vector<NodeId> dependencies, double x) {
    return patch_of(id, std::move(dependencies),
                    dict_of("values_changed",
                            dict_of("root['location'][0]", dict_of("new_value", Value::real(x)))));
}

NodeId GraphGen::any_id() {
    return ids_.empty() ? "nobody" : ids_[below(ids_.size())];
}

std::vector<NodeId> GraphGen::some_ids() {
    std::vector<NodeId> ids(below(5));
    std::generate(ids.begin(), ids.end(), [&] { return any_id(); });
    return ids;
}

UserName GraphGen::any_user() {
    static const char* const kNames[] = {"COMMON", "ada", "bob", "Zoë"};
    return kNames[below(std::size(kNames))];
}

Mutation GraphGen::put(const NodeId& id) {
    const std::vector<NodeId> dependencies = some_ids();
    dependencies_[id] = dependencies;
    return common::PutNode{
        make_node(id, any_user(), dependencies, random_(), below(20) == 0 ? 5000 : below(200))};
}

// Every second item takes something away or adds it where it may not fit: deepdiff passes over
// those. None of them raises.
Value GraphGen::delta() {
    const std::string key = "k" + std::to_string(below(6));
    const std::string prop = "root['props']['" + key + "']";
    const std::string item = "root['items'][" + std::to_string(below(4)) + "]";
    const auto small = static_cast<std::int64_t>(below(5));
    switch (below(7)) {
        case 0:
            return dict_of(
                "values_changed",
                dict_of("root['location'][" + std::to_string(below(3)) + "]",
                        dict_of("new_value", Value::real(static_cast<double>(small) / 4))));
        case 1:
            return dict_of("dictionary_item_added", dict_of(prop, Value::integer(small)));
        case 2:
            return dict_of("dictionary_item_removed", dict_of(prop, Value::integer(small)));
        case 3:
            return dict_of("iterable_item_added", dict_of(item, Value::list({Value::str(key)})));
        case 4:
            return dict_of("iterable_item_removed", dict_of(item, Value::list({Value::str(key)})));
        case 5:
            return dict_of(
                "values_changed",
                dict_of("root['blob']",
                        dict_of("new_value", Value::bytes(Bytes(blob(random_(), below(3000)))))));
        default:
            return Value::dict();
    }
}

Mutation GraphGen::patch(const NodeId& id) {
    if (below(4) == 0) {
        dependencies_[id] = some_ids();
    }
    PatchNode patch = patch_of(id, dependencies_[id], delta());
    return patch;
}

Mutation GraphGen::next() {
    const std::uint64_t dice = below(100);
    if (ids_.empty() || dice < 12) {
        ids_.push_back("node-" + std::to_string(made_++));
        return put(ids_.back());
    }
    if (dice < 20) {
        return put(any_id());
    }
    if (dice < 75) {
        return patch(any_id());
    }
    if (dice < 83) {
        const NodeId id = any_id();
        if (below(3) != 0) {  // else its id stays in use: what names it comes to nothing
            std::erase(ids_, id);
        }
        return common::DeleteNode{id};
    }
    if (dice < 92) {
        return common::SetOwner{some_ids(), any_user()};
    }
    if (dice < 95) {
        return common::UserJoined{any_user()};
    }
    if (dice < 97) {
        return common::UserLeft{any_user(), "left"};
    }
    const auto tasks = static_cast<std::int64_t>(below(10));
    return common::SetMetadata{any_user(),
                               common::write_pickle(dict_of("tasks", Value::integer(tasks)))};
}

std::vector<Mutation> GraphGen::upload(std::size_t count) {
    std::vector<Mutation> mutations;
    for (std::size_t i = 0; i < count; ++i) {
        ids_.push_back("node-" + std::to_string(made_++));
        mutations.push_back(put(ids_.back()));
    }
    return mutations;
}

}  // namespace support
