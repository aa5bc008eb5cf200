// The pickle is written in two parts. The head, a dict with the small keys, comes from the pickle
// writer as a whole: FRAME, opcodes, STOP. In the place of its STOP comes a MARK (so that the frame
// keeps its length), and then, outside of any frame and without memo, as Python's own pickler
// writes what is big: the key 'nodes', its list, SETITEMS, STOP.

#include "common/session_file.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <unordered_set>

#include "common/limits.h"
#include "common/pickle.h"
#include "common/value.h"
#include "common/verify.h"

namespace common {

namespace {

constexpr std::int64_t kFormat = 1;
constexpr std::size_t kPieceBytes = limits::operator""_KiB(256);
constexpr std::size_t kBatch = 1000;  // as Python's pickler: bounds a reader's stack

// ---- gzip --------------------------------------------------------------------------------------

class GzipWriter {
public:
    GzipWriter(int level, const Sink& sink) : sink_(sink), out_(kPieceBytes, '\0') {
        const int window_bits =
            15 + 16;  // a gzip header, without name and time: same graph, same bytes
        VERIFY(deflateInit2(&stream_, level, Z_DEFLATED, window_bits, 9, Z_DEFAULT_STRATEGY) ==
               Z_OK);
        in_.reserve(kPieceBytes);
    }
    ~GzipWriter() { deflateEnd(&stream_); }
    GzipWriter(const GzipWriter&) = delete;
    GzipWriter& operator=(const GzipWriter&) = delete;

    Result<void> write(std::string_view bytes) {
        if (in_.size() + bytes.size() > kPieceBytes) {
            TRY(flush());
        }
        if (bytes.size() > kPieceBytes) {
            return deflate_all(bytes, Z_NO_FLUSH);
        }
        in_.append(bytes);
        return {};
    }

    Result<void> finish() {
        TRY(flush());
        return deflate_all({}, Z_FINISH);
    }

private:
    Result<void> flush() {
        TRY(deflate_all(in_, Z_NO_FLUSH));
        in_.clear();
        return {};
    }

    Result<void> deflate_all(std::string_view bytes, int mode) {
        do {
            const std::size_t piece = std::min<std::size_t>(bytes.size(), 1U << 30);
            const int piece_mode = piece == bytes.size() ? mode : Z_NO_FLUSH;
            stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
            stream_.avail_in = static_cast<uInt>(piece);
            do {
                stream_.next_out = reinterpret_cast<Bytef*>(out_.data());
                stream_.avail_out = static_cast<uInt>(out_.size());
                VERIFY(deflate(&stream_, piece_mode) != Z_STREAM_ERROR);
                const std::size_t made = out_.size() - stream_.avail_out;
                if (made > 0) {
                    TRY(sink_(std::string_view(out_.data(), made)));
                }
            } while (stream_.avail_out == 0);
            bytes.remove_prefix(piece);
        } while (!bytes.empty());
        return {};
    }

    const Sink& sink_;
    z_stream stream_{};
    std::string in_;
    std::string out_;
};

// How much to take at once: what the file says of itself, as far as deflate can make that of it.
std::size_t likely_inflated_bytes(std::string_view file) {
    constexpr std::size_t kDeflateRatioMax = 1032;
    if (file.size() < 4) {
        return 0;
    }
    std::size_t said = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        said |= std::size_t{static_cast<unsigned char>(file[file.size() - 4 + i])} << (8 * i);
    }
    return std::min(said, file.size() * kDeflateRatioMax);
}

Result<std::string> gunzip(std::string_view file) {
    z_stream stream{};
    VERIFY(inflateInit2(&stream, 15 + 16) == Z_OK);
    const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, inflateEnd);
    std::string result;
    result.reserve(likely_inflated_bytes(file));
    std::string out(kPieceBytes, '\0');
    std::string_view rest = file;
    bool complete = false;
    while (!rest.empty()) {
        if (complete) {  // a gzip file may have several members
            VERIFY(inflateReset(&stream) == Z_OK);
            complete = false;
        }
        const std::size_t piece = std::min<std::size_t>(rest.size(), 1U << 30);
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(rest.data()));
        stream.avail_in = static_cast<uInt>(piece);
        do {
            stream.next_out = reinterpret_cast<Bytef*>(out.data());
            stream.avail_out = static_cast<uInt>(out.size());
            const int status = inflate(&stream, Z_NO_FLUSH);
            if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
                const std::size_t at = file.size() - rest.size() + (piece - stream.avail_in);
                return bad_input("the gzip data are damaged at byte " + std::to_string(at) +
                                 " of " + std::to_string(file.size()));
            }
            const std::size_t made = out.size() - stream.avail_out;
            if (made > limits::kSessionFileInflatedBytesMax - result.size()) {
                return fail(ErrorKind::Limit,
                            "a session of more than " +
                                std::to_string(limits::kSessionFileInflatedBytesMax) + " bytes");
            }
            result.append(out, 0, made);
            complete = status == Z_STREAM_END;
        } while (!complete && stream.avail_out == 0);
        rest.remove_prefix(piece - stream.avail_in);
    }
    if (!complete) {
        return bad_input("the file is cut off after " + std::to_string(file.size()) + " bytes");
    }
    return result;
}

// ---- numbers as text ---------------------------------------------------------------------------

Result<std::uint64_t> read_number(std::string_view text, int base, const char* what) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    if (error != std::errc() || end != text.data() + text.size()) {
        return bad_input(std::string("holdfast: ") + what + " is not a number");
    }
    return number;
}

Result<Hash128> read_hash(std::string_view text, const char* what) {
    if (text.size() != 32) {
        return bad_input(std::string("holdfast: ") + what + " is not a hash");
    }
    return Hash128{TRY(read_number(text.substr(0, 16), 16, what)),
                   TRY(read_number(text.substr(16), 16, what))};
}

Result<std::string_view> find_text(const Value& dict, const char* key) {
    const Value* value = dict.find(key);
    const std::string* text = value == nullptr ? nullptr : value->as_str();
    if (text == nullptr) {
        return bad_input(std::string("holdfast: no text '") + key + "'");
    }
    return std::string_view(*text);
}

Result<std::int64_t> find_int(const Value& dict, const char* key) {
    const Value* value = dict.find(key);
    const std::optional<std::int64_t> number = value == nullptr ? std::nullopt : value->as_int();
    if (!number) {
        return bad_input(std::string("holdfast: no number '") + key + "'");
    }
    return *number;
}

// ---- the stamp ---------------------------------------------------------------------------------

Value position_value(const Position& position) {
    return Value::list({Value::str(hex(number(position.epoch))),
                        Value::str(std::to_string(number(position.seq))),
                        Value::str(hex(position.chain))});
}

Result<Position> read_position(const Value& value) {
    const List* list = value.as_list();
    if (list == nullptr || list->items.size() != 3) {
        return bad_input("holdfast: a position has three parts");
    }
    std::array<const std::string*, 3> parts{};
    for (std::size_t i = 0; i < parts.size(); ++i) {
        parts[i] = list->items[i].as_str();
        if (parts[i] == nullptr) {
            return bad_input("holdfast: a position is made of text");
        }
    }
    return Position{Epoch{TRY(read_number(*parts[0], 16, "an epoch"))},
                    Seq{TRY(read_number(*parts[1], 10, "a seq"))},
                    TRY(read_hash(*parts[2], "a chain"))};
}

Value lineage_value(const Lineage& lineage) {
    std::vector<Value> entries;
    for (const LineageEntry& entry : lineage) {
        entries.push_back(
            Value::list({Value::str(hex(number(entry.epoch))), position_value(entry.parent)}));
    }
    return Value::list(std::move(entries));
}

Result<Lineage> read_lineage(const Value& value) {
    const List* list = value.as_list();
    if (list == nullptr || list->items.size() > limits::kLineageMax) {
        return bad_input("holdfast: no lineage, or one that is too long");
    }
    Lineage lineage;
    for (const Value& item : list->items) {
        const List* entry = item.as_list();
        const std::string* epoch =
            entry == nullptr || entry->items.size() != 2 ? nullptr : entry->items[0].as_str();
        if (epoch == nullptr) {
            return bad_input("holdfast: a lineage entry has an epoch and a parent");
        }
        lineage.push_back(
            {Epoch{TRY(read_number(*epoch, 16, "an epoch"))}, TRY(read_position(entry->items[1]))});
    }
    return lineage;
}

Value stamp_value(const GraphCopy& graph, const SessionStamp& stamp) {
    std::vector<std::pair<Value, Value>> metadata;
    for (const auto& [name, pickled] : graph.metadata) {
        metadata.emplace_back(Value::str(name), Value::bytes(pickled));
    }
    return Value::dict({{Value::str("format"), Value::integer(kFormat)},
                        {Value::str("position"), position_value(stamp.position)},
                        {Value::str("lineage"), lineage_value(stamp.lineage)},
                        {Value::str("timeline"), Value::str(hex(number(graph.timeline)))},
                        {Value::str("initialised"), Value::boolean(graph.initialised)},
                        {Value::str("last_mutation"), Value::integer(number(stamp.last_mutation))},
                        {Value::str("saved"), Value::integer(number(stamp.saved))},
                        {Value::str("digest"), Value::str(hex(stamp.digest))},
                        {Value::str("metadata"), Value::dict(std::move(metadata))}});
}

// What a stamp says about the graph, which is not in the other keys of the file.
Result<SessionStamp> read_stamp(const Value& value, GraphCopy& graph) {
    const std::int64_t format = TRY(find_int(value, "format"));
    if (format != kFormat) {
        return fail(ErrorKind::Unsupported,
                    "it was written by another version of Holdfast (format " +
                        std::to_string(format) + ", this one reads " + std::to_string(kFormat) +
                        ")");
    }
    const Value* position = value.find("position");
    const Value* lineage = value.find("lineage");
    const Value* initialised = value.find("initialised");
    const Value* metadata = value.find("metadata");
    if (position == nullptr || lineage == nullptr || initialised == nullptr ||
        !initialised->as_bool() || metadata == nullptr || metadata->as_dict() == nullptr) {
        return bad_input("holdfast: position, lineage, initialised or metadata is missing");
    }
    SessionStamp stamp;
    stamp.position = TRY(read_position(*position));
    stamp.lineage = TRY(read_lineage(*lineage));
    stamp.last_mutation = WallTime{TRY(find_int(value, "last_mutation"))};
    stamp.saved = WallTime{TRY(find_int(value, "saved"))};
    const std::string_view digest = TRY(find_text(value, "digest"));
    stamp.digest = TRY(read_hash(digest, "the digest"));
    const std::string_view timeline = TRY(find_text(value, "timeline"));
    graph.timeline = Timeline{TRY(read_number(timeline, 16, "a timeline"))};
    graph.initialised = *initialised->as_bool();
    for (const Dict::Entry& entry : metadata->as_dict()->entries()) {
        const std::string* name = entry.key.as_str();
        const Bytes* pickled = entry.value.as_bytes();
        if (name == nullptr || pickled == nullptr) {
            return bad_input("holdfast: a user's metadata are not bytes");
        }
        graph.metadata[*name] = Bytes::copy_of(pickled->view());
    }
    return stamp;
}

// ---- users -------------------------------------------------------------------------------------

// As the addon's own files have it; what a user is, besides metadata, means nothing in a file.
Result<Value> users_value(const GraphCopy& graph) {
    std::vector<std::pair<Value, Value>> users;
    for (const auto& [name, pickled] : graph.metadata) {
        Value metadata = TRY(read_pickle(pickled, PickleUse::Plain));
        users.emplace_back(Value::str(name),
                           Value::dict({{Value::str("id"), Value::str(name)},
                                        {Value::str("admin"), Value::boolean(false)},
                                        {Value::str("latency"), Value::integer(0)},
                                        {Value::str("status"), Value::integer(0)},
                                        {Value::str("metadata"), std::move(metadata)}}));
    }
    return Value::dict(std::move(users));
}

// What a client makes anew itself: half-restored, these break the addon.
bool is_made_by_the_client(std::string_view key) {
    static constexpr std::array<std::string_view, 5> kNames = {
        "color", "scene_current", "mode_current", "frame_current", "selected_objects"};
    return key.starts_with("view_") || std::find(kNames.begin(), kNames.end(), key) != kNames.end();
}

// From a file without a stamp. Whatever does not look like metadata is passed over.
std::map<UserName, Bytes> read_users(const Value& users) {
    std::map<UserName, Bytes> result;
    const Dict* dict = users.as_dict();
    if (dict == nullptr) {
        return result;
    }
    for (const Dict::Entry& user : dict->entries()) {
        const std::string* name = user.key.as_str();
        const Value* metadata = user.value.find("metadata");
        if (name == nullptr || name->empty() || name->size() > limits::kUserNameBytesMax ||
            metadata == nullptr || metadata->as_dict() == nullptr) {
            continue;
        }
        std::vector<std::pair<Value, Value>> kept;
        for (const Dict::Entry& entry : metadata->as_dict()->entries()) {
            const std::string* key = entry.key.as_str();
            if (key != nullptr && !is_made_by_the_client(*key)) {
                kept.emplace_back(entry.key, entry.value);
            }
        }
        Bytes pickled = write_pickle(Value::dict(std::move(kept)));
        if (pickled.size() <= limits::kUserMetadataBytesMax) {
            result[*name] = std::move(pickled);
        }
    }
    return result;
}

// ---- nodes -------------------------------------------------------------------------------------

void append_little_endian(std::string& out, std::uint64_t number, int bytes) {
    for (int i = 0; i < bytes; ++i) {
        out.push_back(static_cast<char>(number >> (8 * i) & 0xff));
    }
}

// SHORT_BINBYTES, BINBYTES, BINBYTES8.
void append_bytes_opcode(std::string& out, std::size_t size) {
    if (size <= 0xff) {
        out.push_back('C');
        append_little_endian(out, size, 1);
    } else if (size <= 0xffffffff) {
        out.push_back('B');
        append_little_endian(out, size, 4);
    } else {
        out.push_back('\x8e');
        append_little_endian(out, size, 8);
    }
}

Result<void> write_nodes(const std::vector<NodePtr>& nodes, GzipWriter& gzip) {
    std::string opcodes = "]";  // EMPTY_LIST
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        if (i % kBatch == 0) {
            opcodes.push_back('(');  // MARK
        }
        opcodes.append("](");
        for (const Bytes& chunk : nodes[i]->chunks()) {
            append_bytes_opcode(opcodes, chunk.size());
            TRY(gzip.write(opcodes));
            opcodes.clear();
            TRY(gzip.write(chunk.view()));
        }
        opcodes.push_back('e');  // APPENDS
        if (i % kBatch == kBatch - 1 || i == nodes.size() - 1) {
            opcodes.push_back('e');
        }
    }
    return gzip.write(opcodes);
}

// What becomes of the nodes' bytes: those who keep nodes need copies, or one node would keep the
// whole file in memory.
enum class Memory { Shared, Own };

Result<NodePtr> read_node_value(const Value& value, Memory memory) {
    const List* list = value.as_list();
    if (list == nullptr || list->items.size() > limits::kMessageChunksMax) {
        return bad_input("it is not a list of chunks");
    }
    Chunks chunks;
    for (const Value& item : list->items) {
        const Bytes* chunk = item.as_bytes();
        if (chunk == nullptr) {
            return bad_input("a chunk is not bytes");
        }
        chunks.push_back(memory == Memory::Own ? Bytes::copy_of(chunk->view()) : *chunk);
    }
    return std::make_shared<const Node>(TRY(read_node(chunks)));
}

Result<std::vector<NodePtr>> read_nodes(const Value& value, Memory memory) {
    const List* list = value.as_list();
    if (list == nullptr) {
        return bad_input("'nodes' is not a list");
    }
    if (list->items.size() > limits::kNodesMax) {
        return fail(ErrorKind::Limit, "more than " + std::to_string(limits::kNodesMax) + " nodes");
    }
    std::vector<NodePtr> nodes;
    nodes.reserve(list->items.size());
    std::unordered_set<std::string_view> ids;
    for (std::size_t i = 0; i < list->items.size(); ++i) {
        Result<NodePtr> node = read_node_value(list->items[i], memory);
        if (!node) {
            return fail(node.error().kind, "node " + std::to_string(i + 1) + " of " +
                                               std::to_string(list->items.size()) + ": " +
                                               node.error().what);
        }
        if (!ids.insert((*node)->id).second) {
            return bad_input("node " + (*node)->id + " is there twice");
        }
        nodes.push_back(std::move(*node));
    }
    return nodes;
}

Result<SessionFile> read_session(const Bytes& file, Memory memory) {
    const Bytes pickle(TRY(gunzip(file.view())));
    const Value session = TRY(read_pickle(pickle, PickleUse::Plain));
    const Value* nodes = session.find("nodes");
    if (nodes == nullptr) {
        return bad_input("it is not a session file: no 'nodes'");
    }
    SessionFile result;
    result.graph.initialised = true;
    result.graph.nodes = TRY(read_nodes(*nodes, memory));
    if (const Value* stamp = session.find("holdfast")) {
        result.stamp = TRY(read_stamp(*stamp, result.graph));
        if (result.graph.digest() != result.stamp->digest) {
            return bad_input("it does not hold what was saved: the digests differ");
        }
    } else if (const Value* users = session.find("users")) {
        result.graph.metadata = read_users(*users);
    }
    return result;
}

}  // namespace

Result<void> write_session_file(const GraphCopy& graph, const SessionStamp& stamp, int level,
                                const Sink& sink) {
    VERIFY(level >= 1 && level <= 9);
    Value users = TRY(users_value(graph));
    const Bytes head =
        write_pickle(Value::dict({{Value::str("users"), std::move(users)},
                                  {Value::str("holdfast"), stamp_value(graph, stamp)}}));
    VERIFY(head.view().ends_with('.'));
    GzipWriter gzip(level, sink);
    TRY(gzip.write(head.view().substr(0, head.size() - 1)));
    TRY(gzip.write(std::string_view("(\x8c\x05nodes", 8)));  // MARK, SHORT_BINUNICODE
    TRY(write_nodes(graph.nodes, gzip));
    TRY(gzip.write("u."));  // SETITEMS, STOP
    return gzip.finish();
}

Result<SessionFile> read_session_file(const Bytes& file) {
    return read_session(file, Memory::Own);
}

Result<std::optional<SessionStamp>> check_session_file(const Bytes& file) {
    return TRY(read_session(file, Memory::Shared)).stamp;
}

}  // namespace common
