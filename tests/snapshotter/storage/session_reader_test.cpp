#include "snapshotter/storage/session_reader.h"

#include <doctest/doctest.h>

#include "tests/support/sample_session.h"
#include "tests/support/sim_file_system.h"

using namespace snapshotter;
using namespace common;

TEST_CASE("a session file on the disk is loaded and checked, its absence and damage are said") {
    support::SimFileSystem files;
    const GraphCopy graph = support::sample_graph(40);
    const Bytes file = support::sample_file(graph, support::sample_stamp(9));
    files.put("/data/one.db", file.view());
    files.put("/data/cut.db", file.view().substr(0, file.size() / 2));
    CHECK(load_session(files, "/data/one.db")->graph.digest() == graph.digest());
    CHECK(check_session(files, "/data/one.db")->value().position ==
          support::sample_stamp(9).position);
    CHECK(peek_session(files, "/data/one.db")->stamp->position ==
          support::sample_stamp(9).position);
    CHECK(peek_session(files, "/data/none.db").error().kind == ErrorKind::NotFound);
    CHECK(load_session(files, "/data/cut.db").error().kind == ErrorKind::BadInput);
    CHECK(check_session(files, "/data/cut.db").error().kind == ErrorKind::BadInput);
    CHECK(load_session(files, "/data/none.db").error().kind == ErrorKind::NotFound);
    CHECK(check_session(files, "/data/none.db").error().kind == ErrorKind::NotFound);
}
