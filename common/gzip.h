#pragma once
// gzip in pieces: takes memory for a piece at a time, however large the file is. And zlib streams
// of blocks that are in memory anyway. The only file that knows the library. Which one, and why:
// docs/decisions/0005-gzip-by-igzip.md.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/bytes.h"
#include "common/result.h"

namespace common {

// Called with pieces of a file in order; an error ends the writing and is returned.
using Sink = std::function<Result<void>(std::string_view)>;

// The next piece of a file, valid until the next call; empty at the end of the file.
using Source = std::function<Result<std::string_view>()>;

// Gives all of it, as one piece.
Source source_of(const Bytes& file);

// Without name and time: the same bytes in the same calls give the same file.
class GzipWriter {
public:
    static constexpr int kLevelMax = 3;

    // `level` is igzip's, 0 to kLevelMax. `sink` must outlive it.
    GzipWriter(int level, const Sink& sink);
    ~GzipWriter();
    GzipWriter(const GzipWriter&) = delete;
    GzipWriter& operator=(const GzipWriter&) = delete;

    Result<void> write(std::string_view bytes);
    // What was written is a complete gzip file; what is written after it is another one behind it,
    // which every reader takes for its continuation.
    Result<void> end_member();

private:
    struct State;
    std::unique_ptr<State> state_;
};

class GzipReader {
public:
    explicit GzipReader(Source source);
    ~GzipReader();
    GzipReader(const GzipReader&) = delete;
    GzipReader& operator=(const GzipReader&) = delete;

    // The next bytes of the present member (at first: the first one), valid until the next call;
    // empty at its end, when its checksum is found right. BadInput: damaged, or cut off.
    Result<std::string_view> read();
    // After an empty read(): false at the end of the file, else the next member begins.
    Result<bool> next_member();

private:
    struct State;
    std::unique_ptr<State> state_;
};

// Blocks of bytes as zlib streams (RFC 1950), each by itself, as fast as pays for its size. Keeps
// 500 KiB to work with, which cost more to get than a small block takes: one is for many blocks.
class ZlibBlocks {
public:
    ZlibBlocks();
    ~ZlibBlocks();
    ZlibBlocks(const ZlibBlocks&) = delete;
    ZlibBlocks& operator=(const ZlibBlocks&) = delete;

    // None: its stream would have more than `bytes_max`. A block has less than 4 GiB.
    std::optional<std::string> compress(std::string_view block, std::size_t bytes_max);
    // BadInput: `stream` is not, from its first to its last byte, one of `size` bytes. Allocates
    // them at once: the caller bounds them.
    Result<std::string> decompress(std::string_view stream, std::size_t size);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace common
