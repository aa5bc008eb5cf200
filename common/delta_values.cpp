// The actions on values, sets and tuples.

#include <algorithm>
#include <memory>

#include "common/delta_convert.h"
#include "common/delta_folder.h"
#include "common/delta_items.h"

namespace common {

using Type = Value::Type;

namespace {

// What converting it costs.
std::size_t weight(const Extent& extent) {
    return extent.values + extent.bytes / 16;
}

}  // namespace

// --- values_changed, type_changes

Result<void> Folder::change_values(const Dict& changes, bool is_type_change) {
    for (const auto& entry : changes.entries()) {
        const Value& change = entry.value;
        if (path_of(entry) == nullptr) {
            skip("nothing found", kLostPath);
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
        const Extent extent = extent_of(*current);
        TRY(spend(weight(extent)));
        if (extent.back_references > 0) {
            return tl::unexpected(unsupported("a change of type of what is inside itself"));
        }
        std::optional<Value> made =
            TRY(convert_value(*change.find("new_type")->as_class(), *current));
        TRY(spend(made ? weight(extent_of(*made)) : 0));
        if (!made) {
            if (place.is_root()) {  // for its log line it looks at the item of a root that has none
                return raises("a change of type that cannot be made", path);
            }
            TRY(skip("the type cannot be changed", path, {current}));
            continue;
        }
        if (steps_.size() + 1 > limits::kPickleDepthMax) {
            return fail(ErrorKind::Limit, "a delta that nests too deeply at " + path);
        }
        uncounted_ = true;
        TRY(set_place(place, std::move(*made), path));
    }
    return {};
}

// --- set_item_added, set_item_removed

Result<void> Folder::change_sets(const Dict& changes, bool add) {
    for (const auto& entry : changes.entries()) {
        const Value& change = entry.value;
        if (path_of(entry) == nullptr) {
            return raises("no set", kLostPath);
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
        TRY(spend(4 * old->size()));
        importer_.reset();
        const Set* given = change.is(Type::FrozenSet) ? change.as_frozen_set() : change.as_set();
        const std::vector<Value>& items = change.is(Type::List)    ? change.as_list()->items
                                          : change.is(Type::Tuple) ? change.as_tuple()->items
                                                                   : given->items();
        if (!std::all_of(items.begin(), items.end(), is_hashable)) {
            return raises("an item that cannot be in a set", path);
        }
        auto set = std::make_shared<Set>(add ? *old : Set());
        if (add) {
            for (const Value& item : items) {
                Value value = TRY(import_at(item, steps_.size() + 1, path));
                uncounted_ = uncounted_ || is_hard_key(value);
                set->add(std::move(value));
            }
        } else {
            Set gone;
            for (const Value& item : items) {
                gone.add(item);
            }
            for (const Value& item : old->items()) {
                if (!gone.contains(item)) {
                    set->add(item);
                }
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
    TRY(spend(weight(extent_of(*current))));
    if (const List* list = current->as_list()) {
        TRY(check_leaving(list->items));
    }
    std::optional<Value> tuple = TRY(convert_value(ClassRef{"builtins", "tuple"}, *current));
    if (!tuple) {
        if (place.is_root()) {
            return raises("a changed tuple is no list", kPath);
        }
        return skip("the type cannot be changed", kPath, {current});
    }
    return set_place(place, std::move(*tuple), kPath);
}

}  // namespace common
