#include "common/feed.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <msgpack.hpp>

#include <array>
#include <span>

#include "common/limits.h"

// Theory. Every message is [number, version, fields...] in msgpack, and then frames that are passed
// on as they are. Both directions are written field by field: `envelope(a, b, c)` packs, a `Reader`
// takes them back in the same order. A Reader's first error stays and the rest reads as zeros, so a
// decoder reads straight down and asks once, at its end, whether all was well.
//
// Grammar, numbers and examples: docs/FEED.md. A number once given is never used for another thing.

namespace common::feed {

namespace {

enum class Number : std::uint64_t {
    EpochStarted = 1,
    PutNode = 2,
    PatchNode = 3,
    DeleteNode = 4,
    SetOwner = 5,
    Cleared = 6,
    Initialised = 7,
    UserJoined = 8,
    UserLeft = 9,
    SetMetadata = 10,
    RecordsEnd = 20,  // below: records
    Beat = 20,
    Packet = 21,
    Hello = 30,
    Verdict = 31,
    Pull = 32,
    Piece = 33,
    StreamBroken = 34,
    Durable = 35,
    SaveNow = 36,
    Saved = 37,
    Bye = 38,
};

constexpr std::size_t kHashBytes = 16;
constexpr std::size_t kEnvelopeBytes = 128;  // what most of them fit in
constexpr std::size_t kTextBytesMax = 4096;  // of a reason or name for people; longer ones are cut
constexpr std::size_t kDepthMax = 8;         // arrays in arrays; the deepest message has 6

// ---- Packing -------------------------------------------------------------------------------

// What msgpack::packer writes to.
struct Text {
    std::string bytes;
    void write(const char* data, std::size_t size) { bytes.append(data, size); }
};
using Packer = msgpack::packer<Text>;

struct Nil {};
struct Cut {  // a text for people
    std::string_view text;
};

// Mutually recursive overloads: a class, so that all of them see each other.
class Pack {
public:
    explicit Pack(Text& out) : packer_(out) {}

    template <typename... Fields>
    void array(const Fields&... fields) {
        packer_.pack_array(sizeof...(fields));
        (put(fields), ...);
    }

private:
    void put(std::uint64_t value) { packer_.pack(value); }
    void put(std::uint32_t value) { packer_.pack(value); }
    void put(bool value) { value ? packer_.pack_true() : packer_.pack_false(); }
    void put(Nil) { packer_.pack_nil(); }
    void put(Number value) { put(static_cast<std::uint64_t>(value)); }
    void put(Epoch value) { put(number(value)); }
    void put(Seq value) { put(number(value)); }
    void put(Timeline value) { put(number(value)); }
    void put(WallTime value) { packer_.pack(number(value)); }
    void put(BrokerState value) { put(static_cast<std::uint64_t>(value)); }
    void put(Verdict::Kind value) { put(static_cast<std::uint64_t>(value)); }
    void put(const std::string& value) {
        packer_.pack_str(static_cast<std::uint32_t>(value.size()));
        packer_.pack_str_body(value.data(), static_cast<std::uint32_t>(value.size()));
    }
    void put(Cut value) { put(std::string(value.text.substr(0, kTextBytesMax))); }
    void put(const Hash128& value) {
        XXH128_canonical_t bytes;
        XXH128_canonicalFromHash(&bytes, {value.low, value.high});
        packer_.pack_bin(kHashBytes);
        packer_.pack_bin_body(reinterpret_cast<const char*>(bytes.digest), kHashBytes);
    }
    void put(const Position& value) { array(value.epoch, value.seq, value.chain); }
    void put(const LineageEntry& value) { array(value.epoch, value.parent); }
    void put(const Holding& value) {
        array(value.position, value.lineage, value.timeline, value.initialised, value.node_count,
              value.last_mutation);
    }
    void put(const NodePtr& value) { array(value->id, value->owner); }
    void put(const Frames& record) { put(static_cast<std::uint64_t>(record.size())); }
    void put(const WholeHead& value) {
        std::vector<UserName> names;
        for (const auto& [name, metadata] : value.metadata) {
            names.push_back(name);
        }
        array(value.holding, names);
    }
    template <typename T>
    void put(const std::optional<T>& value) {
        value ? put(*value) : put(Nil{});
    }
    template <typename T>
    void put(const std::vector<T>& values) {
        packer_.pack_array(static_cast<std::uint32_t>(values.size()));
        for (const T& value : values) {
            put(value);
        }
    }

    Packer packer_;
};

std::uint64_t version_of(Number number) {
    return number < Number::RecordsEnd ? kRecordVersion : kVersion;
}

template <typename... Fields>
Bytes envelope(Number number, const Fields&... fields) {
    Text text;
    text.bytes.reserve(kEnvelopeBytes);
    Pack(text).array(number, version_of(number), fields...);
    return Bytes(std::move(text.bytes));
}

// ---- Reading -------------------------------------------------------------------------------

// The frames behind the envelope, in order, and the first error of the whole message.
class Source {
public:
    explicit Source(std::span<const Bytes> frames) : frames_(frames) {}

    Bytes frame() {
        const auto taken = frames(1);
        return taken.empty() ? Bytes() : taken.front();
    }
    std::span<const Bytes> frames(std::uint64_t count) {
        if (count > frames_.size()) {
            refuse("frames are missing");
            return {};
        }
        const auto taken = frames_.first(count);
        frames_ = frames_.subspan(count);
        return taken;
    }
    void refuse(std::string what) { refuse(Error{ErrorKind::BadInput, std::move(what)}); }
    void refuse(Error error) {
        if (!error_) {
            error_ = std::move(error);
        }
    }
    bool failed() const { return error_.has_value(); }
    template <typename T>
    T take(Result<T> result) {
        if (!result) {
            refuse(std::move(result).error());
            return T{};
        }
        return std::move(result).value();
    }
    Result<void> end() const {
        if (error_) {
            return tl::unexpected<Error>(*error_);
        }
        if (!frames_.empty()) {
            return bad_input(std::to_string(frames_.size()) + " frames too many");
        }
        return {};
    }

private:
    std::span<const Bytes> frames_;
    std::optional<Error> error_;
};

// Takes the items of one array in order.
class Reader {
public:
    Reader(std::span<const msgpack::object> items, Source& source)
        : items_(items), source_(&source) {}

    bool boolean() {
        const msgpack::object* item = next(msgpack::type::BOOLEAN, "a bool");
        return item != nullptr && item->via.boolean;
    }
    std::uint64_t u64() {
        const msgpack::object* item = next(msgpack::type::POSITIVE_INTEGER, "a number");
        return item == nullptr ? 0 : item->via.u64;
    }
    std::uint64_t u64_below(std::uint64_t end) {
        const std::uint64_t value = u64();
        if (value >= end) {
            source_->refuse("a number is out of its range: " + std::to_string(value));
            return 0;
        }
        return value;
    }
    std::uint32_t u32() { return static_cast<std::uint32_t>(u64_below(std::uint64_t{1} << 32U)); }
    Epoch epoch() { return Epoch{u64()}; }
    Seq seq() { return Seq{u64()}; }
    Timeline timeline() { return Timeline{u64()}; }
    WallTime wall_time() {
        if (!items_.empty() && items_.front().type == msgpack::type::NEGATIVE_INTEGER) {
            return WallTime{next(msgpack::type::NEGATIVE_INTEGER, "a time")->via.i64};
        }
        return WallTime{static_cast<std::int64_t>(u64_below(std::uint64_t{1} << 63U))};
    }
    std::string text(std::size_t bytes_max = kTextBytesMax) {
        const msgpack::object* item = next(msgpack::type::STR, "a text");
        if (item == nullptr) {
            return {};
        }
        if (item->via.str.size > bytes_max) {
            source_->refuse("a text is too long");
            return {};
        }
        return {item->via.str.ptr, item->via.str.size};
    }
    UserName user_name() { return text(limits::kUserNameBytesMax); }
    NodeId node_id() { return source_->take(read_node_id(text(limits::kNodeIdBytesMax))); }
    Hash128 hash() {
        const msgpack::object* item = next(msgpack::type::BIN, "a hash");
        if (item == nullptr) {
            return {};
        }
        if (item->via.bin.size != kHashBytes) {
            source_->refuse("a hash does not have 16 bytes");
            return {};
        }
        XXH128_canonical_t bytes;
        std::memcpy(bytes.digest, item->via.bin.ptr, kHashBytes);
        const XXH128_hash_t value = XXH128_hashFromCanonical(&bytes);
        return {value.high64, value.low64};
    }
    Reader array() {
        const msgpack::object* item = next(msgpack::type::ARRAY, "an array");
        if (item == nullptr) {
            return Reader({}, *source_);
        }
        return Reader({item->via.array.ptr, item->via.array.size}, *source_);
    }
    // Takes a nil, if that is what comes next.
    bool nil() {
        if (items_.empty() || items_.front().type != msgpack::type::NIL) {
            return false;
        }
        items_ = items_.subspan(1);
        return true;
    }
    std::size_t left() const { return items_.size(); }
    void end() {
        if (!items_.empty()) {
            source_->refuse("fields too many");
        }
    }

    Position position() {
        Reader fields = array();
        Position value;
        value.epoch = fields.epoch();
        value.seq = fields.seq();
        value.chain = fields.hash();
        fields.end();
        return value;
    }
    Lineage lineage() {
        Reader entries = array();
        if (entries.left() > limits::kLineageMax) {
            source_->refuse(Error{ErrorKind::Limit, "a lineage is too long"});
            return {};
        }
        Lineage value;
        while (entries.left() > 0 && !source_->failed()) {
            Reader fields = entries.array();
            const Epoch epoch = fields.epoch();
            value.push_back({epoch, fields.position()});
            fields.end();
        }
        return value;
    }
    Holding holding() {
        Reader fields = array();
        Holding value;
        value.position = fields.position();
        value.lineage = fields.lineage();
        value.timeline = fields.timeline();
        value.initialised = fields.boolean();
        value.node_count = fields.u64();
        value.last_mutation = fields.wall_time();
        fields.end();
        return value;
    }
    std::optional<Hash128> optional_hash() { return nil() ? std::nullopt : std::optional(hash()); }

    Source& source() { return *source_; }

private:
    const msgpack::object* next(msgpack::type::object_type type, const char* what) {
        if (items_.empty()) {
            source_->refuse(std::string("a field is missing: ") + what);
            return nullptr;
        }
        const msgpack::object* item = &items_.front();
        items_ = items_.subspan(1);
        if (item->type != type) {
            source_->refuse(std::string("a field is not ") + what);
            return nullptr;
        }
        return item;
    }

    std::span<const msgpack::object> items_;
    Source* source_;
};

struct Envelope {
    msgpack::object_handle handle;
    Number number{};
    std::span<const msgpack::object> fields;  // behind number and version
};

Result<msgpack::object_handle> unpack(const Bytes& frame) {
    // An item takes at least a byte, so no array is longer than its frame: that bounds what msgpack
    // takes on the word of a length.
    const std::size_t size_max = frame.size();
    const msgpack::unpack_limit limit(size_max, 0, size_max, size_max, 0, kDepthMax);
    const auto by_reference = [](msgpack::type::object_type, std::size_t, void*) { return true; };
    try {
        std::size_t offset = 0;
        msgpack::object_handle handle =
            msgpack::unpack(frame.data(), frame.size(), offset, by_reference, nullptr, limit);
        if (offset != frame.size()) {
            return bad_input("bytes behind the envelope");
        }
        return handle;
    } catch (const std::exception& error) {
        return bad_input(std::string("the envelope is not msgpack: ") + error.what());
    }
}

Result<Envelope> open(const Frames& frames) {
    if (frames.empty()) {
        return bad_input("a message without frames");
    }
    if (frames[0].size() > limits::kMessageBytesMax) {
        return fail(ErrorKind::Limit, "an envelope is too big");
    }
    Envelope envelope;
    envelope.handle = TRY(unpack(frames[0]));
    const msgpack::object& whole = envelope.handle.get();
    if (whole.type != msgpack::type::ARRAY || whole.via.array.size < 2) {
        return bad_input("the envelope is not an array of number, version and fields");
    }
    Source source({});
    Reader reader({whole.via.array.ptr, 2}, source);
    envelope.number = static_cast<Number>(reader.u64());
    const std::uint64_t version = reader.u64();
    TRY(source.end());
    const std::uint64_t ours = version_of(envelope.number);
    if (version != ours) {
        return fail(ErrorKind::Unsupported,
                    "the other side speaks version " + std::to_string(version) +
                        " of the feed, this program version " + std::to_string(ours) +
                        ": run the same release on both sides");
    }
    envelope.fields = {whole.via.array.ptr + 2, whole.via.array.size - 2};
    return envelope;
}

std::span<const Bytes> behind_envelope(const Frames& frames) {
    return std::span(frames).subspan(1);
}

// Reads one message: `read` takes its fields, and all of them and all frames must be used up.
template <typename T, typename Read>
Result<T> decode_all(const Envelope& envelope, const Frames& frames, const Read& read) {
    Source source(behind_envelope(frames));
    Reader reader(envelope.fields, source);
    T value = read(reader);
    reader.end();
    TRY(source.end());
    return value;
}

Error unknown(const char* where, Number number) {
    return Error{ErrorKind::Unsupported, std::string("no message of the ") + where +
                                             " has the number " +
                                             std::to_string(static_cast<std::uint64_t>(number))};
}

// ---- Records -------------------------------------------------------------------------------

// The envelope of a record: what all have, then `fields`.
template <typename... Fields>
Bytes record_envelope(Number number, const Record& record, const Fields&... fields) {
    return envelope(number, record.epoch, record.seq, record.time, record.user, fields...);
}

struct EncodeMutation {
    const Record& record;

    Frames operator()(const EpochStarted& m) const {
        return {record_envelope(Number::EpochStarted, record, m.parent)};
    }
    Frames operator()(const PutNode& m) const {
        return {record_envelope(Number::PutNode, record, m.node.id, m.node.owner),
                m.node.dependencies.pickled, m.node.data};
    }
    Frames operator()(const PatchNode& m) const {
        return {record_envelope(Number::PatchNode, record, m.id), m.dependencies.pickled, m.delta};
    }
    Frames operator()(const DeleteNode& m) const {
        return {record_envelope(Number::DeleteNode, record, m.id)};
    }
    Frames operator()(const SetOwner& m) const {
        return {record_envelope(Number::SetOwner, record, m.ids, m.owner)};
    }
    Frames operator()(const Cleared&) const { return {record_envelope(Number::Cleared, record)}; }
    Frames operator()(const Initialised& m) const {
        return {record_envelope(Number::Initialised, record, m.timeline)};
    }
    Frames operator()(const UserJoined& m) const {
        return {record_envelope(Number::UserJoined, record, m.name)};
    }
    Frames operator()(const UserLeft& m) const {
        return {record_envelope(Number::UserLeft, record, m.name, Cut{m.reason})};
    }
    Frames operator()(const SetMetadata& m) const {
        return {record_envelope(Number::SetMetadata, record, m.name), m.metadata};
    }
};

Dependencies read_dependencies(Source& source) {
    const Bytes pickled = source.frame();
    return source.failed() ? Dependencies{} : source.take(Dependencies::read(pickled));
}

SetOwner read_set_owner(Reader& fields) {
    SetOwner mutation;
    Reader ids = fields.array();
    while (ids.left() > 0 && !fields.source().failed()) {
        mutation.ids.push_back(ids.node_id());
    }
    mutation.owner = fields.user_name();
    return mutation;
}

Mutation read_mutation(Number number, Reader& fields) {
    Source& source = fields.source();
    switch (number) {
        case Number::EpochStarted:
            return EpochStarted{fields.position()};
        case Number::PutNode: {
            PutNode mutation;
            mutation.node.id = fields.node_id();
            mutation.node.owner = fields.user_name();
            mutation.node.dependencies = read_dependencies(source);
            mutation.node.data = source.frame();
            return mutation;
        }
        case Number::PatchNode: {
            PatchNode mutation;
            mutation.id = fields.node_id();
            mutation.dependencies = read_dependencies(source);
            mutation.delta = source.frame();
            return mutation;
        }
        case Number::DeleteNode:
            return DeleteNode{fields.node_id()};
        case Number::SetOwner:
            return read_set_owner(fields);
        case Number::Cleared:
            return Cleared{};
        case Number::Initialised:
            return Initialised{fields.timeline()};
        case Number::UserJoined:
            return UserJoined{fields.user_name()};
        case Number::UserLeft: {
            UserLeft mutation;
            mutation.name = fields.user_name();
            mutation.reason = fields.text();
            return mutation;
        }
        case Number::SetMetadata: {
            SetMetadata mutation;
            mutation.name = fields.user_name();
            mutation.metadata = source.frame();
            return mutation;
        }
        default:
            source.refuse(unknown("records", number));
            return Cleared{};
    }
}

// ---- Feed and link -------------------------------------------------------------------------

struct EncodeFeed {
    Frames operator()(const Beat& m) const {
        return {envelope(Number::Beat, m.position, m.state, m.digest, m.run)};
    }
    Frames operator()(const Packet& m) const {
        return {envelope(Number::Packet, m.number, m.continued), m.payload};
    }
};

Frames encode_piece(const Piece& piece) {
    Frames frames = {envelope(Number::Piece, piece.stream, piece.number, piece.last, piece.head,
                              piece.nodes, piece.records, piece.digest)};
    if (piece.head) {
        for (const auto& [name, metadata] : piece.head->metadata) {
            frames.push_back(metadata);
        }
    }
    for (const NodePtr& node : piece.nodes) {
        frames.push_back(node->dependencies.pickled);
        frames.push_back(node->data);
    }
    for (const Frames& record : piece.records) {
        frames.insert(frames.end(), record.begin(), record.end());
    }
    return frames;
}

struct EncodeLink {
    Frames operator()(const Hello& m) const {
        return {envelope(Number::Hello, m.snapshotter, Cut{m.name}, m.holding, m.run)};
    }
    Frames operator()(const Verdict& m) const {
        return {envelope(Number::Verdict, m.kind, m.pin_first, m.stream, m.lineage, Cut{m.reason})};
    }
    Frames operator()(const Pull& m) const { return {envelope(Number::Pull, m.stream, m.credit)}; }
    Frames operator()(const Piece& m) const { return encode_piece(m); }
    Frames operator()(const StreamBroken& m) const {
        return {envelope(Number::StreamBroken, m.stream, Cut{m.reason})};
    }
    Frames operator()(const Durable& m) const {
        return {envelope(Number::Durable, m.position, m.saved)};
    }
    Frames operator()(const SaveNow& m) const {
        return {envelope(Number::SaveNow, m.request, Cut{m.reason})};
    }
    Frames operator()(const Saved& m) const {
        return {envelope(Number::Saved, m.request, m.ok, Cut{m.text})};
    }
    Frames operator()(const Bye& m) const { return {envelope(Number::Bye, m.snapshotter)}; }
};

Beat read_beat(Reader& fields) {
    Beat beat;
    beat.position = fields.position();
    beat.state = static_cast<BrokerState>(
        fields.u64_below(static_cast<std::uint64_t>(BrokerState::Stopped) + 1));
    beat.digest = fields.optional_hash();
    beat.run = fields.u64();
    return beat;
}

Packet read_packet(Reader& fields) {
    Packet packet;
    packet.number = fields.u64();
    packet.continued = fields.u64();
    packet.payload = fields.source().frame();
    return packet;
}

Hello read_hello(Reader& fields) {
    Hello hello;
    hello.snapshotter = fields.u64();
    hello.name = fields.text();
    if (!fields.nil()) {
        hello.holding = fields.holding();
    }
    hello.run = fields.u64();
    return hello;
}

Verdict read_verdict(Reader& fields) {
    Verdict verdict;
    verdict.kind = static_cast<Verdict::Kind>(
        fields.u64_below(static_cast<std::uint64_t>(Verdict::Kind::UpToDate) + 1));
    verdict.pin_first = fields.boolean();
    verdict.stream = fields.u64();
    verdict.lineage = fields.lineage();
    verdict.reason = fields.text();
    return verdict;
}

WholeHead read_head(Reader fields) {
    WholeHead head;
    head.holding = fields.holding();
    Reader names = fields.array();
    Source& source = fields.source();
    while (names.left() > 0 && !source.failed()) {
        if (!head.metadata.emplace(names.user_name(), source.frame()).second) {
            source.refuse("a user's metadata comes twice");
        }
    }
    fields.end();
    return head;
}

NodePtr read_piece_node(Reader fields) {
    Node node;
    node.id = fields.node_id();
    node.owner = fields.user_name();
    fields.end();
    node.dependencies = read_dependencies(fields.source());
    node.data = fields.source().frame();
    return std::make_shared<const Node>(std::move(node));
}

Piece read_piece(Reader& fields) {
    Source& source = fields.source();
    Piece piece;
    piece.stream = fields.u64();
    piece.number = fields.u32();
    piece.last = fields.boolean();
    if (!fields.nil()) {
        piece.head = read_head(fields.array());
    }
    Reader nodes = fields.array();
    while (nodes.left() > 0 && !source.failed()) {
        piece.nodes.push_back(read_piece_node(nodes.array()));
    }
    Reader records = fields.array();
    while (records.left() > 0 && !source.failed()) {
        const auto frames = source.frames(records.u64());
        if (frames.empty()) {
            source.refuse("a record without frames");
            break;
        }
        piece.records.emplace_back(frames.begin(), frames.end());
    }
    piece.digest = fields.optional_hash();
    return piece;
}

LinkMessage read_link(Number number, Reader& fields) {
    switch (number) {
        case Number::Hello:
            return read_hello(fields);
        case Number::Verdict:
            return read_verdict(fields);
        case Number::Pull: {
            const std::uint64_t stream = fields.u64();
            return Pull{stream, fields.u32()};
        }
        case Number::Piece:
            return read_piece(fields);
        case Number::StreamBroken: {
            const std::uint64_t stream = fields.u64();
            return StreamBroken{stream, fields.text()};
        }
        case Number::Durable: {
            const Position position = fields.position();
            return Durable{position, fields.wall_time()};
        }
        case Number::SaveNow: {
            const std::uint64_t request = fields.u64();
            return SaveNow{request, fields.text()};
        }
        case Number::Saved: {
            Saved saved;
            saved.request = fields.u64();
            saved.ok = fields.boolean();
            saved.text = fields.text();
            return saved;
        }
        case Number::Bye:
            return Bye{fields.u64()};
        default:
            fields.source().refuse(unknown("link", number));
            return Bye{};
    }
}

}  // namespace

Frames encode_record(const Record& record) {
    return std::visit(EncodeMutation{record}, record.mutation);
}

Result<Record> decode_record(const Frames& frames) {
    const Envelope envelope = TRY(open(frames));
    return decode_all<Record>(envelope, frames, [&](Reader& fields) {
        Record record;
        record.epoch = fields.epoch();
        record.seq = fields.seq();
        record.time = fields.wall_time();
        record.user = fields.user_name();
        record.mutation = read_mutation(envelope.number, fields);
        return record;
    });
}

Hash128 chain_after(const Hash128& before, const Frames& record) {
    XXH3_state_t state;
    XXH3_128bits_reset(&state);
    const auto update = [&](std::uint64_t value) {
        XXH64_canonical_t bytes;
        XXH64_canonicalFromHash(&bytes, value);
        XXH3_128bits_update(&state, bytes.digest, sizeof bytes.digest);
    };
    update(before.high);
    update(before.low);
    update(record.size());
    for (const Bytes& frame : record) {
        update(frame.size());
        XXH3_128bits_update(&state, frame.data(), frame.size());
    }
    const XXH128_hash_t hash = XXH3_128bits_digest(&state);
    return {hash.high64, hash.low64};
}

Frames encode(const FeedMessage& message) {
    return std::visit(EncodeFeed{}, message);
}

Result<FeedMessage> decode_feed(const Frames& frames) {
    const Envelope envelope = TRY(open(frames));
    if (envelope.number == Number::Packet) {
        return decode_all<FeedMessage>(envelope, frames, read_packet);
    }
    if (envelope.number != Number::Beat) {
        return tl::unexpected<Error>(unknown("feed", envelope.number));
    }
    return decode_all<FeedMessage>(envelope, frames, read_beat);
}

Frames encode(const LinkMessage& message) {
    return std::visit(EncodeLink{}, message);
}

Result<LinkMessage> decode_link(const Frames& frames) {
    const Envelope envelope = TRY(open(frames));
    return decode_all<LinkMessage>(
        envelope, frames, [&](Reader& fields) { return read_link(envelope.number, fields); });
}

const char* name(BrokerState state) {
    switch (state) {
        case BrokerState::Restoring:
            return "restoring";
        case BrokerState::Waiting:
            return "waiting";
        case BrokerState::Uploading:
            return "uploading";
        case BrokerState::Active:
            return "active";
        case BrokerState::Stopping:
            return "stopping";
        case BrokerState::Stopped:
            return "stopped";
    }
    return "unknown";
}

}  // namespace common::feed
