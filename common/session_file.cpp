// What Holdfast writes has two gzip members. The first holds the head, the pickle of a dict with
// the small keys as the pickle writer makes it: FRAME, opcodes, STOP; with a MARK in the place of
// its STOP (so that the frame keeps its length). The second holds what is big, outside of any frame
// and without memo: the key 'nodes', its list, SETITEMS, STOP. Together they are one pickle.
//
// Whoever finds these two members knows where each node begins and can read them one by one; the
// grammar of the second one is closed:
//
//   nodes = "\x8c\x05nodes]" batch* "u."          batch = "(" node{1,1000} "e"
//   node  = "](" chunk* "e"                       chunk = ("C" u8 | "B" u32 | "\x8e" u64) bytes
//
// Everything else (the addon's files, those of earlier versions: one member) is read as a whole.

#include "common/session_file.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "common/limits.h"
#include "common/pickle.h"
#include "common/session_file_stamp.h"
#include "common/value.h"
#include "common/verify.h"

namespace common {

using namespace session_file;

namespace {

constexpr std::string_view kNodesKey("\x8c\x05nodes]", 8);  // SHORT_BINUNICODE, EMPTY_LIST
constexpr std::size_t kBatch = 1000;  // as Python's pickler: bounds a reader's stack

// ---- writing -----------------------------------------------------------------------------------

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

Result<void> write_nodes(const std::vector<NodePtr>& nodes, GzipWriter& gzip,
                         const BytesDone& progress) {
    std::uint64_t done = 0;
    std::string opcodes(kNodesKey);
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
            done += chunk.size();
        }
        opcodes.push_back('e');  // APPENDS
        if (i % kBatch == kBatch - 1 || i == nodes.size() - 1) {
            opcodes.push_back('e');
        }
        if (progress) {
            progress(done);
        }
    }
    return gzip.write(opcodes);
}

// ---- reading -----------------------------------------------------------------------------------

// What becomes of a node that was read.
enum class Keep { Nodes, Nothing };

// The nodes of a file, one by one.
class NodeCollector {
public:
    explicit NodeCollector(Keep keep) : keep_(keep) {}

    Result<void> take(const Chunks& chunks) {
        ++count_;
        Result<Node> node = read_node(chunks);
        if (!node) {
            return fail(node.error().kind,
                        "node " + std::to_string(count_) + ": " + node.error().what);
        }
        if (count_ > limits::kNodesMax) {
            return fail(ErrorKind::Limit,
                        "more than " + std::to_string(limits::kNodesMax) + " nodes");
        }
        if (!ids_.insert(node->id).second) {
            return bad_input("node " + node->id + " is there twice");
        }
        hashes_.push_back(node->hash());
        if (keep_ == Keep::Nodes) {
            nodes_.push_back(std::make_shared<const Node>(std::move(*node)));
        }
        return {};
    }

    Hash128 digest(const GraphCopy& rest) const {
        return digest_of(hashes_, rest.metadata, rest.initialised, rest.timeline);
    }
    std::vector<NodePtr> nodes() && { return std::move(nodes_); }

private:
    Keep keep_;
    std::size_t count_ = 0;
    std::unordered_set<std::string> ids_;
    std::vector<Hash128> hashes_;
    std::vector<NodePtr> nodes_;
};

constexpr std::uint64_t kTakenOnTrust = limits::operator""_MiB(1);

// The inflated bytes of a file, taken in the pieces that the reader wants.
class Inflated {
public:
    explicit Inflated(const Source& file) : gzip_(file) {}

    // Up to `size` bytes, fewer only at the end of the member. `size` is what the file says: more
    // memory than kTakenOnTrust is taken only as the bytes come.
    Result<std::string> take_up_to(std::uint64_t size) {
        std::string result;
        result.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(size, kTakenOnTrust)));
        while (result.size() < size && TRY(fill())) {
            const std::size_t part = static_cast<std::size_t>(
                std::min<std::uint64_t>(size - result.size(), piece_.size()));
            result.append(piece_.substr(0, part));
            piece_.remove_prefix(part);
        }
        if (result.capacity() > result.size() + result.size() / 8 + 64) {
            result.shrink_to_fit();
        }
        return result;
    }
    Result<std::string> take(std::uint64_t size) {
        std::string result = TRY(take_up_to(size));
        if (result.size() != size) {
            return bad_input("its nodes end in the middle");
        }
        return result;
    }
    Result<char> take_byte() {
        if (!TRY(fill())) {
            return bad_input("its nodes end in the middle");
        }
        const char byte = piece_.front();
        piece_.remove_prefix(1);
        return byte;
    }
    // All that is left of the member, added to `pieces`. False: it has more than `bytes_max`.
    Result<bool> take_rest(std::vector<std::string>& pieces, std::uint64_t bytes_max) {
        while (TRY(fill())) {
            if (bytes_ > bytes_max) {
                return false;
            }
            pieces.emplace_back(piece_);
            piece_ = {};
        }
        return true;
    }
    // After its end: whether there is another one.
    Result<bool> next_member() { return gzip_.next_member(); }

private:
    // False: the end of the member.
    Result<bool> fill() {
        if (piece_.empty()) {
            piece_ = TRY(gzip_.read());
            bytes_ += piece_.size();
            if (bytes_ > limits::kSessionFileInflatedBytesMax) {
                return fail(ErrorKind::Limit,
                            "a session of more than " +
                                std::to_string(limits::kSessionFileInflatedBytesMax) + " bytes");
            }
        }
        return !piece_.empty();
    }

    GzipReader gzip_;
    std::string_view piece_;
    std::uint64_t bytes_ = 0;
};

// ---- a file as Holdfast writes it ----

Result<std::uint64_t> stream_number(Inflated& in, std::size_t bytes) {
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
        const char byte = TRY(in.take_byte());
        number |= std::uint64_t{static_cast<unsigned char>(byte)} << (8 * i);
    }
    return number;
}

tl::unexpected<Error> not_ours() {
    return bad_input("its nodes are not written as Holdfast writes them");
}

// After its EMPTY_LIST.
Result<Chunks> stream_node(Inflated& in) {
    if (TRY(in.take_byte()) != '(') {
        return not_ours();
    }
    Chunks chunks;
    while (true) {
        std::uint64_t size = 0;
        switch (TRY(in.take_byte())) {
            case 'C':
                size = TRY(stream_number(in, 1));
                break;
            case 'B':
                size = TRY(stream_number(in, 4));
                break;
            case '\x8e':
                size = TRY(stream_number(in, 8));
                break;
            case 'e':
                return chunks;
            default:
                return not_ours();
        }
        if (chunks.size() == limits::kMessageChunksMax) {
            return bad_input("a node of too many chunks");
        }
        chunks.emplace_back(TRY(in.take(size)));
    }
}

// After kNodesKey.
Result<void> stream_nodes(Inflated& in, NodeCollector& nodes) {
    char next = TRY(in.take_byte());
    while (next == '(') {
        next = TRY(in.take_byte());
        for (std::size_t i = 0; next == ']' && i < kBatch; ++i) {
            const Chunks chunks = TRY(stream_node(in));
            TRY(nodes.take(chunks));
            next = TRY(in.take_byte());
        }
        if (next != 'e') {
            return not_ours();
        }
        next = TRY(in.take_byte());
    }
    if (next != 'u' || TRY(in.take_byte()) != '.' || !TRY(in.take_up_to(1)).empty() ||
        TRY(in.next_member())) {
        return not_ours();
    }
    return {};
}

// ---- a file of somebody else ----

Result<void> take_nodes(const Value& value, NodeCollector& nodes) {
    const List* list = value.as_list();
    if (list == nullptr) {
        return bad_input("'nodes' is not a list");
    }
    for (const Value& item : list->items) {
        const List* node = item.as_list();
        if (node == nullptr || node->items.size() > limits::kMessageChunksMax) {
            return bad_input("a node is not a list of chunks");
        }
        Chunks chunks;
        for (const Value& one : node->items) {
            const Bytes* chunk = one.as_bytes();
            if (chunk == nullptr) {
                return bad_input("a chunk of a node is not bytes");
            }
            // A copy, or one node would keep the whole file in memory.
            chunks.push_back(Bytes::copy_of(chunk->view()));
        }
        TRY(nodes.take(chunks));
    }
    return {};
}

Bytes join(std::vector<std::string> pieces) {
    std::size_t size = 0;
    for (const std::string& piece : pieces) {
        size += piece.size();
    }
    std::string whole;
    whole.reserve(size);
    for (std::string& piece : pieces) {
        whole.append(piece);
        piece = {};
    }
    return Bytes(std::move(whole));
}

// ---- both ----

// Where all nodes have been taken: what else the file says.
Result<SessionFile> finish(const Value& session, NodeCollector nodes) {
    SessionFile result;
    result.graph.initialised = true;
    if (const Value* stamp = session.find("holdfast")) {
        result.stamp = TRY(read_stamp(*stamp, result.graph));
        if (nodes.digest(result.graph) != result.stamp->digest) {
            return bad_input("it does not hold what was saved: the digests differ");
        }
    } else if (const Value* users = session.find("users")) {
        result.graph.metadata = read_users(*users);
    }
    result.graph.nodes = std::move(nodes).nodes();
    return result;
}

Result<SessionFile> read_whole(std::vector<std::string> pieces, Inflated& in, Keep keep) {
    do {
        TRY(in.take_rest(pieces, limits::kSessionFileInflatedBytesMax));
    } while (TRY(in.next_member()));
    const auto session = read_pickle(join(std::move(pieces)), PickleUse::Plain);
    if (!session) {
        return fail(session.error().kind,
                    "its contents are not a session: " + session.error().what);
    }
    const Value* listed = session->find("nodes");
    if (listed == nullptr) {
        return bad_input("it is not a session file: no 'nodes'");
    }
    NodeCollector nodes(keep);
    TRY(take_nodes(*listed, nodes));
    return finish(*session, std::move(nodes));
}

// The head of a file as Holdfast writes it; what was read of it is in `pieces`. None: another kind
// of file, or one whose head is longer than `bytes_max`.
Result<std::optional<Value>> read_head(Inflated& in, std::vector<std::string>& pieces,
                                       std::uint64_t bytes_max) {
    if (!TRY(in.take_rest(pieces, bytes_max)) || pieces.empty() || pieces.back().back() != '(' ||
        !TRY(in.next_member())) {
        return std::nullopt;
    }
    std::string key = TRY(in.take_up_to(kNodesKey.size()));
    if (key != kNodesKey) {
        pieces.push_back(std::move(key));
        return std::nullopt;
    }
    pieces.back().back() = '.';  // STOP: the head is a pickle of its own
    Value head = TRY(read_pickle(join(std::move(pieces)), PickleUse::Plain));
    if (head.as_dict() == nullptr || head.find("nodes") != nullptr) {
        return not_ours();
    }
    return head;
}

Result<SessionFile> read_session(const Source& file, Keep keep) {
    Inflated in(file);
    std::vector<std::string> pieces;
    const auto head = TRY(read_head(in, pieces, limits::kSessionFileInflatedBytesMax));
    if (!head) {
        return read_whole(std::move(pieces), in, keep);
    }
    NodeCollector nodes(keep);
    TRY(stream_nodes(in, nodes));
    return finish(*head, std::move(nodes));
}

}  // namespace

std::uint64_t session_bytes(const GraphCopy& graph) {
    std::uint64_t bytes = 0;
    for (const NodePtr& node : graph.nodes) {
        bytes += total_size(node->chunks());
    }
    return bytes;
}

Result<void> write_session_file(const GraphCopy& graph, const SessionStamp& stamp, int level,
                                const Sink& sink, const BytesDone& progress) {
    Value users = TRY(users_value(graph));
    const Bytes head =
        write_pickle(Value::dict({{Value::str("users"), std::move(users)},
                                  {Value::str("holdfast"), stamp_value(graph, stamp)}}));
    VERIFY(head.view().ends_with('.'));
    GzipWriter gzip(level, sink);
    TRY(gzip.write(head.view().substr(0, head.size() - 1)));
    TRY(gzip.write("("));  // MARK
    TRY(gzip.end_member());
    TRY(write_nodes(graph.nodes, gzip, progress));
    TRY(gzip.write("u."));  // SETITEMS, STOP
    return gzip.end_member();
}

Result<SessionFile> read_session_file(const Source& file) {
    return read_session(file, Keep::Nodes);
}

Result<SessionFile> read_session_file(const Bytes& file) {
    return read_session_file(source_of(file));
}

Result<SessionHead> peek_session_file(const Source& file) {
    Inflated in(file);
    std::vector<std::string> pieces;
    const auto head = TRY(read_head(in, pieces, limits::kSessionHeadBytesMax));
    const Value* stamp = head ? head->find("holdfast") : nullptr;
    if (stamp == nullptr) {
        return SessionHead{};
    }
    GraphCopy rest;
    SessionHead result;
    result.stamp = TRY(read_stamp(*stamp, rest));
    result.timeline = rest.timeline;
    return result;
}

Result<std::optional<SessionStamp>> check_session_file(const Source& file) {
    return TRY(read_session(file, Keep::Nothing)).stamp;
}

Result<std::optional<SessionStamp>> check_session_file(const Bytes& file) {
    return check_session_file(source_of(file));
}

}  // namespace common
