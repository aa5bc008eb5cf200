#include "common/delta_order.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "common/delta_convert.h"

namespace common {
namespace {

// CPython sorts a list of fewer items by runs and binary insertion alone; then come merges, which
// differ between its versions.
constexpr std::size_t kInsertionItemsMax = 63;

using Type = Value::Type;

bool is_numeric(const Value& value) {
    return value.is(Type::Bool) || value.is(Type::Int) || value.is(Type::Float) ||
           value.is(Type::BigInt);
}

// The 64 bits of long double's mantissa hold every int64 and every double.
static_assert(std::numeric_limits<long double>::digits >= 64);
long double as_long_double(const Value& value) {
    if (const auto flag = value.as_bool()) {
        return *flag ? 1 : 0;
    }
    if (const auto number = value.as_int()) {
        return static_cast<long double>(*number);
    }
    return *value.as_float();
}

bool is_negative(const BigInt& number) {
    return (number.bytes.back() & '\x80') != 0;
}

// a < b for two numbers that are not equal.
Result<bool> less_number(const Value& a, const Value& b) {
    const auto* big_a = std::get_if<BigIntRef>(&a.storage());
    const auto* big_b = std::get_if<BigIntRef>(&b.storage());
    if (big_a == nullptr && big_b == nullptr) {
        return as_long_double(a) < as_long_double(b);
    }
    if (a.is(Type::Float) || b.is(Type::Float)) {
        return fail(ErrorKind::Unsupported, "paths whose keys are a very large int and a float");
    }
    if (big_b == nullptr) {
        return is_negative(**big_a);
    }
    if (big_a == nullptr) {
        return !is_negative(**big_b);
    }
    const std::string& bytes_a = (*big_a)->bytes;
    const std::string& bytes_b = (*big_b)->bytes;
    const bool negative = is_negative(**big_a);
    if (negative != is_negative(**big_b)) {
        return negative;
    }
    if (bytes_a.size() != bytes_b.size()) {
        return (bytes_a.size() < bytes_b.size()) != negative;
    }
    for (std::size_t i = bytes_a.size(); i-- > 0;) {
        if (bytes_a[i] != bytes_b[i]) {
            return static_cast<unsigned char>(bytes_a[i]) < static_cast<unsigned char>(bytes_b[i]);
        }
    }
    return false;
}

// Python compares str by code points. Ours is UTF-8, which keeps their order.
bool less_text(std::string_view a, std::string_view b) {
    return a < b;
}

// `a < b`; nothing where Python raises a TypeError.
Result<std::optional<bool>> less_value(const Value& a, const Value& b) {
    if (is_numeric(a) && is_numeric(b)) {
        return equal(a, b) ? false : TRY(less_number(a, b));
    }
    if (a.as_str() != nullptr && b.as_str() != nullptr) {
        return less_text(*a.as_str(), *b.as_str());
    }
    if (a.as_bytes() != nullptr && b.as_bytes() != nullptr) {
        return a.as_bytes()->view() < b.as_bytes()->view();
    }
    if (a.as_tuple() != nullptr && b.as_tuple() != nullptr) {
        const auto& items_a = a.as_tuple()->items;
        const auto& items_b = b.as_tuple()->items;
        for (std::size_t i = 0; i < items_a.size() && i < items_b.size(); ++i) {
            if (!equal(items_a[i], items_b[i])) {
                return less_value(items_a[i], items_b[i]);
            }
        }
        return items_a.size() < items_b.size();
    }
    return std::nullopt;
}

bool equal_keys(const PathStep& a, const PathStep& b) {
    if (a.is_text && b.is_text) {
        return a.text == b.text;
    }
    if (a.is_text || b.is_text) {
        const Value& key = a.is_text ? b.key : a.key;
        return key.as_str() != nullptr && *key.as_str() == (a.is_text ? a.text : b.text);
    }
    return equal(a.key, b.key);
}

// Two lists of keys, as Python's `a < b`; nothing where it raises a TypeError.
Result<std::optional<bool>> less_path(const PathItem& a, const PathItem& b) {
    const std::size_t size = std::min(a.steps.size(), b.steps.size());
    for (std::size_t i = 0; i < size; ++i) {
        const PathStep& step_a = a.steps[i];
        const PathStep& step_b = b.steps[i];
        if (equal_keys(step_a, step_b)) {
            continue;
        }
        if (step_a.is_text && step_b.is_text) {
            return less_text(step_a.text, step_b.text);
        }
        if (!step_a.is_text && !step_b.is_text) {
            return less_value(step_a.key, step_b.key);
        }
        return less_value(step_a.value(), step_b.value());
    }
    return a.steps.size() < b.steps.size();
}

// Delta._sort_comparison of deepdiff: -1, 0 or 1.
Result<int> compare_mixed(const PathItem& a, const PathItem& b) {
    const std::optional<bool> less = TRY(less_path(a, b));
    if (less) {
        return *less ? -1 : *TRY(less_path(b, a)) ? 1 : 0;
    }
    const std::size_t size = std::min(a.steps.size(), b.steps.size());
    for (std::size_t i = 0; i < size; ++i) {
        const Value key_a = a.steps[i].value();
        const Value key_b = b.steps[i].value();
        const bool ints = (key_a.is(Type::Int) || key_a.is(Type::BigInt)) &&
                          (key_b.is(Type::Int) || key_b.is(Type::BigInt));
        if (key_a.type() == key_b.type() || ints) {
            // It asks whether a type is in None, and that raises.
            return bad_input("deepdiff cannot order the paths " + std::string(a.path) + " and " +
                             std::string(b.path));
        }
        const std::string text_a = TRY(python_str(key_a));
        const std::string text_b = TRY(python_str(key_b));
        if (text_a != text_b) {
            return less_text(text_a, text_b) ? -1 : 1;
        }
    }
    return 0;
}

// CPython's list.sort for up to kInsertionItemsMax items. `less` gives nothing to break off, and
// then so does this: false.
template <typename Less>
Result<bool> insertion_sort(std::vector<const PathItem*>& items, Less less) {
    std::size_t run = 1;
    if (items.size() > 1) {
        const std::optional<bool> first = TRY(less(*items[1], *items[0]));
        if (!first) {
            return false;
        }
        for (run = 2; run < items.size(); ++run) {
            const std::optional<bool> next = TRY(less(*items[run], *items[run - 1]));
            if (!next) {
                return false;
            }
            if (*next != *first) {
                break;
            }
        }
        if (*first) {
            std::reverse(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(run));
        }
    }
    for (; run < items.size(); ++run) {
        std::size_t left = 0;
        std::size_t right = run;
        while (left < right) {
            const std::size_t middle = left + (right - left) / 2;
            const std::optional<bool> before = TRY(less(*items[run], *items[middle]));
            if (!before) {
                return false;
            }
            (*before ? right : left) = *before ? middle : middle + 1;
        }
        const auto begin = items.begin();
        std::rotate(begin + static_cast<std::ptrdiff_t>(left),
                    begin + static_cast<std::ptrdiff_t>(run),
                    begin + static_cast<std::ptrdiff_t>(run) + 1);
    }
    return true;
}

// True if every pair of paths can be compared: at each depth and below each prefix the keys are all
// texts or all numbers. Enough for long lists; says false where it is not sure.
bool all_comparable(const std::vector<PathItem>& items) {
    std::size_t depth = 0;
    for (const PathItem& item : items) {
        depth = std::max(depth, item.steps.size());
    }
    for (std::size_t i = 0; i < depth; ++i) {
        bool texts = false;
        bool numbers = false;
        for (const PathItem& item : items) {
            if (i < item.steps.size()) {
                const bool is_text = item.steps[i].is_text || item.steps[i].key.is(Type::Str);
                if (!is_text &&
                    (!is_numeric(item.steps[i].key) || item.steps[i].key.is(Type::BigInt))) {
                    return false;
                }
                texts = texts || is_text;
                numbers = numbers || !is_text;
            }
        }
        if (texts && numbers) {
            return false;
        }
    }
    return true;
}

void reorder(std::vector<PathItem>& items, const std::vector<const PathItem*>& order) {
    std::vector<PathItem> sorted;
    sorted.reserve(items.size());
    for (const PathItem* item : order) {
        sorted.push_back(std::move(items[static_cast<std::size_t>(item - items.data())]));
    }
    items = std::move(sorted);
}

}  // namespace

Result<void> sort_path_items(std::vector<PathItem>& items, bool backwards) {
    if (items.size() < 2) {
        return {};
    }
    if (std::any_of(items.begin(), items.end(), [](const PathItem& item) { return item.lost; })) {
        return bad_input("deepdiff raises: it cannot order a path of None");
    }
    // Backwards, Python reverses, sorts and reverses: equal ones keep their order.
    std::vector<const PathItem*> start;
    for (const PathItem& item : items) {
        start.push_back(&item);
    }
    if (backwards) {
        std::reverse(start.begin(), start.end());
    }
    std::vector<const PathItem*> order = start;
    if (all_comparable(items)) {
        std::stable_sort(order.begin(), order.end(), [](const PathItem* a, const PathItem* b) {
            return *less_path(*a, *b).value();
        });
    } else if (items.size() > kInsertionItemsMax) {
        return fail(ErrorKind::Unsupported, "very many paths whose keys are of several types");
    } else if (!TRY(insertion_sort(order, less_path))) {
        order = start;
        const auto less = [](const PathItem& a, const PathItem& b) -> Result<std::optional<bool>> {
            return TRY(compare_mixed(a, b)) < 0;
        };
        TRY(insertion_sort(order, less));
    }
    if (backwards) {
        std::reverse(order.begin(), order.end());
    }
    reorder(items, order);
    return {};
}

}  // namespace common
