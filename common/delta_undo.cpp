#include "common/delta_undo.h"

#include <memory>
#include <utility>

#include "common/delta_items.h"

namespace common {

void Undo::root(Value& root, Value value) {
    log_.push_back({Kind::Root, nullptr, nullptr, 0, {}, std::move(root)});
    root = std::move(value);
}

void Undo::list_set(List& list, std::size_t place, Value value) {
    log_.push_back({Kind::ListSet, &list, nullptr, place, {}, std::move(list.items[place])});
    list.items[place] = std::move(value);
}

void Undo::list_insert(List& list, std::size_t place, Value value) {
    list.items.insert(list.items.begin() + static_cast<std::ptrdiff_t>(place), std::move(value));
    log_.push_back({Kind::ListInsert, &list, nullptr, place, {}, {}});
}

void Undo::list_erase(List& list, std::size_t place) {
    log_.push_back({Kind::ListErase, &list, nullptr, place, {}, std::move(list.items[place])});
    list.items.erase(list.items.begin() + static_cast<std::ptrdiff_t>(place));
}

void Undo::list_assign(List& list, std::vector<Value> items) {
    std::swap(list.items, items);
    log_.push_back({Kind::ListAssign, &list, nullptr, 0, {}, Value::list(std::move(items))});
}

void Undo::dict_set(Dict& dict, const PathStep& step, Value value) {
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

void Undo::dict_erase(Dict& dict, const PathStep& step) {
    Value* old = find_in(dict, step);
    const std::size_t place = entry_index(dict, old);
    const Value key = dict.entries()[place].key;
    log_.push_back({Kind::DictErase, nullptr, &dict, place, key, std::move(*old)});
    dict.erase(key);
}

void Undo::dict_assign(Dict& dict, Dict entries) {
    std::swap(dict, entries);
    Value old(DictRef(std::make_shared<Dict>(std::move(entries))));
    log_.push_back({Kind::DictAssign, nullptr, &dict, 0, {}, std::move(old)});
}

void Undo::take_back(Value& root) {
    for (; !log_.empty(); log_.pop_back()) {
        take_back(log_.back(), root);
    }
}

void Undo::take_back(Entry& entry, Value& root) {
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
        case Kind::DictAssign:
            *entry.dict = std::move(*entry.old.as_dict());
            return;
        case Kind::DictErase:
            take_back_erase(entry);
            return;
    }
}

void Undo::take_back_erase(Entry& entry) {
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

}  // namespace common
