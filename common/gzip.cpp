#include "common/gzip.h"

#include <isa-l.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "common/limits.h"
#include "common/verify.h"

namespace common {

namespace {

constexpr std::size_t kPieceBytes = limits::operator""_KiB(256);
constexpr std::array<std::size_t, GzipWriter::kLevelMax + 1> kLevelBytes = {
    ISAL_DEF_LVL0_DEFAULT, ISAL_DEF_LVL1_DEFAULT, ISAL_DEF_LVL2_DEFAULT, ISAL_DEF_LVL3_DEFAULT};

// The library reads only, but asks for a pointer that could write.
std::uint8_t* input(std::string_view bytes) {
    return reinterpret_cast<std::uint8_t*>(const_cast<char*>(bytes.data()));
}

}  // namespace

Source source_of(const Bytes& file) {
    return [file, given = false]() mutable -> Result<std::string_view> {
        return std::exchange(given, true) ? std::string_view() : file.view();
    };
}

// ---- writing -----------------------------------------------------------------------------------

struct GzipWriter::State {
    State(int the_level, const Sink& the_sink) : level(the_level), sink(the_sink) {}

    int level;
    const Sink& sink;
    isal_zstream stream{};
    std::string tables;
    std::string in;
    std::string out = std::string(kPieceBytes, '\0');

    // A member begins as if there had been none before: the same bytes, whatever came first.
    void begin() {
        isal_deflate_init(&stream);
        std::fill(tables.begin(), tables.end(), '\0');
        stream.level = static_cast<std::uint32_t>(level);
        stream.level_buf = reinterpret_cast<std::uint8_t*>(tables.data());
        stream.level_buf_size = static_cast<std::uint32_t>(tables.size());
        stream.gzip_flag = IGZIP_GZIP;
        stream.flush = NO_FLUSH;
    }

    Result<void> deflate_in(bool is_end) {
        stream.next_in = input(in);
        stream.avail_in = static_cast<std::uint32_t>(in.size());
        stream.end_of_stream = is_end ? 1 : 0;
        do {
            stream.next_out = reinterpret_cast<std::uint8_t*>(out.data());
            stream.avail_out = static_cast<std::uint32_t>(out.size());
            VERIFY(isal_deflate(&stream) == COMP_OK);
            const std::size_t made = out.size() - stream.avail_out;
            if (made > 0) {
                TRY(sink(std::string_view(out.data(), made)));
            }
        } while (stream.avail_out == 0);
        VERIFY(stream.avail_in == 0);
        in.clear();
        return {};
    }
};

GzipWriter::GzipWriter(int level, const Sink& sink) : state_(std::make_unique<State>(level, sink)) {
    VERIFY(level >= 0 && level <= kLevelMax);
    state_->tables.resize(kLevelBytes[static_cast<std::size_t>(level)]);
    state_->in.reserve(kPieceBytes);
    state_->begin();
}

GzipWriter::~GzipWriter() = default;

// Always in pieces of the same size: how the input is cut shows in the output.
Result<void> GzipWriter::write(std::string_view bytes) {
    while (!bytes.empty()) {
        const std::size_t taken = std::min(bytes.size(), kPieceBytes - state_->in.size());
        state_->in.append(bytes.substr(0, taken));
        bytes.remove_prefix(taken);
        if (state_->in.size() == kPieceBytes) {
            TRY(state_->deflate_in(false));
        }
    }
    return {};
}

Result<void> GzipWriter::end_member() {
    TRY(state_->deflate_in(true));
    state_->begin();
    return {};
}

// ---- reading -----------------------------------------------------------------------------------

struct GzipReader::State {
    Source source;
    inflate_state stream{};
    std::string out = std::string(kPieceBytes, '\0');
    std::string_view in;      // of the source's last piece, what is not used yet
    std::uint64_t taken = 0;  // bytes that the source has given
    bool source_ended = false;
    bool is_first = true;  // of the members
    bool member_ended = false;

    void begin() {
        isal_inflate_init(&stream);
        stream.crc_flag = ISAL_GZIP;
        member_ended = false;
    }

    // False: the source is at its end.
    Result<bool> fill() {
        if (in.empty() && !source_ended) {
            in = TRY(source());
            taken += in.size();
            source_ended = in.empty();
        }
        return !in.empty();
    }

    // One step; returns what it made, which may be nothing.
    Result<std::string_view> inflate() {
        const std::string_view piece = in.substr(0, limits::operator""_GiB(1));
        stream.next_in = input(piece);
        stream.avail_in = static_cast<std::uint32_t>(piece.size());
        stream.next_out = reinterpret_cast<std::uint8_t*>(out.data());
        stream.avail_out = static_cast<std::uint32_t>(out.size());
        const int status = isal_inflate(&stream);
        // Where a trailer is wrong it gives back what it had read ahead, and that may have stood in
        // an earlier piece, which is no longer ours to look at.
        in.remove_prefix(piece.size() - std::min<std::size_t>(stream.avail_in, piece.size()));
        if (status == ISAL_INVALID_WRAPPER && is_first) {
            return bad_input("it is no gzip file, as session files are");
        }
        if (status != ISAL_DECOMP_OK && status != ISAL_END_INPUT) {
            return bad_input("the gzip data are damaged before byte " +
                             std::to_string(taken - in.size()));
        }
        member_ended = stream.block_state == ISAL_BLOCK_FINISH;
        return std::string_view(out.data(), out.size() - stream.avail_out);
    }
};

GzipReader::GzipReader(Source source) : state_(std::make_unique<State>()) {
    state_->source = std::move(source);
    state_->begin();
}

GzipReader::~GzipReader() = default;

Result<std::string_view> GzipReader::read() {
    while (!state_->member_ended) {
        const bool has_input = TRY(state_->fill());
        const std::string_view made = TRY(state_->inflate());
        if (!made.empty()) {
            return made;
        }
        if (!has_input && !state_->member_ended) {
            return bad_input(state_->taken == 0 ? "it is empty"
                                                : "the file is cut off after " +
                                                      std::to_string(state_->taken) + " bytes");
        }
    }
    return std::string_view();
}

Result<bool> GzipReader::next_member() {
    VERIFY(state_->member_ended);
    if (!TRY(state_->fill())) {
        return false;
    }
    state_->is_first = false;
    state_->begin();
    return true;
}

// ---- blocks ------------------------------------------------------------------------------------

// Below, making a Huffman code of its own for a block takes most of the time (12 us of 14): level 0
// has a fixed one.
constexpr std::size_t kOwnCodeFrom = limits::operator""_KiB(4);

struct ZlibBlocks::State {
    isal_zstream deflate{};
    inflate_state inflate{};
    std::string tables = std::string(ISAL_DEF_LVL1_DEFAULT, '\0');
};

ZlibBlocks::ZlibBlocks() : state_(std::make_unique<State>()) {}
ZlibBlocks::~ZlibBlocks() = default;

std::optional<std::string> ZlibBlocks::compress(std::string_view block, std::size_t bytes_max) {
    std::string out(bytes_max, '\0');
    isal_zstream& stream = state_->deflate;
    isal_deflate_stateless_init(&stream);
    if (block.size() >= kOwnCodeFrom) {
        stream.level = 1;
        stream.level_buf = reinterpret_cast<std::uint8_t*>(state_->tables.data());
        stream.level_buf_size = static_cast<std::uint32_t>(state_->tables.size());
    }
    stream.gzip_flag = IGZIP_ZLIB;
    stream.flush = NO_FLUSH;
    stream.end_of_stream = 1;
    stream.next_in = input(block);
    stream.avail_in = static_cast<std::uint32_t>(block.size());
    stream.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    stream.avail_out = static_cast<std::uint32_t>(out.size());
    const int status = isal_deflate_stateless(&stream);
    VERIFY(status == COMP_OK || status == STATELESS_OVERFLOW);
    if (status != COMP_OK) {
        return std::nullopt;
    }
    out.resize(stream.total_out);
    return out;
}

Result<std::string> ZlibBlocks::decompress(std::string_view stream, std::size_t size) {
    std::string out(size, '\0');
    inflate_state& state = state_->inflate;
    isal_inflate_init(&state);
    state.crc_flag = ISAL_ZLIB;
    state.next_in = input(stream);
    state.avail_in = static_cast<std::uint32_t>(stream.size());
    state.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    state.avail_out = static_cast<std::uint32_t>(out.size());
    if (isal_inflate_stateless(&state) != ISAL_DECOMP_OK || state.avail_in != 0 ||
        state.avail_out != 0) {
        return bad_input("the zlib data are damaged");
    }
    return out;
}

}  // namespace common
