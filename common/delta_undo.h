#pragma once
// Changes of a value in place that can be taken back: each is written down before it is made.

#include <vector>

#include "common/delta_path.h"
#include "common/value.h"

namespace common {

class Undo {
public:
    void root(Value& root, Value value);
    void list_set(List& list, std::size_t place, Value value);
    void list_insert(List& list, std::size_t place, Value value);
    void list_erase(List& list, std::size_t place);
    void list_assign(List& list, std::vector<Value> items);
    void dict_set(Dict& dict, const PathStep& step, Value value);
    void dict_erase(Dict& dict, const PathStep& step);  // the key must be there
    void dict_assign(Dict& dict, Dict entries);

    // A container that was changed and is held by nobody must live as long as its entries here.
    void keep(Value value) { kept_.push_back(std::move(value)); }

    // Everything, the last change first.
    void take_back(Value& root);

private:
    enum class Kind {
        Root,
        ListSet,
        ListInsert,
        ListErase,
        ListAssign,
        DictSet,
        DictAdd,
        DictErase,
        DictAssign
    };
    struct Entry {
        Kind kind;
        List* list;
        Dict* dict;
        std::size_t place;
        Value key;
        Value old;
    };

    static void take_back(Entry& entry, Value& root);
    static void take_back_erase(Entry& entry);

    std::vector<Entry> log_;
    std::vector<Value> kept_;
};

}  // namespace common
