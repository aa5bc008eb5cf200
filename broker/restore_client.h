#pragma once
// At start: collects the snapshotters' offers, chooses one, fetches its graph. Pure.

#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "common/feed.h"
#include "common/ids.h"
#include "common/progress.h"
#include "common/whole.h"

namespace broker {

// The routing id of a peer of the link.
using PeerId = std::string;

struct Offer {
    PeerId peer;
    std::string name;
    std::optional<common::feed::Holding> holding;  // none: empty, fresh
};

// The offer to restore from: the one whose lineage contains all others; on a fork the one with the
// newest last mutation (`forked`). `chosen` is an index into offers, none if all are empty and
// fresh.
struct Choice {
    std::optional<std::size_t> chosen;
    bool forked = false;
};
Choice choose_offer(const std::vector<Offer>& offers);

// Whether `position` is a moment of the history that stands at `end` and has this lineage (as far
// as lineages tell; equal seq in the same epoch needs an equal chain). The zero Position is one of
// all.
bool contains(const common::Lineage& lineage, const common::Position& end,
              const common::Position& position);

class RestoreClient {
public:
    // Wants `offers_wanted` offers, or 3 s after the first.
    explicit RestoreClient(std::size_t offers_wanted) : offers_wanted_(offers_wanted) {}

    // A snapshotter said hello. A later hello of the same peer replaces its offer.
    void on_offer(Offer offer, common::Instant now);

    // What to do now, if anything: ask once offers are in; ask another if the chosen one fell
    // silent. Never Fresh while somebody who offered a session could not give it: until the same
    // snapshotter (by name) has offered again.
    struct Ask {
        PeerId peer;
        std::string name;
        std::uint64_t stream;
        bool forked;
    };
    struct Fresh {};
    using Step = std::variant<std::monostate, Ask, Fresh>;
    // A chosen peer that sends no piece for 5 s is dropped from the offers.
    Step on_tick(common::Instant now);

    // A piece of the stream asked for; others are passed over. The complete graph at the end. An
    // error drops the offer.
    common::Result<std::optional<common::Whole>> on_piece(const PeerId& from,
                                                          common::feed::Piece piece,
                                                          common::Instant now);
    // The peer asked has left, or cannot go on.
    void on_lost(const PeerId& peer);
    // The session went on without a restore, or after one: what is under way is of no use any more.
    void reset();

    bool fetching() const { return receiver_.has_value(); }
    // How much of the graph asked for has come; none: none is asked for.
    std::optional<common::Progress> progress() const;
    const std::vector<Offer>& offers() const { return offers_; }

private:
    void drop_offer(PeerId peer);  // a copy: it may be the one in `asked_`

    std::size_t offers_wanted_;
    std::set<std::string> lost_;  // names of those who offered a session and could not give it
    std::vector<Offer> offers_;
    std::optional<common::Instant> first_offer_;
    std::optional<PeerId> asked_;
    std::optional<common::WholeReceiver> receiver_;
    common::Instant last_piece_{};
    std::uint64_t next_stream_ = 1;
};

}  // namespace broker
