#include "common/delta_actions.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/delta_convert.h"

namespace common {

using Type = Value::Type;

bool is_truth(const Value& value) {
    const ClassRef to_bool{"builtins", "bool"};
    const auto truth = convert_value(to_bool, value);
    return !truth || !*truth || *(*truth)->as_bool();
}

bool is_sequence_or_set(const Value& value) {
    return value.is(Type::List) || value.is(Type::Tuple) || value.is(Type::Set) ||
           value.is(Type::FrozenSet);
}

namespace {

Error unsupported(std::string what) {
    return {ErrorKind::Unsupported, std::move(what)};
}

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
                      : !all_values(actions.items_removed_at_indexes, is_dict)  ? "items at indexes"
                      : !all_values(actions.set_item_added, is_sequence_or_set) ? "set_item_added"
                      : !all_values(actions.set_item_removed, is_sequence_or_set)
                          ? "set_item_removed"
                      : !all_values(actions.iterable_opcodes, are_opcodes) ? "_iterable_opcodes"
                                                                           : nullptr;
    if (bad != nullptr) {
        return tl::unexpected(
            unsupported(std::string("a delta whose ") + bad + " are not as deepdiff writes them"));
    }
    return {};
}

}  // namespace

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

}  // namespace common
