#pragma once
// A broker without sockets and clients, for simulations: publisher, resync and restore of the real
// one, and a graph that somebody uploads and everybody edits.

#include <cstddef>
#include <optional>
#include <random>

#include "broker/publisher.h"
#include "broker/resync.h"
#include "common/feed_stream.h"
#include "common/graph.h"
#include "common/ids.h"
#include "tests/support/graph_gen.h"

namespace support {

class SimBroker {
public:
    // The world around it. Called while the broker is called.
    class Rim {
    public:
        virtual ~Rim() = default;
        virtual void to_feed(const common::feed::Frames& frames) = 0;
        // False: there is nobody of this id.
        virtual bool to_link(const broker::PeerId& to, common::feed::Frames frames) = 0;
        virtual void on_restored(const broker::RestoredGraph& restored) = 0;
        virtual void on_fresh() = 0;
        virtual void on_log(const broker::LinkLog& line) = 0;
        // The graph stands at the publisher's position now.
        virtual void on_record() = 0;
    };

    // All borrowed for its life. `offers`: how many snapshotters are expected.
    SimBroker(Rim& rim, std::mt19937_64& random, GraphGen& gen, std::size_t ring_bytes,
              std::size_t offers);
    SimBroker(const SimBroker&) = delete;
    SimBroker& operator=(const SimBroker&) = delete;

    // An upload goes on, or artists edit; now and then an upload is broken off.
    void edit(common::Instant now);
    // False: nobody would understand it.
    bool on_link(const broker::PeerId& from, const common::feed::Frames& frames,
                 common::Instant now);
    void tick(common::Instant now);

    // It is asked to stop: says so, and is over once a snapshotter has everything, or after 10 s.
    void stop(common::Instant now);
    bool over(common::Instant now) const;

    common::feed::BrokerState state() const { return state_; }
    common::Graph& graph() { return graph_; }
    const broker::Publisher& publisher() const { return publisher_; }
    const broker::Resync& resync() const { return resync_; }

private:
    void beat(bool mark);
    void publish(const common::feed::Frames& record);
    void flush();
    void apply(const common::Mutation& mutation, common::Instant now);
    void perform(broker::LinkEffects effects, common::Instant now);
    void perform(broker::RestoredGraph& got, common::Instant now);
    bool chance(std::uint64_t one_in) { return random_() % one_in == 0; }

    Rim& rim_;
    std::mt19937_64& random_;
    GraphGen& gen_;
    broker::Publisher publisher_;
    const std::uint64_t run_;
    common::feed::PacketWriter packets_;
    broker::Resync resync_;
    common::Graph graph_;
    common::feed::BrokerState state_ = common::feed::BrokerState::Restoring;
    common::Instant next_beat_{};
    std::size_t to_upload_ = 0;
    std::optional<common::Instant> asked_to_stop_;
};

// The clock on the wall of a simulation.
common::WallTime sim_wall(common::Instant now);

}  // namespace support
