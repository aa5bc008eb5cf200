#include "common/graph.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <list>
#include <unordered_map>
#include <utility>

#include "common/pickle.h"
#include "common/verify.h"

// Theory. An Entry is a node as it was last handed out (`node`, immutable) and what has changed
// since; `current` makes a new Node of both when somebody asks. So a burst of commits to one node
// costs its folding only.
//
// That two processes come to the same bytes although each pickles when it is asked, rests on two
// promises of write_pickle: it writes equal values equally, and what it has written reads back as
// the same value. Hence the rule: bytes are the client's until the first delta that says anything,
// and write_pickle's from then on, whether or not the value ended up as it was.

namespace common {

namespace {

// About what an Entry costs beside its node's bytes.
constexpr std::size_t kEntryBytes = 512;
// An estimate of a parsed node is made anew when deltas of so many bytes, or of as many as the
// estimate itself, have been added to it.
constexpr std::size_t kEstimateBytesMin = 4096;

void update(XXH3_state_t& state, std::uint64_t value) {
    XXH64_canonical_t bytes;
    XXH64_canonicalFromHash(&bytes, value);
    XXH3_128bits_update(&state, bytes.digest, sizeof bytes.digest);
}

void update(XXH3_state_t& state, std::string_view text) {
    update(state, text.size());
    XXH3_128bits_update(&state, text.data(), text.size());
}

// Whether a path begins with a plain quoted key other than 'type_id': root['name'], not root,
// root[0] or root['a\x62'].
bool leaves_type_id(std::string_view path) {
    constexpr std::string_view kBefore = "root['";
    if (!path.starts_with(kBefore)) {
        return false;
    }
    path.remove_prefix(kBefore.size());
    const auto plain = [](char c) {
        return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               (c >= '0' && c <= '9');
    };
    const auto end = std::find_if_not(path.begin(), path.end(), plain);
    const std::string_view key = path.substr(0, static_cast<std::size_t>(end - path.begin()));
    return path.substr(key.size()).starts_with("']") && key != "type_id";
}

// Whether it is plain to see that the delta leaves the data a dict with its 'type_id'. If not, it
// is folded into a copy, which costs more.
bool leaves_type_id(const Value& delta) {
    const Dict* actions = delta.as_dict();
    if (actions == nullptr) {
        return false;
    }
    for (const Dict::Entry& action : actions->entries()) {
        const Dict* paths = action.value.as_dict();
        if (paths == nullptr) {
            return false;
        }
        for (const Dict::Entry& change : paths->entries()) {
            const std::string* path = change.key.as_str();
            if (path == nullptr || !leaves_type_id(*path) ||
                change.value.find("new_path") != nullptr) {
                return false;
            }
        }
    }
    return true;
}

// On an error `base` and its extent are as they were.
Result<FoldReport> fold_node_data(Value& base, const Value& delta, Extent& extent) {
    if (leaves_type_id(delta)) {
        return fold_delta(base, delta, extent);
    }
    Value copy = deep_copy(base);
    Extent grown = extent;
    FoldReport report = TRY(fold_delta(copy, delta, grown));
    TRY(check_node_data(copy));
    base = std::move(copy);
    extent = grown;
    return report;
}

}  // namespace

Hash128 digest_of(const std::vector<Hash128>& nodes, const std::map<UserName, Bytes>& metadata,
                  bool initialised, Timeline timeline) {
    XXH3_state_t state;
    XXH3_128bits_reset(&state);
    update(state, nodes.size());
    for (const Hash128& node : nodes) {
        update(state, node.high);
        update(state, node.low);
    }
    update(state, metadata.size());
    for (const auto& [name, bytes] : metadata) {
        update(state, name);
        update(state, bytes.view());
    }
    update(state, initialised ? 1 : 0);
    update(state, number(timeline));
    const XXH128_hash_t hash = XXH3_128bits_digest(&state);
    return {hash.high64, hash.low64};
}

Hash128 GraphCopy::digest() const {
    std::vector<Hash128> hashes;
    hashes.reserve(nodes.size());
    for (const NodePtr& node : nodes) {
        hashes.push_back(node->hash());
    }
    return digest_of(hashes, metadata, initialised, timeline);
}

struct Graph::State {
    struct Entry;
    using Recent = std::list<Entry*>;

    struct Parsed {
        Value value;
        Extent extent;           // of it
        bool newer = false;      // than the bytes of `node`
        std::uint64_t edit = 0;  // number of the last one
        std::size_t bytes = 0;   // about what `value` weighs
        std::size_t added = 0;   // bytes of deltas since that was found out; part of `bytes`
        Recent::iterator recent;
        Recent::iterator untidy;  // if `newer`
    };

    struct Entry {
        NodePtr node;
        UserName owner;
        // What has changed since `node`, if `stale`.
        bool stale = false;
        std::unique_ptr<Dependencies> dependencies;  // newer ones, or null
        std::vector<NodeId> removed;                 // deleted since; to be taken out of them
        std::unique_ptr<Parsed> parsed;              // null while it is bytes only
        std::optional<Hash128> hash;                 // of `node`
        std::size_t bytes = 0;                       // its part of `memory_bytes`

        const Dependencies& latest_dependencies() const {
            return dependencies ? *dependencies : node->dependencies;
        }
    };
    using Order = std::list<Entry>;

    explicit State(std::size_t parsed_bytes_limit) : parsed_bytes_max(parsed_bytes_limit) {}

    // What a client sees of the dependencies: without the first occurrence of each removed id.
    static Dependencies current_dependencies(const Entry& entry);
    const NodePtr& current(Entry& entry);
    const Hash128& current_hash(Entry& entry);
    void account(Entry& entry);

    void add_referrer(Entry& entry);
    void remove_referrer(Entry& entry);

    Result<Parsed*> parse(Entry& entry);
    void set_newer(Entry& entry, bool newer);
    void drop_parsed(Entry& entry);
    void drop_least_recent();

    void append(NodePtr node);

    Result<Applied> on(const EpochStarted&) { return Applied{}; }
    Result<Applied> on(const PutNode& put);
    Result<Applied> on(const PatchNode& patch);
    Result<Applied> on(const DeleteNode& gone);
    Result<Applied> on(const SetOwner& right);
    Result<Applied> on(const Cleared&);
    Result<Applied> on(const Initialised& now);
    Result<Applied> on(const UserJoined&) { return Applied{}; }
    Result<Applied> on(const UserLeft&) { return Applied{}; }
    Result<Applied> on(const SetMetadata& set);

    Order order;
    std::unordered_map<NodeId, Order::iterator> by_id;
    // Who names an id in its dependencies, and how often (removed ones not counted).
    std::unordered_map<NodeId, std::unordered_map<Entry*, std::size_t>> referrers;
    Recent recent;  // entries that are parsed, the most recently used first
    Recent untidy;  // those of them that are newer than their bytes, the latest edit first
    std::uint64_t edits = 0;
    std::size_t parsed_bytes = 0;
    std::size_t parsed_bytes_max;
    std::size_t memory_bytes = 0;

    std::map<UserName, Bytes> metadata;
    bool initialised = false;
    Timeline timeline{};
};

Dependencies Graph::State::current_dependencies(const Entry& entry) {
    const Dependencies& latest = entry.latest_dependencies();
    if (entry.removed.empty()) {
        return latest;
    }
    std::unordered_map<std::string_view, std::size_t> to_remove;
    for (const NodeId& id : entry.removed) {
        ++to_remove[id];
    }
    std::vector<NodeId> ids;
    for (const NodeId& id : *latest.ids) {
        const auto found = to_remove.find(id);
        if (found != to_remove.end() && found->second > 0) {
            --found->second;
        } else {
            ids.push_back(id);
        }
    }
    return Dependencies::of(std::move(ids));
}

const NodePtr& Graph::State::current(Entry& entry) {
    if (!entry.stale) {
        return entry.node;
    }
    const bool newer_data = entry.parsed && entry.parsed->newer;
    auto node = std::make_shared<const Node>(
        Node{entry.node->id, entry.owner, current_dependencies(entry),
             newer_data ? write_pickle(entry.parsed->value) : entry.node->data});
    if (newer_data) {
        set_newer(entry, false);
    }
    entry.node = std::move(node);
    entry.dependencies.reset();
    entry.removed.clear();
    entry.removed.shrink_to_fit();
    entry.stale = false;
    entry.hash.reset();
    account(entry);
    return entry.node;
}

const Hash128& Graph::State::current_hash(Entry& entry) {
    const NodePtr& node = current(entry);
    if (!entry.hash) {
        entry.hash = node->hash();
    }
    return *entry.hash;
}

void Graph::State::account(Entry& entry) {
    memory_bytes -= entry.bytes;
    entry.bytes = kEntryBytes + entry.node->dependencies.pickled.size() * 2 +
                  entry.node->data.size() + (entry.parsed ? entry.parsed->bytes : 0);
    memory_bytes += entry.bytes;
}

void Graph::State::add_referrer(Entry& entry) {
    const Dependencies& latest = entry.latest_dependencies();
    if (latest.ids) {
        for (const NodeId& id : *latest.ids) {
            ++referrers[id][&entry];
        }
    }
}

void Graph::State::remove_referrer(Entry& entry) {
    const Dependencies& latest = entry.latest_dependencies();
    if (!latest.ids) {
        return;
    }
    for (const NodeId& id : *latest.ids) {
        const auto found = referrers.find(id);
        if (found == referrers.end()) {
            continue;
        }
        found->second.erase(&entry);
        if (found->second.empty()) {
            referrers.erase(found);
        }
    }
}

Result<Graph::State::Parsed*> Graph::State::parse(Entry& entry) {
    if (entry.parsed) {
        recent.splice(recent.begin(), recent, entry.parsed->recent);
        return entry.parsed.get();
    }
    auto parsed = std::make_unique<Parsed>();
    parsed->value = TRY(read_pickle(entry.node->data, PickleUse::NodeData));
    parsed->extent = extent_of(parsed->value);
    parsed->bytes = common::memory_bytes(parsed->value);
    recent.push_front(&entry);
    parsed->recent = recent.begin();
    entry.parsed = std::move(parsed);
    parsed_bytes += entry.parsed->bytes;
    account(entry);
    drop_least_recent();
    return entry.parsed.get();
}

void Graph::State::set_newer(Entry& entry, bool newer) {
    Parsed& parsed = *entry.parsed;
    if (newer && parsed.newer) {
        untidy.splice(untidy.begin(), untidy, parsed.untidy);
    } else if (newer) {
        untidy.push_front(&entry);
        parsed.untidy = untidy.begin();
    } else if (parsed.newer) {
        untidy.erase(parsed.untidy);
    }
    parsed.newer = newer;
}

void Graph::State::drop_parsed(Entry& entry) {
    if (entry.parsed) {
        set_newer(entry, false);
        parsed_bytes -= entry.parsed->bytes;
        recent.erase(entry.parsed->recent);
        entry.parsed.reset();
    }
}

// The most recent one stays, however big it is.
void Graph::State::drop_least_recent() {
    while (parsed_bytes > parsed_bytes_max && recent.size() > 1) {
        Entry& entry = *recent.back();
        if (entry.parsed->newer) {
            current(entry);
        }
        drop_parsed(entry);
        account(entry);
    }
}

void Graph::State::append(NodePtr node) {
    order.emplace_back();
    Entry& entry = order.back();
    entry.owner = node->owner;
    entry.node = std::move(node);
    by_id.emplace(entry.node->id, std::prev(order.end()));
    add_referrer(entry);
    account(entry);
}

Result<Applied> Graph::State::on(const PutNode& put) {
    const auto found = by_id.find(put.node.id);
    if (found == by_id.end()) {
        if (by_id.size() >= limits::kNodesMax) {
            return fail(ErrorKind::Limit,
                        "the graph has " + std::to_string(by_id.size()) + " nodes already");
        }
        append(std::make_shared<const Node>(put.node));
        return Applied{true, {}};
    }
    Entry& entry = *found->second;
    remove_referrer(entry);
    drop_parsed(entry);
    entry.node = std::make_shared<const Node>(
        Node{put.node.id, entry.owner, put.node.dependencies, put.node.data});
    entry.stale = false;
    entry.dependencies.reset();
    entry.removed.clear();
    entry.hash.reset();
    add_referrer(entry);
    account(entry);
    return Applied{true, {}};
}

Result<Applied> Graph::State::on(const PatchNode& patch) {
    const auto found = by_id.find(patch.id);
    if (found == by_id.end()) {
        return fail(ErrorKind::NotFound, "a commit for a node that is not there: " + patch.id);
    }
    Entry& entry = *found->second;
    Value read;
    if (!patch.parsed) {
        read = TRY(read_pickle(patch.delta, PickleUse::Delta));
    }
    const Value& delta = patch.parsed ? *patch.parsed : read;
    Applied applied;
    const Dict* actions = delta.as_dict();
    if (actions == nullptr || actions->size() > 0) {
        Parsed* parsed = TRY(parse(entry));
        applied.fold = TRY(fold_node_data(parsed->value, delta, parsed->extent));
        applied.changed = true;
        set_newer(entry, true);
        parsed->edit = edits++;
        entry.stale = true;

        parsed_bytes -= parsed->bytes;
        parsed->added += patch.delta.size();
        parsed->bytes += patch.delta.size();
        if (parsed->added > std::max(kEstimateBytesMin, parsed->bytes / 2)) {
            parsed->bytes = common::memory_bytes(parsed->value);
            parsed->added = 0;
        }
        parsed_bytes += parsed->bytes;
    }
    if (!entry.removed.empty()) {
        entry.dependencies = std::make_unique<Dependencies>(current_dependencies(entry));
        entry.removed.clear();
    }
    if (entry.latest_dependencies().pickled != patch.dependencies.pickled) {
        remove_referrer(entry);
        entry.dependencies = std::make_unique<Dependencies>(patch.dependencies);
        add_referrer(entry);
        applied.changed = true;
        entry.stale = true;
    }
    account(entry);
    drop_least_recent();
    return applied;
}

Result<Applied> Graph::State::on(const DeleteNode& gone) {
    const auto found = by_id.find(gone.id);
    if (found == by_id.end()) {
        return Applied{};
    }
    Entry& entry = *found->second;
    remove_referrer(entry);
    drop_parsed(entry);
    memory_bytes -= entry.bytes;
    order.erase(found->second);
    by_id.erase(found);

    const auto named = referrers.find(gone.id);
    if (named != referrers.end()) {
        auto& times_by_referrer = named->second;
        for (auto it = times_by_referrer.begin(); it != times_by_referrer.end();) {
            it->first->removed.push_back(gone.id);
            it->first->stale = true;
            it = --it->second == 0 ? times_by_referrer.erase(it) : std::next(it);
        }
        if (times_by_referrer.empty()) {
            referrers.erase(named);
        }
    }
    return Applied{true, {}};
}

Result<Applied> Graph::State::on(const SetOwner& right) {
    Applied applied;
    for (const NodeId& id : right.ids) {
        const auto found = by_id.find(id);
        if (found != by_id.end() && found->second->owner != right.owner) {
            found->second->owner = right.owner;
            found->second->stale = true;
            applied.changed = true;
        }
    }
    return applied;
}

Result<Applied> Graph::State::on(const Cleared&) {
    const bool changed = !order.empty() || initialised || timeline != Timeline{};
    recent.clear();
    untidy.clear();
    referrers.clear();
    by_id.clear();
    order.clear();
    parsed_bytes = 0;
    memory_bytes = 0;
    initialised = false;
    timeline = Timeline{};
    return Applied{changed, {}};
}

Result<Applied> Graph::State::on(const Initialised& now) {
    const bool changed = !initialised || timeline != now.timeline;
    initialised = true;
    timeline = now.timeline;
    return Applied{changed, {}};
}

Result<Applied> Graph::State::on(const SetMetadata& set) {
    Bytes& held = metadata[set.name];
    const bool changed = held != set.metadata;
    held = set.metadata;
    return Applied{changed, {}};
}

Graph::Graph() : Graph(GraphCopy{}) {}

Graph::Graph(GraphCopy copy, std::size_t parsed_bytes_max)
    : state_(std::make_unique<State>(parsed_bytes_max)) {
    state_->by_id.reserve(copy.nodes.size());
    for (NodePtr& node : copy.nodes) {
        VERIFY(node != nullptr);
        if (state_->by_id.contains(node->id)) {
            std::ignore = state_->on(PutNode{*node});
        } else {
            state_->append(std::move(node));
        }
    }
    state_->metadata = std::move(copy.metadata);
    state_->initialised = copy.initialised;
    state_->timeline = copy.timeline;
}

Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;
Graph::~Graph() = default;

Result<Applied> Graph::apply(const Mutation& mutation) {
    return std::visit([this](const auto& one) { return state_->on(one); }, mutation);
}

bool Graph::initialised() const {
    return state_->initialised;
}

Timeline Graph::timeline() const {
    return state_->timeline;
}

std::size_t Graph::size() const {
    return state_->by_id.size();
}

bool Graph::contains(const NodeId& id) const {
    return state_->by_id.contains(id);
}

NodePtr Graph::find(const NodeId& id) {
    const auto found = state_->by_id.find(id);
    return found == state_->by_id.end() ? nullptr : state_->current(*found->second);
}

const UserName* Graph::owner_of(const NodeId& id) const {
    const auto found = state_->by_id.find(id);
    return found == state_->by_id.end() ? nullptr : &found->second->owner;
}

std::vector<NodeId> Graph::ids() const {
    std::vector<NodeId> ids;
    ids.reserve(size());
    for (const State::Entry& entry : state_->order) {
        ids.push_back(entry.node->id);
    }
    return ids;
}

std::vector<NodeId> Graph::ids_owned_by(const UserName& owner) const {
    std::vector<NodeId> ids;
    for (const State::Entry& entry : state_->order) {
        if (entry.owner == owner) {
            ids.push_back(entry.node->id);
        }
    }
    return ids;
}

std::vector<NodeId> Graph::ids_not_owned_by(const UserName& owner) const {
    std::vector<NodeId> ids;
    for (const State::Entry& entry : state_->order) {
        if (entry.owner != owner) {
            ids.push_back(entry.node->id);
        }
    }
    return ids;
}

const Bytes* Graph::metadata_of(const UserName& name) const {
    const auto found = state_->metadata.find(name);
    return found == state_->metadata.end() ? nullptr : &found->second;
}

GraphCopy Graph::copy() {
    GraphCopy copy;
    copy.nodes.reserve(size());
    for (State::Entry& entry : state_->order) {
        copy.nodes.push_back(state_->current(entry));
    }
    copy.metadata = state_->metadata;
    copy.initialised = state_->initialised;
    copy.timeline = state_->timeline;
    return copy;
}

Hash128 Graph::digest() {
    std::vector<Hash128> hashes;
    hashes.reserve(size());
    for (State::Entry& entry : state_->order) {
        hashes.push_back(state_->current_hash(entry));
    }
    return digest_of(hashes, state_->metadata, state_->initialised, state_->timeline);
}

bool Graph::tidy(std::size_t bytes, std::uint64_t before) {
    for (std::size_t done = 0; !state_->untidy.empty();) {
        State::Entry& oldest = *state_->untidy.back();
        if (oldest.parsed->edit >= before) {
            return true;
        }
        if (done >= bytes) {
            return false;
        }
        done += state_->current(oldest)->data.size();
    }
    return true;
}

std::uint64_t Graph::edits() const {
    return state_->edits;
}

std::size_t Graph::memory_bytes() const {
    return state_->memory_bytes;
}

}  // namespace common
