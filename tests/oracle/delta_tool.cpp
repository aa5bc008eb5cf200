// Folds and parses for the oracle tests, which compare with deepdiff itself.
//
// Requests on stdin, answers on stdout, numbers are u32 little endian:
//   'F' size base-pickle size delta-pickle  ->  'O' skipped size pickle | 'E' kind size text
//   'P' size path                           ->  'O' 0 size pickle of [(key, is_attribute)...] | 'E'
//   'S' 'R'|'A' size pickle of [path...]    ->  'O' 0 size pickle of the paths in order | 'E'
// kind is 'R' where Python would raise, 'U' unsupported, 'L' limit, 'P' a pickle that was refused,
// 'X' a fold that failed and did not leave the base as it was.

#include <cstdio>
#include <string>

#include "common/delta.h"
#include "common/delta_order.h"
#include "common/delta_path.h"
#include "common/pickle.h"

namespace {

using common::Bytes;
using common::Error;
using common::ErrorKind;
using common::Value;

bool read_exactly(char* out, std::size_t size) {
    return std::fread(out, 1, size, stdin) == size;
}

std::uint32_t read_u32() {
    unsigned char bytes[4] = {};
    read_exactly(reinterpret_cast<char*>(bytes), sizeof bytes);
    return static_cast<std::uint32_t>(bytes[0]) | static_cast<std::uint32_t>(bytes[1]) << 8 |
           static_cast<std::uint32_t>(bytes[2]) << 16 | static_cast<std::uint32_t>(bytes[3]) << 24;
}

std::string read_string() {
    std::string text(read_u32(), '\0');
    read_exactly(text.data(), text.size());
    return text;
}

void write_u32(std::size_t number) {
    for (int shift = 0; shift < 32; shift += 8) {
        std::putchar(static_cast<int>((number >> shift) & 0xff));
    }
}

void write_string(std::string_view text) {
    write_u32(text.size());
    std::fwrite(text.data(), 1, text.size(), stdout);
}

void answer(const Value& value, std::size_t skipped) {
    std::putchar('O');
    write_u32(skipped);
    write_string(common::write_pickle(value).view());
}

void answer_error(char kind, const std::string& what) {
    std::putchar('E');
    std::putchar(kind);
    write_string(what);
}

void answer_error(const Error& error) {
    answer_error(error.kind == ErrorKind::Unsupported ? 'U'
                 : error.kind == ErrorKind::Limit     ? 'L'
                                                      : 'R',
                 error.what);
}

void fold() {
    const Bytes base_pickle(read_string());
    const Bytes delta_pickle(read_string());
    auto base = common::read_pickle(base_pickle);
    const auto delta = common::read_pickle(delta_pickle, common::PickleUse::Delta);
    if (!base || !delta) {
        answer_error('P', base ? delta.error().what : base.error().what);
        return;
    }
    const Value delta_before = common::deep_copy(*delta);
    const Value before = common::deep_copy(*base);
    const auto checked = common::check_delta(*delta);
    const auto report = common::fold_delta(*base, *delta);
    if (!common::identical(delta_before, *delta)) {
        answer_error('X', "the delta was changed");
    } else if (!checked && report) {
        answer_error('X', "checked and refused, yet folded: " + checked.error().what);
    } else if (!report && !common::identical(before, *base)) {
        answer_error('X', report.error().what + ", and the base is " + common::repr(*base, 2000));
    } else if (!report) {
        answer_error(report.error());
    } else {
        answer(*base, report->skipped);
    }
}

void parse_path() {
    const std::string path = read_string();
    std::vector<common::PathStep> steps;
    const auto done = common::parse_delta_path(path, steps);
    if (!done) {
        answer_error(done.error());
        return;
    }
    std::vector<Value> parts;
    for (const common::PathStep& step : steps) {
        parts.push_back(Value::tuple({step.value(), Value::boolean(step.attribute)}));
    }
    answer(Value::list(std::move(parts)), 0);
}

void sort_paths() {
    const bool backwards = std::getchar() == 'R';
    const auto paths = common::read_pickle(Bytes(read_string()));
    std::vector<common::PathItem> items;
    for (const Value& path : paths->as_list()->items) {
        common::PathItem& item = items.emplace_back(common::PathItem{*path.as_str(), {}, {}});
        if (const auto done = common::parse_delta_path(item.path, item.steps); !done) {
            answer_error(done.error());
            return;
        }
    }
    if (const auto done = common::sort_path_items(items, backwards); !done) {
        answer_error(done.error());
        return;
    }
    std::vector<Value> sorted;
    for (const common::PathItem& item : items) {
        sorted.push_back(Value::str(item.path));
    }
    answer(Value::list(std::move(sorted)), 0);
}

}  // namespace

int main() {
    for (int request = std::getchar(); request != EOF; request = std::getchar()) {
        if (request == 'F') {
            fold();
        } else if (request == 'P') {
            parse_path();
        } else if (request == 'S') {
            sort_paths();
        } else {
            return 1;
        }
        std::fflush(stdout);
    }
    return 0;
}
