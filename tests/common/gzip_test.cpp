#include "common/gzip.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <random>
#include <string>
#include <vector>

#include "common/verify.h"
#include "tests/support/sample_session.h"

using namespace common;

namespace {

// Words and noise, so that there is something to find and something that is not.
std::string text_of(std::size_t bytes) {
    std::mt19937 random(7);
    std::string text;
    while (text.size() < bytes) {
        text += random() % 3 == 0 ? std::to_string(random()) : "location rotation scale ";
    }
    text.resize(bytes);
    return text;
}

std::string zip(const std::vector<std::string>& members, int level = 1) {
    std::string file;
    const Sink sink = [&file](std::string_view piece) {
        file.append(piece);
        return Result<void>();
    };
    GzipWriter gzip(level, sink);
    for (const std::string& member : members) {
        REQUIRE(gzip.write(member).has_value());
        REQUIRE(gzip.end_member().has_value());
    }
    return file;
}

// A file that comes in pieces of `size` bytes.
Source in_pieces(const std::string& file, std::size_t size) {
    return [&file, size, at = std::size_t{0}]() mutable -> Result<std::string_view> {
        const std::string_view piece = std::string_view(file).substr(at, size);
        at += piece.size();
        return piece;
    };
}

Result<std::vector<std::string>> unzip(const Source& source) {
    GzipReader gzip(source);
    std::vector<std::string> members;
    do {
        members.emplace_back();
        while (true) {
            const std::string_view piece = TRY(gzip.read());
            if (piece.empty()) {
                break;
            }
            members.back().append(piece);
        }
    } while (TRY(gzip.next_member()));
    return members;
}

}  // namespace

TEST_CASE("what is written is read, whatever its size and level and however it is cut") {
    for (const std::size_t bytes : {0U, 1U, 1000U, 262'144U, 262'145U, 1'000'000U}) {
        for (int level = 0; level <= GzipWriter::kLevelMax; ++level) {
            CAPTURE(bytes);
            CAPTURE(level);
            const std::vector<std::string> members = {text_of(bytes), "", text_of(bytes / 2)};
            const std::string file = zip(members, level);
            for (const std::size_t piece : {std::size_t{7}, std::size_t{100'000}}) {
                const auto back = unzip(in_pieces(file, piece));
                REQUIRE(back.has_value());
                CHECK(*back == members);
            }
        }
    }
}

TEST_CASE("the same bytes give the same file, whatever calls and members they came in") {
    const std::string text = text_of(700'000);
    const std::string once = zip({text});
    CHECK(once.size() < text.size() / 2);
    std::string pieces;
    const Sink sink = [&pieces](std::string_view piece) {
        pieces.append(piece);
        return Result<void>();
    };
    GzipWriter gzip(1, sink);
    for (std::size_t at = 0; at < text.size(); at += 999) {
        REQUIRE(gzip.write(std::string_view(text).substr(at, 999)).has_value());
    }
    REQUIRE(gzip.end_member().has_value());
    CHECK(pieces == once);
    CHECK(zip({text, text}) == once + once);
}

TEST_CASE("another gzip's file is read") {
    const std::string text = text_of(500'000);
    const Bytes file = support::gzip(text);
    const auto back = unzip(source_of(file));
    REQUIRE(back.has_value());
    CHECK(*back == std::vector<std::string>{text});
}

TEST_CASE("each flipped bit of the data and each cut is seen") {
    const std::string text = text_of(300);
    const std::string file = zip({text});
    constexpr std::size_t kHeader = 10;
    for (std::size_t i = 0; i < file.size(); ++i) {
        CAPTURE(i);
        CHECK_FALSE(unzip(source_of(Bytes(file.substr(0, i)))).has_value());
        std::string flipped = file;
        flipped[i] = static_cast<char>(flipped[i] ^ (1 << (i % 8)));
        const auto back = unzip(source_of(Bytes(flipped)));
        if (i < kHeader && back.has_value()) {
            CHECK(back->front() == text);
        } else {
            CHECK_FALSE(back.has_value());
        }
    }
    CHECK_FALSE(unzip(source_of(Bytes(file + "rubbish"))).has_value());
}

TEST_CASE("what is no gzip file at all is not called damaged") {
    CHECK(unzip(source_of(Bytes("root:x:0:0:root:/root:/bin/bash\n"))).error().what ==
          "it is no gzip file, as session files are");
    CHECK(unzip(source_of(Bytes(std::string()))).error().what == "it is empty");
    const auto behind = unzip(source_of(Bytes(zip({text_of(300)}) + "no gzip data")));
    CHECK(behind.error().what.find("damaged before byte") != std::string::npos);
}

TEST_CASE("what is damaged is found where it is, however the file is cut") {
    const std::string member = zip({text_of(300)});
    for (std::size_t gone = 1; gone <= 8; ++gone) {
        const std::string file = member.substr(0, member.size() - gone) + member;
        for (std::size_t piece = 1; piece <= 64; ++piece) {
            CAPTURE(gone);
            CAPTURE(piece);
            const auto back = unzip(in_pieces(file, piece));
            REQUIRE_FALSE(back.has_value());
            const std::string words = "the gzip data are damaged before byte ";
            REQUIRE(back.error().what.starts_with(words));
            const auto place = std::stoull(back.error().what.substr(words.size()));
            CHECK(place >= member.size() - gone - 8);
            CHECK(place <= member.size() + piece);
        }
    }
}

TEST_CASE("blocks are streams of zlib, which zlib itself reads; its own are read too") {
    ZlibBlocks blocks;
    for (const std::size_t size : {0UL, 1UL, 600UL, 70'000UL, 3'000'000UL}) {
        CAPTURE(size);
        const std::string text = text_of(size);
        const auto stream = blocks.compress(text, size + 1000);
        REQUIRE(stream.has_value());
        CHECK(blocks.decompress(*stream, size) == text);
        std::string back(size + 1, '\0');
        uLongf length = static_cast<uLongf>(back.size());
        CHECK(uncompress(reinterpret_cast<Bytef*>(back.data()), &length,
                         reinterpret_cast<const Bytef*>(stream->data()),
                         static_cast<uLong>(stream->size())) == Z_OK);
        back.resize(length);
        CHECK(back == text);
        std::string theirs(compressBound(static_cast<uLong>(size)), '\0');
        length = static_cast<uLongf>(theirs.size());
        REQUIRE(compress2(reinterpret_cast<Bytef*>(theirs.data()), &length,
                          reinterpret_cast<const Bytef*>(text.data()), static_cast<uLong>(size),
                          Z_BEST_SPEED) == Z_OK);
        theirs.resize(length);
        CHECK(blocks.decompress(theirs, size) == text);
    }
    CHECK_FALSE(blocks.compress(text_of(70'000), 20).has_value());
    CHECK(blocks.compress(text_of(70'000), 70'000).has_value());  // it can be used on
}

TEST_CASE("a block of which a bit is flipped, or that is cut or longer, is refused") {
    ZlibBlocks blocks;
    const std::string text = text_of(300);
    const std::string stream = *blocks.compress(text, 1000);
    for (std::size_t i = 0; i < stream.size(); ++i) {
        CAPTURE(i);
        CHECK_FALSE(blocks.decompress(stream.substr(0, i), text.size()).has_value());
        std::string flipped = stream;
        flipped[i] = static_cast<char>(flipped[i] ^ (1 << (i % 8)));
        const auto back = blocks.decompress(flipped, text.size());
        CHECK((!back || *back == text));
    }
    CHECK_FALSE(blocks.decompress(stream + "x", text.size()).has_value());
    CHECK_FALSE(blocks.decompress(stream, text.size() + 1).has_value());
    CHECK_FALSE(blocks.decompress(stream, text.size() - 1).has_value());
}

TEST_CASE("errors of sink and source are returned") {
    int calls = 0;
    const Sink full = [&calls](std::string_view) {
        ++calls;
        return Result<void>(fail(ErrorKind::Io, "disk full"));
    };
    GzipWriter gzip(0, full);
    Result<void> written;
    for (int i = 0; i < 10 && written; ++i) {
        written = gzip.write(text_of(300'000));
    }
    REQUIRE_FALSE(written.has_value());
    CHECK(written.error().what == "disk full");
    CHECK(calls == 1);

    const auto broken =
        unzip([]() -> Result<std::string_view> { return fail(ErrorKind::Io, "bad sector"); });
    REQUIRE_FALSE(broken.has_value());
    CHECK(broken.error().what == "bad sector");
}
