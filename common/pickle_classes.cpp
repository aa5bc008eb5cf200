#include "common/pickle_classes.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace common {

namespace {

constexpr std::size_t kNameBytesMax = 255;
constexpr std::size_t kClassesMax = 1000;

std::vector<std::string>& table() {
    static std::vector<std::string> names;
    return names;
}

bool is_letter(char c) {
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Names of Python with at least one dot between them; ASCII only.
bool is_dotted_name(std::string_view text) {
    bool begins = true;
    bool dotted = false;
    for (const char c : text) {
        if (c == '.' && !begins) {
            begins = dotted = true;
        } else if (is_letter(c) || (c >= '0' && c <= '9' && !begins)) {
            begins = false;
        } else {
            return false;
        }
    }
    return dotted && !begins && text.size() <= kNameBytesMax;
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && text.front() == ' ') {
        text.remove_prefix(1);
    }
    while (!text.empty() && text.back() == ' ') {
        text.remove_suffix(1);
    }
    return text;
}

}  // namespace

Result<std::vector<std::string>> read_class_list(std::string_view text) {
    std::vector<std::string> names;
    while (!text.empty()) {
        const std::size_t comma = std::min(text.find(','), text.size());
        const std::string_view name = trimmed(text.substr(0, comma));
        text.remove_prefix(std::min(comma + 1, text.size()));
        if (!is_dotted_name(name) || name.starts_with("builtins.") ||
            name.starts_with("__builtin__.") || names.size() >= kClassesMax) {
            return bad_input("not a list of classes: " + std::string(name));
        }
        names.emplace_back(name);
    }
    return names;
}

void allow_classes(std::vector<std::string> names) {
    table() = std::move(names);
}

namespace pickle {

bool is_allowed_class(std::string_view module, std::string_view name, PickleUse use) {
    // Of deepdiff 8.1.1's SAFE_TO_IMPORT, what our own table does not have.
    static constexpr std::pair<std::string_view, std::string_view> kInDeltas[] = {
        {"datetime", "datetime"},     {"datetime", "time"}, {"datetime", "timedelta"},
        {"decimal", "Decimal"},       {"uuid", "UUID"},     {"collections", "OrderedDict"},
        {"collections", "namedtuple"}};
    if (use == PickleUse::Delta && std::find(std::begin(kInDeltas), std::end(kInDeltas),
                                             std::pair(module, name)) == std::end(kInDeltas)) {
        return false;
    }
    return std::any_of(table().begin(), table().end(), [&](const std::string& known) {
        return known.size() == module.size() + 1 + name.size() && known.starts_with(module) &&
               known[module.size()] == '.' && known.ends_with(name);
    });
}

bool has_allowed_classes() {
    return !table().empty();
}

}  // namespace pickle

}  // namespace common
