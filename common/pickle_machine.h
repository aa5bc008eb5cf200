#pragma once
// The pickle machine: a loop and a stack over a closed list of opcodes.
//
// One machine serves the reader and the checker. It decides everything by what it keeps itself
// (`Shadow` of each value, `Box` of each container); a `Policy` is told what was decided and makes
// values of it, or nothing. So what one accepts the other accepts. What the policy makes it keeps,
// and gives a number for it; stack and memo are plain bytes.
//
// Where Python's unpicklers are lenient, or differ from one another, this one refuses:
// - PROTO comes first, once; nothing follows STOP; STOP leaves nothing on the stack;
// - an opcode and its argument lie inside one frame, frames do not nest;
// - a memo slot is set once, in order, as every pickler sets them;
// - no text opcodes of protocol 0, no DUP, no extension codes, no out-of-band buffers;
// - a container does not grow any more once it stands in another one. So size and depth of the
//   expanded tree are known from the bottom up, and no cycle can be.
//
// Only recursive values need the last, and POP. A machine that meets one says so and stops; the
// pickle is then run again by one for recursive values, which lets both pass. There the boxes know
// only what cannot change any more, and the policy's result is measured as a whole instead.
//
// Work is bounded too: a shared list that is made a set a million times, or a shared text of a
// megabyte that is hashed a million times, costs few bytes of pickle and much time.

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/extent.h"
#include "common/limits.h"
#include "common/pickle.h"
#include "common/pickle_classes.h"
#include "common/pickle_opcodes.h"
#include "common/result.h"

namespace common::pickle {

// Bytes of keys that may be hashed for one pickle: a second of work at most.
inline constexpr std::uint64_t kHashedBytesMax = limits::operator""_GiB(1);
// Nested MARKs: one for each open container, and one for the arguments of an object in it.
inline constexpr std::size_t kMarksMax = 2 * limits::kPickleDepthMax + 2;

// What a machine works on. One machine after the other may use the same, so that a small pickle
// costs no allocations for it.
struct Scratch {
    std::vector<Shadow> stack;
    std::vector<std::uint32_t> marks;
    std::vector<Shadow> memo;
    std::vector<Box> boxes;

    void clear() {
        stack.clear();
        marks.clear();
        memo.clear();
        boxes.clear();
    }
};

template <typename Policy>
class Machine {
public:
    using Items = std::span<const Shadow>;

    Machine(std::string_view pickle, PickleUse use, Policy& policy, Scratch& scratch,
            bool recursive = false)
        : pickle_(pickle),
          use_(use),
          recursive_(recursive),
          policy_(policy),
          stack_(scratch.stack),
          marks_(scratch.marks),
          memo_(scratch.memo),
          boxes_(scratch.boxes) {
        scratch.clear();
    }

    Result<typename Policy::Result> run() {
        if (pickle_.size() > std::numeric_limits<std::uint32_t>::max()) {
            return fail(ErrorKind::Limit, "pickle: larger than 4 GiB");
        }
        if (pickle_.size() < 2 || opcode_at(0) != Opcode::Proto) {
            return bad_input("pickle: does not begin with a protocol of 2 or later");
        }
        protocol_ = static_cast<unsigned char>(pickle_[1]);
        if (protocol_ < 2 || protocol_ > 5) {
            return bad_input("pickle: unknown protocol " + std::to_string(protocol_));
        }
        at_ = 2;
        limit_ = pickle_.size();
        boxes_.push_back(Box{});  // of every empty tuple
        while (step()) {
        }
        if (error_) {
            return tl::unexpected<Error>(std::move(*error_));
        }
        return policy_.result(stack_.front());
    }

    // After an error: the value is recursive, and this is no machine for those.
    bool met_recursion() const { return met_recursion_; }

private:
    // True: go on. False: the end, or `error_` is set.
    bool step() {
        if (at_ == limit_) {
            if (at_ == pickle_.size()) {
                return refuse("ends before STOP");
            }
            limit_ = pickle_.size();  // the end of a frame
            in_frame_ = false;
        }
        begin_ = at_;
        const Opcode opcode = opcode_at(at_++);
        switch (opcode) {
            case Opcode::Stop:
                return stop();
            case Opcode::Frame:
                return frame();
            case Opcode::Mark:
                if (marks_.size() >= kMarksMax) {
                    return refuse_limit("too deep");
                }
                marks_.push_back(static_cast<std::uint32_t>(stack_.size()));
                return true;

            case Opcode::None:
                return push(Shadow{});
            case Opcode::NewTrue:
                return push(number_shadow(Kind::Bool, 1));
            case Opcode::NewFalse:
                return push(number_shadow(Kind::Bool, 0));
            case Opcode::BinInt:
                return has(4) && push_int(static_cast<std::int32_t>(number(4)));
            case Opcode::BinInt1:
                return has(1) && push_int(static_cast<std::int64_t>(number(1)));
            case Opcode::BinInt2:
                return has(2) && push_int(static_cast<std::int64_t>(number(2)));
            case Opcode::Long1:
                return has(1) && push_long(number(1));
            case Opcode::Long4:
                return has(4) && push_long(number(4));
            case Opcode::BinFloat:
                return has(8) && push(number_shadow(Kind::Float, big_endian()));

            case Opcode::ShortBinUnicode:
                return has(1) && push_str(number(1));
            case Opcode::BinUnicode:
                return has(4) && push_str(number(4));
            case Opcode::BinUnicode8:
                return has(8) && push_str(number(8));
            case Opcode::ShortBinBytes:
                return has(1) && push_bytes(number(1));
            case Opcode::BinBytes:
                return has(4) && push_bytes(number(4));
            case Opcode::BinBytes8:
                return has(8) && push_bytes(number(8));
            case Opcode::ByteArray8:
                return has(8) && push_byte_array(number(8));

            case Opcode::EmptyList:
                return push_box(Kind::List, policy_.new_list());
            case Opcode::EmptyDict:
                return push_box(Kind::Dict, policy_.new_dict());
            case Opcode::EmptySet:
                return push_box(Kind::Set, policy_.new_set());
            case Opcode::EmptyTuple:
                return push_empty_tuple();
            case Opcode::Append:
                return needs(2) && append(stack_.size() - 1);
            case Opcode::Appends:
                return pop_mark() && needs_below() && append(mark_);
            case Opcode::SetItem:
                return needs(3) && set_items(stack_.size() - 2);
            case Opcode::SetItems:
                return pop_mark() && needs_below() && set_items(mark_);
            case Opcode::AddItems:
                return pop_mark() && needs_below() && add_items(mark_);
            case Opcode::FrozenSet:
                return pop_mark() && frozen_set(mark_);
            case Opcode::Tuple:
                return pop_mark() && tuple(mark_);
            case Opcode::Tuple1:
                return needs(1) && tuple(stack_.size() - 1);
            case Opcode::Tuple2:
                return needs(2) && tuple(stack_.size() - 2);
            case Opcode::Tuple3:
                return needs(3) && tuple(stack_.size() - 3);

            case Opcode::Memoize:
                return memoize(memo_.size());
            case Opcode::BinPut:
                return has(1) && memoize(number(1));
            case Opcode::LongBinPut:
                return has(4) && memoize(number(4));
            case Opcode::BinGet:
                return has(1) && get(number(1));
            case Opcode::LongBinGet:
                return has(4) && get(number(4));

            case Opcode::Global:
                return global();
            case Opcode::StackGlobal:
                return needs(2) && stack_global();
            case Opcode::BinPersId:
                return needs(1) && persistent_id();
            case Opcode::Reduce:
                return needs(2) && reduce();
            case Opcode::NewObj:
                return needs(2) && new_object();
            case Opcode::NewObjEx:
                return needs(3) && new_object_with_names();
            case Opcode::Build:
                return needs(2) && build();

            case Opcode::Pop:
                return recursive_ ? needs(1) && drop(stack_.size() - 1) : refuse_opcode(opcode);
            case Opcode::PopMark:
                return recursive_ ? pop_mark() && drop(mark_) : refuse_opcode(opcode);

            case Opcode::Proto:
                return refuse("a second PROTO");
        }
        return refuse_opcode(opcode);
    }
    bool refuse_opcode(Opcode opcode) {
        return refuse("opcode " + std::to_string(static_cast<unsigned>(opcode)) +
                      " is not one that we read");
    }

    // --- bytes -------------------------------------------------------------------------------

    Opcode opcode_at(std::size_t at) const { return static_cast<Opcode>(pickle_[at]); }

    bool has(std::uint64_t size) {
        return size <= limit_ - at_ ||
               refuse(in_frame_ ? "runs over the end of its frame" : "is cut off");
    }

    // The next 1, 2, 4 or 8 bytes, little endian; they are there.
    std::uint64_t number(std::size_t size) {
        std::uint64_t result = 0;
        for (std::size_t i = size; i > 0; --i) {
            result = result << 8 | static_cast<unsigned char>(pickle_[at_ + i - 1]);
        }
        at_ += size;
        return result;
    }

    std::uint64_t big_endian() {
        std::uint64_t bits = 0;
        for (std::size_t i = 0; i < 8; ++i) {
            bits = bits << 8 | static_cast<unsigned char>(pickle_[at_ + i]);
        }
        at_ += 8;
        return bits;
    }

    std::string_view take(std::uint64_t size) {
        const std::string_view result = pickle_.substr(at_, static_cast<std::size_t>(size));
        at_ += static_cast<std::size_t>(size);
        return result;
    }

    bool frame() {
        if (in_frame_) {
            return refuse("a frame inside a frame");
        }
        if (!has(8)) {
            return false;
        }
        const std::uint64_t size = number(8);
        if (!has(size)) {
            return false;
        }
        limit_ = at_ + static_cast<std::size_t>(size);
        in_frame_ = true;
        return true;
    }

    bool stop() {
        if (at_ != pickle_.size()) {
            return refuse("bytes after STOP");
        }
        if (stack_.size() != 1 || !marks_.empty()) {
            return refuse("STOP with a stack that does not hold one value");
        }
        (void)may_stand(stack_.front());
        return false;
    }

    bool refuse(std::string what, ErrorKind kind = ErrorKind::BadInput) {
        error_ =
            Error{kind, "pickle: " + std::move(what) + " (byte " + std::to_string(begin_) + ")"};
        return false;
    }
    bool refuse_limit(std::string what) { return refuse(std::move(what), ErrorKind::Limit); }

    bool may_be_recursive() {
        if (recursive_) {
            return true;
        }
        met_recursion_ = true;
        return refuse("recursive value");
    }

    // --- stack -------------------------------------------------------------------------------

    std::size_t fence() const { return marks_.empty() ? 0 : marks_.back(); }

    bool needs(std::size_t count) {
        return stack_.size() - fence() >= count || refuse("too few values on the stack");
    }

    bool pop_mark() {
        if (marks_.empty()) {
            return refuse("no MARK");
        }
        mark_ = marks_.back();
        marks_.pop_back();
        return true;
    }
    // The container of the items above the mark that was just popped.
    bool needs_below() { return mark_ > fence() || refuse("too few values on the stack"); }

    bool push(const Shadow& shadow) {
        if (stack_.size() >= limits::kPickleExpandedMax) {
            return refuse_limit("too many values");
        }
        stack_.push_back(shadow);
        return true;
    }

    bool push_box(Kind kind, std::uint32_t made, const Box& box = {}) {
        if (boxes_.size() >= limits::kPickleExpandedMax) {
            return refuse_limit("too many values");
        }
        Shadow shadow;
        shadow.kind = kind;
        shadow.hashable = is_hashable_kind(kind) && box.items_hashable;
        shadow.aux = static_cast<std::uint32_t>(boxes_.size());
        shadow.made = made;
        boxes_.push_back(box);
        return push(shadow);
    }

    bool push_empty_tuple() {
        Shadow shadow;
        shadow.kind = Kind::Tuple;
        shadow.made = policy_.tuple({}, boxes_);
        return push(shadow);
    }

    Items from(std::size_t first) const { return Items(stack_).subspan(first); }
    bool drop(std::size_t first) {
        stack_.erase(stack_.begin() + static_cast<std::ptrdiff_t>(first), stack_.end());
        return true;
    }

    // --- leaves ------------------------------------------------------------------------------

    bool push_int(std::int64_t value) {
        return push(number_shadow(Kind::Int, static_cast<std::uint64_t>(value)));
    }

    bool push_long(std::uint64_t size) {
        if (size > limits::kPickleIntBytesMax) {
            return refuse_limit("an int of too many digits");
        }
        if (!has(size)) {
            return false;
        }
        const std::string_view bytes = shortest_int(take(size));
        return bytes.size() <= 8 ? push_int(small_int(bytes))
                                 : push(text_shadow(Kind::BigInt, bytes));
    }

    bool push_str(std::uint64_t size) {
        if (!has(size)) {
            return false;
        }
        const std::string_view text = take(size);
        return is_python_utf8(text) ? push(text_shadow(Kind::Str, text))
                                    : refuse("a str that is not UTF-8");
    }

    bool push_bytes(std::uint64_t size) {
        return has(size) && push(text_shadow(Kind::Bytes, take(size)));
    }

    // Each time it is got from the memo it must be the same object, so it is made at once.
    bool push_byte_array(std::uint64_t size) {
        if (use_ == PickleUse::Delta) {
            return refuse("a bytearray, which deepdiff does not read back");
        }
        return has(size) && push_made(Kind::ByteArray, policy_.new_byte_array(take(size)));
    }
    bool push_made(Kind kind, std::uint32_t made) {
        Shadow shadow = text_shadow(kind, {});
        shadow.made = made;
        return push(shadow);
    }

    // --- containers --------------------------------------------------------------------------

    // Whether a value may be put into a container, or be the result.
    bool may_stand(const Shadow& item) {
        if (item.kind == Kind::Encode) {
            return refuse("the function _codecs.encode as a value");
        }
        if (item.kind == Kind::Object && boxes_[item.aux].unbuilt) {
            return refuse("an object without its state");
        }
        return true;
    }

    // Counts `items` into `box`, which is number `target`, or new if that is 0.
    bool count(Items items, Box& box, std::uint32_t target) {
        std::uint64_t weight = std::exchange(keys_weight_, 0);
        std::uint64_t text = box.text;
        for (const Shadow& item : items) {
            box.items_hashable = box.items_hashable && item.hashable;
            box.hard_keys += is_hard_key(item.kind) ? 1U : 0U;
            ++weight;
            if (item.kind <= kLastLeaf) {
                weight += item.kind == Kind::BigInt ? item.aux / 16 : 0;
                text += has_text(item.kind) ? item.aux : 0;
                continue;
            }
            if (!may_stand(item)) {
                return false;
            }
            if (!has_box(item.kind)) {
                continue;
            }
            Box& inner = boxes_[item.aux];
            if (item.aux == target && target != 0 && !may_be_recursive()) {
                return false;
            }
            inner.placed = true;
            if (recursive_ && inner.memoized && !item.hashable) {
                continue;  // it may grow still
            }
            weight += inner.weight;
            text += inner.text;
            box.depth =
                std::max<std::uint16_t>(box.depth, static_cast<std::uint16_t>(inner.depth + 1));
        }
        if (!add_weight(box, weight)) {
            return false;
        }
        if (box.depth > limits::kPickleDepthMax) {
            return refuse_limit("too deep");
        }
        box.text = static_cast<std::uint32_t>(
            std::min<std::uint64_t>(text, std::numeric_limits<std::uint32_t>::max()));
        return true;
    }

    bool add_weight(Box& box, std::uint64_t weight) {
        if (weight > limits::kPickleExpandedMax - box.weight) {
            return refuse_limit("too many values when what is shared is counted each time");
        }
        box.weight += static_cast<std::uint32_t>(weight);
        return true;
    }

    // The box of the container below `first`, which is to take what stands from there on.
    bool grow(std::size_t first, Kind kind, const char* what) {
        const Shadow& target = stack_[first - 1];
        if (target.kind != kind) {
            return refuse(what);
        }
        // By value and back: `count` marks other boxes.
        Box box = boxes_[target.aux];
        if (box.placed && !may_be_recursive()) {
            return false;
        }
        if (!count(from(first), box, target.aux)) {
            return false;
        }
        boxes_[target.aux] = box;
        return true;
    }

    // An object of an allowed class takes `what` now, and nothing that comes before it any more.
    bool grow_opaque(std::size_t first, Box::Opaque what) {
        Box& box = boxes_[stack_[first - 1].aux];
        if (box.opaque == Box::Opaque::No || box.opaque > what) {
            return refuse("something put into an object as no pickler does it");
        }
        box.opaque = what;
        return grow(first, Kind::Object, "");
    }

    bool append(std::size_t first) {
        if (stack_[first - 1].kind == Kind::Object) {
            if (!grow_opaque(first, Box::Opaque::Items)) {
                return false;
            }
            policy_.object_items(stack_[first - 1], from(first), boxes_);
            drop(first);
            return true;
        }
        if (!grow(first, Kind::List, "items for what is not a list")) {
            return false;
        }
        policy_.append(stack_[first - 1], from(first), boxes_);
        drop(first);
        return true;
    }

    static bool is_hard_key(Kind kind) {
        return kind == Kind::BigInt || kind == Kind::Tuple || kind == Kind::FrozenSet;
    }

    // What `count` takes up next has this key.
    bool is_key(const Shadow& key) {
        if (!key.hashable) {
            return refuse("a key or an item of a set that cannot be hashed");
        }
        keys_weight_ += is_hard_key(key.kind) ? kHardKeyWeight : 0;
        hashed_bytes_ += has_text(key.kind)  ? key.aux
                         : has_box(key.kind) ? boxes_[key.aux].text
                                             : 0;
        return hashed_bytes_ <= kHashedBytesMax || refuse_limit("too long keys");
    }

    bool set_items(std::size_t first) {
        const Items items = from(first);
        if (items.size() % 2 != 0) {
            return refuse("a key without a value");
        }
        for (std::size_t i = 0; i < items.size(); i += 2) {
            if (!is_key(items[i])) {
                return false;
            }
        }
        if (stack_[first - 1].kind == Kind::Object) {
            if (!grow_opaque(first, Box::Opaque::Keys)) {
                return false;
            }
            policy_.object_keys(stack_[first - 1], items, boxes_);
            drop(first);
            return true;
        }
        if (!grow(first, Kind::Dict, "keys for what is not a dict")) {
            return false;
        }
        policy_.set_items(stack_[first - 1], items, boxes_);
        drop(first);
        return true;
    }

    bool are_keys(Items items) {
        return std::all_of(items.begin(), items.end(),
                           [this](const Shadow& item) { return is_key(item); });
    }

    bool add_items(std::size_t first) {
        if (!are_keys(from(first)) || !grow(first, Kind::Set, "items for what is not a set")) {
            return false;
        }
        policy_.add_items(stack_[first - 1], from(first), boxes_);
        drop(first);
        return true;
    }

    bool frozen_set(std::size_t first) {
        Box box;
        if (!are_keys(from(first)) || !count(from(first), box, 0)) {
            return false;
        }
        const std::uint32_t made = policy_.frozen_set(from(first), boxes_);
        drop(first);
        return push_box(Kind::FrozenSet, made, box);
    }

    bool tuple(std::size_t first) {
        const Items items = from(first);
        if (items.empty()) {
            return push_empty_tuple();
        }
        Box box;
        if (!count(items, box, 0)) {
            return false;
        }
        box.size = static_cast<std::uint8_t>(std::min<std::size_t>(items.size(), 255));
        box.only_none = items.size() == 1 && items[0].kind == Kind::None;
        for (std::size_t i = 0; i < std::min(items.size(), arguments_.size()); ++i) {
            arguments_[i] = items[i];
        }
        const std::uint32_t made = policy_.tuple(items, boxes_);
        drop(first);
        if (!push_box(Kind::Tuple, made, box)) {
            return false;
        }
        arguments_box_ = stack_.back().aux;
        return true;
    }

    // --- memo --------------------------------------------------------------------------------

    bool memoize(std::uint64_t index) {
        if (!needs(1)) {
            return false;
        }
        if (index != memo_.size()) {
            return refuse("a memo slot out of order");
        }
        if (index >= limits::kPickleMemoMax) {
            return refuse_limit("too many memo slots");
        }
        const Shadow& top = stack_.back();
        if (has_box(top.kind)) {
            boxes_[top.aux].memoized = true;
        }
        memo_.push_back(top);
        return true;
    }

    bool get(std::uint64_t index) {
        if (index >= memo_.size()) {
            return refuse("a memo slot that was not set");
        }
        Shadow& known = memo_[static_cast<std::size_t>(index)];
        if (has_text(known.kind) && known.made == 0) {
            known.made = policy_.new_shared(known);  // from here on one text for all
        }
        return push(known);
    }

    // --- classes -----------------------------------------------------------------------------

    bool global() {
        const std::size_t module_end = pickle_.substr(0, limit_).find('\n', at_);
        const std::size_t name_end = module_end == std::string_view::npos
                                         ? module_end
                                         : pickle_.substr(0, limit_).find('\n', module_end + 1);
        if (name_end == std::string_view::npos) {
            return refuse("is cut off");
        }
        const std::string_view module = pickle_.substr(at_, module_end - at_);
        const std::string_view name = pickle_.substr(module_end + 1, name_end - module_end - 1);
        at_ = name_end + 1;
        return push_class(module, name);
    }

    bool stack_global() {
        const Shadow module = stack_[stack_.size() - 2];
        const Shadow name = stack_.back();
        if (module.kind != Kind::Str || name.kind != Kind::Str) {
            return refuse("a class named by what is not a str");
        }
        drop(stack_.size() - 2);
        return push_class(text_of(module), text_of(name));
    }

    bool push_class(std::string_view module, std::string_view name) {
        if (const auto index = find_class(module, name, protocol_, use_)) {
            Shadow shadow;
            shadow.kind = Kind::Class;
            shadow.aux = *index;
            return push(shadow);
        }
        if (module == "_codecs" && name == "encode" && use_ != PickleUse::Delta) {
            Shadow shadow;
            shadow.kind = Kind::Encode;
            shadow.hashable = false;
            return push(shadow);
        }
        if (is_allowed_class(module, name, use_)) {
            Shadow shadow;
            shadow.kind = Kind::Class;
            shadow.aux = kAllowedClass;
            shadow.made = policy_.allowed_class(module, name);
            return push(shadow);
        }
        const bool of_deepdiff = use_ == PickleUse::Delta && module.starts_with("deepdiff.");
        return refuse(
            "the class " + printable(module) + "." + printable(name) + " is not allowed (" +
                (of_deepdiff ? "the client has not deepdiff 8.1.1, which reads and writes none"
                             : "the setting CLASSES names more") +
                ")",
            ErrorKind::Unsupported);
    }

    bool persistent_id() {
        const Shadow id = stack_.back();
        if (id.kind != Kind::Str || text_of(id) != kNoneTypeId) {
            return refuse("an unknown persistent id");
        }
        if (use_ == PickleUse::Plain || use_ == PickleUse::NodeData) {
            return refuse("a persistent id outside of a delta");
        }
        drop(stack_.size() - 1);
        Shadow shadow;
        shadow.kind = Kind::Class;
        shadow.aux = kNoneType;
        return push(shadow);
    }

    // Whether the tuple on top was written in place as arguments, with `size` items: then
    // `arguments_` holds what the first of them are. A pickler never takes them from the memo.
    bool has_arguments(std::size_t size) const {
        const Shadow& top = stack_.back();
        return top.kind == Kind::Tuple && boxes_[top.aux].size == size &&
               (size == 0 || top.aux == arguments_box_);
    }

    // Replaces callable and arguments by what the call gives.
    bool called(Kind kind, std::uint32_t size, std::uint32_t made) {
        drop(stack_.size() - 2);
        Shadow shadow = text_shadow(kind, {});
        shadow.aux = size;  // its text does not stand in the pickle
        shadow.made = made;
        return push(shadow);
    }

    // Copies are made of bytes that stand in the pickle: at most one by encode, one by bytearray.
    bool may_copy(std::size_t size) {
        copied_bytes_ += size;
        return copied_bytes_ <= 2 * pickle_.size() || refuse_limit("too many copied bytes");
    }

    bool reduce() {
        const Shadow callable = stack_[stack_.size() - 2];
        if (callable.kind == Kind::Encode && has_arguments(2) && arguments_[0].kind == Kind::Str &&
            arguments_[1].kind == Kind::Str && text_of(arguments_[1]) == "latin1") {
            return reduce_encode(text_of(arguments_[0]));
        }
        if (callable.kind != Kind::Class) {
            return refuse("a call of what is not a class");
        }
        if (callable.aux == kAllowedClass) {
            return opaque_object(2, Object::Call::Reduce);
        }
        if (callable.aux == kBytes && has_arguments(0)) {
            return called(Kind::Bytes, 0, policy_.new_bytes({}));
        }
        if (callable.aux == kByteArray && has_arguments(0)) {
            return called(Kind::ByteArray, 0, policy_.new_byte_array({}));
        }
        if (callable.aux == kByteArray && has_arguments(1) && arguments_[0].kind == Kind::Bytes) {
            return may_copy(arguments_[0].aux) &&
                   called(Kind::ByteArray, 0, policy_.byte_array_of(arguments_[0]));
        }
        if ((callable.aux == kSet || callable.aux == kFrozenSet) && has_arguments(1) &&
            arguments_[0].kind == Kind::List) {
            return reduce_set(callable.aux == kSet ? Kind::Set : Kind::FrozenSet);
        }
        return refuse("a call of " + std::string(kClasses[callable.aux].name) +
                      " as no pickler writes it");
    }

    bool reduce_encode(std::string_view text) {
        if (!may_copy(text.size())) {
            return false;
        }
        const auto bytes = latin1(text);
        if (!bytes) {
            return refuse("text that is not Latin-1 as bytes");
        }
        return called(Kind::Bytes, static_cast<std::uint32_t>(bytes->size()),
                      policy_.new_bytes(*bytes));
    }

    bool reduce_set(Kind kind) {
        const Box list = boxes_[arguments_[0].aux];
        if (!list.items_hashable) {
            return refuse("a key or an item of a set that cannot be hashed");
        }
        hashed_bytes_ += list.text;
        copied_values_ += list.weight;
        if (hashed_bytes_ > kHashedBytesMax || copied_values_ > limits::kPickleExpandedMax) {
            return refuse_limit("too many copied values");
        }
        const std::uint32_t made = policy_.set_of_list(kind, stack_.back());
        Box box;
        box.weight = list.weight;
        box.text = list.text;
        box.depth = list.depth;
        if (!add_weight(box, kHardKeyWeight * list.hard_keys)) {
            return false;
        }
        drop(stack_.size() - 2);
        return push_box(kind, made, box);
    }

    bool new_object() {
        const Shadow cls = stack_[stack_.size() - 2];
        if (cls.kind != Kind::Class) {
            return refuse("an object of what is not a class");
        }
        if (cls.aux == kAllowedClass) {
            return opaque_object(2, Object::Call::New);
        }
        const bool is_set = cls.aux == kSetOrdered && has_arguments(0);
        const bool is_opcode = cls.aux == kOpcode && has_arguments(7);
        if (!is_set && !is_opcode) {
            return refuse("a call of " + std::string(kClasses[cls.aux].name) +
                          " as no pickler writes it");
        }
        Box box;
        if (!count(from(stack_.size() - 1), box, 0)) {
            return false;
        }
        box.unbuilt = is_set;
        const std::uint32_t made = policy_.object(cls, stack_.back(), boxes_);
        drop(stack_.size() - 2);
        return push_box(Kind::Object, made, box);
    }

    bool new_object_with_names() {
        const Shadow cls = stack_[stack_.size() - 3];
        if (cls.kind != Kind::Class || cls.aux != kAllowedClass ||
            stack_.back().kind != Kind::Dict) {
            return refuse("an object made with names of arguments, of what is no allowed class");
        }
        return opaque_object(3, Object::Call::NewWithNames);
    }

    // Replaces an allowed class and what it is called with by an object.
    bool opaque_object(std::size_t size, Object::Call call) {
        const std::size_t first = stack_.size() - size;
        if (stack_[first + 1].kind != Kind::Tuple) {
            return refuse("an object with arguments that are not a tuple");
        }
        Box box;
        if (!count(from(first + 1), box, 0)) {
            return false;
        }
        box.opaque = Box::Opaque::Items;
        const std::uint32_t made = policy_.opaque_object(from(first), call, boxes_);
        drop(first);
        return push_box(Kind::Object, made, box);
    }

    bool build_opaque() {
        const std::size_t first = stack_.size() - 1;
        if (stack_.back().kind == Kind::None || !grow_opaque(first, Box::Opaque::State)) {
            return error_ ? false : refuse("a state that is None");
        }
        boxes_[stack_[first - 1].aux].opaque = Box::Opaque::Complete;
        policy_.object_state(stack_[first - 1], stack_.back(), boxes_);
        drop(first);
        return true;
    }

    // The only class of ours with a state is SetOrdered: a list of its items, or (None,) for none.
    bool build() {
        const Shadow object = stack_[stack_.size() - 2];
        const Shadow state = stack_.back();
        if (object.kind == Kind::Object && boxes_[object.aux].opaque != Box::Opaque::No) {
            return build_opaque();
        }
        if (object.kind != Kind::Object || !boxes_[object.aux].unbuilt) {
            return refuse("a state for what has none");
        }
        const bool is_list = state.kind == Kind::List && boxes_[state.aux].items_hashable &&
                             boxes_[state.aux].weight > 0;
        // The tuple is a constant in Python: that of a second object comes from the memo.
        const bool is_empty = state.kind == Kind::Tuple && boxes_[state.aux].only_none;
        if (!is_list && !is_empty) {
            return refuse("a state of SetOrdered as no pickler writes it");
        }
        if (!grow(stack_.size() - 1, Kind::Object, "a state for what has none")) {
            return false;
        }
        hashed_bytes_ += is_list ? boxes_[state.aux].text : 0;
        if (hashed_bytes_ > kHashedBytesMax) {
            return refuse_limit("too long keys");
        }
        if (is_list &&
            !add_weight(boxes_[object.aux], kHardKeyWeight * boxes_[state.aux].hard_keys)) {
            return false;
        }
        boxes_[object.aux].unbuilt = false;
        policy_.build(object, state, boxes_);
        drop(stack_.size() - 1);
        return true;
    }

    const std::string_view pickle_;
    const PickleUse use_;
    const bool recursive_;
    bool met_recursion_ = false;
    Policy& policy_;
    unsigned protocol_ = 0;
    std::size_t at_ = 0;
    std::size_t begin_ = 0;  // of the opcode under way
    std::size_t limit_ = 0;  // the end of the frame, or of the pickle
    bool in_frame_ = false;
    std::optional<Error> error_;

    std::vector<Shadow>& stack_;
    std::vector<std::uint32_t>& marks_;
    std::size_t mark_ = 0;  // the one popped last
    std::vector<Shadow>& memo_;
    std::vector<Box>& boxes_;

    std::uint32_t arguments_box_ = 0;    // of the last tuple that was made
    std::array<Shadow, 2> arguments_{};  // its first items
    std::uint64_t hashed_bytes_ = 0;
    std::uint64_t keys_weight_ = 0;  // of hard keys that are not counted yet
    std::uint64_t copied_bytes_ = 0;
    std::uint64_t copied_values_ = 0;
};

}  // namespace common::pickle
