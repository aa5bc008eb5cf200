// The actions on items of lists, and those of dictionaries and attributes that are alike.

#include <algorithm>
#include <optional>
#include <span>
#include <unordered_map>

#include "common/delta_any_set.h"
#include "common/delta_folder.h"
#include "common/delta_items.h"

namespace common {
namespace {

using Type = Value::Type;

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

// Items by path, to which others come that replace those of the same path, as in dict.update.
class ItemsByPath {
public:
    explicit ItemsByPath(std::vector<PathItem>& items) : items_(items) {
        for (std::size_t i = 0; i < items.size(); ++i) {
            if (!items[i].lost) {
                places_.emplace(items[i].path, i);
            }
        }
    }

    Result<void> set(std::string_view path, const Value& value) {
        const auto [place, is_new] = places_.emplace(path, items_.size());
        if (!is_new) {
            items_[place->second].value = value;
            return {};
        }
        PathItem& item = items_.emplace_back(PathItem{path, {}, value, false});
        return parse_delta_path(item.path, item.steps);
    }

private:
    std::vector<PathItem>& items_;
    std::unordered_map<std::string_view, std::size_t> places_;
};

// So many items of a list are moved up in the time that one is copied: by us one by one, or by
// Python, while we make the whole list anew.
constexpr std::size_t kMovedOneByOne = 16;
constexpr std::size_t kMoved = 128;

// Fewer are as quick one by one.
constexpr std::size_t kRunMin = 8;

// The items from the front of `items` that are of the same container, and by key rather than name.
std::span<const PathItem> run_of(std::span<const PathItem> items) {
    const PathItem& first = items.front();
    std::size_t size = 0;
    for (const PathItem& item : items) {
        const std::size_t depth = item.steps.size();
        if (item.lost || depth == 0 || depth != first.steps.size() || item.steps.back().attribute ||
            !std::equal(item.steps.begin(), item.steps.end() - 1, first.steps.begin(),
                        [](const PathStep& a, const PathStep& b) { return equal(a, b); })) {
            break;
        }
        ++size;
    }
    return items.first(size);
}

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

    std::vector<const Value*> left() const {
        std::vector<const Value*> items;
        for (std::size_t i = 0; i < taken_.size(); ++i) {
            if (!taken_[i]) {
                items.push_back(&dict_->entries()[i].value);
            }
        }
        return items;
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

// Its characters are looked up one by one.
constexpr std::size_t kUnorderedTextMax = 10'000;

}  // namespace

// --- _iterable_opcodes

Result<void> Folder::apply_opcodes(const Dict& changes) {
    for (const auto& entry : changes.entries()) {
        if (path_of(entry) == nullptr) {
            skip("nothing found", kLostPath);
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
            TRY(spend(*end > *begin ? *end - *begin : 0));
            for (std::size_t i = *begin; i < *end; ++i) {
                items.push_back(old[i]);
            }
            taken = std::max(taken, *end);
        } else if (tag == "replace" || tag == "insert") {
            const Value& given = fields[6];
            if (!is_sequence_or_set(given)) {
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
            TRY(check_leaving(values));
            items.insert(items.end(), values.begin(), values.end());
        }
        if (items.size() > limits::kPickleExpandedMax) {
            return fail(ErrorKind::Limit, "opcodes that make a list too large");
        }
    }
    if (list != nullptr) {
        if (twice) {
            TRY(check_leaving(list->items));
        }
        undo_.list_assign(*list, std::move(items));
        uncounted_ = uncounted_ || twice;
        return twice ? check_extent() : check_put_in();
    }
    uncounted_ = true;
    // deepdiff forgets what it made, and puts the tuple as it was where the path's container is.
    const Value same = *object;
    if (place.is_root()) {
        return {};
    }
    TRY(check_leaving(tuple->items));
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
                PathItem{path != nullptr ? *path : kLostPath, {}, entry.value, path == nullptr});
            if (path != nullptr) {
                TRY(parse_delta_path(item.path, item.steps));
            }
        }
    }
    return result;
}

Result<void> Folder::remove_items() {
    std::vector<PathItem> items = TRY(path_items(actions_.iterable_item_removed));
    if (actions_.iterable_item_moved != nullptr) {
        ItemsByPath by_path(items);
        for (const auto& [key, move] : actions_.iterable_item_moved->entries()) {
            TRY(by_path.set(*key.as_str(), *move.find("value")));
        }
    }
    return remove_items(items);
}

Result<void> Folder::remove_items(std::vector<PathItem>& items) {
    TRY(sort_path_items(items, true));
    for (std::span<const PathItem> rest = items; !rest.empty();) {
        const std::span<const PathItem> run = run_of(rest);
        const std::size_t removed = run.size() < kRunMin ? 0 : TRY(remove_run(run));
        const std::size_t size = std::max<std::size_t>(run.size(), 1);
        for (const PathItem& item : rest.first(size).subspan(removed)) {
            if (item.lost) {
                skip("nothing found", item.path);
            } else {
                TRY(remove_item(item));
            }
        }
        rest = rest.subspan(size);
    }
    return {};
}

Result<std::size_t> Folder::remove_run(std::span<const PathItem> items) {
    const Value* object = &root_;
    for (std::size_t i = 0; i + 1 < items.front().steps.size(); ++i) {
        object = root_gone_ ? nullptr : get(*object, items.front().steps[i]);
        if (object == nullptr) {
            return 0;
        }
    }
    if (Dict* dict = object->as_dict()) {
        return remove_keys(*dict, items);
    }
    List* list = object->as_list();
    return list != nullptr ? remove_places(*list, items) : 0;
}

Result<std::size_t> Folder::remove_keys(Dict& dict, std::span<const PathItem> items) {
    TRY(spend(dict.size()));
    std::vector<bool> gone(dict.size());
    for (const PathItem& item : items) {
        const PathStep& step = item.steps.back();
        const Value* value = find_in(dict, step);
        if (value != nullptr) {
            TRY(check_comparison(*value, item.value));
        }
        if (value != nullptr && (step.is_text || !step.key.is_none())) {
            gone[entry_index(dict, value)] = true;
        }
    }
    Dict kept;
    for (std::size_t i = 0; i < gone.size(); ++i) {
        if (!gone[i]) {
            kept.set(dict.entries()[i].key, dict.entries()[i].value);
        }
    }
    undo_.dict_assign(dict, std::move(kept));
    return items.size();
}

// Only from the end towards the front, and only what is where it was expected.
Result<std::size_t> Folder::remove_places(List& list, std::span<const PathItem> items) {
    TRY(spend(list.items.size()));
    std::vector<bool> gone(list.items.size());
    std::size_t count = 0;
    std::size_t last = list.items.size();
    for (const PathItem& item : items) {
        const Index index = index_of(item.steps.back());
        const std::size_t place = index.number < 0 ? kNowhere : place_in(last, index);
        if (place == kNowhere || !TRY(is_wanted(list.items[place], item))) {
            break;
        }
        TRY(spend((list.items.size() - place) / kMoved));
        gone[place] = true;
        last = place;
        ++count;
    }
    if (count < kRunMin) {
        return 0;
    }
    std::vector<Value> kept;
    kept.reserve(list.items.size() - count);
    for (std::size_t i = 0; i < gone.size(); ++i) {
        if (!gone[i]) {
            kept.push_back(list.items[i]);
        }
    }
    undo_.list_assign(list, std::move(kept));
    return count;
}

Result<bool> Folder::is_wanted(const Value& current, const PathItem& item) {
    if (TRY(is_beyond_comparing(current)) || TRY(is_beyond_comparing(item.value))) {
        foreign_ = true;
        return false;
    }
    // The value may have got into the base and have been changed there.
    return importer_.any_shared() ? equal(current, importer_.import(item.value))
                                  : equal(current, item.value);
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
    if (current != nullptr) {
        TRY(check_comparison(*current, item.value));
    }
    std::size_t nearest = kNowhere;
    const List* list = place.object->as_list();
    if (list != nullptr && !actions_.compared_by_function &&
        (current == nullptr || !TRY(is_wanted(*current, item)))) {
        if (list->items.empty()) {
            return {};
        }
        if (place.last().is_text || !is_number(place.last().key)) {
            return raises("no index into a list", item.path);
        }
        // It may be compared with all of them.
        TRY(spend(list->items.size() * (1 + extent_of(item.value).values / 2)));
        for (const Value& other : list->items) {
            foreign_ = TRY(is_beyond_comparing(other)) || foreign_;
        }
        nearest = nearest_item(*list, place.last().key,
                               importer_.any_shared() ? importer_.import(item.value) : item.value);
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
        TRY(spend(tuple->items.size()));
        TRY(check_leaving(tuple->items));
        TRY(remember_tuple(*place.steps));
        std::vector<Value> items = tuple->items;
        const std::size_t at = place_in(items.size(), index_of(step));
        items.erase(items.begin() + static_cast<std::ptrdiff_t>(at));
        replace_object(place, Value::list(std::move(items)), path);
    } else if (List* list = place.object->as_list()) {
        const std::size_t at =
            nearest != kNowhere ? nearest : place_in(list->items.size(), index_of(step));
        TRY(spend((list->items.size() - at) / kMovedOneByOne));
        undo_.list_erase(*list, at);
    } else if (Dict* dict = place.object->as_dict()) {
        TRY(spend(dict->size() / kMovedOneByOne));
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
    ItemsByPath all(items);
    ItemsByPath moved_by_path(moved);
    for (const auto& entry : actions_.iterable_item_moved->entries()) {
        const std::string& path = *entry.value.find("new_path")->as_str();
        TRY(all.set(path, Value()));
        TRY(moved_by_path.set(path, *entry.value.find("value")));
    }
    TRY(add_sorted(items, true));
    return add_sorted(moved, false);
}

Result<void> Folder::add_sorted(std::vector<PathItem>& items, bool insert) {
    TRY(sort_path_items(items, false));
    for (std::span<const PathItem> rest = items; !rest.empty();) {
        const std::span<const PathItem> run = insert ? run_of(rest) : std::span<const PathItem>();
        const std::size_t inserted = run.size() < kRunMin ? 0 : TRY(insert_run(run));
        const std::size_t size = std::max<std::size_t>(run.size(), 1);
        for (const PathItem& item : rest.first(size).subspan(inserted)) {
            if (item.lost) {
                skip("nothing found", item.path);
            } else {
                TRY(add_item(item.path, item.steps, item.value, insert));
            }
        }
        rest = rest.subspan(size);
    }
    return {};
}

// Indexes that rise are the places that the items end up at.
Result<std::size_t> Folder::insert_run(std::span<const PathItem> items) {
    const PathItem& first = items.front();
    const Value* object = &root_;
    for (std::size_t i = 0; i + 1 < first.steps.size(); ++i) {
        object = root_gone_ ? nullptr : get(*object, first.steps[i]);
        if (object == nullptr) {
            return 0;
        }
    }
    List* list = object->as_list();
    Place place;
    if (list == nullptr || !locate(first.steps, first.path, place)) {
        return 0;
    }
    const std::vector<Value>& old = list->items;
    TRY(spend(old.size()));
    std::vector<Value> made;
    std::size_t taken = 0;
    std::size_t count = 0;
    const auto take_until = [&](std::size_t size) {
        for (; made.size() < size && taken < old.size(); ++taken) {
            made.push_back(old[taken]);
        }
    };
    for (const PathItem& item : items) {
        const Index index = index_of(item.steps.back());
        if (index.kind != Index::Kind::Place || index.number < 0 ||
            static_cast<std::size_t>(index.number) < made.size()) {
            break;
        }
        const auto at = static_cast<std::size_t>(index.number);
        if (at > made.size() + (old.size() - taken)) {
            skip("cannot set an item", item.path);
        } else {
            take_until(at);
            TRY(spend((old.size() - taken) / kMoved));
            made.push_back(TRY(import_at(item.value, item.steps.size(), item.path)));
        }
        ++count;
    }
    if (count == 0) {
        return 0;
    }
    take_until(made.size() + old.size() - taken);
    undo_.list_assign(*list, std::move(made));
    TRY(check_put_in());
    return count;
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
    TRY(spend((length - std::min(length, static_cast<std::size_t>(at))) / kMovedOneByOne));
    undo_.list_insert(*list, static_cast<std::size_t>(at), Value());
    return {};
}

// --- iterable_items_added_at_indexes, iterable_items_removed_at_indexes

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
    TRY(spend(length < kFoldWorkMax ? 4 * length : length));
    uncounted_ = uncounted_ || !object.is(Type::List);
    for (std::size_t i = 0; i < length; ++i) {
        PathStep step;
        step.key = Value::integer(static_cast<std::int64_t>(i));
        const Value* item = get(object, step);
        if (item == nullptr) {
            return raises("no list to compare without order", path);
        }
        if (TRY(is_beyond_comparing(*item))) {
            foreign_ = true;
            return {};
        }
        if (!is_hashable(*item)) {
            TRY(spend(32 * extent_of(*item).values));  // deepdiff hashes all that is in it
        }
        if (TRY(fixed.contains(*item))) {
            continue;
        }
        if (const Value* wanted = removed.take(i)) {
            const Value copy = importer_.any_shared() ? importer_.import(*wanted) : *wanted;
            if (equal(*item, copy)) {
                continue;
            }
            TRY(skip("another item than the one to be removed", path, {item, &copy}));
        }
        stay.push_back(*item);
    }

    std::vector<Value> items;
    std::size_t next = 0;
    std::size_t logged = 0;  // what the items that are still to be added have in characters
    const auto take_item = [&](const Value& item) {
        items.push_back(imported_of(item));
        if (logged > 0) {
            logged -= std::min(logged, logged_size(items.back()));
        }
    };
    while (next < stay.size() || !added.empty()) {
        if (const Value* item = added.take(items.size())) {
            take_item(*item);
        } else if (next < stay.size()) {
            items.push_back(stay[next++]);
        } else {
            skip("no such index to add an item at", path);
            if (logged == 0) {
                for (const Value* later : added.left()) {
                    logged += logged_size(imported_of(*later));
                }
            }
            TRY(spend_logged(logged));
            take_item(added.take_first());
        }
    }
    replace_object(
        place,
        object.is(Type::Tuple) ? Value::tuple(std::move(items)) : Value::list(std::move(items)),
        path);
    return check_put_in();
}

}  // namespace common
