#include "tests/support/crash_world.h"

#include <cerrno>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "broker/restore_client.h"
#include "common/feed_stream.h"
#include "common/session_file.h"
#include "snapshotter/handover.h"
#include "snapshotter/history_queue.h"
#include "snapshotter/mirror.h"
#include "snapshotter/save_worker.h"
#include "snapshotter/schedule.h"
#include "snapshotter/stopping.h"
#include "snapshotter/storage/store.h"
#include "snapshotter/trouble.h"
#include "tests/support/sample_store.h"
#include "tests/support/sim_broker.h"
#include "tests/support/sim_file_system.h"
#include "tests/support/sim_line.h"
#include "tests/support/sim_vfs.h"

// Theory. A snapshotter is what main.cpp and loop.cpp make of its parts, without sockets and
// threads. What its two workers do is done in the step in which the disk gets round to it; the
// save worker lets time pass while it works, so that the loop and the history go on meanwhile, and
// may die, in the middle of a save. A process whose disk is dead is dead; it is buried in the next
// step that is not its own save's.

namespace support {
namespace {

using common::Hash128;
using common::Instant;
using common::Millis;
using common::Position;
using common::Result;
using common::WallTime;
using common::feed::BrokerState;
using common::feed::Frames;
using namespace snapshotter;

constexpr Millis kStep{20};
constexpr Millis kSettleMax{120'000};
constexpr Millis kQuiet{600};
constexpr Millis kPruneEvery{2'000};
// What a disk that was in trouble did may come out later.
constexpr Millis kExcusedAfterTrouble{10'000};
constexpr std::size_t kFeedPerTurn = 1'000;

// What the save worker is to do.
struct Job {
    enum class Kind { Save, Pin, Probe, Check } kind{};
    SaveRequest request;
    Instant ready{};
};

// The memory of a snapshotter.
struct Process {
    explicit Process(SimFileSystem& disk) : vfs(disk) {}
    SimVfs vfs;
    std::unique_ptr<Store> store;
    std::optional<HistoryQueue> queue;
    std::optional<Mirror> mirror;
    common::feed::PacketReader packets;
    std::optional<Schedule> schedule;
    Trouble trouble;
    Stopping stopping;
    Position saving;
    std::deque<Job> jobs;
    std::vector<WorkerDone> done;
    std::shared_ptr<const HistoryGroup> group;  // the disk has not got round to it
    Instant group_at{};
    std::optional<Position> durable;  // of the history, not taken yet
    Instant pruned{};
};

// A snapshotter with its machine.
struct Side {
    std::string name;
    broker::PeerId routing_id;
    SimFileSystem disk;
    std::unique_ptr<Process> process;  // null: it is not running
    bool busy = false;                 // in a save: nobody else may touch the process's memory
    Instant back_at{};
    Loss loss = Loss::Nothing;  // with the next death
    std::optional<Instant> dies_at;

    Instant trouble_until{};
    Instant slow_until{};
    Instant excused_until{};

    // Positions of a session that were called durable and must come back.
    std::vector<Position> reported;
    std::optional<Position> must_find;  // exactly, with the next start

    SimLine feed;
    SimLine to_broker;
    SimLine from_broker;
};

// What a graph was at a position.
struct Moment {
    Hash128 digest;
    bool initialised = false;
};

class World : public SimBroker::Rim {
public:
    World(std::uint64_t seed, const CrashOptions& options)
        : options_(options), random_(seed), gen_(seed * 31 + 7) {
        const bool two = below(4) == 0;
        for (std::size_t i = 0; i < (two && options.two ? 2 : 1); ++i) {
            sides_.push_back(std::make_unique<Side>());
            sides_.back()->name = "snapshotter-" + std::to_string(i);
        }
        ring_bytes_ = 4'000ULL << below(8);
        history_.segment_bytes_min = 1ULL << below(17);
        history_.segment_bytes_max = 40'000ULL << below(4);
        history_.bytes_max = 100'000ULL << below(4);
        history_.age_max = chance(3) ? Millis{20'000} : std::chrono::hours(24 * 7);
        backups_max_ = 1 + below(4);
        save_interval_ = Millis{3'000 + static_cast<std::int64_t>(below(9'000))};
        rarity_ = 1ULL << below(3);
        queue_bytes_max_ = chance(4) ? 30'000 : 10'000'000;
    }

    CrashOutcome run() {
        for (auto& side : sides_) {
            start(*side);
        }
        start_broker();
        ++outcome_.counts.runs;
        run_for(Millis{1'000});
        for (std::uint64_t storms = 1 + below(3); storms > 0 && !outcome_.failure; --storms) {
            say("storm");
            rough_ = true;
            run_for(Millis{3'000} + up_to(6'000));
            settle();
            cut_all_power();
        }
        settle();
        outcome_.trace_hash = trace_hash_;
        return std::move(outcome_);
    }

private:
    std::uint64_t below(std::uint64_t end) { return random_() % end; }
    bool chance(std::uint64_t one_in) { return below(one_in) == 0; }
    bool event(bool CrashOptions::*kind, std::uint64_t one_in) {
        return rough_ && chance(one_in * rarity_) && options_.*kind;
    }
    Millis up_to(std::uint64_t milliseconds) {
        return Millis{static_cast<std::int64_t>(below(milliseconds))};
    }
    Instant soon() { return now_ + (rough_ ? up_to(300) : Millis{5}); }
    WallTime wall() const { return WallTime{number(sim_wall(now_)) + clock_error_.count()}; }

    void say(const std::string& text) {
        const std::string line = std::to_string(now_.time_since_epoch().count()) + " " + text;
        for (const char c : line) {
            trace_hash_ = (trace_hash_ ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
        }
        if (options_.trace) {
            outcome_.trace += line + "\n";
        }
    }
    void fail(const std::string& text) {
        say("FAILED: " + text);
        if (!outcome_.failure) {
            outcome_.failure = text;
        }
    }

    // ---- time ----------------------------------------------------------------------------------

    void step() {
        now_ += kStep;
        step_broker();
        for (auto& side : sides_) {
            step(*side);
        }
        if (event(&CrashOptions::clock_jumps, 1'500)) {
            clock_error_ = up_to(100'000'000) - Millis{50'000'000};
            say("the clock jumps");
        }
    }

    void run_for(Millis duration) {
        const Instant end = now_ + duration;
        while (now_ < end && !outcome_.failure) {
            step();
        }
    }

    // Nobody edits, everything is delivered, all trouble is over: until it is quiet.
    void settle() {
        say("calm");
        rough_ = false;
        editing_ = false;
        for (auto& side : sides_) {
            end_trouble(*side);
            side->disk.die_after(0);
        }
        const Instant end = now_ + kSettleMax;
        std::optional<Instant> quiet_since;
        while (!outcome_.failure && !(quiet_since && now_ - *quiet_since >= kQuiet)) {
            if (now_ > end) {
                fail("it does not become quiet: " + why_not_quiet());
                break;
            }
            step();
            if (why_not_quiet().empty()) {
                quiet_since = quiet_since.value_or(now_);
            } else {
                quiet_since.reset();
            }
        }
        if (!outcome_.failure) {
            compare();
        }
        editing_ = true;
    }

    std::string why_not_quiet() {
        if (!broker_ || !broker_->publisher().started()) {
            return "the broker does not serve";
        }
        const Position& position = broker_->publisher().position();
        for (const auto& side : sides_) {
            if (!side->process) {
                return side->name + " does not run";
            }
            Process& process = *side->process;
            const bool session = broker_->graph().initialised();
            const auto& durable = process.mirror->durable();
            if (!process.mirror->following() || process.mirror->lag() != 0 ||
                process.mirror->holding()->position != position) {
                return side->name + " does not follow";
            }
            if (process.trouble.since()) {
                return side->name + " is in trouble";
            }
            if (!process.schedule->quiet() || !process.jobs.empty() || side->busy) {
                return side->name + " has not saved";
            }
            if (session && (process.queue->age(now_) || !process.queue->flowing())) {
                return side->name + " has no history";
            }
            if (session && (!durable || durable->position != position)) {
                return side->name + " does not call everything durable";
            }
        }
        if (broker_->graph().initialised() && broker_->resync().durable() != position) {
            return "the broker does not know that everything is durable";
        }
        return {};
    }

    void compare() {
        const broker::Publisher& publisher = broker_->publisher();
        for (const auto& side : sides_) {
            ++outcome_.counts.compared;
            Mirror& mirror = *side->process->mirror;
            const auto holding = mirror.holding();
            if (holding->lineage != publisher.lineage()) {
                fail(side->name + " has another lineage than the broker");
            } else if (holding->last_mutation != publisher.last_mutation()) {
                fail(side->name + " has another last mutation than the broker");
            } else if (mirror.graph().digest() != broker_->graph().digest()) {
                fail(side->name + " has another graph than the broker");
            }
            for (const std::string& path : side->disk.paths()) {
                if (path.find("/quarantine/") != path.npos) {
                    fail(side->name + " has put a file into quarantine: " + path);
                }
            }
        }
    }

    // What was recovered is what was durable, and that was everything.
    void cut_all_power() {
        if (outcome_.failure) {
            return;
        }
        const bool session = broker_->graph().initialised();
        for (auto& side : sides_) {
            if (session) {
                side->must_find = broker_->publisher().position();
            }
            die(*side, any_loss());
        }
        end_broker("with everything");
    }

    // ---- the broker ----------------------------------------------------------------------------

    void start_broker() {
        say("broker starts");
        broker_ = std::make_unique<SimBroker>(*this, random_, gen_, ring_bytes_, sides_.size());
        next_gap_ = 0;
    }

    void end_broker(const std::string& how) {
        if (!broker_) {
            return;
        }
        say("broker ends: " + how);
        ++outcome_.counts.broker_ends;
        broker_.reset();
        broker_back_at_ = now_ + Millis{400} + up_to(6'000);
        for (auto& side : sides_) {
            side->from_broker.reset();
            if (chance(2)) {
                side->to_broker.reset();
            }
        }
    }

    void step_broker() {
        if (!broker_) {
            if (now_ >= broker_back_at_ || !rough_) {
                start_broker();
            }
            return;
        }
        for (auto& side : sides_) {
            while (const auto frames = side->to_broker.receive(now_)) {
                if (!broker_->on_link(side->routing_id, *frames, now_)) {
                    fail("the broker does not understand " + side->name);
                }
            }
        }
        if (editing_ && chance(4)) {
            broker_->edit(now_);
        }
        broker_->tick(now_);
        if (broker_->over(now_)) {
            end_broker("stopped");
        } else if (event(&CrashOptions::broker_kills, 600)) {
            end_broker("killed");
        } else if (event(&CrashOptions::stops, 2'000)) {
            say("broker is asked to stop");
            broker_->stop(now_);
        }
    }

    void to_feed(const Frames& frames) override {
        for (auto& side : sides_) {
            if (!side->process) {
                continue;
            }
            if (next_gap_ > 0 || event(&CrashOptions::lossy_feed, 150)) {
                next_gap_ = next_gap_ > 0 ? next_gap_ - 1 : below(30);
                continue;
            }
            side->feed.send(frames, soon());
        }
    }
    bool to_link(const broker::PeerId& to, Frames frames) override {
        for (auto& side : sides_) {
            if (side->process && side->routing_id == to) {
                side->from_broker.send(std::move(frames), soon());
                return true;
            }
        }
        return false;
    }
    void on_restored(const broker::RestoredGraph& got) override {
        ++outcome_.counts.restored;
        const Position& position = got.whole.holding.position;
        say("broker restores " + to_string(position) + " from " + got.from);
        check_moment(position, got.whole.graph.digest(), "what the broker restores");
    }
    void on_fresh() override {
        say("broker starts fresh");
        if (sides_.size() == 1 && !sides_[0]->reported.empty()) {
            fail("the broker starts a fresh session where there is one");
        }
    }
    void on_log(const broker::LinkLog& line) override { say("broker: " + line.text); }
    void on_record() override {
        ++outcome_.counts.records;
        common::Graph& graph = broker_->graph();
        moments_[broker_->publisher().position()] = {graph.digest(), graph.initialised()};
    }

    void check_moment(const Position& position, const Hash128& digest, const std::string& what) {
        const auto moment = moments_.find(position);
        if (moment == moments_.end()) {
            fail(what + " stands at " + to_string(position) + ", where no broker ever was");
        } else if (moment->second.digest != digest) {
            fail(what + " is not what the broker had at " + to_string(position));
        }
    }

    // ---- the machine of a snapshotter ----------------------------------------------------------

    Loss any_loss() { return kAllLosses[1 + below(std::size(kAllLosses) - 1)]; }
    bool excused(const Side& side) const { return now_ < side.excused_until; }

    // At once, or with one of the next operations of its disk.
    void die(Side& side, Loss loss) {
        if (side.disk.is_dead() || !side.process) {
            return;
        }
        side.loss = loss;
        side.disk.die();
        note_death(side);
    }
    void note_death(Side& side) {
        const bool process_only = side.loss == Loss::Nothing;
        say(side.name + (process_only ? " is killed" : " loses power") + ", loss " +
            std::to_string(static_cast<int>(side.loss)));
        ++(process_only ? outcome_.counts.kills : outcome_.counts.power_cuts);
    }

    void bury(Side& side) {
        if (side.dies_at) {
            ++outcome_.counts.mid_operation;
            note_death(side);
            side.dies_at.reset();
        }
        side.process.reset();
        side.disk.before_rename(nullptr);
        side.disk.crash(side.loss, random_());
        if (side.loss != Loss::Nothing && sides_.size() == 1 && chance(2)) {
            end_broker("on the same machine");
        }
        gone(side);
    }

    // The process is no more.
    void gone(Side& side) {
        side.routing_id.clear();
        side.feed.reset();
        side.to_broker.reset();
        side.from_broker.reset();
        side.back_at = now_ + up_to(6'000);
    }

    void arm(Side& side, Loss loss, std::uint64_t operations) {
        if (side.disk.is_dead() || side.dies_at) {
            return;
        }
        side.loss = loss;
        side.dies_at = now_ + Millis{2'000};
        side.disk.die_after(side.disk.operations() + 1 + below(operations));
    }

    void end_trouble(Side& side) {
        side.disk.set_full(false);
        side.disk.set_trouble(0);
        side.disk.fail_at(0);
        side.trouble_until = {};
        side.slow_until = {};
    }

    void step_machine(Side& side) {
        if (side.dies_at && now_ >= *side.dies_at && !side.disk.is_dead()) {
            side.dies_at.reset();  // the disk had nothing to do
            side.disk.die_after(0);
            die(side, side.loss);
        }
        if (side.trouble_until != Instant{} && now_ >= side.trouble_until) {
            end_trouble(side);
            say(side.name + ": its disk works again");
        }
        const auto trouble = [&](const std::string& what, Millis lasts) {
            say(side.name + ": its disk " + what);
            ++outcome_.counts.troubles;
            side.trouble_until = now_ + lasts;
            side.excused_until = now_ + lasts + kExcusedAfterTrouble;
        };
        if (event(&CrashOptions::full_disk, 1'000)) {
            trouble("is full", up_to(6'000));
            side.disk.set_full(true);
        }
        if (event(&CrashOptions::io_errors, 1'000)) {
            trouble("does nothing", up_to(4'000));
            side.disk.set_trouble(chance(2) ? EIO : EACCES);
        }
        if (event(&CrashOptions::io_errors, 500)) {
            trouble("fails once", Millis{2'000});
            side.disk.fail_at(side.disk.operations() + 1 + below(60));
        }
        if (event(&CrashOptions::slow_disk, 700)) {
            say(side.name + ": its disk is slow");
            side.slow_until = now_ + up_to(6'000);
        }
        if (event(&CrashOptions::kills, 1'200)) {
            die(side, Loss::Nothing);
        }
        if (event(&CrashOptions::kills, 400)) {
            arm(side, Loss::Nothing, 120);
        }
        if (event(&CrashOptions::power_cuts, 1'200)) {
            die(side, any_loss());
        }
        if (event(&CrashOptions::power_cuts, 400)) {
            arm(side, any_loss(), 120);
        }
        if (event(&CrashOptions::lossy_link, 400)) {
            (chance(2) ? side.to_broker : side.from_broker).reset();
        }
    }

    // How long until the disk gets round to something.
    Millis delay(const Side& side) {
        return now_ < side.slow_until ? up_to(4'000) : up_to(rough_ ? 80 : 20);
    }

    // ---- a snapshotter: what main.cpp does -----------------------------------------------------

    StoreOptions store_options(const Process& process) {
        StoreOptions options{.directory = "/data",
                             .backups_max = backups_max_,
                             .version = "0.1.0",
                             .history = history_};
        options.history->place.vfs = process.vfs.name();
        return options;
    }

    void start(Side& side) {
        if (options_.kills && rough_ && chance(8)) {
            arm(side, Loss::Nothing, 60);
        } else if (options_.power_cuts && rough_ && chance(8)) {
            arm(side, any_loss(), 60);
        }
        auto process = std::make_unique<Process>(side.disk);
        auto store = Store::open(side.disk, store_options(*process));
        if (store) {
            process->store = std::move(*store);
        }
        Result<Recovered> recovered =
            store ? process->store->recover(wall(), common::Epoch{random_()})
                  : Result<Recovered>(tl::unexpected(store.error()));
        if (side.disk.is_dead()) {
            process.reset();
            bury(side);
            return;
        }
        if (!recovered) {
            say(side.name + " cannot start: " + recovered.error().what);
            if (!excused(side)) {
                fail(side.name + " cannot start: " + recovered.error().what);
            }
            side.back_at = now_ + Millis{1'000};
            return;
        }
        check_recovered(side, *recovered);
        const bool save_soon = wants_save(*recovered);
        process->queue.emplace(HistoryQueueOptions{.bytes_max = queue_bytes_max_},
                               recovered->history_base);
        process->mirror.emplace(random_(), side.name, stored_whole(std::move(*recovered)));
        process->schedule.emplace(save_interval_, now_);
        if (save_soon) {
            process->schedule->request(reasons::kRecovered);
        }
        process->store->tell_progress([this, &side](const common::Progress&) { pass_time(side); });
        side.disk.before_rename([this, &side](const std::string& to) {
            if (to == kSession) {
                pass_time(side);
            }
        });
        side.process = std::move(process);
        side.routing_id = side.name + "/" + std::to_string(below(1'000'000));
    }

    void check_recovered(Side& side, const Recovered& recovered) {
        const std::string what = "what " + side.name + " recovers";
        const auto must_find = std::exchange(side.must_find, std::nullopt);
        for (const std::string& path : side.disk.paths()) {
            if (path.find("holdfast-tmp") != path.npos) {
                fail(side.name + " has left " + path);
            }
        }
        for (const std::string& note : recovered.notes) {
            say(side.name + " notes: " + note);
            if (note.find("amage") != note.npos || note.find("DAMAGED") != note.npos) {
                fail(side.name + " believes in damage: " + note);
            }
        }
        if (!recovered.session) {
            say(side.name + " starts, fresh");
            if (!side.reported.empty()) {
                fail(side.name + " is fresh, though a session was called durable");
            }
            return;
        }
        ++outcome_.counts.recovered;
        const Position& position = recovered.stamp.position;
        say(side.name + " starts with " + to_string(position) + ", " +
            std::to_string(recovered.changes) + " of it from the history");
        if (recovered.restored_by_hand) {
            fail(side.name + " takes a save of its own for one that was put there");
        }
        if (recovered.from_backup && recovered.file.find("/backups/") != recovered.file.npos) {
            fail(side.name + " does not find its session file");
        }
        check_moment(position, recovered.session->graph.digest(), what);
        if (must_find && position != *must_find) {
            fail(what + " is " + to_string(position) + ", not " + to_string(*must_find));
        }
        check_reported(side, recovered.stamp);
    }

    // All that was called durable is in it, or, if that was on another way, pinned.
    void check_reported(Side& side, const common::SessionStamp& stamp) {
        std::optional<Position> last;
        for (const Position& reported : side.reported) {
            if (broker::contains(stamp.lineage, stamp.position, reported)) {
                if (!last || last->seq < reported.seq) {
                    last = reported;
                }
            } else if (!is_pinned(side, reported)) {
                fail(side.name + " has lost " + to_string(reported) +
                     ", which was called durable; it comes back at " + to_string(stamp.position));
            }
        }
        side.reported.clear();
        if (last) {
            side.reported.push_back(*last);
        }
    }

    bool is_pinned(const Side& side, const Position& position) {
        for (const std::string& path : side.disk.paths()) {
            if (path.find("/backups/pinned_") == path.npos ||
                path.find("holdfast-tmp") != path.npos) {
                continue;
            }
            const auto stamp =
                common::check_session_file(common::Bytes(side.disk.contents(path).value()));
            if (!stamp) {
                fail(path + " of " + side.name + " cannot be read: " + stamp.error().what);
            } else if (*stamp &&
                       broker::contains((*stamp)->lineage, (*stamp)->position, position)) {
                return true;
            }
        }
        return false;
    }

    // ---- a snapshotter: what loop.cpp does -----------------------------------------------------

    void step(Side& side) {
        step_machine(side);
        if (side.disk.is_dead()) {
            if (!side.busy) {
                bury(side);
            }
            return;
        }
        if (!side.process) {
            if (now_ >= side.back_at || !rough_) {
                start(side);
            }
            return;
        }
        Process& process = *side.process;
        if (event(&CrashOptions::stops, 1'500) && !process.stopping.asked()) {
            say(side.name + " is asked to stop");
            ++outcome_.counts.stops;
            process.stopping.ask(now_);
        }
        receive(side);
        receive_done(side);
        receive_history(side);
        MirrorEffects effects;
        process.mirror->on_tick(now_, effects);
        perform_all(side, std::move(effects));
        if (process.stopping.start_save(now_)) {
            process.schedule->request(reasons::kShutdown);
            process.schedule->hurry();
        }
        start_due_save(side);
        if (process.trouble.wants_probe(now_)) {
            process.jobs.push_back({Job::Kind::Probe, {}, now_ + delay(side)});
        }
        if (!side.busy && is_finished(process)) {
            leave(side);
            return;
        }
        write_history(side);
        work(side);
    }

    bool is_finished(const Process& process) {
        return (process.stopping.give_up(now_) && !process.schedule->running()) ||
               (process.stopping.saving() && process.schedule->quiet() && process.jobs.empty() &&
                process.done.empty());
    }

    // What is still to be written is written, as the destructors of the workers do.
    void leave(Side& side) {
        say(side.name + " leaves");
        Process& process = *side.process;
        process.queue->hurry();
        while (const auto group = process.queue->take(now_)) {
            if (!process.store->history()->append(group->begin, group->rows, wall())) {
                break;
            }
            process.queue->committed(*group);
        }
        if (side.disk.is_dead()) {
            bury(side);
            return;
        }
        side.process.reset();
        side.disk.before_rename(nullptr);
        if (side.disk.is_dead()) {
            bury(side);
            return;
        }
        gone(side);
    }

    void receive(Side& side) {
        Mirror& mirror = *side.process->mirror;
        for (std::size_t i = 0; i < kFeedPerTurn; ++i) {
            auto frames = side.feed.receive(now_);
            if (!frames) {
                break;
            }
            const auto message = common::feed::decode_feed(*frames);
            if (!message) {
                fail(side.name + " does not understand the feed");
                return;
            }
            if (const auto* beat = std::get_if<common::feed::Beat>(&*message)) {
                MirrorEffects effects;
                mirror.on_beat(*beat, now_, effects);
                perform_all(side, std::move(effects));
                continue;
            }
            std::vector<Frames> records;
            if (!side.process->packets.read(std::get<common::feed::Packet>(*message), records)) {
                fail(side.name + " does not understand a packet of the feed");
                return;
            }
            for (Frames& record : records) {
                MirrorEffects effects;
                mirror.on_record(std::move(record), now_, effects);
                perform_all(side, std::move(effects));
            }
        }
        while (const auto frames = side.from_broker.receive(now_)) {
            auto message = common::feed::decode_link(*frames);
            if (!message) {
                fail(side.name + " does not understand the broker");
                return;
            }
            MirrorEffects effects;
            mirror.on_link(std::move(*message), now_, effects);
            perform_all(side, std::move(effects));
        }
    }

    void receive_done(Side& side) {
        Process& process = *side.process;
        for (const WorkerDone& done : std::exchange(process.done, {})) {
            if (const auto* save = std::get_if<SaveDone>(&done)) {
                on_save_done(side, *save);
            } else if (const auto* probe = std::get_if<ProbeDone>(&done)) {
                if (process.trouble.on_probe(probe->outcome.has_value())) {
                    process.schedule->hurry();
                }
            } else if (const auto* check = std::get_if<CheckDone>(&done)) {
                if (check->outcome && !check->outcome->damage.empty()) {
                    fail(side.name + " finds damage: " + check->outcome->damage.front());
                }
            }
        }
    }

    void receive_history(Side& side) {
        Process& process = *side.process;
        if (const auto durable = std::exchange(process.durable, std::nullopt)) {
            MirrorEffects effects;
            process.mirror->on_durable(*durable, effects);
            perform_all(side, std::move(effects));
        }
        if (const auto stop = process.queue->wants_save()) {
            ++outcome_.counts.given_up;
            process.schedule->request(*stop == HistoryStop::Removed ? reasons::kHistoryRemoved
                                                                    : reasons::kHistoryBehind);
        }
    }

    void on_save_done(Side& side, const SaveDone& done) {
        Process& process = *side.process;
        process.queue->save_ended(done.outcome && done.outcome->in_history);
        MirrorEffects effects;
        if (!done.outcome) {
            process.trouble.on_failed(done.outcome.error().what, now_);
            for (const std::uint64_t answer : process.schedule->on_failed(now_)) {
                process.mirror->on_save_answered(answer, false, "", effects);
            }
            process.stopping.on_save_failed(now_);
            perform_all(side, std::move(effects));
            return;
        }
        ++outcome_.counts.saves;
        const SaveReport& report = *done.outcome;
        process.trouble.on_saved(now_);
        const Position& position =
            report.kind == SaveReport::Kind::NotInitialised ? process.saving : report.position;
        if (position != Position{}) {
            process.mirror->on_saved(position, report.saved, effects);
        }
        for (const std::uint64_t answer : process.schedule->on_saved()) {
            process.mirror->on_save_answered(answer, true, "", effects);
        }
        perform_all(side, std::move(effects));
    }

    void start_due_save(Side& side) {
        Process& process = *side.process;
        if (const auto due = process.schedule->due(now_)) {
            SaveRequest request = save_request(*process.mirror, due->reason, wall());
            process.saving = request.stamp.position;
            process.queue->save_begins({request.stamp.position, request.stamp.lineage});
            process.jobs.push_back({Job::Kind::Save, std::move(request), now_ + delay(side)});
            if (chance(10)) {
                process.jobs.push_back({Job::Kind::Check, {}, now_ + delay(side)});
            }
        }
    }

    void perform_all(Side& side, MirrorEffects effects) {
        for (MirrorEffect& effect : effects) {
            std::visit([&](auto& one) { perform(side, one); }, effect);
        }
    }
    void perform(Side& side, SendLink& effect) {
        if (const auto* durable = std::get_if<common::feed::Durable>(&effect.message)) {
            on_reported(side, durable->position);
        }
        side.to_broker.send(common::feed::encode(effect.message), soon());
    }
    void perform(Side& side, AppliedRecord& effect) {
        const auto& mutation = effect.record.mutation;
        if (const auto* left = std::get_if<common::UserLeft>(&mutation)) {
            side.process->schedule->request(reasons::user_disconnect(left->name));
        } else if (std::holds_alternative<common::Initialised>(mutation)) {
            side.process->schedule->request(reasons::kInitialised);
        }
        side.process->queue->add(std::move(effect), now_);
    }
    void perform(Side& side, GraphReplaced& effect) {
        side.process->queue->on_replaced(effect.position);
    }
    void perform(Side& side, PinBackup& effect) {
        say(side.name + " pins " + to_string(effect.holding.position) + ": " + effect.reason);
        ++outcome_.counts.pins;
        SaveRequest request = pin_request(std::move(effect), wall());
        side.process->jobs.push_back({Job::Kind::Pin, std::move(request), now_ + delay(side)});
    }
    void perform(Side& side, WantSave& effect) {
        if (effect.reason == reasons::kMirrorError) {
            fail(side.name + ": mirror error");
        }
        side.process->schedule->request(effect.reason, effect.request);
        if (effect.request != 0) {
            side.process->schedule->hurry();
        }
    }
    void perform(Side& side, BrokerLost&) { side.process->stopping.on_broker_lost(); }
    void perform(Side& side, BrokerBack&) { side.process->stopping.on_broker_back(); }
    void perform(Side& side, BrokerStopping&) { side.process->stopping.on_broker_stopping(); }
    void perform(Side& side, BrokerStopped&) {
        side.process->stopping.on_broker_stopped();
        if (!side.process->stopping.asked()) {
            side.process->schedule->request(reasons::kBrokerStopped);
            side.process->schedule->hurry();
        }
    }
    void perform(Side& side, Resynced& effect) { say(side.name + " got " + effect.how); }
    void perform(Side& side, MirrorLog& effect) {
        if (effect.level == MirrorLog::Level::Error) {
            fail(side.name + ": " + effect.text);
        }
    }

    void on_reported(Side& side, const Position& position) {
        const auto moment = moments_.find(position);
        if (moment == moments_.end()) {
            fail(side.name + " calls durable what no broker ever had: " + to_string(position));
            return;
        }
        if (!moment->second.initialised ||
            (!side.reported.empty() && side.reported.back() == position)) {
            return;
        }
        ++outcome_.counts.durable;
        say(side.name + " calls durable " + to_string(position));
        side.reported.push_back(position);
    }

    // ---- a snapshotter: its workers ------------------------------------------------------------

    void write_history(Side& side) {
        Process& process = *side.process;
        if (!process.group) {
            process.group = process.queue->take(now_);
            process.group_at = now_ + delay(side);
        }
        if (!process.group || now_ < process.group_at) {
            return;
        }
        const auto group = std::exchange(process.group, nullptr);
        History& history = *process.store->history();
        const auto appended = history.append(group->begin, group->rows, wall());
        if (side.disk.is_dead()) {
            return;
        }
        if (const auto durable = process.queue->ended(*group, appended, now_)) {
            process.durable = durable;
        }
        check_written(side, appended);
        if (!appended) {
            return;
        }
        const auto tidied = history.tidy_up();
        if (side.disk.is_dead()) {
            return;
        }
        check_written(side, tidied);
        if (now_ - process.pruned >= kPruneEvery) {
            process.pruned = now_;
            const auto removed = history.prune(wall());
            for (const std::string& name : removed.value_or(std::vector<std::string>())) {
                say(side.name + " removes history " + name);
            }
        }
    }

    void check_written(const Side& side, const Result<void>& outcome) {
        if (!outcome) {
            say(side.name + ": history not written: " + outcome.error().what);
            if (!excused(side)) {
                fail(side.name + ": history not written: " + outcome.error().what);
            }
        }
    }

    void work(Side& side) {
        Process& process = *side.process;
        if (side.busy || side.disk.is_dead() || process.jobs.empty() ||
            now_ < process.jobs.front().ready) {
            return;
        }
        const Job job = std::move(process.jobs.front());
        process.jobs.pop_front();
        side.busy = true;
        WorkerDone done = do_job(side, *process.store, job);
        side.busy = false;
        if (!side.disk.is_dead()) {
            process.done.push_back(std::move(done));
        }
    }

    WorkerDone do_job(Side& side, Store& store, const Job& job) {
        switch (job.kind) {
            case Job::Kind::Save: {
                say(side.name + " saves " + to_string(job.request.stamp.position));
                auto outcome = store.save(job.request);
                if (!side.disk.is_dead()) {
                    check_saved(side, outcome);
                }
                return SaveDone{job.request.reason, std::move(outcome)};
            }
            case Job::Kind::Pin:
                return PinDone{job.request.reason, store.pin(job.request)};
            case Job::Kind::Probe:
                return ProbeDone{store.probe()};
            case Job::Kind::Check:
                return CheckDone{store.check(wall())};
        }
        return ProbeDone{};
    }

    void check_saved(Side& side, const Result<SaveReport>& outcome) {
        if (!outcome) {
            say(side.name + " cannot save: " + outcome.error().what);
            if (!excused(side)) {
                fail(side.name + " cannot save: " + outcome.error().what);
            }
            return;
        }
        say(side.name + " has saved " + to_string(outcome->position) +
            (outcome->in_history ? "" : ", not in the history") +
            (outcome->kind == SaveReport::Kind::Unchanged ? ", unchanged" : ""));
        for (const std::string& warning : outcome->warnings) {
            say(side.name + " warns: " + warning);
            const bool strange = warning.find("was put there") != warning.npos ||
                                 warning.find("the broker holds") != warning.npos;
            if (strange || (!excused(side) && warning.find("another session") == warning.npos)) {
                fail(side.name + " warns: " + warning);
            }
        }
    }

    // In the middle of a save.
    void pass_time(Side& side) {
        if (!side.busy || depth_ == 2 || side.disk.is_dead() || outcome_.failure || !chance(4)) {
            return;
        }
        ++depth_;
        for (std::uint64_t i = 1 + below(3); i > 0; --i) {
            step();
        }
        --depth_;
    }

    const CrashOptions options_;
    std::mt19937_64 random_;
    GraphGen gen_;
    std::vector<std::unique_ptr<Side>> sides_;
    std::unique_ptr<SimBroker> broker_;
    Instant broker_back_at_{};
    Instant now_{Millis{1'000'000}};
    Millis clock_error_{0};
    std::map<Position, Moment> moments_;  // all that ever were
    std::uint64_t next_gap_ = 0;
    bool rough_ = false;
    bool editing_ = true;
    int depth_ = 0;

    std::size_t ring_bytes_ = 0;
    HistoryOptions history_;
    std::size_t backups_max_ = 0;
    Millis save_interval_{};
    std::size_t queue_bytes_max_ = 0;
    std::uint64_t rarity_ = 1;  // of trouble

    std::uint64_t trace_hash_ = 14695981039346656037ULL;
    CrashOutcome outcome_;
};

}  // namespace

CrashCounts& CrashCounts::operator+=(const CrashCounts& other) {
    runs += other.runs;
    records += other.records;
    broker_ends += other.broker_ends;
    kills += other.kills;
    power_cuts += other.power_cuts;
    mid_operation += other.mid_operation;
    stops += other.stops;
    troubles += other.troubles;
    recovered += other.recovered;
    restored += other.restored;
    durable += other.durable;
    saves += other.saves;
    pins += other.pins;
    given_up += other.given_up;
    compared += other.compared;
    return *this;
}

std::string CrashCounts::text() const {
    const auto item = [](const char* what, std::uint64_t number) {
        return std::string(", ") + what + " " + std::to_string(number);
    };
    return "runs " + std::to_string(runs) + item("records", records) +
           item("broker ends", broker_ends) + item("kills", kills) +
           item("power cuts", power_cuts) + item("in the middle of an operation", mid_operation) +
           item("stops", stops) + item("troubles", troubles) +
           item("sessions recovered", recovered) + item("restored", restored) +
           item("called durable", durable) + item("saves", saves) + item("pins", pins) +
           item("histories given up", given_up) + item("mirrors compared", compared);
}

CrashOutcome run_crashes(std::uint64_t seed, const CrashOptions& options) {
    return World(seed, options).run();
}

}  // namespace support
