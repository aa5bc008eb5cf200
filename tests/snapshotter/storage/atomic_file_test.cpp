#include "snapshotter/storage/atomic_file.h"

#include <doctest/doctest.h>

#include "tests/support/sim_file_system.h"

using namespace snapshotter;
using support::Loss;
using support::SimFileSystem;

namespace {

constexpr const char* kName = "session_metadata.json";
constexpr const char* kPath = "/data/session_metadata.json";

}  // namespace

TEST_CASE("dropped without commit, nothing was") {
    SimFileSystem files;
    files.put(kPath, "old");
    {
        auto file = AtomicFile::open(files, "/data", kName);
        REQUIRE(file.has_value());
        REQUIRE((*file)->write("new").has_value());
        REQUIRE((*file)->sync().has_value());
        CHECK(files.contents((*file)->temporary_path()) == "new");
    }
    CHECK(files.contents(kPath) == "old");
    CHECK(files.paths().size() == 1);
}

TEST_CASE("committed, it lasts") {
    SimFileSystem files;
    files.put(kPath, "old");
    REQUIRE(replace_file(files, "/data", kName, "new").has_value());
    files.crash(Loss::All);
    CHECK(files.contents(kPath) == "new");
    CHECK(files.paths().size() == 1);
}

TEST_CASE("the old one or the new one, whole, wherever it dies") {
    for (std::uint64_t operation = 1;; ++operation) {
        bool finished = false;
        for (const Loss loss : support::kAllLosses) {
            SimFileSystem files;
            files.put(kPath, "old");
            files.die_after(operation);
            const bool reported = replace_file(files, "/data", kName, "new").has_value();
            finished = !files.is_dead();
            files.crash(loss);
            const std::string found = files.contents(kPath).value();
            CHECK((found == "new" || (found == "old" && !reported)));
        }
        if (finished) {
            CHECK(operation > 4);
            break;
        }
    }
}
