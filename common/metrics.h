#pragma once
// The text format of Prometheus, as far as our pages of metrics need it. Pure.
//
//   # HELP name help
//   # TYPE name gauge|counter
//   name{label="value"} number

#include <cstdint>
#include <string>
#include <string_view>

namespace common {

class Metrics {
public:
    // Content-Type of the page.
    static constexpr const char* kContentType = "text/plain; version=0.0.4";

    // A value that goes up and down. `help` is one line.
    void gauge(std::string_view name, std::string_view help, double value);
    void gauge(std::string_view name, std::string_view help, std::uint64_t value);
    // A value that only grows; its name should end in _total.
    void counter(std::string_view name, std::string_view help, std::uint64_t value);

    // A family of values with one label, which follow head() one by one.
    void head(std::string_view name, std::string_view help, std::string_view type);
    void labelled(std::string_view name, std::string_view label, std::string_view value,
                  std::uint64_t number);

    const std::string& text() const { return text_; }

private:
    std::string text_;
};

}  // namespace common
