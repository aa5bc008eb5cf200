#pragma once
// One fold of one delta: the state that the actions share. Implemented in delta_folder.cpp (finding
// and setting), delta_values.cpp (values, sets, tuples) and delta_lists.cpp.
//
// What deepdiff would log and go over is skipped; what raises is an error, and `run` takes back
// everything. A path that deepdiff would follow into something that we do not model sets
// `foreign_`, which is an error at the end.

#include <initializer_list>
#include <list>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/delta.h"
#include "common/delta_actions.h"
#include "common/delta_import.h"
#include "common/delta_items.h"
#include "common/delta_order.h"
#include "common/delta_path.h"
#include "common/delta_undo.h"
#include "common/limits.h"
#include "common/pickle_classes.h"

namespace common {

inline Error unsupported(std::string what) {
    return {ErrorKind::Unsupported, std::move(what)};
}

// What a fold may cost here and in every client, where one is about a value copied. Large edits of
// large nodes stay far below it. What comes to more are deltas of a few kilobytes that go through
// a large container again and again: they would stop us and all clients for minutes.
inline constexpr std::size_t kFoldWorkMax = 4 * limits::kPickleExpandedMax;

class Folder {
public:
    using Steps = std::vector<PathStep>;

    Folder(Value& root, const Value& delta, const Actions& actions, Extent& extent,
           std::size_t work = kFoldWorkMax)
        : root_(root), actions_(actions), importer_(delta), extent_(extent), work_left_(work) {}

    // Once. On an error the root and its extent are as they were.
    Result<FoldReport> run();

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
    // Of all paths: Python compiles each key without quotes.
    Result<void> spend_paths();
    // Limit: there is no work left.
    Result<void> spend(std::size_t work);
    Result<void> change_values(const Dict& changes, bool is_type_change);
    Result<void> change_sets(const Dict& changes, bool add);
    Result<void> apply_opcodes(const Dict& changes);
    Result<void> apply_opcodes(std::string_view path, const List& opcodes);
    Result<void> remove_items();
    Result<void> remove_items(std::vector<PathItem>& items);
    Result<void> remove_item(const PathItem& item);
    // Both take as many of the items, which are of one container, as they can at once, and say how
    // many: one by one costs the size of the container each time.
    Result<std::size_t> remove_run(std::span<const PathItem> items);
    Result<std::size_t> insert_run(std::span<const PathItem> items);
    Result<std::size_t> remove_keys(Dict& dict, std::span<const PathItem> items);
    Result<std::size_t> remove_places(List& list, std::span<const PathItem> items);
    Result<bool> is_wanted(const Value& current, const PathItem& item);
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

    // Says that something was gone over, as deepdiff logs it.
    void skip(const char* why, std::string_view path);

    // The same, where deepdiff writes the values into its log line. Limit: it would write too much.
    Result<void> skip(const char* why, std::string_view path,
                      std::initializer_list<const Value*> values);
    Result<void> spend_logged(std::size_t size);

    // Of the base, or of what has been imported.
    bool has_back_references() const {
        return extent_.back_references > 0 || importer_.brought().back_references > 0;
    }
    // Python compares what is removed with what was to be removed, whatever comes of it, and raises
    // if it gets into circles on both sides: then sets foreign_.
    Result<void> check_comparison(const Value& current, const Value& expected);
    // See holds_opaque.
    Result<bool> is_beyond_comparing(const Value& value);

    static Result<void> raises(const char* why, std::string_view path);

    // `object[key]` or `object.name`, or null where Python raises. Points into the object or, for a
    // piece of a str or bytes, to scratch_.
    const Value* get(const Value& object, const PathStep& step);

    // That the value, as it is now, is not too deep or too large, nor in itself.
    Result<void> check_extent();
    // That the result can be read again, and how large it is at most.
    Result<void> check_result();

    // After containers from the delta were put in. Only with something shared they may be in
    // themselves now, or deeper than their path says; nothing may go down into them before it is
    // known that they are not.
    Result<void> check_put_in();

    // Until an item is added at the root, no path leads anywhere; at the end deepdiff raises.
    void remove_root();
    void set_root(Value value);

    // Begins with one entry of the delta. False: not to be found, which has been said.
    bool locate(const Steps& steps, std::string_view path, Place& place);

    // `object[key] = value`; said if it cannot be.
    void set_item(const Value& object, const PathStep& step, Value value, std::string_view path);
    // Puts `value` in the place of place.object.
    void replace_object(const Place& place, Value value, std::string_view path);
    // The same with the last step; a tuple becomes a list and will become a tuple again.
    Result<void> set_place(const Place& place, Value value, std::string_view path);
    Result<void> remember_tuple(const Steps& steps);

    // That none of the items refers to what it is in: that is about to be another container.
    Result<void> check_leaving(const std::vector<Value>& items);

    // A copy for a place that many steps below the root.
    Result<Value> import_at(const Value& value, std::size_t steps, std::string_view path);

    Value& root_;
    const Actions& actions_;
    Importer importer_;
    LevelsAbove levels_in_delta_;
    Extent& extent_;
    Undo undo_;
    FoldReport report_;
    Steps steps_;
    std::vector<Steps> tuples_;  // paths of lists that were tuples
    std::unordered_multimap<std::size_t, std::size_t> tuple_by_hash_;
    Value scratch_;
    std::list<std::string> paths_;  // paths that are not in the delta
    bool foreign_ = false;
    bool overworked_ = false;
    bool uncounted_ = false;    // more came than what was imported and keys
    bool shared_ = false;       // a path went through a container that is in the base twice
    bool path_shared_ = false;  // the last one did
    std::size_t measure_steps_left_ = limits::kPickleExpandedMax;
    std::size_t logged_left_ = kLoggedMax;
    std::size_t work_left_;
    bool root_gone_ = false;
};

}  // namespace common
