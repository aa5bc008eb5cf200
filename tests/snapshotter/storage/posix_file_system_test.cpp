#include "snapshotter/storage/posix_file_system.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "snapshotter/storage/store.h"
#include "tests/support/sample_session.h"

using namespace snapshotter;
using namespace common;
using support::sample_graph;
using support::sample_stamp;

namespace {

struct TemporaryDirectory {
    std::string path;
    TemporaryDirectory() {
        std::string name = (std::filesystem::temp_directory_path() / "holdfast-XXXXXX").string();
        REQUIRE(mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~TemporaryDirectory() { std::filesystem::remove_all(path); }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
};

}  // namespace

TEST_CASE_FIXTURE(TemporaryDirectory, "files are written, read, renamed, listed and removed") {
    PosixFileSystem files;
    const std::string data = path + "/a/b";
    REQUIRE(files.make_directories(data).has_value());
    REQUIRE(files.make_directories(data).has_value());
    std::string big(300'000, 'x');
    big[299'999] = 'y';
    {
        auto file = files.create(data + "/one");
        REQUIRE(file.has_value());
        REQUIRE((*file)->write(big).has_value());
        REQUIRE((*file)->write("!").has_value());
        REQUIRE((*file)->sync().has_value());
    }
    CHECK(files.read(data + "/one")->view() == big + "!");
    CHECK(files.stat(data + "/one")->bytes == 300'001);
    REQUIRE(files.rename(data + "/one", data + "/two").has_value());
    REQUIRE(files.sync_directory(data).has_value());
    std::filesystem::create_directory(data + "/directory");
    CHECK(*files.list(data) == std::vector<std::string>{"two"});
    REQUIRE(files.remove(data + "/two").has_value());
    CHECK(files.list(data)->empty());
}

TEST_CASE_FIXTURE(TemporaryDirectory,
                  "a file is read in pieces, and a new one is not the old one") {
    PosixFileSystem files;
    const std::string text(700'000, 'x');
    for (int i = 0; i < 2; ++i) {
        auto file = files.create(path + "/one");
        REQUIRE(file.has_value());
        REQUIRE((*file)->write(text).has_value());
        REQUIRE((*file)->sync().has_value());
        const auto reader = files.open(path + "/one");
        REQUIRE(reader.has_value());
        // Whoever has the old one open goes on reading that.
        std::string back((*reader)->read().value());
        REQUIRE(files.create(path + "/one").has_value());
        CHECK(files.stat(path + "/one")->bytes == 0);
        for (std::string_view piece = (*reader)->read().value(); !piece.empty();
             piece = (*reader)->read().value()) {
            back.append(piece);
        }
        CHECK(back == text);
    }
    CHECK(files.open(path + "/none").error().kind == ErrorKind::NotFound);
    CHECK(files.free_bytes(path).value() > 0);
    CHECK(files.stat(path)->device == files.stat(path + "/one")->device);
}

TEST_CASE_FIXTURE(TemporaryDirectory, "a lock knows whether its file is in its place still") {
    PosixFileSystem files;
    const auto lock = files.lock(path + "/.lock");
    REQUIRE(lock.has_value());
    CHECK((*lock)->is_in_place());
    REQUIRE(files.remove(path + "/.lock").has_value());
    CHECK_FALSE((*lock)->is_in_place());
    const auto other = files.lock(path + "/.lock");
    REQUIRE(other.has_value());
    CHECK_FALSE((*lock)->is_in_place());
    CHECK((*other)->is_in_place());
}

TEST_CASE_FIXTURE(TemporaryDirectory, "what is not there is NotFound, other refusals are Io") {
    PosixFileSystem files;
    CHECK(files.read(path + "/x").error().kind == ErrorKind::NotFound);
    CHECK(files.stat(path + "/x").error().kind == ErrorKind::NotFound);
    CHECK(files.list(path + "/x").error().kind == ErrorKind::NotFound);
    CHECK(files.remove(path + "/x").error().kind == ErrorKind::NotFound);
    CHECK(files.read(path).error().kind == ErrorKind::Io);
    CHECK(files.create(path).error().kind == ErrorKind::Io);
    CHECK(files.create(path + "/x/y").error().what.find(path + "/x/y") != std::string::npos);
}

TEST_CASE_FIXTURE(TemporaryDirectory, "a lock keeps others out and names the process") {
    PosixFileSystem files;
    auto lock = files.lock(path + "/.lock");
    REQUIRE(lock.has_value());
    const auto second = files.lock(path + "/.lock");
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().kind == ErrorKind::Busy);
    CHECK(second.error().what.find(std::to_string(getpid())) != std::string::npos);
    lock->reset();
    CHECK(files.lock(path + "/.lock").has_value());
}

TEST_CASE_FIXTURE(TemporaryDirectory, "a store on a real disk: save, copy a backup back, restart") {
    PosixFileSystem files;
    const StoreOptions options{path + "/data", 10, 1, "0.1.0"};
    const std::string session = path + "/data/session_snapshot.db";
    std::string first;
    {
        auto store = Store::open(files, options);
        REQUIRE(store.has_value());
        REQUIRE((*store)->recover(WallTime{1}, Epoch{1}).has_value());
        const auto save = [&](std::uint64_t step) {
            return (*store)->save({sample_graph(5, step), sample_stamp(step), "auto-save",
                                   WallTime{1'763'894'520'000}});
        };
        first = path + "/data/backups/" + save(1)->backup;
        const auto report = save(2);
        REQUIRE(report.has_value());
        CHECK(report->warnings.empty());
        CHECK(save(2)->kind == SaveReport::Kind::Unchanged);
        // What `cp` writes into the session file must reach no backup.
        for (const auto& entry : std::filesystem::directory_iterator(path + "/data/backups")) {
            CHECK(entry.hard_link_count() == 1);
        }
        CHECK(std::filesystem::hard_link_count(session) == 1);
    }
    std::filesystem::copy_file(first, session, std::filesystem::copy_options::overwrite_existing);
    auto store = Store::open(files, options);
    REQUIRE(store.has_value());
    const auto recovered = (*store)->recover(WallTime{1'763'894'620'000}, Epoch{3});
    REQUIRE(recovered.has_value());
    CHECK(recovered->restored_by_hand);
    CHECK(recovered->session->graph.digest() == sample_graph(5, 1).digest());
}
