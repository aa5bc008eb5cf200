#include "common/delta_path.h"

#include <charconv>
#include <optional>
#include <string>

#include "common/delta_convert.h"

namespace common {
namespace {

// What stringify_path of deepdiff puts before a quote inside of quotes. It stays in the key.
constexpr std::string_view kEscape = "\xf0\x9d\x87\x80";
constexpr std::size_t kNestingMax = 50;  // of a tuple; Python's own bound is not a round number
constexpr std::size_t kDigitsMax = 500;  // of an int; Python refuses some of 4,300 and more
// Python's parser raises on some texts that nest (in signs, in brackets that do not close) from
// 187 characters on, in others from some thousand.
constexpr std::size_t kNoLiteralBytesMax = 128;
// deepdiff keeps the last 131,072 paths, with their steps, for as long as the client lives.
constexpr std::size_t kPathBytesMax = 16'384;

bool is_quote(char c) {
    return c == '\'' || c == '"';
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_word(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
}

// ast.literal_eval for the literals that a key can be. A part ends at a closing quote or bracket,
// so a string is never followed by anything and a list never closes.
class LiteralParser {
public:
    explicit LiteralParser(std::string_view text) : text_(text) {}

    // Nothing: not a literal. Unsupported: perhaps one, and not a Value.
    Result<std::optional<Value>> parse() {
        if (text_.find('\0') != text_.npos || has_surrogate()) {
            return std::nullopt;
        }
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) {
            ++at_;
        }
        if (!skip_blank_lines(true)) {
            return std::nullopt;
        }
        std::optional<Value> value = parse_items(false);
        const bool ends = skip_blank_lines(false);
        if ((!value || at_ < text_.size()) && may_be_complex()) {
            foreign_ = true;
        }
        if (foreign_) {
            return fail(ErrorKind::Unsupported, "a path with a key that is not a plain value");
        }
        if (!value || !ends || at_ < text_.size()) {
            return std::nullopt;
        }
        return value;
    }

private:
    // Perhaps the sum of a number, in any base, and an imaginary number.
    bool may_be_complex() const {
        return text_.find_first_not_of("0123456789_.+-,abcdefABCDEFxXoOjJ() \t\f\r\n") ==
                   text_.npos &&
               text_.find_first_of("jJ") != text_.npos &&
               text_.find_first_of("0123456789") != text_.npos;
    }

    bool has_surrogate() const {
        for (std::size_t i = 0; i + 1 < text_.size(); ++i) {
            if (text_[i] == '\xed' && static_cast<unsigned char>(text_[i + 1]) >= 0xa0) {
                return true;
            }
        }
        return false;
    }

    void skip_comment() {
        if (at_ < text_.size() && text_[at_] == '#') {
            while (at_ < text_.size() && text_[at_] != '\n' && text_[at_] != '\r') {
                ++at_;
            }
        }
    }

    // False: what follows on a new line, if only the end, is indented, which Python refuses.
    bool skip_blank_lines(bool on_new_line) {
        bool indented = false;
        for (; at_ < text_.size(); ++at_) {
            if (text_[at_] == '#') {
                skip_comment();
                indented = false;
            }
            if (at_ == text_.size()) {
                break;
            }
            const char c = text_[at_];
            if (c == '\n' || c == '\r') {
                on_new_line = true;
                indented = false;
            } else if (c == '\f') {
                indented = false;
            } else if (c == ' ' || c == '\t') {
                indented = on_new_line;
            } else {
                break;
            }
        }
        return !indented;
    }

    void skip_space(bool lines) {
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == '#') {
                skip_comment();
            } else if (c == ' ' || c == '\t' || c == '\f' || (lines && (c == '\n' || c == '\r'))) {
                ++at_;
            } else {
                return;
            }
        }
    }

    bool take(char c) {
        if (at_ < text_.size() && text_[at_] == c) {
            ++at_;
            return true;
        }
        return false;
    }

    // One item, or several with commas: a tuple. In parentheses the closing one is taken.
    std::optional<Value> parse_items(bool in_parentheses) {
        std::vector<Value> items;
        bool is_tuple = false;
        const auto at_end = [&] {
            skip_space(in_parentheses);
            return at_ == text_.size() || text_[at_] == ')' ||
                   (!in_parentheses && (text_[at_] == '\n' || text_[at_] == '\r'));
        };
        if (in_parentheses && at_end()) {
            is_tuple = true;
        }
        while (!at_end()) {
            std::optional<Value> item = parse_signed(in_parentheses);
            if (!item) {
                return std::nullopt;
            }
            items.push_back(std::move(*item));
            skip_space(in_parentheses);
            if (!take(',')) {
                break;
            }
            is_tuple = true;
        }
        if (in_parentheses && !(at_end() && take(')'))) {
            return std::nullopt;
        }
        if (is_tuple) {
            is_number_ = false;
            return Value::tuple(std::move(items));
        }
        if (items.empty()) {
            return std::nullopt;
        }
        return std::move(items.front());
    }

    std::optional<Value> parse_signed(bool in_parentheses) {
        skip_space(in_parentheses);
        const bool negative = take('-');
        const bool is_signed = negative || take('+');
        skip_space(in_parentheses);
        std::optional<Value> value = parse_atom();
        if (!value || !is_signed) {
            return value;
        }
        if (!is_number_) {
            return std::nullopt;
        }
        is_number_ = false;  // literal_eval takes one sign only
        if (!negative) {
            return value;
        }
        if (const auto number = value->as_float()) {
            return Value::real(-*number);
        }
        return integer(true);
    }

    std::optional<Value> integer(bool negative) {
        if (digits_.size() > kDigitsMax) {
            foreign_ = true;
            return std::nullopt;
        }
        return integer_from_digits(digits_, base_, negative);
    }

    // Sets is_number_, and for an int digits_ and base_.
    std::optional<Value> parse_atom() {
        is_number_ = false;
        if (at_ == text_.size()) {
            return std::nullopt;
        }
        const char c = text_[at_];
        if (is_digit(c) || (c == '.' && at_ + 1 < text_.size() && is_digit(text_[at_ + 1]))) {
            return parse_number();
        }
        if (c == '(') {
            ++at_;
            if (++nesting_ > kNestingMax) {
                foreign_ = true;
                return std::nullopt;
            }
            std::optional<Value> value = parse_items(true);
            --nesting_;
            return value;
        }
        if (c == '{' || c == '.' || c == '[') {
            // A list stands here only behind a comment; else the path was cut at its bracket.
            foreign_ = foreign_ || c == '{' || text_.substr(at_, 3) == "..." ||
                       (c == '[' && text_.find(']', at_) != text_.npos);
            return std::nullopt;
        }
        return parse_word();
    }

    std::optional<Value> parse_word() {
        const std::size_t begin = at_;
        while (at_ < text_.size() && is_word(text_[at_])) {
            ++at_;
        }
        const std::string_view word = text_.substr(begin, at_ - begin);
        if (at_ < text_.size() && is_quote(text_[at_])) {
            return parse_string(word);
        }
        if (word == "None") {
            return Value();
        }
        if (word == "True" || word == "False") {
            return Value::boolean(word == "True");
        }
        if (word == "set") {
            skip_space(nesting_ > 0);
            foreign_ = foreign_ || (at_ < text_.size() && text_[at_] == '(');
        }
        return std::nullopt;
    }

    std::optional<Value> parse_string(std::string_view prefix) {
        std::string kind;
        for (const char c : prefix) {
            kind += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        }
        const std::string_view rest = text_.substr(at_);
        if (rest.size() < 2 || rest.back() != rest.front() || nesting_ > 0) {
            return std::nullopt;
        }
        const std::string_view content = rest.substr(1, rest.size() - 2);
        if (content.find_first_of("\r\n") != content.npos) {
            return std::nullopt;
        }
        at_ = text_.size();
        if (kind.empty() || kind == "u" || kind == "r") {
            return Value::str(content);
        }
        if (kind != "b" && kind != "br" && kind != "rb") {
            return std::nullopt;
        }
        for (const char c : content) {
            if (static_cast<unsigned char>(c) >= 0x80) {
                return std::nullopt;
            }
        }
        return Value::bytes(Bytes::copy_of(content));
    }

    // Takes digits with single underscores between them; nothing if there are none.
    template <typename IsDigit>
    bool take_digits(std::string& digits, IsDigit is_one) {
        const std::size_t size = digits.size();
        while (at_ < text_.size()) {
            if (is_one(text_[at_])) {
                digits += text_[at_++];
            } else if (text_[at_] == '_' && digits.size() > size && at_ + 1 < text_.size() &&
                       is_one(text_[at_ + 1])) {
                ++at_;
            } else {
                break;
            }
        }
        return digits.size() > size;
    }

    std::optional<Value> parse_number() {
        digits_.clear();
        base_ = 10;
        const std::string_view prefix = text_.substr(at_, 2);
        if (prefix == "0x" || prefix == "0X") {
            base_ = 16;
        } else if (prefix == "0o" || prefix == "0O") {
            base_ = 8;
        } else if (prefix == "0b" || prefix == "0B") {
            base_ = 2;
        }
        if (base_ != 10) {
            at_ += 2;
            if (at_ < text_.size() && text_[at_] == '_') {
                ++at_;
            }
            const unsigned base = base_;
            const auto is_one = [base](char c) {
                return base == 16 ? is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')
                                  : c >= '0' && static_cast<unsigned>(c - '0') < base;
            };
            if (!take_digits(digits_, is_one) || (at_ < text_.size() && is_word(text_[at_]))) {
                return std::nullopt;
            }
            is_number_ = true;
            return integer(false);
        }
        return parse_decimal();
    }

    std::optional<Value> parse_decimal() {
        std::string number;
        bool is_float = false;
        take_digits(number, is_digit);
        if (take('.')) {
            is_float = true;
            number += '.';
            take_digits(number, is_digit);
        }
        if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
            is_float = true;
            ++at_;
            number += 'e';
            if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) {
                number += text_[at_++];
            }
            if (!take_digits(number, is_digit)) {
                return std::nullopt;
            }
        }
        if (at_ < text_.size() && is_word(text_[at_])) {
            foreign_ = foreign_ || text_[at_] == 'j' || text_[at_] == 'J';
            return std::nullopt;
        }
        is_number_ = true;
        if (is_float) {
            return Value::real(real_from_text(number));
        }
        const bool leading_zero = number[0] == '0' && number.find_first_not_of('0') != number.npos;
        if (leading_zero) {
            return std::nullopt;
        }
        digits_ = number;
        return integer(false);
    }

    std::string_view text_;
    std::size_t at_ = 0;
    std::size_t nesting_ = 0;
    bool foreign_ = false;
    bool is_number_ = false;
    std::string digits_;
    unsigned base_ = 10;
};

// True and the number for a plain short decimal int, which nearly every unquoted key is.
bool is_short_int(std::string_view text, std::int64_t& number) {
    const std::string_view digits = text.substr(text.front() == '-' ? 1 : 0);
    if (digits.empty() || digits.size() > 18 || (digits[0] == '0' && digits.size() > 1)) {
        return false;
    }
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size();
}

Result<void> add_step(std::string_view part, bool attribute, std::vector<PathStep>& steps) {
    if (part.empty() || part.starts_with("__")) {
        return {};
    }
    PathStep& step = steps.emplace_back();
    step.attribute = attribute;
    if (is_quote(part.front()) && part.front() == part.back()) {
        step.is_text = true;
        step.text = part.size() > 1 ? part.substr(1, part.size() - 2) : std::string_view();
        return {};
    }
    std::int64_t number = 0;
    if (is_short_int(part, number)) {
        step.key = Value::integer(number);
        return {};
    }
    if (!is_quote(part.front()) && part.find('\\') == part.npos &&
        part.find(kEscape) == part.npos) {
        std::optional<Value> literal = TRY(LiteralParser(part).parse());
        if (literal) {
            step.key = std::move(*literal);
            return {};
        }
        if (part.size() > kNoLiteralBytesMax) {
            return fail(ErrorKind::Unsupported, "a path with a long part without quotes");
        }
    }
    step.is_text = true;
    step.text = part;
    return {};
}

std::string_view without_root(std::string_view path) {
    std::size_t at = 0;
    for (int characters = 0; at < path.size() && characters < 4; ++characters) {
        ++at;
        while (at < path.size() && (static_cast<unsigned char>(path[at]) & 0xc0) == 0x80) {
            ++at;
        }
    }
    return path.substr(at);
}

}  // namespace

bool equal(const PathStep& a, const PathStep& b) {
    if (a.attribute != b.attribute) {
        return false;
    }
    if (a.is_text && b.is_text) {
        return a.text == b.text;
    }
    return equal(a.value(), b.value());
}

Result<void> parse_delta_path(std::string_view path, std::vector<PathStep>& steps) {
    if (path.size() > kPathBytesMax) {
        return fail(ErrorKind::Limit, "a path of more than 16 KiB");
    }
    // The same loop as deepdiff's, whose states are: outside, after a dot, in a bracket; in quotes
    // or not. Every character is added to the part or ends it, so a part is a piece of the path.
    enum class Inside { Nothing, Dot, Bracket };
    steps.clear();
    path = without_root(path);
    Inside inside = Inside::Nothing;
    char quote = '\0';
    std::size_t begin = 0;
    std::size_t end = 0;
    const auto extend = [&](std::size_t at) {
        if (begin == end) {
            begin = at;
        }
        end = at + 1;
    };
    const auto finish = [&]() -> Result<void> {
        const std::string_view part = path.substr(begin, end - begin);
        begin = end = 0;
        return add_step(part, inside == Inside::Dot, steps);
    };
    for (std::size_t i = 0; i < path.size(); ++i) {
        const char c = path[i];
        if (i >= kEscape.size() && path[i - 1] == kEscape.back() &&
            path.substr(i - kEscape.size(), kEscape.size()) == kEscape) {
            extend(i);
        } else if (is_quote(c)) {
            extend(i);
            if (quote == '\0') {
                quote = c;
            } else if (quote == c) {
                TRY(finish());
                quote = '\0';
            }
        } else if (quote != '\0') {
            extend(i);
        } else if (c == '[') {
            if (inside == Inside::Dot) {
                TRY(finish());
                inside = Inside::Bracket;
            } else if (inside == Inside::Bracket) {
                extend(i);
            } else {
                inside = Inside::Bracket;
                begin = end = 0;
            }
        } else if (c == '.') {
            if (inside == Inside::Bracket) {
                extend(i);
            } else if (inside == Inside::Dot) {
                TRY(finish());
            } else {
                inside = Inside::Dot;
                begin = end = 0;
            }
        } else if (c == ']') {
            TRY(finish());
            inside = Inside::Nothing;
        } else {
            extend(i);
        }
    }
    return finish();
}

}  // namespace common
