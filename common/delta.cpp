// How deepdiff applies a delta, kept step by step (its Delta.__add__, with default options):
// values, sets, types, opcodes, removed items, added items, items without order, dictionaries,
// attributes, and at last the tuples that had to become lists become tuples again. Whatever cannot
// be found is logged and gone over. What raises is an error here.
//
// The base is changed in place. Every change is written down first in `undo_`, so that an error can
// take all of it back; nothing is copied that the delta does not touch.
//
// A fold could make what the pickle machine refuses to read: values too deep, and values that are
// contained in themselves. Depth follows from the path; where something is shared, in the base or
// in the delta, the whole value is measured afterwards.

#include "common/delta.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <limits>
#include <memory>
#include <unordered_map>

#include "common/delta_any_set.h"
#include "common/delta_convert.h"
#include "common/delta_order.h"
#include "common/delta_path.h"
#include "common/limits.h"

namespace common {
namespace {

using Type = Value::Type;
using Steps = std::vector<PathStep>;

Error unsupported(std::string what) {
    return {ErrorKind::Unsupported, std::move(what)};
}

// --- The shape of a delta -----------------------------------------------------------------------

// Null: the delta has no such action, or nothing in it.
struct Actions {
    const Dict* values_changed = nullptr;
    const Dict* set_item_added = nullptr;
    const Dict* set_item_removed = nullptr;
    const Dict* type_changes = nullptr;
    const Dict* iterable_opcodes = nullptr;
    const Dict* iterable_item_removed = nullptr;
    const Dict* iterable_item_added = nullptr;
    const Dict* iterable_item_moved = nullptr;
    const Dict* items_added_at_indexes = nullptr;
    const Dict* items_removed_at_indexes = nullptr;
    const Dict* dictionary_item_added = nullptr;
    const Dict* dictionary_item_removed = nullptr;
    const Dict* attribute_added = nullptr;
    const Dict* attribute_removed = nullptr;
    bool compared_by_function = false;
};

constexpr std::array<std::pair<std::string_view, const Dict * Actions::*>, 14> kActions{{
    {"values_changed", &Actions::values_changed},
    {"dictionary_item_added", &Actions::dictionary_item_added},
    {"dictionary_item_removed", &Actions::dictionary_item_removed},
    {"iterable_item_added", &Actions::iterable_item_added},
    {"iterable_item_removed", &Actions::iterable_item_removed},
    {"type_changes", &Actions::type_changes},
    {"iterable_items_added_at_indexes", &Actions::items_added_at_indexes},
    {"iterable_items_removed_at_indexes", &Actions::items_removed_at_indexes},
    {"_iterable_opcodes", &Actions::iterable_opcodes},
    {"iterable_item_moved", &Actions::iterable_item_moved},
    {"set_item_added", &Actions::set_item_added},
    {"set_item_removed", &Actions::set_item_removed},
    {"attribute_added", &Actions::attribute_added},
    {"attribute_removed", &Actions::attribute_removed},
}};

bool is_truth(const Value& value) {
    const ClassRef to_bool{"builtins", "bool"};
    const auto truth = convert_value(to_bool, value);
    return !truth || !*truth || *(*truth)->as_bool();
}

Result<void> read_action(const std::string& name, const Value& value, Actions& actions) {
    if (name == "_numpy_paths" && is_truth(value)) {
        return tl::unexpected(unsupported("a delta of numpy arrays"));
    }
    if (name == "_iterable_compare_func_was_used") {
        actions.compared_by_function = is_truth(value);
    }
    const auto* known = std::find_if(kActions.begin(), kActions.end(),
                                     [&](const auto& action) { return action.first == name; });
    if (known == kActions.end()) {
        return {};  // deepdiff does not look at it
    }
    const Dict* items = value.as_dict();
    if (items == nullptr) {
        return tl::unexpected(unsupported("a delta whose " + name + " is not a dict"));
    }
    for (const auto& entry : items->entries()) {
        const bool lost = entry.key.is_none() && name != "iterable_item_moved";
        if (entry.key.as_str() == nullptr && !lost) {
            return tl::unexpected(unsupported("a delta whose " + name + " has a path of type " +
                                              repr(entry.key, 60)));
        }
    }
    actions.*(known->second) = items->size() > 0 ? items : nullptr;
    return {};
}

bool is_opcode(const Value& value) {
    const Object* object = value.as_object();
    if (object == nullptr || *object->cls != ClassRef{"deepdiff.helper", "Opcode"}) {
        return false;
    }
    const Tuple* fields = object->args.as_tuple();
    return fields != nullptr && fields->items.size() == 7 && fields->items[0].as_str() != nullptr;
}

bool is_iterable(const Value& value) {
    return value.is(Type::List) || value.is(Type::Tuple) || value.is(Type::Set) ||
           value.is(Type::FrozenSet);
}

bool all_values(const Dict* items, bool (*is_good)(const Value&)) {
    return items == nullptr ||
           std::all_of(items->entries().begin(), items->entries().end(),
                       [&](const Dict::Entry& entry) { return is_good(entry.value); });
}

Result<void> check_items(const Actions& actions) {
    const auto is_change = [](const Value& change) { return change.find("new_value") != nullptr; };
    const auto is_type_change = [](const Value& change) {
        const Value* type = change.find("new_type");
        return change.find("new_value") != nullptr || (type != nullptr && type->is(Type::Class));
    };
    const auto is_move = [](const Value& move) {
        const Value* path = move.find("new_path");
        return path != nullptr && path->as_str() != nullptr && move.find("value") != nullptr;
    };
    const auto is_dict = [](const Value& value) { return value.is(Type::Dict); };
    const auto are_opcodes = [](const Value& value) {
        const List* list = value.as_list();
        return list != nullptr && std::all_of(list->items.begin(), list->items.end(), is_opcode);
    };
    const char* bad = !all_values(actions.values_changed, is_change)         ? "values_changed"
                      : !all_values(actions.type_changes, is_type_change)    ? "type_changes"
                      : !all_values(actions.iterable_item_moved, is_move)    ? "iterable_item_moved"
                      : !all_values(actions.items_added_at_indexes, is_dict) ? "items at indexes"
                      : !all_values(actions.items_removed_at_indexes, is_dict) ? "items at indexes"
                      : !all_values(actions.set_item_added, is_iterable)       ? "set_item_added"
                      : !all_values(actions.set_item_removed, is_iterable)     ? "set_item_removed"
                      : !all_values(actions.iterable_opcodes, are_opcodes)     ? "_iterable_opcodes"
                                                                               : nullptr;
    if (bad != nullptr) {
        return tl::unexpected(
            unsupported(std::string("a delta whose ") + bad + " are not as deepdiff writes them"));
    }
    return {};
}

Result<Actions> read_actions(const Value& delta) {
    const Dict* dict = delta.as_dict();
    if (dict == nullptr) {
        return tl::unexpected(unsupported("a delta that is not a dict"));
    }
    Actions actions;
    for (const auto& [key, value] : dict->entries()) {
        if (const std::string* name = key.as_str()) {
            TRY(read_action(*name, value, actions));
        }
    }
    TRY(check_items(actions));
    return actions;
}

// The path of an entry. Where deepdiff could write none it wrote None, which leads nowhere.
const std::string* path_of(const Dict::Entry& entry) {
    return entry.key.as_str();
}
constexpr std::string_view kLost = "None";

// --- Values ------------------------------------------------------------------------------------

// The names that getattr finds on plain values, so that a path can go on behind them. deepdiff
// never writes such a path for plain values.
constexpr std::string_view kAttributes[] = {"add",
                                            "append",
                                            "as_integer_ratio",
                                            "bit_count",
                                            "bit_length",
                                            "capitalize",
                                            "casefold",
                                            "center",
                                            "clear",
                                            "conjugate",
                                            "copy",
                                            "count",
                                            "decode",
                                            "denominator",
                                            "difference",
                                            "difference_update",
                                            "discard",
                                            "encode",
                                            "endswith",
                                            "expandtabs",
                                            "extend",
                                            "find",
                                            "format",
                                            "format_map",
                                            "from_bytes",
                                            "from_number",
                                            "fromhex",
                                            "fromkeys",
                                            "get",
                                            "hex",
                                            "imag",
                                            "index",
                                            "insert",
                                            "intersection",
                                            "intersection_update",
                                            "is_integer",
                                            "isalnum",
                                            "isalpha",
                                            "isascii",
                                            "isdecimal",
                                            "isdigit",
                                            "isdisjoint",
                                            "isidentifier",
                                            "islower",
                                            "isnumeric",
                                            "isprintable",
                                            "isspace",
                                            "issubset",
                                            "issuperset",
                                            "istitle",
                                            "isupper",
                                            "items",
                                            "join",
                                            "keys",
                                            "ljust",
                                            "lower",
                                            "lstrip",
                                            "maketrans",
                                            "numerator",
                                            "partition",
                                            "pop",
                                            "popitem",
                                            "real",
                                            "remove",
                                            "removeprefix",
                                            "removesuffix",
                                            "replace",
                                            "reverse",
                                            "rfind",
                                            "rindex",
                                            "rjust",
                                            "rpartition",
                                            "rsplit",
                                            "rstrip",
                                            "setdefault",
                                            "sort",
                                            "split",
                                            "splitlines",
                                            "startswith",
                                            "strip",
                                            "swapcase",
                                            "symmetric_difference",
                                            "symmetric_difference_update",
                                            "title",
                                            "to_bytes",
                                            "translate",
                                            "union",
                                            "update",
                                            "upper",
                                            "values",
                                            "zfill"};

bool is_number(const Value& key) {
    return key.is(Type::Int) || key.is(Type::Bool) || key.is(Type::Float) || key.is(Type::BigInt);
}

// What a key is to a list: a place in it, one outside of any list, or none at all (TypeError).
struct Index {
    enum class Kind { Place, Outside, None } kind = Kind::None;
    std::int64_t number = 0;  // may be negative
};

Index index_of(const PathStep& step) {
    if (step.is_text) {
        return {};
    }
    if (const auto number = step.key.as_int()) {
        return {Index::Kind::Place, *number};
    }
    if (const auto flag = step.key.as_bool()) {
        return {Index::Kind::Place, *flag ? 1 : 0};
    }
    if (step.key.is(Type::BigInt)) {
        return {Index::Kind::Outside, 0};
    }
    return {};
}

constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);

// The place that Python's `sequence[index]` means, or kNowhere (IndexError).
std::size_t place_in(std::size_t size, const Index& index) {
    if (index.kind != Index::Kind::Place) {
        return kNowhere;
    }
    const auto length = static_cast<std::int64_t>(size);
    const std::int64_t place = index.number < 0 ? index.number + length : index.number;
    return place >= 0 && place < length ? static_cast<std::size_t>(place) : kNowhere;
}

std::size_t character_count(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    }));
}

std::string_view character_at(std::string_view text, std::size_t place) {
    std::size_t begin = 0;
    const auto next = [&](std::size_t at) {
        do {
            ++at;
        } while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80);
        return at;
    };
    for (; place > 0; --place) {
        begin = next(begin);
    }
    return text.substr(begin, next(begin) - begin);
}

// `len(value)`, or kNowhere (TypeError).
std::size_t length_of(const Value& value) {
    switch (value.type()) {
        case Type::List:
            return value.as_list()->items.size();
        case Type::Tuple:
            return value.as_tuple()->items.size();
        case Type::Dict:
            return value.as_dict()->size();
        case Type::Set:
            return value.as_set()->size();
        case Type::FrozenSet:
            return value.as_frozen_set()->size();
        case Type::Str:
            return character_count(*value.as_str());
        case Type::Bytes:
            return value.as_bytes()->size();
        default:
            return kNowhere;
    }
}

// Values that have behaviour of their own, which we do not follow.
bool is_foreign(const Value& value) {
    return value.is(Type::ByteArray) || value.is(Type::Class) || value.is(Type::Object);
}

std::size_t entry_index(const Dict& dict, const Value* value) {
    const auto* first = reinterpret_cast<const char*>(&dict.entries().front().value);
    return static_cast<std::size_t>(reinterpret_cast<const char*>(value) - first) /
           sizeof(Dict::Entry);
}

Value* find_in(Dict& dict, const PathStep& step) {
    return step.is_text ? dict.find(step.text) : dict.find(step.key);
}

// The address of the container and how many refer to it; null if the value holds none.
struct Reference {
    const void* address = nullptr;
    long count = 0;
};

template <typename Ref>
Reference reference(const Value& value) {
    const Ref& ref = *std::get_if<Ref>(&value.storage());
    return {ref.get(), ref.use_count()};
}

Reference reference_of(const Value& value) {
    switch (value.type()) {
        case Type::List:
            return reference<ListRef>(value);
        case Type::Tuple:
            return reference<TupleRef>(value);
        case Type::Dict:
            return reference<DictRef>(value);
        case Type::Set:
            return reference<SetRef>(value);
        case Type::Object:
            return reference<ObjectRef>(value);
        case Type::ByteArray:
            return reference<ByteArrayRef>(value);
        default:
            return {};
    }
}

// Depth and size of the expanded tree against the bounds of limits.h. A value in itself is too
// deep.
class Measure {
public:
    // Takes from `steps_left`, and lets nothing fit when none are left: one fold must not measure
    // for ever.
    explicit Measure(std::size_t& steps_left) : steps_left_(steps_left) {}

    bool fits(const Value& value) {
        const Extent extent = measure(value, 1);
        return extent.depth <= limits::kPickleDepthMax &&
               extent.expanded <= limits::kPickleExpandedMax;
    }

private:
    struct Extent {
        std::size_t depth = 0;
        std::size_t expanded = 1;
    };

    static void add(Extent& whole, const Extent& part) {
        whole.depth = std::max(whole.depth, part.depth + 1);
        // Both are bounded, or have been found too large: the sum does not overflow.
        whole.expanded = std::min(whole.expanded + part.expanded, limits::kPickleExpandedMax + 1);
    }

    Extent measure(const Value& value, std::size_t level) {
        if (level > limits::kPickleDepthMax + 1 || steps_left_ == 0) {
            return {limits::kPickleDepthMax + 1, 1};
        }
        --steps_left_;
        const Reference shared = reference_of(value);
        if (shared.count > 1) {
            const auto known = known_.find(shared.address);
            if (known != known_.end()) {
                return known->second;
            }
        }
        Extent extent;
        if (const List* list = value.as_list()) {
            extent = measure_items(list->items, level);
        } else if (const Tuple* tuple = value.as_tuple()) {
            extent = measure_items(tuple->items, level);
        } else if (const Dict* dict = value.as_dict()) {
            extent.depth = 1;
            for (const auto& entry : dict->entries()) {
                add(extent, measure(entry.key, level + 1));
                add(extent, measure(entry.value, level + 1));
            }
        } else if (const Set* set = value.as_set()) {
            extent = measure_items(set->items(), level);
        } else if (const Set* frozen = value.as_frozen_set()) {
            extent = measure_items(frozen->items(), level);
        } else if (const Object* object = value.as_object()) {
            extent = measure(object->args, level + 1);
            add(extent, measure(object->state, level + 1));
        }
        if (shared.count > 1) {
            known_[shared.address] = extent;
        }
        return extent;
    }

    Extent measure_items(const std::vector<Value>& items, std::size_t level) {
        Extent extent{1, 1};
        for (const Value& item : items) {
            add(extent, measure(item, level + 1));
        }
        return extent;
    }

    std::size_t& steps_left_;
    std::unordered_map<const void*, Extent> known_;
};

// Values of the delta on their way into the base: their mutable parts are copied, and parts that
// the delta holds twice stay one, as they would be in Python.
class Importer {
public:
    explicit Importer(const Value& delta) : delta_(delta) {}

    Value import(const Value& value) { return import(value, 1); }

    // True if something was imported that the delta holds twice.
    bool any_shared() const { return !copies_.empty(); }
    // True if that is a part of the delta's own frame: then folding would change the delta itself.
    bool frame_shared() const { return frame_shared_; }
    // The deepest level of containers since the last reset, and whether there was one among them
    // that is in the base already.
    std::size_t depth() const { return depth_; }
    bool reused() const { return reused_; }
    void reset() {
        depth_ = 0;
        reused_ = false;
    }

private:
    static bool holds_mutable(const Value& value) {
        const Tuple* tuple = value.as_tuple();
        if (tuple != nullptr) {
            return std::any_of(tuple->items.begin(), tuple->items.end(), holds_mutable);
        }
        return value.is(Type::List) || value.is(Type::Dict) || value.is(Type::Set) ||
               value.is(Type::ByteArray) || value.is(Type::Object);
    }

    static std::size_t depth_of(const Value& value) {
        std::size_t depth = 0;
        if (const Tuple* tuple = value.as_tuple()) {
            for (const Value& item : tuple->items) {
                depth = std::max(depth, depth_of(item));
            }
            return depth + 1;
        }
        if (const Set* frozen = value.as_frozen_set()) {
            for (const Value& item : frozen->items()) {
                depth = std::max(depth, depth_of(item));
            }
            return depth + 1;
        }
        return 0;
    }

    Value import(const Value& value, std::size_t level) {
        if (!holds_mutable(value)) {
            if (value.is(Type::Tuple) || value.is(Type::FrozenSet)) {
                depth_ = std::max(depth_, level - 1 + depth_of(value));
            }
            return value;
        }
        depth_ = std::max(depth_, level);
        const Reference shared = reference_of(value);
        if (shared.count < 2) {
            return copy(value, level);
        }
        const auto known = copies_.find(shared.address);
        if (known != copies_.end()) {
            reused_ = true;
            return known->second;
        }
        frame_shared_ = frame_shared_ || is_frame(shared.address);
        Value result = copy(value, level);
        copies_.emplace(shared.address, result);
        return result;
    }

    std::vector<Value> copy_items(const std::vector<Value>& items, std::size_t level) {
        std::vector<Value> result;
        result.reserve(items.size());
        for (const Value& item : items) {
            result.push_back(import(item, level + 1));
        }
        return result;
    }

    Value copy(const Value& value, std::size_t level) {
        if (const List* list = value.as_list()) {
            return Value::list(copy_items(list->items, level));
        }
        if (const Tuple* tuple = value.as_tuple()) {
            return Value::tuple(copy_items(tuple->items, level));
        }
        if (const Dict* dict = value.as_dict()) {
            auto result = std::make_shared<Dict>();
            for (const auto& entry : dict->entries()) {
                result->set(entry.key, import(entry.value, level + 1));
            }
            return Value(DictRef(std::move(result)));
        }
        if (const Set* set = value.as_set()) {
            return Value(SetRef(std::make_shared<Set>(*set)));
        }
        return deep_copy(value);  // a bytearray or an object
    }

    bool is_frame(const void* address) const {
        if (reference_of(delta_).address == address) {
            return true;
        }
        for (const auto& action : delta_.as_dict()->entries()) {
            if (reference_of(action.value).address == address) {
                return true;
            }
            const Dict* items = action.value.as_dict();
            const std::string* name = action.key.as_str();
            // Below these names the entries are values themselves, not descriptions of changes.
            const bool plain = name == nullptr || name->find("_item_added") != name->npos ||
                               name->find("_item_removed") != name->npos ||
                               *name == "attribute_added" || *name == "attribute_removed";
            if (items == nullptr || plain) {
                continue;
            }
            for (const auto& item : items->entries()) {
                if (reference_of(item.value).address == address) {
                    return true;
                }
            }
        }
        return false;
    }

    const Value& delta_;
    std::unordered_map<const void*, Value> copies_;
    std::size_t depth_ = 0;
    bool frame_shared_ = false;
    bool reused_ = false;
};

// --- Changes that can be taken back -----------------------------------------------------------

class Undo {
public:
    void root(Value& root, Value value) {
        log_.push_back({Kind::Root, nullptr, nullptr, 0, {}, std::move(root)});
        root = std::move(value);
    }

    void list_set(List& list, std::size_t place, Value value) {
        log_.push_back({Kind::ListSet, &list, nullptr, place, {}, std::move(list.items[place])});
        list.items[place] = std::move(value);
    }

    void list_insert(List& list, std::size_t place, Value value) {
        list.items.insert(list.items.begin() + static_cast<std::ptrdiff_t>(place),
                          std::move(value));
        log_.push_back({Kind::ListInsert, &list, nullptr, place, {}, {}});
    }

    void list_erase(List& list, std::size_t place) {
        log_.push_back({Kind::ListErase, &list, nullptr, place, {}, std::move(list.items[place])});
        list.items.erase(list.items.begin() + static_cast<std::ptrdiff_t>(place));
    }

    void list_assign(List& list, std::vector<Value> items) {
        std::swap(list.items, items);
        log_.push_back({Kind::ListAssign, &list, nullptr, 0, {}, Value::list(std::move(items))});
    }

    void dict_set(Dict& dict, const PathStep& step, Value value) {
        if (Value* old = find_in(dict, step)) {
            const std::size_t place = entry_index(dict, old);
            log_.push_back({Kind::DictSet, nullptr, &dict, place, {}, std::move(*old)});
            *old = std::move(value);
            return;
        }
        Value key = step.value();
        log_.push_back({Kind::DictAdd, nullptr, &dict, 0, key, {}});
        dict.set(std::move(key), std::move(value));
    }

    void dict_erase(Dict& dict, const PathStep& step) {
        Value* old = find_in(dict, step);
        const std::size_t place = entry_index(dict, old);
        const Value key = dict.entries()[place].key;
        log_.push_back({Kind::DictErase, nullptr, &dict, place, key, std::move(*old)});
        dict.erase(key);
    }

    // A container that was changed and is held by nobody must live as long as its entries here.
    void keep(Value value) { kept_.push_back(std::move(value)); }

    void take_back(Value& root) {
        for (; !log_.empty(); log_.pop_back()) {
            take_back(log_.back(), root);
        }
    }

private:
    enum class Kind {
        Root,
        ListSet,
        ListInsert,
        ListErase,
        ListAssign,
        DictSet,
        DictAdd,
        DictErase
    };
    struct Entry {
        Kind kind;
        List* list;
        Dict* dict;
        std::size_t place;
        Value key;
        Value old;
    };

    static void take_back(Entry& entry, Value& root) {
        const auto place = static_cast<std::ptrdiff_t>(entry.place);
        switch (entry.kind) {
            case Kind::Root:
                root = std::move(entry.old);
                return;
            case Kind::ListSet:
                entry.list->items[entry.place] = std::move(entry.old);
                return;
            case Kind::ListInsert:
                entry.list->items.erase(entry.list->items.begin() + place);
                return;
            case Kind::ListErase:
                entry.list->items.insert(entry.list->items.begin() + place, std::move(entry.old));
                return;
            case Kind::ListAssign:
                entry.list->items = std::move(entry.old.as_list()->items);
                return;
            case Kind::DictSet:
                entry.dict->entries_for_values()[entry.place].value = std::move(entry.old);
                return;
            case Kind::DictAdd:
                entry.dict->erase(entry.key);
                return;
            case Kind::DictErase:
                take_back_erase(entry);
                return;
        }
    }

    static void take_back_erase(Entry& entry) {
        Dict whole;
        std::size_t place = 0;
        for (auto& [key, value] : entry.dict->entries_for_values()) {
            if (place++ == entry.place) {
                whole.set(entry.key, std::move(entry.old));
            }
            whole.set(key, std::move(value));
        }
        if (entry.place == place) {
            whole.set(entry.key, std::move(entry.old));
        }
        *entry.dict = std::move(whole);
    }

    std::vector<Entry> log_;
    std::vector<Value> kept_;
};

// --- Folding ----------------------------------------------------------------------------------

class Folder {
public:
    Folder(Value& root, const Value& delta, const Actions& actions)
        : root_(root), actions_(actions), importer_(delta) {}

    Result<FoldReport> run() {
        Result<void> done = fold();
        if (done && root_gone_) {
            done = raises("the root was removed", "the end");
        }
        if (done && foreign_) {
            done = tl::unexpected(unsupported("a path through a value that is not plain"));
        }
        if (done && importer_.frame_shared()) {
            done = tl::unexpected(unsupported("a delta that contains parts of itself"));
        }
        if (done && (shared_ || importer_.any_shared())) {
            done = check_extent();
        }
        if (!done) {
            undo_.take_back(root_);
            return tl::unexpected(std::move(done).error());
        }
        return std::move(report_);
    }

private:
    // Where a path leads. `object` is the container of its last step, `parent` what holds that.
    // Without a step the place is the root itself; with one the root is the object.
    struct Place {
        const Value* parent = nullptr;
        const Value* object = nullptr;
        const Steps* steps = nullptr;

        bool is_root() const { return steps->empty(); }
        const PathStep& last() const { return steps->back(); }
    };

    Result<void> fold();
    Result<void> change_values(const Dict& changes, bool is_type_change);
    Result<void> change_sets(const Dict& changes, bool add);
    Result<void> apply_opcodes(const Dict& changes);
    Result<void> apply_opcodes(std::string_view path, const List& opcodes);
    Result<void> remove_items();
    Result<void> remove_items(std::vector<PathItem>& items);
    Result<void> remove_item(const PathItem& item);
    Result<void> delete_item(const Place& place, std::string_view path, std::size_t nearest);
    Result<void> add_items();
    Result<void> add_item(std::string_view path, const Steps& steps, const Value& value,
                          bool insert);
    Result<void> insert_placeholder(const Place& place, std::string_view path);
    Result<void> add_sorted(std::vector<PathItem>& items, bool insert);
    Result<void> fold_without_order();
    Result<void> fold_without_order(const Value& key);
    Result<void> restore_tuples();
    Result<void> restore_tuple(const Steps& steps);

    static Result<std::vector<PathItem>> path_items(const Dict* items);

    void skip(const char* why, std::string_view path) {
        if (report_.skipped++ == 0) {
            report_.first_skipped = std::string(why) + " at " + std::string(path);
        }
    }

    static Result<void> raises(const char* why, std::string_view path) {
        return bad_input("deepdiff raises: " + std::string(why) + " at " + std::string(path));
    }

    // `object[key]` or `object.name`, or null where Python raises. Points into the object or, for a
    // piece of a str or bytes, to scratch_.
    const Value* get(const Value& object, const PathStep& step);

    Result<void> check_extent() {
        if (!Measure(measure_steps_left_).fits(root_)) {
            return fail(ErrorKind::Limit, "a delta that makes the value too deep or too large");
        }
        return {};
    }

    // After containers from the delta were put in. Only with something shared they may be in
    // themselves now, or deeper than their path says; nothing may go down into them before it is
    // known that they are not.
    Result<void> check_put_in() {
        if (importer_.depth() > 0 && (importer_.reused() || path_shared_)) {
            return check_extent();
        }
        return {};
    }

    // Until an item is added at the root, no path leads anywhere; at the end deepdiff raises.
    void remove_root() {
        undo_.root(root_, Value());
        root_gone_ = true;
    }

    void set_root(Value value) {
        undo_.root(root_, std::move(value));
        root_gone_ = false;
    }

    // Begins with one entry of the delta. False: not to be found, which has been said.
    bool locate(const Steps& steps, std::string_view path, Place& place);

    // `object[key] = value`; said if it cannot be.
    void set_item(const Value& object, const PathStep& step, Value value, std::string_view path);
    // Puts `value` in the place of place.object.
    void replace_object(const Place& place, Value value, std::string_view path);
    // The same with the last step; a tuple becomes a list and will become a tuple again.
    Result<void> set_place(const Place& place, Value value, std::string_view path);
    void remember_tuple(const Steps& steps);

    Result<Value> import_at(const Value& value, std::size_t steps, std::string_view path) {
        Value result = importer_.import(value);
        if (steps + importer_.depth() > limits::kPickleDepthMax) {
            return fail(ErrorKind::Limit, "a delta that nests too deeply at " + std::string(path));
        }
        return result;
    }

    Value& root_;
    const Actions& actions_;
    Importer importer_;
    Undo undo_;
    FoldReport report_;
    Steps steps_;
    std::vector<Steps> tuples_;  // paths of lists that were tuples
    Value scratch_;
    std::deque<std::string> paths_;  // paths that are not in the delta
    bool foreign_ = false;
    bool shared_ = false;       // a path went through a container that is in the base twice
    bool path_shared_ = false;  // the last one did
    std::size_t measure_steps_left_ = limits::kPickleExpandedMax;
    bool root_gone_ = false;
};

Result<void> Folder::fold() {
    if (actions_.values_changed != nullptr) {
        TRY(change_values(*actions_.values_changed, false));
    }
    if (actions_.set_item_added != nullptr) {
        TRY(change_sets(*actions_.set_item_added, true));
    }
    if (actions_.set_item_removed != nullptr) {
        TRY(change_sets(*actions_.set_item_removed, false));
    }
    if (actions_.type_changes != nullptr) {
        TRY(change_values(*actions_.type_changes, true));
    }
    if (actions_.iterable_opcodes != nullptr) {
        TRY(apply_opcodes(*actions_.iterable_opcodes));
    }
    TRY(remove_items());
    TRY(add_items());
    TRY(fold_without_order());
    if (actions_.dictionary_item_added != nullptr) {
        for (const auto& entry : actions_.dictionary_item_added->entries()) {
            if (path_of(entry) == nullptr) {
                skip("nothing found", kLost);
                continue;
            }
            TRY(parse_delta_path(*path_of(entry), steps_));
            TRY(add_item(*path_of(entry), steps_, entry.value, false));
        }
    }
    if (actions_.dictionary_item_removed != nullptr) {
        std::vector<PathItem> items = TRY(path_items(actions_.dictionary_item_removed));
        TRY(remove_items(items));
    }
    if (actions_.attribute_added != nullptr) {
        std::vector<PathItem> items = TRY(path_items(actions_.attribute_added));
        TRY(add_sorted(items, false));
    }
    if (actions_.attribute_removed != nullptr) {
        std::vector<PathItem> items = TRY(path_items(actions_.attribute_removed));
        TRY(remove_items(items));
    }
    return restore_tuples();
}

const Value* Folder::get(const Value& object, const PathStep& step) {
    if (is_foreign(object)) {
        foreign_ = true;
        return nullptr;
    }
    if (step.attribute) {
        const Value name = step.value();
        if (name.as_str() != nullptr) {
            foreign_ = foreign_ || std::find(std::begin(kAttributes), std::end(kAttributes),
                                             *name.as_str()) != std::end(kAttributes);
        }
        return nullptr;
    }
    if (&object != &root_ && &object != &scratch_ && reference_of(object).count > 1) {
        shared_ = path_shared_ = true;
    }
    if (Dict* dict = object.as_dict()) {
        return find_in(*dict, step);
    }
    const Index index = index_of(step);
    if (const List* list = object.as_list()) {
        const std::size_t place = place_in(list->items.size(), index);
        return place == kNowhere ? nullptr : &list->items[place];
    }
    if (const Tuple* tuple = object.as_tuple()) {
        const std::size_t place = place_in(tuple->items.size(), index);
        return place == kNowhere ? nullptr : &tuple->items[place];
    }
    if (index.kind != Index::Kind::Place) {
        return nullptr;
    }
    if (const std::string* text = object.as_str()) {
        const std::size_t place = place_in(character_count(*text), index);
        if (place == kNowhere) {
            return nullptr;
        }
        scratch_ = Value::str(character_at(*text, place));
        return &scratch_;
    }
    if (const Bytes* bytes = object.as_bytes()) {
        const std::size_t place = place_in(bytes->size(), index);
        if (place == kNowhere) {
            return nullptr;
        }
        scratch_ = Value::integer(static_cast<unsigned char>(bytes->view()[place]));
        return &scratch_;
    }
    return nullptr;
}

bool Folder::locate(const Steps& steps, std::string_view path, Place& place) {
    place.steps = &steps;
    path_shared_ = false;
    importer_.reset();
    place.parent = nullptr;
    place.object = steps.empty() ? nullptr : &root_;
    if (root_gone_ && !steps.empty()) {
        skip("nothing found", path);
        return false;
    }
    for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
        place.parent = place.object;
        place.object = get(*place.object, steps[i]);
        if (place.object == nullptr) {
            skip("nothing found", path);
            return false;
        }
    }
    if (place.object != nullptr && steps.size() > 1 && reference_of(*place.object).count > 1) {
        shared_ = path_shared_ = true;
    }
    return true;
}

void Folder::set_item(const Value& object, const PathStep& step, Value value,
                      std::string_view path) {
    if (is_foreign(object)) {
        foreign_ = true;
        return;
    }
    if (!step.attribute) {
        if (Dict* dict = object.as_dict()) {
            undo_.dict_set(*dict, step, std::move(value));
            return;
        }
        if (List* list = object.as_list()) {
            const Index index = index_of(step);
            const std::size_t place = place_in(list->items.size(), index);
            if (place != kNowhere) {
                undo_.list_set(*list, place, std::move(value));
                return;
            }
            if (index.kind == Index::Kind::Place &&
                index.number == static_cast<std::int64_t>(list->items.size())) {
                undo_.list_insert(*list, list->items.size(), std::move(value));
                return;
            }
        }
    }
    skip("cannot set an item", path);
}

void Folder::replace_object(const Place& place, Value value, std::string_view path) {
    if (place.parent == nullptr) {
        undo_.root(root_, std::move(value));
    } else {
        set_item(*place.parent, (*place.steps)[place.steps->size() - 2], std::move(value), path);
    }
}

void Folder::remember_tuple(const Steps& steps) {
    Steps prefix(steps.begin(), steps.end() - 1);
    const auto is_same = [&](const Steps& known) {
        return std::equal(known.begin(), known.end(), prefix.begin(), prefix.end(),
                          [](const PathStep& a, const PathStep& b) { return equal(a, b); });
    };
    if (std::none_of(tuples_.begin(), tuples_.end(), is_same)) {
        tuples_.push_back(std::move(prefix));
    }
}

Result<void> Folder::set_place(const Place& place, Value value, std::string_view path) {
    if (place.is_root()) {
        set_root(std::move(value));
        return {};
    }
    if (const Tuple* tuple = place.object->as_tuple()) {
        remember_tuple(*place.steps);
        const Value list = Value::list(tuple->items);
        undo_.keep(list);
        replace_object(place, list, path);
        set_item(list, place.last(), std::move(value), path);
        return {};
    }
    set_item(*place.object, place.last(), std::move(value), path);
    return {};
}

// --- values_changed, type_changes

Result<void> Folder::change_values(const Dict& changes, bool is_type_change) {
    for (const auto& entry : changes.entries()) {
        const Value& change = entry.value;
        if (path_of(entry) == nullptr) {
            skip("nothing found", kLost);
            continue;
        }
        const std::string& path = *path_of(entry);
        TRY(parse_delta_path(path, steps_));
        Place place;
        if (!locate(steps_, path, place)) {
            continue;
        }
        const Value* current = place.is_root() ? &root_ : get(*place.object, place.last());
        if (current == nullptr) {
            skip("nothing found", path);
            continue;
        }
        const Value* given = change.find("new_value");
        if (given != nullptr || !is_type_change) {
            Value value = TRY(import_at(*given, steps_.size(), path));
            TRY(set_place(place, std::move(value), path));
            TRY(check_put_in());
            continue;
        }
        std::optional<Value> made =
            TRY(convert_value(*change.find("new_type")->as_class(), *current));
        if (!made) {
            if (place.is_root()) {  // for its log line it looks at the item of a root that has none
                return raises("a change of type that cannot be made", path);
            }
            skip("the type cannot be changed", path);
            continue;
        }
        if (steps_.size() + 1 > limits::kPickleDepthMax) {
            return fail(ErrorKind::Limit, "a delta that nests too deeply at " + path);
        }
        TRY(set_place(place, std::move(*made), path));
    }
    return {};
}

// --- set_item_added, set_item_removed

Result<void> Folder::change_sets(const Dict& changes, bool add) {
    for (const auto& entry : changes.entries()) {
        const Value& change = entry.value;
        if (path_of(entry) == nullptr) {
            return raises("no set", kLost);
        }
        const std::string& path = *path_of(entry);
        TRY(parse_delta_path(path, steps_));
        const Value* parent = nullptr;
        const Value* current = &root_;
        for (const PathStep& step : steps_) {
            parent = current;
            current = get(*current, step);
            if (current == nullptr) {
                return raises("no set", path);
            }
        }
        const bool frozen = current->is(Type::FrozenSet);
        const Set* old = frozen ? current->as_frozen_set() : current->as_set();
        if (old == nullptr) {
            foreign_ = foreign_ || current->is(Type::Object);
            return raises("no set", path);
        }
        importer_.reset();
        auto set = std::make_shared<Set>(*old);
        const Set* given = change.is(Type::FrozenSet) ? change.as_frozen_set() : change.as_set();
        const std::vector<Value>& items = change.is(Type::List)    ? change.as_list()->items
                                          : change.is(Type::Tuple) ? change.as_tuple()->items
                                                                   : given->items();
        for (const Value& item : items) {
            if (!is_hashable(item)) {
                return raises("an item that cannot be in a set", path);
            }
            if (add) {
                Value value = TRY(import_at(item, steps_.size() + 1, path));
                set->add(std::move(value));
            } else {
                set->erase(item);
            }
        }
        Value value = frozen ? Value(FrozenSetRef(std::move(set))) : Value(SetRef(std::move(set)));
        if (parent == nullptr) {
            undo_.root(root_, std::move(value));
        } else {
            set_item(*parent, steps_.back(), std::move(value), path);
        }
    }
    return {};
}

// --- _iterable_opcodes

// Python's slice bound; nothing where Python raises.
std::optional<std::size_t> slice_bound(const Value& bound, std::size_t size, std::size_t none) {
    if (bound.is_none()) {
        return none;
    }
    const auto flag = bound.as_bool();
    const auto number = flag ? std::optional<std::int64_t>(*flag ? 1 : 0) : bound.as_int();
    if (!number) {
        return std::nullopt;
    }
    const auto length = static_cast<std::int64_t>(size);
    const std::int64_t place =
        *number < 0 ? std::max<std::int64_t>(*number + length, 0) : std::min(*number, length);
    return static_cast<std::size_t>(place);
}

Result<void> Folder::apply_opcodes(const Dict& changes) {
    for (const auto& entry : changes.entries()) {
        if (path_of(entry) == nullptr) {
            skip("nothing found", kLost);
        } else {
            TRY(apply_opcodes(*path_of(entry), *entry.value.as_list()));
        }
    }
    return {};
}

Result<void> Folder::apply_opcodes(std::string_view path, const List& opcodes) {
    TRY(parse_delta_path(path, steps_));
    Place place;
    if (!locate(steps_, path, place)) {
        return {};
    }
    const Value* object = place.is_root() ? &root_ : get(*place.object, place.last());
    if (object == nullptr) {
        return raises("nothing to apply opcodes to", path);
    }
    List* list = object->as_list();
    const Tuple* tuple = object->as_tuple();
    if (list == nullptr && tuple == nullptr) {
        foreign_ = foreign_ || is_foreign(*object);
        return raises("opcodes for something that is no list", path);
    }
    const std::vector<Value>& old = list != nullptr ? list->items : tuple->items;
    std::vector<Value> items;
    std::size_t taken = 0;
    bool twice = false;
    for (const Value& opcode : opcodes.items) {
        const std::vector<Value>& fields = opcode.as_object()->args.as_tuple()->items;
        const std::string& tag = *fields[0].as_str();
        if (tag == "equal") {
            const auto begin = slice_bound(fields[1], old.size(), 0);
            const auto end = slice_bound(fields[2], old.size(), old.size());
            if (!begin || !end) {
                return tl::unexpected(unsupported("opcodes with places that are no ints"));
            }
            // What is taken twice is shared from now on.
            twice = twice || *begin < taken;
            for (std::size_t i = *begin; i < *end; ++i) {
                items.push_back(old[i]);
            }
            taken = std::max(taken, *end);
        } else if (tag == "replace" || tag == "insert") {
            const Value& given = fields[6];
            if (!is_iterable(given)) {
                if (given.is(Type::Str) || given.is(Type::Bytes) || given.is(Type::Dict) ||
                    is_foreign(given)) {
                    return tl::unexpected(unsupported("opcodes with new values that are no list"));
                }
                return raises("opcodes without new values", path);
            }
            const Value copy = TRY(import_at(given, steps_.size(), path));
            if (!copy.is(Type::List) && !copy.is(Type::Tuple)) {
                return tl::unexpected(unsupported("opcodes with new values that are no list"));
            }
            const std::vector<Value>& values =
                copy.is(Type::List) ? copy.as_list()->items : copy.as_tuple()->items;
            items.insert(items.end(), values.begin(), values.end());
        }
        if (items.size() > limits::kPickleExpandedMax) {
            return fail(ErrorKind::Limit, "opcodes that make a list too large");
        }
    }
    if (list != nullptr) {
        undo_.list_assign(*list, std::move(items));
        return twice ? check_extent() : check_put_in();
    }
    // deepdiff forgets what it made, and puts the tuple as it was where the path's container is.
    const Value same = *object;
    if (place.is_root()) {
        return {};
    }
    replace_object(place, same, path);
    return {};
}

// --- iterable_item_removed and its like

Result<std::vector<PathItem>> Folder::path_items(const Dict* items) {
    std::vector<PathItem> result;
    if (items != nullptr) {
        result.reserve(items->size());
        for (const auto& entry : items->entries()) {
            const std::string* path = path_of(entry);
            PathItem& item = result.emplace_back(
                PathItem{path != nullptr ? *path : kLost, {}, entry.value, path == nullptr});
            if (path != nullptr) {
                TRY(parse_delta_path(item.path, item.steps));
            }
        }
    }
    return result;
}

// Python's dict.update.
Result<void> update(std::vector<PathItem>& items, std::string_view path, const Value& value) {
    for (PathItem& item : items) {
        if (!item.lost && item.path == path) {
            item.value = value;
            return {};
        }
    }
    PathItem& item = items.emplace_back(PathItem{path, {}, value, false});
    return parse_delta_path(item.path, item.steps);
}

Result<void> Folder::remove_items() {
    std::vector<PathItem> items = TRY(path_items(actions_.iterable_item_removed));
    if (actions_.iterable_item_moved != nullptr) {
        for (const auto& [key, move] : actions_.iterable_item_moved->entries()) {
            TRY(update(items, *key.as_str(), *move.find("value")));
        }
    }
    return remove_items(items);
}

Result<void> Folder::remove_items(std::vector<PathItem>& items) {
    TRY(sort_path_items(items, true));
    for (const PathItem& item : items) {
        if (item.lost) {
            skip("nothing found", item.path);
        } else {
            TRY(remove_item(item));
        }
    }
    return {};
}

// The place of the equal item that is nearest to the key, or kNowhere.
std::size_t nearest_item(const List& list, const PathStep& step, const Value& wanted) {
    const Value& key = step.key;
    const auto number =
        key.is(Type::Bool) ? std::optional<std::int64_t>(*key.as_bool() ? 1 : 0) : key.as_int();
    // Distances are exact: 64 bits of mantissa for ints; Python's own rounding for floats.
    const auto distance = [&](std::size_t place) -> long double {
        if (number) {
            return std::abs(static_cast<long double>(place) - static_cast<long double>(*number));
        }
        if (const auto real = key.as_float()) {
            return std::abs(static_cast<double>(place) - *real);
        }
        const bool negative = (std::get<BigIntRef>(key.storage())->bytes.back() & '\x80') != 0;
        return negative ? static_cast<long double>(place)
                        : static_cast<long double>(list.items.size() - place);
    };
    std::size_t nearest = kNowhere;
    long double nearest_distance = std::numeric_limits<long double>::infinity();
    for (std::size_t place = 0; place < list.items.size(); ++place) {
        const long double here = distance(place);
        if (here > nearest_distance) {
            break;
        }
        if (here < nearest_distance && equal(list.items[place], wanted)) {
            nearest = place;
            nearest_distance = here;
        }
    }
    return nearest;
}

Result<void> Folder::remove_item(const PathItem& item) {
    Place place;
    if (!locate(item.steps, item.path, place)) {
        return {};
    }
    if (place.is_root()) {
        remove_root();
        return {};
    }
    const Value* current = get(*place.object, place.last());
    // The value may have got into the base and have been changed there.
    const Value copy = importer_.any_shared() ? importer_.import(item.value) : Value();
    const Value& wanted = importer_.any_shared() ? copy : item.value;
    std::size_t nearest = kNowhere;
    const List* list = place.object->as_list();
    if (list != nullptr && !actions_.compared_by_function &&
        (current == nullptr || !equal(*current, wanted))) {
        if (list->items.empty()) {
            return {};
        }
        if (place.last().is_text || !is_number(place.last().key)) {
            return raises("no index into a list", item.path);
        }
        nearest = nearest_item(*list, place.last(), wanted);
        if (nearest == kNowhere) {
            return {};
        }
    } else if (current == nullptr || (!place.last().is_text && place.last().key.is_none())) {
        return {};  // deepdiff takes the key None for an item not found
    }
    return delete_item(place, item.path, nearest);
}

// The item is there: at the last step, or in a list at `nearest`.
Result<void> Folder::delete_item(const Place& place, std::string_view path, std::size_t nearest) {
    const PathStep& step = place.last();
    if (step.attribute) {
        skip("no attributes to remove", path);
    } else if (const Tuple* tuple = place.object->as_tuple()) {
        remember_tuple(*place.steps);
        std::vector<Value> items = tuple->items;
        const std::size_t at = place_in(items.size(), index_of(step));
        items.erase(items.begin() + static_cast<std::ptrdiff_t>(at));
        replace_object(place, Value::list(std::move(items)), path);
    } else if (List* list = place.object->as_list()) {
        undo_.list_erase(
            *list, nearest != kNowhere ? nearest : place_in(list->items.size(), index_of(step)));
    } else if (Dict* dict = place.object->as_dict()) {
        undo_.dict_erase(*dict, step);
    } else {
        return raises("an item removed from a str or bytes", path);
    }
    return {};
}

// --- iterable_item_added and its like

Result<void> Folder::add_items() {
    std::vector<PathItem> items = TRY(path_items(actions_.iterable_item_added));
    if (actions_.iterable_item_moved == nullptr) {
        return add_sorted(items, true);
    }
    // First a placeholder for each that moves, then all of them get their values.
    std::vector<PathItem> moved;
    for (const auto& entry : actions_.iterable_item_moved->entries()) {
        const std::string& path = *entry.value.find("new_path")->as_str();
        TRY(update(items, path, Value()));
        TRY(update(moved, path, *entry.value.find("value")));
    }
    TRY(add_sorted(items, true));
    return add_sorted(moved, false);
}

Result<void> Folder::add_sorted(std::vector<PathItem>& items, bool insert) {
    TRY(sort_path_items(items, false));
    for (const PathItem& item : items) {
        if (item.lost) {
            skip("nothing found", item.path);
        } else {
            TRY(add_item(item.path, item.steps, item.value, insert));
        }
    }
    return {};
}

Result<void> Folder::add_item(std::string_view path, const Steps& steps, const Value& value,
                              bool insert) {
    Place place;
    if (!locate(steps, path, place)) {
        return {};
    }
    if (insert) {
        TRY(insert_placeholder(place, path));
    }
    Value copy = TRY(import_at(value, steps.size(), path));
    TRY(set_place(place, std::move(copy), path));
    return check_put_in();
}

// `if elem < len(obj): obj.insert(elem, None)`, whatever obj and elem are.
Result<void> Folder::insert_placeholder(const Place& place, std::string_view path) {
    if (place.is_root()) {
        return raises("an item inserted at the root", path);
    }
    if (is_foreign(*place.object)) {
        foreign_ = true;
        return raises("an item inserted into something that is not plain", path);
    }
    const std::size_t length = length_of(*place.object);
    const PathStep& step = place.last();
    if (length == kNowhere || step.is_text || !is_number(step.key)) {
        return raises("an item inserted where nothing can be", path);
    }
    const Index index = index_of(step);
    const bool is_below =
        index.kind == Index::Kind::Place ? index.number < static_cast<std::int64_t>(length)
        : step.key.is(Type::Float)
            ? *step.key.as_float() < static_cast<double>(length)
            : (std::get<BigIntRef>(step.key.storage())->bytes.back() & '\x80') != 0;
    if (!is_below) {
        return {};
    }
    List* list = place.object->as_list();
    if (list == nullptr || index.kind != Index::Kind::Place) {
        return raises("an item inserted where nothing can be", path);
    }
    const std::int64_t at =
        index.number < 0
            ? std::max<std::int64_t>(index.number + static_cast<std::int64_t>(length), 0)
            : index.number;
    undo_.list_insert(*list, static_cast<std::size_t>(at), Value());
    return {};
}

// --- iterable_items_added_at_indexes, iterable_items_removed_at_indexes

// A dict {index: item} whose items are taken out one by one.
class IndexedItems {
public:
    explicit IndexedItems(const Value* items)
        : dict_(items != nullptr ? items->as_dict() : nullptr) {
        left_ = dict_ != nullptr ? dict_->size() : 0;
        taken_.resize(left_);
    }

    bool empty() const { return left_ == 0; }

    const Value* take(std::size_t index) {
        const Value* item =
            left_ > 0 ? dict_->find(Value::integer(static_cast<std::int64_t>(index))) : nullptr;
        return item != nullptr && take_entry(entry_index(*dict_, item)) ? item : nullptr;
    }

    const Value& take_first() {
        while (!take_entry(first_)) {
            ++first_;
        }
        return dict_->entries()[first_].value;
    }

    const Dict* dict() const { return dict_; }

private:
    bool take_entry(std::size_t entry) {
        if (taken_[entry]) {
            return false;
        }
        taken_[entry] = true;
        --left_;
        return true;
    }

    const Dict* dict_;
    std::vector<bool> taken_;
    std::size_t left_ = 0;
    std::size_t first_ = 0;
};

Result<void> Folder::fold_without_order() {
    if (actions_.items_added_at_indexes != nullptr) {
        for (const auto& entry : actions_.items_added_at_indexes->entries()) {
            TRY(fold_without_order(entry.key));
        }
    }
    if (actions_.items_removed_at_indexes != nullptr) {
        for (const auto& entry : actions_.items_removed_at_indexes->entries()) {
            if (actions_.items_added_at_indexes == nullptr ||
                actions_.items_added_at_indexes->find(entry.key) == nullptr) {
                TRY(fold_without_order(entry.key));
            }
        }
    }
    return {};
}

// Its characters are looked up one by one.
constexpr std::size_t kUnorderedTextMax = 10'000;

Result<void> Folder::fold_without_order(const Value& key) {
    const std::string* container = key.as_str();
    const std::string& path =
        paths_.emplace_back(container != nullptr ? *container + "[0]" : "None[0]");
    TRY(parse_delta_path(path, steps_));
    Place place;
    if (!locate(steps_, path, place)) {
        return {};
    }
    if (place.is_root()) {
        return raises("no list to compare without order", path);
    }
    if (is_foreign(*place.object)) {
        foreign_ = true;
        return {};
    }
    const auto find = [&](const Dict* items) {
        return items != nullptr ? items->find(key) : nullptr;
    };
    IndexedItems added(find(actions_.items_added_at_indexes));
    IndexedItems removed(find(actions_.items_removed_at_indexes));
    // The items of the delta as they are in the base by now, each made once.
    std::vector<Value> imported;
    AnySet fixed;
    if (added.dict() != nullptr) {
        for (const auto& entry : added.dict()->entries()) {
            Value item = TRY(import_at(entry.value, steps_.size(), path));
            TRY(fixed.add(item));
            imported.push_back(std::move(item));
        }
    }
    const auto imported_of = [&](const Value& item) {
        return imported[entry_index(*added.dict(), &item)];
    };

    // The items that stay. A dict is read like a list, with the ints from 0 as keys.
    const Value object = *place.object;
    std::vector<Value> stay;
    const bool any = is_truth(object);
    const std::size_t length = any ? length_of(object) : 0;
    if (length == kNowhere) {
        return raises("no list to compare without order", path);
    }
    if (object.is(Type::Str) && length > kUnorderedTextMax) {
        return tl::unexpected(unsupported("a long text compared without order"));
    }
    for (std::size_t i = 0; i < length; ++i) {
        PathStep step;
        step.key = Value::integer(static_cast<std::int64_t>(i));
        const Value* item = get(object, step);
        if (item == nullptr) {
            return raises("no list to compare without order", path);
        }
        if (TRY(fixed.contains(*item))) {
            continue;
        }
        if (const Value* wanted = removed.take(i)) {
            const Value copy = importer_.any_shared() ? importer_.import(*wanted) : *wanted;
            if (equal(*item, copy)) {
                continue;
            }
            skip("another item than the one to be removed", path);
        }
        stay.push_back(*item);
    }

    std::vector<Value> items;
    std::size_t next = 0;
    while (next < stay.size() || !added.empty()) {
        if (const Value* item = added.take(items.size())) {
            items.push_back(imported_of(*item));
        } else if (next < stay.size()) {
            items.push_back(stay[next++]);
        } else {
            skip("no such index to add an item at", path);
            items.push_back(imported_of(added.take_first()));
        }
    }
    replace_object(
        place,
        object.is(Type::Tuple) ? Value::tuple(std::move(items)) : Value::list(std::move(items)),
        path);
    return check_put_in();
}

// --- Tuples that became lists

Result<void> Folder::restore_tuples() {
    // A tuple that turns up while these are made tuples is noted too; then the dict that deepdiff
    // is going through has grown, and Python raises.
    const std::size_t count = tuples_.size();
    for (std::size_t i = 0; i < count; ++i) {
        const Steps steps = tuples_[i];
        TRY(restore_tuple(steps));
        if (tuples_.size() != count) {
            return raises("a tuple in a tuple changed", "the end");
        }
    }
    return {};
}

Result<void> Folder::restore_tuple(const Steps& steps) {
    static constexpr std::string_view kPath = "a changed tuple";
    Place place;
    if (!locate(steps, kPath, place)) {
        return {};
    }
    const Value* current = !place.is_root() ? get(*place.object, place.last())
                           : root_gone_     ? nullptr
                                            : &root_;
    if (current == nullptr) {
        // It joins the keys of the path for its log line, and raises if one is not a str.
        const bool all_text = std::all_of(steps.begin(), steps.end(), [](const PathStep& step) {
            return step.is_text || step.key.is(Type::Str);
        });
        if (!all_text) {
            return raises("a changed tuple is gone", kPath);
        }
        skip("nothing found", kPath);
        return {};
    }
    std::optional<Value> tuple = TRY(convert_value(ClassRef{"builtins", "tuple"}, *current));
    if (!tuple) {
        if (place.is_root()) {
            return raises("a changed tuple is no list", kPath);
        }
        skip("the type cannot be changed", kPath);
        return {};
    }
    return set_place(place, std::move(*tuple), kPath);
}

}  // namespace

Result<void> check_delta(const Value& delta) {
    TRY(read_actions(delta));
    return {};
}

Result<FoldReport> fold_delta(Value& base, const Value& delta) {
    const Actions actions = TRY(read_actions(delta));
    return Folder(base, delta, actions).run();
}

}  // namespace common
