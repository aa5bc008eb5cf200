#pragma once
// Python's `type(value)` and `str(value)`, as far as a delta asks for them: a change of type whose
// new value the sender left out, because calling the new type on the old value gives it.

#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"
#include "common/value.h"

namespace common {

// `type(value)`; nothing where Python raises. Unsupported: what we cannot compute exactly, as a
// list of a set, whose order is Python's own affair.
Result<std::optional<Value>> convert_value(const ClassRef& type, const Value& value);

// `str(value)`.
Result<std::string> python_str(const Value& value);

// An int of any size from digits in base 2, 8, 10 or 16 without prefix, sign or underscores.
Value integer_from_digits(std::string_view digits, unsigned base, bool negative);

// A float as Python reads it, from ASCII digits, dot and exponent in Python's grammar.
double real_from_text(std::string_view text);

}  // namespace common
