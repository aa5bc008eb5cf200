#include "common/delta_folder.h"

#include <algorithm>
#include <cmath>

namespace common {

using Type = Value::Type;

namespace {

// Of the keys and placeholders that paths may have made.
Extent extent_of_paths(const Actions& actions) {
    Extent extent;
    for (const Dict* changes :
         {actions.values_changed, actions.type_changes, actions.iterable_item_added,
          actions.iterable_item_moved, actions.dictionary_item_added, actions.attribute_added}) {
        if (changes == nullptr) {
            continue;
        }
        for (const Dict::Entry& entry : changes->entries()) {
            const std::string* path = path_of(entry);
            const Value* moved = entry.value.find("new_path");
            const std::size_t length = (path != nullptr ? path->size() : 0) +
                                       (moved != nullptr ? extent_of_one(*moved).bytes : 0);
            // A key, if a number or tuple with parts, and None.
            add(extent, {length + 2, 0, 12 * (length + 2)});
        }
    }
    return extent;
}

// deepdiff looks up the keys of a changed tuple in a cache of the process, in which 1.0 is 1: later
// it would take the float from there for a place in a list, and raise.
bool is_whole_float(const PathStep& step) {
    const auto number = step.is_text ? std::nullopt : step.key.as_float();
    return number && std::abs(*number) < 0x1p63 && std::trunc(*number) == *number;
}

}  // namespace

Result<FoldReport> Folder::run() {
    Result<void> done = fold();
    if (overworked_) {
        done = spend(work_left_ + 1);
    }
    if (done && root_gone_) {
        done = raises("the root was removed", "the end");
    }
    if (foreign_) {  // what was made of it may have raised in ours only
        done = tl::unexpected(unsupported("a path through a value that is not plain"));
    }
    if (done && importer_.frame_shared()) {
        done = tl::unexpected(unsupported("a delta that contains parts of itself"));
    }
    if (done) {
        done = check_result();
    }
    if (!done) {
        undo_.take_back(root_);
        return tl::unexpected(std::move(done).error());
    }
    return std::move(report_);
}

Result<void> Folder::spend(std::size_t work) {
    if (work > work_left_) {
        work_left_ = 0;
        return fail(ErrorKind::Limit, "a delta that would keep every client busy for too long");
    }
    work_left_ -= work;
    return {};
}

Result<void> Folder::spend_paths() {
    const auto spend_path = [this](std::string_view path) {
        const auto steps =
            std::count_if(path.begin(), path.end(), [](char c) { return c == '[' || c == '.'; });
        return spend(static_cast<std::size_t>(steps) * 32 + path.size() / 4);
    };
    for (const Dict* items :
         {actions_.values_changed, actions_.type_changes, actions_.set_item_added,
          actions_.set_item_removed, actions_.iterable_opcodes, actions_.iterable_item_added,
          actions_.iterable_item_removed, actions_.iterable_item_moved,
          actions_.items_added_at_indexes, actions_.items_removed_at_indexes,
          actions_.dictionary_item_added, actions_.dictionary_item_removed,
          actions_.attribute_added, actions_.attribute_removed}) {
        if (items == nullptr) {
            continue;
        }
        for (const Dict::Entry& entry : items->entries()) {
            if (const std::string* path = path_of(entry)) {
                TRY(spend_path(*path));
            }
            const Value* moved = entry.value.find("new_path");
            if (moved != nullptr && moved->as_str() != nullptr) {
                TRY(spend_path(*moved->as_str()));
            }
        }
    }
    return {};
}

Result<void> Folder::fold() {
    TRY(spend_paths());
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
                skip("nothing found", kLostPath);
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
        foreign_ = foreign_ || (name.as_str() != nullptr && is_attribute(*name.as_str()));
        return nullptr;
    }
    if (&object != &root_ && &object != &scratch_ && reference_of(object).count > 1) {
        shared_ = path_shared_ = true;
    }
    // Its characters are counted from the front. run() says that there was too much.
    const std::string* text = object.as_str();
    if (text != nullptr && !spend(text->size() / 16)) {
        overworked_ = true;
        return nullptr;
    }
    return item_of(object, step, scratch_);
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
            uncounted_ = uncounted_ || (!step.is_text && is_hard_key(step.key));
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

Result<void> Folder::remember_tuple(const Steps& steps) {
    Steps prefix(steps.begin(), steps.end() - 1);
    if (std::any_of(prefix.begin(), prefix.end(), is_whole_float)) {
        return tl::unexpected(unsupported("a tuple changed below a key like 1.0"));
    }
    std::size_t hash = prefix.size();
    for (const PathStep& step : prefix) {
        hash = hash * 31 + common::hash(step.value());
    }
    const auto [begin, end] = tuple_by_hash_.equal_range(hash);
    const bool known = std::any_of(begin, end, [&](const auto& entry) {
        const Steps& other = tuples_[entry.second];
        return std::equal(other.begin(), other.end(), prefix.begin(), prefix.end(),
                          [](const PathStep& a, const PathStep& b) { return equal(a, b); });
    });
    if (!known) {
        tuple_by_hash_.emplace(hash, tuples_.size());
        tuples_.push_back(std::move(prefix));
    }
    return {};
}

Result<void> Folder::set_place(const Place& place, Value value, std::string_view path) {
    if (place.is_root()) {
        set_root(std::move(value));
        return {};
    }
    if (const Tuple* tuple = place.object->as_tuple()) {
        TRY(check_leaving(tuple->items));
        TRY(spend(tuple->items.size()));
        TRY(remember_tuple(*place.steps));
        const Value list = Value::list(tuple->items);
        undo_.keep(list);
        replace_object(place, list, path);
        set_item(list, place.last(), std::move(value), path);
        return {};
    }
    set_item(*place.object, place.last(), std::move(value), path);
    return {};
}

void Folder::skip(const char* why, std::string_view path) {
    if (report_.skipped++ == 0) {
        report_.first_skipped = std::string(why) + " at " + std::string(path);
    }
}

Result<void> Folder::skip(const char* why, std::string_view path,
                          std::initializer_list<const Value*> values) {
    skip(why, path);
    for (const Value* value : values) {
        TRY(spend_logged(logged_size(*value)));
    }
    return {};
}

Result<void> Folder::spend_logged(std::size_t size) {
    if (size > logged_left_) {
        return fail(ErrorKind::Limit, "a delta of which clients would log too much");
    }
    logged_left_ -= size;
    return {};
}

Result<void> Folder::raises(const char* why, std::string_view path) {
    return bad_input("deepdiff raises: " + std::string(why) + " at " + std::string(path));
}

Result<void> Folder::check_extent() {
    Extent extent;
    if (!Measure(measure_steps_left_).fits(root_, extent)) {
        return fail(ErrorKind::Limit, "a delta that makes the value too deep or too large");
    }
    return {};
}

Result<void> Folder::check_result() {
    Extent grown = extent_;
    add(grown, importer_.brought());
    add(grown, extent_of_paths(actions_));
    const bool counted = !uncounted_ && tuples_.empty() && !shared_ && !importer_.any_shared() &&
                         !has_back_references();
    if ((!counted || !is_readable(grown)) && !Measure(measure_steps_left_).fits(root_, grown)) {
        return fail(ErrorKind::Limit, "a delta that makes the value too deep or too large");
    }
    if (grown.back_references > 0 && LevelsAbove().of(root_) > 0) {
        return tl::unexpected(unsupported("a delta that moves what is inside itself"));
    }
    extent_ = grown;
    return {};
}

Result<void> Folder::check_leaving(const std::vector<Value>& items) {
    if (!has_back_references()) {
        return {};
    }
    LevelsAbove levels;
    for (const Value& item : items) {
        TRY(spend(extent_of(item).values));
        if (levels.of(item) > 0) {
            return tl::unexpected(unsupported("a value that is inside of what is made anew"));
        }
    }
    return {};
}

Result<void> Folder::check_comparison(const Value& current, const Value& expected) {
    if (!has_back_references()) {
        return {};
    }
    const Extent left = extent_of(current);
    const Extent right = extent_of(expected);
    foreign_ = foreign_ || (left.back_references > 0 && right.back_references > 0);
    return spend(left.values + right.values);
}

Result<bool> Folder::is_beyond_comparing(const Value& value) {
    if (!pickle::has_allowed_classes() && !has_back_references()) {
        return false;
    }
    TRY(spend(extent_of(value).values));
    return holds_opaque(value);
}

Result<void> Folder::check_put_in() {
    if (importer_.depth() > 0 && (importer_.reused() || path_shared_)) {
        return check_extent();
    }
    return {};
}

void Folder::remove_root() {
    undo_.root(root_, Value());
    root_gone_ = true;
}

void Folder::set_root(Value value) {
    undo_.root(root_, std::move(value));
    root_gone_ = false;
}

Result<Value> Folder::import_at(const Value& value, std::size_t steps, std::string_view path) {
    Value result = importer_.import(value);
    if (has_back_references() && levels_in_delta_.of(value) > 0) {
        return tl::unexpected(unsupported("a delta that contains parts of itself"));
    }
    if (steps + importer_.depth() > limits::kPickleDepthMax) {
        return fail(ErrorKind::Limit, "a delta that nests too deeply at " + std::string(path));
    }
    return result;
}

}  // namespace common
