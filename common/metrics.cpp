#include "common/metrics.h"

#include <array>
#include <charconv>

#include "common/verify.h"

namespace common {
namespace {

// Shortest text that reads back the same, whatever the locale.
std::string text_of(double value) {
    std::array<char, 40> digits;
    const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    VERIFY(written.ec == std::errc());
    return std::string(digits.data(), written.ptr);
}

// In a label's value backslash, quote and newline are escaped; other control characters, which
// nobody asked for, are left out.
std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\\' || c == '"') {
            out += '\\';
            out += c;
        } else if (c == '\n') {
            out += "\\n";
        } else if (static_cast<unsigned char>(c) >= ' ') {
            out += c;
        }
    }
    return out;
}

}  // namespace

void Metrics::head(std::string_view name, std::string_view help, std::string_view type) {
    ((text_ += "# HELP ") += name) += ' ';
    (text_ += help) += '\n';
    ((text_ += "# TYPE ") += name) += ' ';
    (text_ += type) += '\n';
}

void Metrics::gauge(std::string_view name, std::string_view help, double value) {
    head(name, help, "gauge");
    ((text_ += name) += ' ') += text_of(value) + '\n';
}

void Metrics::gauge(std::string_view name, std::string_view help, std::uint64_t value) {
    head(name, help, "gauge");
    ((text_ += name) += ' ') += std::to_string(value) + '\n';
}

void Metrics::counter(std::string_view name, std::string_view help, std::uint64_t value) {
    head(name, help, "counter");
    ((text_ += name) += ' ') += std::to_string(value) + '\n';
}

void Metrics::labelled(std::string_view name, std::string_view label, std::string_view value,
                       std::uint64_t number) {
    ((text_ += name) += '{') += label;
    ((text_ += "=\"") += escaped(value)) += "\"} ";
    text_ += std::to_string(number) + '\n';
}

}  // namespace common
