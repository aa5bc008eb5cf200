#pragma once
// Value <-> pickle: the one gate through which every pickle from outside passes.
//
// Nothing is ever run. The machine knows a closed list of opcodes and a closed table of classes;
// a listed class may be called only with the argument shapes that Python's own pickler writes.
// What Python would read otherwise than we do is refused: trailing bytes after STOP, opcodes out
// of place, unknown protocols. Bounds (limits.h): depth, memo, digits, and size of the expanded
// tree, in which a shared value counts each time it is reached. A recursive value is read where its
// tree is one: each container that is inside itself is reached once, but for the references from
// what is in it (value.h: BackReference).
// No memory is taken on the word of a length: the bytes must be there.

#include "common/bytes.h"
#include "common/result.h"
#include "common/value.h"

namespace common {

// What will read it at the clients. deepdiff reads deltas with a table of its own: it knows the
// persistent id of NoneType, and it raises on a bytearray and on protocol 2's spellings. Only Plain
// must not be recursive.
enum class PickleUse { Any, Plain, Delta, NodeData };

// Reads protocols 0x02 to 0x05. Byte strings of 1 KiB and more share `pickle`'s memory.
Result<Value> read_pickle(const Bytes& pickle, PickleUse use = PickleUse::Any);

// The same decision as read_pickle, building nothing.
Result<void> check_pickle(const Bytes& pickle, PickleUse use = PickleUse::Any);

// Protocol 4, as Python's C pickler frames it. Deterministic: depends on the value and on the
// sharing of mutable containers only; read(write(v)) is identical to v, and
// write(read(write(v))) == write(v).
Bytes write_pickle(const Value& value);

}  // namespace common
