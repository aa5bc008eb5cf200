#pragma once
// The only SQLite code: a database file, its statements, and errors as Results. What SQLite says of
// a damaged file is BadInput, of one that somebody else writes Busy, all else that goes wrong Io.
//
// Not for several threads at once.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/bytes.h"
#include "common/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace snapshotter::sqlite {

enum class Mode {
    Read,    // it must be there, and is not changed
    Write,   // it must be there
    Create,  // it may be there
};

// One prepared statement. Parameters count from 1 and columns from 0, as SQLite counts them.
class Statement {
public:
    Statement(Statement&& other) noexcept;
    Statement& operator=(Statement&&) = delete;
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;
    ~Statement();

    // The bytes must stay until the next step() is over.
    void bind(int index, std::int64_t value);
    void bind_text(int index, std::string_view value);
    void bind_blob(int index, std::string_view value);
    void bind_null(int index);

    // True: a row is there. False: it is done, and may be bound and stepped again.
    common::Result<bool> step();
    // A step whose rows do not matter.
    common::Result<void> run();
    void reset();

    // Of the present row. BadInput: the column holds something of another type.
    common::Result<std::int64_t> integer(int column) const;
    common::Result<std::string> text(int column) const;
    common::Result<common::Bytes> blob(int column) const;
    bool is_null(int column) const;

private:
    friend class Database;
    Statement(sqlite3_stmt* statement, std::string file)
        : statement_(statement), file_(std::move(file)) {}
    sqlite3_stmt* statement_;
    std::string file_;
};

class Database {
public:
    // `vfs`: the name of the SQLite VFS, empty for the system's.
    static common::Result<std::unique_ptr<Database>> open(const std::string& file, Mode mode,
                                                          const std::string& vfs);
    // Its statements must be gone.
    ~Database();
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    // For how long others' locks are waited for; 2 s unless told.
    void set_patience(int milliseconds);
    // Nothing is written any more, not even when it is closed: nobody knows what the file holds.
    void abandon();

    // One or several statements, whose rows do not matter.
    common::Result<void> execute(const std::string& sql);
    common::Result<Statement> prepare(const std::string& sql);
    // How many pages its log (WAL) had at the last commit here, those that were moved to the file
    // before included. They are moved by a checkpoint that somebody asks for, and else when it is
    // closed: never within a commit.
    std::uint64_t log_pages() const { return log_pages_; }
    // The first column of the first row.
    common::Result<std::int64_t> integer(const std::string& sql);
    common::Result<std::string> text(const std::string& sql);

private:
    Database(sqlite3* database, std::string file) : database_(database), file_(std::move(file)) {}
    sqlite3* database_;
    std::string file_;
    std::uint64_t log_pages_ = 0;
};

}  // namespace snapshotter::sqlite
