#include "common/file_error.h"

#include <doctest/doctest.h>

#include <cerrno>

using namespace common;

TEST_CASE("an error names what was tried, where, why, and what to do") {
    const Error full = file_error("write", "/data/x", ENOSPC);
    CHECK(full.kind == ErrorKind::Io);
    CHECK(full.what ==
          "cannot write /data/x: No space left on device; free some space on that disk");
    CHECK(file_error("create", "/data/x", EACCES).what.find("the right to write") !=
          std::string::npos);
    CHECK(file_error("create", "/data/x", EROFS).what.find("writable again") != std::string::npos);
    CHECK(file_error("sync", "/data/x", EIO).what.find("kernel's log") != std::string::npos);
}

TEST_CASE("what is not there is NotFound, and for what we do not know there is no advice") {
    CHECK(file_error("read", "/data/x", ENOENT).kind == ErrorKind::NotFound);
    CHECK(file_error("read", "/data/x", EISDIR).what == "cannot read /data/x: Is a directory");
}
