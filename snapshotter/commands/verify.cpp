#include <algorithm>
#include <map>

#include "snapshotter/commands/commands.h"
#include "snapshotter/storage/file_names.h"
#include "snapshotter/storage/metadata.h"
#include "snapshotter/storage/session_reader.h"

namespace snapshotter::commands {

using common::Position;
using common::Result;
using common::TellDone;

namespace {

// Counts records of the history, and tells each.
class RecordCount {
public:
    RecordCount(const HistoryReader& history, TellDone tell) : tell_(std::move(tell)) {
        for (const HistorySegment& segment : history.segments()) {
            total_ += segment.records;
        }
    }
    void add_one() {
        ++done_;
        if (tell_) {
            tell_(done_, total_);
        }
    }

private:
    TellDone tell_;
    std::uint64_t done_ = 0;
    std::uint64_t total_ = 0;
};

// Nothing: the file has gone since it was listed.
Result<std::optional<Verification::Line>> verify_save(const Surroundings& around,
                                                      const StoredSave& save,
                                                      const TellDone& tell) {
    Verification::Line line{save, 0, std::nullopt, ""};
    const Result<common::SessionFile> session = load_session(around.files, save.path, tell);
    if (!session && session.error().kind == common::ErrorKind::NotFound) {
        return std::optional<Verification::Line>();
    }
    if (session) {
        line.nodes = session->graph.nodes.size();
        line.stamp = session->stamp;
    } else {
        line.damage = session.error().what;
    }
    return std::optional(std::move(line));
}

// What is wrong with session_metadata.json. The session does not depend on it.
Result<std::string> verify_metadata(const Surroundings& around) {
    const auto text = around.files.read(file_names::join(around.data_dir, file_names::kMetadata));
    if (!text) {
        return text.error().kind == common::ErrorKind::NotFound
                   ? Result<std::string>(std::string())
                   : Result<std::string>(tl::unexpected(text.error()));
    }
    const auto metadata = read_metadata(text->view());
    return metadata ? std::string() : metadata.error().what;
}

// Every record of it, against the chain.
Result<Verification::Segment> verify_segment(const HistoryReader& history,
                                             const HistorySegment& segment, RecordCount& count) {
    Verification::Segment line{segment.file, segment.records,
                               segment.damage ? segment.damage->what : std::string()};
    for (const HistoryRun& run : segment.runs) {
        const auto pass = [&](HistoryRow&&) -> Result<bool> {
            count.add_one();
            return true;
        };
        const Replayed replayed = TRY(history.replay(run.base.position, run.last, pass));
        if (replayed.damage) {
            line.damage = to_string(*replayed.damage);
        } else if (!replayed.reached) {
            line.damage =
                "nothing leads from " + to_string(run.base.position) + " to " + to_string(run.last);
        }
    }
    return line;
}

// Saves and history are two accounts of one thing: from the oldest save on, the history must come
// by every younger one with the graph that it holds.
Result<void> prove_saves(const Surroundings& around, const Moments& moments,
                         Verification& verification) {
    std::map<Position, Verification::Line*> saves;
    const Verification::Line* oldest = nullptr;
    for (Verification::Line& line : verification.saves) {
        if (line.stamp) {
            saves[line.stamp->position] = &line;
            oldest = oldest == nullptr || line.stamp->saved < oldest->stamp->saved ? &line : oldest;
        }
    }
    if (oldest == nullptr) {
        return {};
    }
    common::Graph graph(TRY(load_session(around.files, oldest->save.path,
                                         telling(around.tell, "Reading " + oldest->save.name)))
                            .graph);
    RecordCount count(moments.history(), telling(around.tell, "Comparing saves and history"));
    const auto compare = [&](HistoryRow&& row) -> Result<bool> {
        count.add_one();
        TRY(graph.apply(row.record.mutation));
        const auto found = saves.find(row.position);
        if (found == saves.end()) {
            return true;
        }
        if (graph.digest() == found->second->stamp->digest) {
            ++verification.proved;
        } else {
            found->second->damage = "the history leads to another graph at its position";
            verification.good = false;
        }
        return true;
    };
    TRY(moments.history().replay(oldest->stamp->position, std::nullopt, compare));
    return {};
}

}  // namespace

Result<Verification> verify(const Surroundings& around) {
    const Moments moments = TRY(open_moments(around));
    Verification result;
    std::uint64_t bytes = 0;
    for (const StoredSave& save : moments.saves()) {
        bytes += save.info.bytes;
    }
    std::uint64_t bytes_before = 0;
    const TellDone told = telling(around.tell, "Reading the saves");
    const auto tell = [&](std::uint64_t done, std::uint64_t) {
        if (told) {
            told(bytes_before + done, bytes);
        }
    };
    for (const StoredSave& save : moments.saves()) {
        if (auto line = TRY(verify_save(around, save, tell))) {
            result.good = result.good && line->damage.empty();
            result.saves.push_back(std::move(*line));
        }
        bytes_before += save.info.bytes;
    }
    RecordCount count(moments.history(), telling(around.tell, "Reading the history"));
    for (const HistorySegment& segment : moments.history().segments()) {
        result.segments.push_back(TRY(verify_segment(moments.history(), segment, count)));
        result.good = result.good && result.segments.back().damage.empty();
    }
    result.metadata_damage = TRY(verify_metadata(around));
    result.good = result.good && result.metadata_damage.empty();
    if (!result.segments.empty()) {
        TRY(prove_saves(around, moments, result));
    }
    if (result.saves.empty()) {
        result.note = "there is no session in " + around.data_dir;
    }
    return result;
}

}  // namespace snapshotter::commands
