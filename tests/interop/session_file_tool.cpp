// For tests of session files:
//     session_file_tool copy IN OUT               read a session file, write it as Holdfast does

#include <cstdio>
#include <string>

#include "common/session_file.h"
#include "common/verify.h"
#include "snapshotter/storage/atomic_file.h"
#include "snapshotter/storage/posix_file_system.h"
#include "tests/support/sample_session.h"

using namespace common;

namespace {

Result<void> copy(const std::string& in, const std::string& out) {
    snapshotter::PosixFileSystem files;
    const Bytes bytes = TRY(files.read(in));
    const SessionFile session = TRY(read_session_file(bytes));
    std::string written;
    SessionStamp stamp = session.stamp.value_or(support::sample_stamp(1));
    stamp.digest = session.graph.digest();
    TRY(write_session_file(session.graph, stamp, 1, [&written](std::string_view piece) {
        written.append(piece);
        return Result<void>();
    }));
    const std::size_t slash = out.rfind('/');
    VERIFY(slash != out.npos);
    TRY(snapshotter::replace_file(files, out.substr(0, slash), out.substr(slash + 1), written));
    std::printf("%zu nodes, %zu users\n", session.graph.nodes.size(),
                session.graph.metadata.size());
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    const std::string command = argc > 1 ? argv[1] : "";
    Result<void> outcome = fail(ErrorKind::BadInput, "usage: copy IN OUT");
    if (command == "copy" && argc == 4) {
        outcome = copy(argv[2], argv[3]);
    }
    if (!outcome) {
        std::fprintf(stderr, "%s\n", outcome.error().what.c_str());
        return 1;
    }
    return 0;
}
