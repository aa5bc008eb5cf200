#pragma once
// What must hold of the reader of session files, whatever the bytes; for the fuzzer and for unit
// tests.
//
// Input: two bytes, a number n (little endian), then bytes. n = 0: the bytes are the file. Else
// they are what is inflated, the first n - 1 of them in a member of their own: so the fuzzer need
// not find its way through gzip.

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "common/gzip.h"
#include "common/session_file.h"

namespace support {

inline std::string gzip_of(std::string_view first, std::string_view second) {
    std::string file;
    const common::Sink sink = [&file](std::string_view piece) {
        file.append(piece);
        return common::Result<void>();
    };
    common::GzipWriter gzip(0, sink);
    bool good = gzip.write(first).has_value() && gzip.end_member().has_value();
    if (!second.empty()) {
        good = good && gzip.write(second).has_value() && gzip.end_member().has_value();
    }
    return good ? file : "";
}

inline common::Source in_pieces(const std::string& file, std::size_t size) {
    return [&file, size, at = std::size_t{0}]() mutable -> common::Result<std::string_view> {
        const std::string_view piece = std::string_view(file).substr(at, size);
        at += piece.size();
        return piece;
    };
}

// The file as it is read back from what is written of it.
inline std::optional<common::Hash128> written_and_read(const common::SessionFile& session) {
    common::SessionStamp stamp = session.stamp.value_or(common::SessionStamp{});
    stamp.digest = session.graph.digest();
    std::string file;
    const auto written =
        common::write_session_file(session.graph, stamp, 1, [&file](std::string_view piece) {
            file.append(piece);
            return common::Result<void>();
        });
    const auto back = common::read_session_file(in_pieces(file, 777));
    return written && back ? std::optional(back->graph.digest()) : std::nullopt;
}

// Empty, or what does not hold.
inline std::string broken_session_file_property(std::string_view input) {
    if (input.size() < 2) {
        return "";
    }
    const std::size_t n = static_cast<std::size_t>(static_cast<unsigned char>(input[0])) |
                          static_cast<std::size_t>(static_cast<unsigned char>(input[1])) << 8;
    const std::string_view bytes = input.substr(2);
    const std::size_t cut = n == 0 ? 0 : std::min(n - 1, bytes.size());
    const std::string file =
        n == 0 ? std::string(bytes) : gzip_of(bytes.substr(0, cut), bytes.substr(cut));

    const auto read = common::read_session_file(in_pieces(file, 64));
    const auto again = common::read_session_file(common::Bytes(file));
    const auto checked = common::check_session_file(in_pieces(file, 4096));
    if (read.has_value() != again.has_value() || read.has_value() != checked.has_value()) {
        return "the decision depends on how the file is cut, or on who asks";
    }
    if (!read) {
        return read.error().what.empty() ? "an error without words" : "";
    }
    if (read->graph.digest() != again->graph.digest()) {
        return "the graph depends on how the file is cut";
    }
    if (n != 0) {
        // In one member it cannot be read node by node: the pickle machine decides alone.
        const auto whole = common::read_session_file(common::Bytes(gzip_of(bytes, "")));
        if (!whole || whole->graph.digest() != read->graph.digest()) {
            return "node by node another session is read than as a whole";
        }
    }
    if (written_and_read(*read) != read->graph.digest()) {
        return "what is written of it is not read as the same";
    }
    return "";
}

}  // namespace support
