#pragma once
// What to do and to say while saves fail (pure). The cause is told at once and then once a minute,
// at error level, and a cause that is another one at once again. Beside the attempts to save, which
// may be large and come ever more rarely, something small is tried every second (Store::probe): as
// soon as that works where it has not worked before, the cause is gone and a save follows.

#include <optional>
#include <string>

#include "common/ids.h"

namespace snapshotter {

class Trouble {
public:
    static constexpr common::Millis kSayEveryMs{60'000};
    static constexpr common::Millis kProbeEveryMs{1'000};

    // A save has failed. The line to say, if it is time for one.
    std::optional<std::string> on_failed(const std::string& cause, common::Instant now);
    // A save has worked. The line to say, if there was trouble.
    std::optional<std::string> on_saved(common::Instant now);

    // Each time it is true a probe must be made, and its outcome be told.
    bool wants_probe(common::Instant now);
    // True: the cause is gone, save now.
    bool on_probe(bool works);

    // None: all is well.
    std::optional<common::Instant> since() const { return since_; }

private:
    std::optional<common::Instant> since_;
    std::string said_;
    common::Instant said_at_{};
    common::Instant probed_{};
    bool probing_ = false;
    bool probe_failed_ = false;  // since the last attempt to save
};

}  // namespace snapshotter
