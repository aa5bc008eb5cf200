#pragma once
// What a client is owed on its data and command connections, and when it may have it. Pure.
//
// The two connections have no common order. In ACTIVE the client takes, a tick, first at most one
// command and then at most one data message. A Delete or Right that names a node could so overtake
// a Node or Commit about it that was sent before, which ends the client's session or leaves it with
// a wrong owner. So such a command waits until the last data message about its nodes has arrived at
// the client's machine, 50 ms more for the client's library to take it, and is preceded by one
// empty Right for each data message up to that one that arrived less than 10 s ago, and a few more:
// the client takes one of each a tick, so all of them are handled before it.
//
// Data messages are numbered over all connections of a client: what came on one that broke is still
// in the client's queue, before what comes on the next. Empty Rights that went out on a command
// connection that broke do not count.

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

#include "broker/effects.h"
#include "broker/wire.h"
#include "common/ids.h"

namespace broker {

class Outbox {
public:
    explicit Outbox(ClientId client) : client_(client) {}

    // A client of the framed generation reads at most 64 KiB of a connection and tick, so that a
    // big data message takes it several.
    void set_generation(Generation generation) { generation_ = generation; }

    // A Node or Commit about `id`, unless `hold` is in force: then it waits in order.
    void data(const common::NodeId& id, const wire::Encoded& message, common::Instant now,
              Effects& effects);
    // As above, when the caller sends the message itself, together with other clients' copies.
    // False: it was held, do not send.
    bool note_data(const common::NodeId& id, const wire::Encoded& message, common::Instant now);
    // A Delete or Right about `ids`.
    void graph_command(std::vector<common::NodeId> ids, const wire::Encoded& message,
                       common::Instant now, Effects& effects);
    // Any other command: never waits. Counted, so that `commands_waiting` is right.
    void command(const wire::Encoded& message, Effects& effects);
    void note_command() { ++commands_queued_; }

    // While commands are held, Deletes and Rights wait (a joiner until DONE); while all is held,
    // data too (an uploader until END + 1 s). What may go when the hold is eased goes at once.
    enum class Hold : std::uint8_t { Nothing, GraphCommands, All };
    void set_hold(Hold hold, common::Instant now, Effects& effects);

    // The loop reports how many messages of the present connection the client's machine has.
    void on_arrived(Channel channel, std::uint64_t total, common::Instant now);
    // A connection was opened anew: what was sent on the one before has arrived, or never will.
    void on_opened(Channel channel, common::Instant now);
    // Time has passed: sends what waited long enough.
    void flush(common::Instant now, Effects& effects);
    // Drops all that waits (the client left the graph's traffic).
    void clear();

    // Whether the client may not have handled a Node or Commit about `id` yet: what it sends about
    // it now was made without knowing that.
    bool may_cross(const common::NodeId& id, common::Instant now) const;

    bool waiting() const { return !held_data_.empty() || !held_commands_.empty(); }
    std::size_t held_bytes() const { return held_bytes_; }
    // On the present connection: queued so far, and not arrived yet.
    std::uint64_t commands_queued() const { return commands_queued_; }
    std::uint64_t commands_arrived() const { return commands_arrived_; }
    std::uint64_t commands_waiting() const { return commands_queued_ - commands_arrived_; }

private:
    struct HeldData {
        common::NodeId id;
        wire::Encoded message;
    };
    struct HeldCommand {
        std::vector<common::NodeId> ids;
        wire::Encoded message;
        std::uint64_t after = 0;  // the last data message about ids when this was asked for, or 0
        std::optional<common::Instant> ready;  // that message has arrived, + 50 ms
    };
    struct SentData {
        common::NodeId id;
        std::uint64_t number;  // of data messages to this client, from 1, without gaps
        std::uint64_t end;     // bytes of all data messages to this client up to this one
        std::uint64_t bytes;
        std::optional<common::Instant> arrived;
    };
    // The number of the last data message about one of `ids` that may be unhandled, or 0.
    std::uint64_t last_about(const std::vector<common::NodeId>& ids) const;
    // In how many ticks the client handles these messages, which are among recent_.
    std::uint64_t ticks_for(std::uint64_t first_number, std::uint64_t last_number) const;
    void arrived_up_to(std::uint64_t number, common::Instant now);
    bool flush_command(HeldCommand& held, common::Instant now, Effects& effects);
    void forget_old(common::Instant now);
    void pop_recent();

    ClientId client_;
    Generation generation_{};
    Hold hold_ = Hold::Nothing;
    std::deque<HeldData> held_data_;
    std::deque<HeldCommand> held_commands_;
    std::size_t held_bytes_ = 0;
    std::deque<SentData> recent_;
    std::unordered_map<common::NodeId, std::uint64_t> last_number_;  // over recent_
    std::uint64_t data_queued_ = 0;
    std::uint64_t data_bytes_queued_ = 0;
    std::uint64_t data_before_ = 0;  // of them on earlier connections
    std::uint64_t data_arrived_ = 0;
    // Data up to this number is handled before any command that is queued from now on: the empty
    // Rights for it are on their way.
    std::uint64_t covered_ = 0;
    std::uint64_t commands_queued_ = 0;
    std::uint64_t commands_arrived_ = 0;
};

}  // namespace broker
