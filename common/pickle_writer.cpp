// Writes protocol 4 as Python's C pickler does: the same opcodes, batches and frames. It memoizes
// less: texts by content, so that equal ones are written once, and mutable containers only when
// they are reached more than once. Tuples and frozensets are written each time, what they share
// stays shared below. So the bytes depend on the value and on the sharing of what can change. A
// back reference is written as a reference to the container around it.

#include <xxhash.h>

#include <bit>
#include <cstring>
#include <unordered_map>

#include "common/limits.h"
#include "common/pickle.h"
#include "common/pickle_opcodes.h"
#include "common/verify.h"

namespace common {

namespace {

using pickle::kClasses;
using pickle::Opcode;

constexpr std::size_t kBatch = 1000;            // items between two marks
constexpr std::size_t kFrameBytes = 64 * 1024;  // a frame is closed when it has so many
constexpr std::size_t kFrameBytesMin = 4;       // less is not worth a frame
constexpr std::size_t kFrameHeaderBytes = 9;
constexpr std::size_t kLongTextBytes = 1024;  // from here on the address is looked up first
constexpr std::size_t kReserveBytesMax = 64 * 1024 * 1024;
constexpr std::uint32_t kNoSlot = 0xffffffffU;

// What back references are counted in: the list, dict or object so many levels above.
const void* container_above(const std::vector<const void*>& above, BackReference reference) {
    VERIFY(reference.levels > 0 && reference.levels <= above.size());
    return above[above.size() - reference.levels];
}

// Mutable containers that are reached more than once, and the slot they got; and about how long
// the pickle will be.
class SharedContainers {
public:
    explicit SharedContainers(const Value& value) {
        visit(value);
        std::erase_if(slots_, [](const auto& entry) { return !entry.second.again; });
    }

    struct Entry {
        bool again = false;
        std::uint32_t slot = kNoSlot;
    };
    Entry* find(const void* container) {
        if (slots_.empty()) {
            return nullptr;
        }
        const auto known = slots_.find(container);
        return known == slots_.end() ? nullptr : &known->second;
    }
    std::size_t size() const { return slots_.size(); }
    std::size_t long_bytes() const { return long_bytes_; }

private:
    // True if it is reached for the first time. What has a single owner is reached once, unless
    // that is a tuple which is reached more than once.
    template <typename Ref>
    bool is_first(const Ref& ref, bool in_shared_tuple) {
        if (ref.use_count() == 1 && !in_shared_tuple) {
            return true;
        }
        const auto [entry, added] = slots_.try_emplace(ref.get());
        entry->second.again = entry->second.again || !added;
        return added;
    }
    void visit(const std::vector<Value>& items, bool in_shared_tuple) {
        for (const Value& item : items) {
            visit(item, in_shared_tuple);
        }
    }
    void visit(const Value& value, bool in_shared_tuple = false) {
        if (const auto* list = std::get_if<ListRef>(&value.storage())) {
            if (is_first(*list, in_shared_tuple)) {
                above_.push_back(list->get());
                visit((*list)->items, false);
                above_.pop_back();
            }
        } else if (const auto* dict = std::get_if<DictRef>(&value.storage())) {
            if (is_first(*dict, in_shared_tuple)) {
                above_.push_back(dict->get());
                for (const Dict::Entry& entry : (*dict)->entries()) {
                    visit(entry.value);  // keys hold nothing that can change
                }
                above_.pop_back();
            }
        } else if (const auto* tuple = std::get_if<TupleRef>(&value.storage())) {
            visit((*tuple)->items, in_shared_tuple || tuple->use_count() > 1);
        } else if (const auto* set = std::get_if<SetRef>(&value.storage())) {
            (void)is_first(*set, in_shared_tuple);
        } else if (const auto* array = std::get_if<ByteArrayRef>(&value.storage())) {
            (void)is_first(*array, in_shared_tuple);
        } else if (const auto* object = std::get_if<ObjectRef>(&value.storage())) {
            if (is_first(*object, in_shared_tuple)) {
                visit((*object)->args);
                above_.push_back(object->get());
                visit_inside(**object);
                above_.pop_back();
            }
        } else if (const auto* bytes = std::get_if<BytesRef>(&value.storage())) {
            long_bytes_ += (*bytes)->size() < kLongTextBytes ? 0 : (*bytes)->size();
        } else if (const auto* reference = std::get_if<BackReference>(&value.storage())) {
            slots_[container_above(above_, *reference)].again = true;
        }
    }
    // The lists in an opaque object's state are ours, not Python's.
    void visit_inside(const Object& object) {
        if (!object.opaque) {
            visit(object.state);
            return;
        }
        const std::vector<Value>& parts = object.state.as_tuple()->items;
        visit(parts[0].as_list()->items, false);
        visit(parts[1].as_list()->items, false);
        visit(parts[2]);
    }

    std::unordered_map<const void*, Entry> slots_;
    std::vector<const void*> above_;  // what the value that is visited stands in
    std::size_t long_bytes_ = 0;
};

// Slots of texts by their content: an open table, half full at most.
class TextSlots {
public:
    struct Text {
        std::string_view view;
        Opcode kind = Opcode::BinUnicode;  // or BinBytes
    };

    // The slot of an equal text, or kNoSlot; then `add` is called with the same text.
    std::uint32_t find(Text text) {
        if (text.view.size() >= kLongTextBytes) {
            const auto known = by_address_.find(text.view.data());
            if (known != by_address_.end() && is(known->second, text)) {
                return entries_[known->second].slot;
            }
        }
        hash_ = XXH3_64bits_withSeed(text.view.data(), text.view.size(),
                                     static_cast<std::uint64_t>(text.kind));
        if (table_.empty()) {
            return kNoSlot;
        }
        const std::size_t mask = table_.size() - 1;
        for (std::size_t at = hash_ & mask; table_[at] != 0; at = (at + 1) & mask) {
            const std::uint32_t index = table_[at] - 1;
            if (entries_[index].hash == hash_ && is(index, text)) {
                remember_address(text, index);
                return entries_[index].slot;
            }
        }
        return kNoSlot;
    }

    void add(Text text, std::uint32_t slot) {
        entries_.push_back({text, hash_, slot});
        const auto index = static_cast<std::uint32_t>(entries_.size() - 1);
        remember_address(text, index);
        if (entries_.size() * 2 > table_.size()) {
            table_.assign(std::bit_ceil(entries_.size() * 4 + 32), 0);
            for (std::uint32_t i = 0; i <= index; ++i) {
                enter(i);
            }
        } else {
            enter(index);
        }
    }

private:
    struct Entry {
        Text text;
        std::uint64_t hash;
        std::uint32_t slot;
    };

    bool is(std::uint32_t index, Text text) const {
        const Text& known = entries_[index].text;
        return known.kind == text.kind && known.view.size() == text.view.size() &&
               (known.view.data() == text.view.data() || known.view == text.view);
    }
    void enter(std::uint32_t index) {
        const std::size_t mask = table_.size() - 1;
        std::size_t at = entries_[index].hash & mask;
        while (table_[at] != 0) {
            at = (at + 1) & mask;
        }
        table_[at] = index + 1;
    }
    void remember_address(Text text, std::uint32_t index) {
        if (text.view.size() >= kLongTextBytes) {
            by_address_[text.view.data()] = index;
        }
    }

    std::vector<Entry> entries_;
    std::vector<std::uint32_t> table_;  // index + 1, or 0
    std::unordered_map<const char*, std::uint32_t> by_address_;
    std::uint64_t hash_ = 0;  // of the text that was looked for last
};

class Writer {
public:
    explicit Writer(const Value& value) : shared_(value) {
        texts_max_ = limits::kPickleMemoMax - std::min(limits::kPickleMemoMax, shared_.size());
        out_.reserve(512 + std::min(shared_.long_bytes(), kReserveBytesMax));
        put(Opcode::Proto);
        out_ += '\x04';
        framing_ = true;
        save(value);
        put(Opcode::Stop);
        close_frame();
    }

    Bytes take() && { return Bytes(std::move(out_)); }

private:
    // --- bytes and frames --------------------------------------------------------------------

    void put(Opcode opcode) {
        open_frame();
        out_ += static_cast<char>(opcode);
    }

    template <typename Number>
    void put_number(Number number) {
        std::array<char, sizeof(Number)> bytes{};
        for (std::size_t i = 0; i < sizeof(Number); ++i) {
            bytes[i] = static_cast<char>(static_cast<std::uint64_t>(number) >> (8 * i) & 0xffU);
        }
        out_.append(bytes.data(), bytes.size());
    }

    void open_frame() {
        if (frame_ == kNoFrame && framing_) {
            frame_ = out_.size();
            out_.append(kFrameHeaderBytes, '\0');
        }
    }

    void close_frame() {
        if (frame_ == kNoFrame) {
            return;
        }
        const std::size_t size = out_.size() - frame_ - kFrameHeaderBytes;
        if (size < kFrameBytesMin) {
            out_.erase(frame_, kFrameHeaderBytes);
        } else {
            out_[frame_] = static_cast<char>(Opcode::Frame);
            for (std::size_t i = 0; i < 8; ++i) {
                out_[frame_ + 1 + i] = static_cast<char>(size >> (8 * i) & 0xffU);
            }
        }
        frame_ = kNoFrame;
    }

    // A value is complete.
    void end_value() {
        if (frame_ != kNoFrame && out_.size() - frame_ - kFrameHeaderBytes >= kFrameBytes) {
            close_frame();
        }
    }

    // Opcode, length and text; a big one stands outside of the frames.
    void put_text(Opcode one, Opcode four, Opcode eight, std::string_view text) {
        const bool is_big = text.size() >= kFrameBytes;
        if (is_big) {
            close_frame();
            framing_ = false;
        }
        if (text.size() <= 0xff) {
            put(one);
            put_number(static_cast<std::uint8_t>(text.size()));
        } else if (text.size() <= 0xffffffffU) {
            put(four);
            put_number(static_cast<std::uint32_t>(text.size()));
        } else {
            put(eight);
            put_number(static_cast<std::uint64_t>(text.size()));
        }
        out_ += text;
        framing_ = true;
    }
    void put_str(std::string_view text) {
        put_text(Opcode::ShortBinUnicode, Opcode::BinUnicode, Opcode::BinUnicode8, text);
    }
    void put_bytes(std::string_view bytes) {
        put_text(Opcode::ShortBinBytes, Opcode::BinBytes, Opcode::BinBytes8, bytes);
    }

    // --- memo --------------------------------------------------------------------------------

    std::uint32_t memoize() {
        put(Opcode::Memoize);
        return slots_++;
    }
    void get(std::uint32_t slot) {
        if (slot <= 0xff) {
            put(Opcode::BinGet);
            put_number(static_cast<std::uint8_t>(slot));
        } else {
            put(Opcode::LongBinGet);
            put_number(slot);
        }
    }

    // True if `container` was written before, and is now referred to.
    bool is_known(const void* container) {
        const auto* entry = shared_.find(container);
        if (entry == nullptr || entry->slot == kNoSlot) {
            return false;
        }
        get(entry->slot);
        return true;
    }
    // Right after the opcode that makes it.
    void memoize_shared(const void* container) {
        if (auto* entry = shared_.find(container)) {
            entry->slot = memoize();
        }
    }

    // --- values ------------------------------------------------------------------------------

    void save(const Value& value) {
        std::visit([this](const auto& held) { save_held(held); }, value.storage());
        end_value();
    }

    void save_held(None) { put(Opcode::None); }
    void save_held(bool truth) { put(truth ? Opcode::NewTrue : Opcode::NewFalse); }
    void save_held(double number) {
        put(Opcode::BinFloat);
        const auto bits = std::bit_cast<std::uint64_t>(number);
        for (int shift = 56; shift >= 0; shift -= 8) {
            out_ += static_cast<char>(bits >> shift & 0xffU);
        }
    }
    void save_held(std::int64_t number) {
        if (number >= 0 && number <= 0xff) {
            put(Opcode::BinInt1);
            put_number(static_cast<std::uint8_t>(number));
        } else if (number >= 0 && number <= 0xffff) {
            put(Opcode::BinInt2);
            put_number(static_cast<std::uint16_t>(number));
        } else if (number >= INT32_MIN && number <= INT32_MAX) {
            put(Opcode::BinInt);
            put_number(static_cast<std::int32_t>(number));
        } else {
            std::array<char, 8> bytes{};
            for (std::size_t i = 0; i < 8; ++i) {
                bytes[i] = static_cast<char>(static_cast<std::uint64_t>(number) >> (8 * i) & 0xffU);
            }
            put_long(pickle::shortest_int({bytes.data(), bytes.size()}));
        }
    }
    void save_held(const BigIntRef& number) { put_long(number->bytes); }
    void put_long(std::string_view bytes) {
        if (bytes.size() <= 0xff) {
            put(Opcode::Long1);
            put_number(static_cast<std::uint8_t>(bytes.size()));
        } else {
            put(Opcode::Long4);
            put_number(static_cast<std::uint32_t>(bytes.size()));
        }
        out_ += bytes;
    }

    void save_held(const StrRef& text) { save_str(*text); }
    void save_str(std::string_view text) {
        if (!is_text_known({text, Opcode::BinUnicode})) {
            put_str(text);
            memoize_text({text, Opcode::BinUnicode});
        }
    }
    void save_held(const BytesRef& bytes) {
        const TextSlots::Text text{bytes->view(), Opcode::BinBytes};
        if (!is_text_known(text)) {
            put_bytes(text.view);
            memoize_text(text);
        }
    }
    bool is_text_known(TextSlots::Text text) {
        if (text.view.empty()) {
            return false;
        }
        const std::uint32_t slot = texts_.find(text);
        if (slot == kNoSlot) {
            return false;
        }
        get(slot);
        return true;
    }
    void memoize_text(TextSlots::Text text) {
        if (!text.view.empty() && texts_count_ < texts_max_) {
            ++texts_count_;
            texts_.add(text, memoize());
        }
    }

    // The bytes in it are not memoized: the reader counts what it copies.
    void save_held(const ByteArrayRef& array) {
        if (is_known(array.get())) {
            return;
        }
        put_class("builtins", "bytearray");
        if (array->bytes.empty()) {
            put(Opcode::EmptyTuple);
        } else {
            put_bytes(array->bytes);
            put(Opcode::Tuple1);
        }
        put(Opcode::Reduce);
        memoize_shared(array.get());
    }

    void save_held(const ListRef& list) {
        if (is_known(list.get())) {
            return;
        }
        put(Opcode::EmptyList);
        memoize_shared(list.get());
        above_.push_back(list.get());
        save_items(list->items);
        above_.pop_back();
    }
    void save_items(const std::vector<Value>& items) {
        if (items.size() == 1) {
            save(items.front());
            put(Opcode::Append);
            return;
        }
        for (std::size_t begin = 0; begin < items.size(); begin += kBatch) {
            put(Opcode::Mark);
            for (std::size_t i = begin; i < std::min(begin + kBatch, items.size()); ++i) {
                save(items[i]);
            }
            put(Opcode::Appends);
        }
    }

    void save_held(const TupleRef& tuple) {
        const std::vector<Value>& items = tuple->items;
        constexpr std::array kShort = {Opcode::EmptyTuple, Opcode::Tuple1, Opcode::Tuple2,
                                       Opcode::Tuple3};
        if (items.size() >= kShort.size()) {
            put(Opcode::Mark);
        }
        for (const Value& item : items) {
            save(item);
        }
        put(items.size() < kShort.size() ? kShort[items.size()] : Opcode::Tuple);
    }

    void save_held(const DictRef& dict) {
        if (is_known(dict.get())) {
            return;
        }
        put(Opcode::EmptyDict);
        memoize_shared(dict.get());
        above_.push_back(dict.get());
        save_entries(dict->entries());
        above_.pop_back();
    }
    void save_entries(const std::vector<Dict::Entry>& entries) {
        if (entries.size() == 1) {
            save(entries.front().key);
            save(entries.front().value);
            put(Opcode::SetItem);
            return;
        }
        for (std::size_t begin = 0; begin < entries.size(); begin += kBatch) {
            put(Opcode::Mark);
            for (std::size_t i = begin; i < std::min(begin + kBatch, entries.size()); ++i) {
                save(entries[i].key);
                save(entries[i].value);
            }
            put(Opcode::SetItems);
        }
    }

    void save_held(const SetRef& set) {
        if (is_known(set.get())) {
            return;
        }
        put(Opcode::EmptySet);
        memoize_shared(set.get());
        const std::vector<Value>& items = set->items();
        for (std::size_t begin = 0; begin < items.size(); begin += kBatch) {
            put(Opcode::Mark);
            for (std::size_t i = begin; i < std::min(begin + kBatch, items.size()); ++i) {
                save(items[i]);
            }
            put(Opcode::AddItems);
        }
    }

    void save_held(const FrozenSetRef& set) {
        put(Opcode::Mark);
        for (const Value& item : set->items()) {
            save(item);
        }
        put(Opcode::FrozenSet);
    }

    void save_held(const ClassPtr& cls) { put_class(cls->module, cls->name); }
    void put_class(std::string_view module, std::string_view name) {
        if (module == "builtins" && name == "NoneType") {
            save_str(pickle::kNoneTypeId);
            put(Opcode::BinPersId);
            return;
        }
        save_str(module);
        save_str(name);
        put(Opcode::StackGlobal);
    }

    void save_held(const ObjectRef& object) {
        if (is_known(object.get())) {
            return;
        }
        put_class(object->cls->module, object->cls->name);
        if (object->call == Object::Call::NewWithNames) {
            save(object->args.as_tuple()->items[0]);
            save(object->args.as_tuple()->items[1]);
            put(Opcode::NewObjEx);
        } else {
            save(object->args);
            put(object->call == Object::Call::New ? Opcode::NewObj : Opcode::Reduce);
        }
        memoize_shared(object.get());
        above_.push_back(object.get());
        if (object->opaque) {
            const std::vector<Value>& inside = object->state.as_tuple()->items;
            save_items(inside[0].as_list()->items);
            save_keys(inside[1].as_list()->items);
            save_state(inside[2]);
        } else {
            save_state(object->state);
        }
        above_.pop_back();
    }
    void save_held(BackReference reference) {
        const bool known = is_known(container_above(above_, reference));
        VERIFY(known);
    }
    // Keys and values in turn.
    void save_keys(const std::vector<Value>& items) {
        for (std::size_t begin = 0; begin < items.size(); begin += 2 * kBatch) {
            put(Opcode::Mark);
            for (std::size_t i = begin; i < std::min(begin + 2 * kBatch, items.size()); ++i) {
                save(items[i]);
            }
            put(Opcode::SetItems);
        }
    }
    void save_state(const Value& state) {
        if (!state.is_none()) {
            save(state);
            put(Opcode::Build);
        }
    }

    static constexpr std::size_t kNoFrame = static_cast<std::size_t>(-1);

    SharedContainers shared_;
    std::vector<const void*> above_;  // what the value that is saved stands in
    TextSlots texts_;
    std::size_t texts_max_ = 0;
    std::size_t texts_count_ = 0;
    std::uint32_t slots_ = 0;
    std::string out_;
    std::size_t frame_ = kNoFrame;  // where its header stands
    bool framing_ = false;
};

}  // namespace

Bytes write_pickle(const Value& value) {
    return Writer(value).take();
}

}  // namespace common
