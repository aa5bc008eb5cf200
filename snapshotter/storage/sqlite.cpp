#include "snapshotter/storage/sqlite.h"

#include <sqlite3.h>

#include <cerrno>
#include <utility>

#include "common/file_error.h"
#include "common/verify.h"

namespace snapshotter::sqlite {

using common::Bytes;
using common::Error;
using common::ErrorKind;
using common::fail;
using common::Result;

namespace {

// For how long a reader waits for a writer's short locks, and the other way round.
constexpr int kBusyMs = 2'000;

ErrorKind kind_of(int code) {
    switch (code & 0xff) {
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
        case SQLITE_FORMAT:
        case SQLITE_SCHEMA:
        case SQLITE_ERROR:  // a table or column that is not there
        case SQLITE_CONSTRAINT:
            return ErrorKind::BadInput;
        case SQLITE_TOOBIG:
            return ErrorKind::Limit;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return ErrorKind::Busy;
        default:
            return ErrorKind::Io;
    }
}

// What the system said, as far as SQLite tells.
int errno_of(sqlite3* database, int code) {
    const int said = database != nullptr ? sqlite3_system_errno(database) : 0;
    switch (code & 0xff) {
        case SQLITE_FULL:
            return ENOSPC;
        case SQLITE_READONLY:
            return EROFS;
        case SQLITE_PERM:
            return EACCES;
        case SQLITE_IOERR:
            return said != 0 ? said : EIO;
        case SQLITE_CANTOPEN:
            return said;
        default:
            return 0;
    }
}

Error error_of(sqlite3* database, int code, const std::string& file) {
    std::string what = file + ": SQLite: ";
    what += database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(code);
    if (const std::string to_do = common::remedy(errno_of(database, code)); !to_do.empty()) {
        what += "; " + to_do;
    }
    return Error{kind_of(code), what};
}

tl::unexpected<Error> failed(sqlite3* database, int code, const std::string& file) {
    return tl::unexpected<Error>(error_of(database, code, file));
}

}  // namespace

// ---- Statement ---------------------------------------------------------------------------------

Statement::Statement(Statement&& other) noexcept
    : statement_(std::exchange(other.statement_, nullptr)), file_(std::move(other.file_)) {}

Statement::~Statement() {
    sqlite3_finalize(statement_);
}

void Statement::bind(int index, std::int64_t value) {
    VERIFY(sqlite3_bind_int64(statement_, index, value) == SQLITE_OK);
}

void Statement::bind_text(int index, std::string_view value) {
    VERIFY(sqlite3_bind_text64(statement_, index, value.data() == nullptr ? "" : value.data(),
                               value.size(), SQLITE_STATIC, SQLITE_UTF8) == SQLITE_OK);
}

void Statement::bind_blob(int index, std::string_view value) {
    VERIFY(sqlite3_bind_blob64(statement_, index, value.data() == nullptr ? "" : value.data(),
                               value.size(), SQLITE_STATIC) == SQLITE_OK);
}

void Statement::bind_null(int index) {
    VERIFY(sqlite3_bind_null(statement_, index) == SQLITE_OK);
}

Result<bool> Statement::step() {
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) {
        return true;
    }
    if (code == SQLITE_DONE) {
        sqlite3_reset(statement_);
        return false;
    }
    const Error error = error_of(sqlite3_db_handle(statement_), code, file_);
    sqlite3_reset(statement_);
    return tl::unexpected<Error>(error);
}

Result<void> Statement::run() {
    while (TRY(step())) {
    }
    return {};
}

void Statement::reset() {
    sqlite3_reset(statement_);
}

Result<std::int64_t> Statement::integer(int column) const {
    if (sqlite3_column_type(statement_, column) != SQLITE_INTEGER) {
        return fail(ErrorKind::BadInput,
                    file_ + ": column " + std::to_string(column) + " of a row is no integer");
    }
    return sqlite3_column_int64(statement_, column);
}

Result<std::string> Statement::text(int column) const {
    if (sqlite3_column_type(statement_, column) != SQLITE_TEXT) {
        return fail(ErrorKind::BadInput,
                    file_ + ": column " + std::to_string(column) + " of a row is no text");
    }
    const auto* bytes = sqlite3_column_text(statement_, column);
    if (bytes == nullptr) {
        return fail(ErrorKind::Io, file_ + ": SQLite: out of memory");
    }
    return std::string(reinterpret_cast<const char*>(bytes),
                       static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)));
}

Result<Bytes> Statement::blob(int column) const {
    if (sqlite3_column_type(statement_, column) != SQLITE_BLOB) {
        return fail(ErrorKind::BadInput,
                    file_ + ": column " + std::to_string(column) + " of a row is no blob");
    }
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
    if (bytes == nullptr && size > 0) {
        return fail(ErrorKind::Io, file_ + ": SQLite: out of memory");
    }
    return Bytes::copy_of(std::string_view(bytes, size));
}

bool Statement::is_null(int column) const {
    return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

// ---- Database ----------------------------------------------------------------------------------

Result<std::unique_ptr<Database>> Database::open(const std::string& file, Mode mode,
                                                 const std::string& vfs) {
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
    switch (mode) {
        case Mode::Read:
            flags |= SQLITE_OPEN_READONLY;
            break;
        case Mode::Write:
            flags |= SQLITE_OPEN_READWRITE;
            break;
        case Mode::Create:
            flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
            break;
    }
    sqlite3* raw = nullptr;
    const int code =
        sqlite3_open_v2(file.c_str(), &raw, flags, vfs.empty() ? nullptr : vfs.c_str());
    std::unique_ptr<Database> database(new Database(raw, file));
    if (code != SQLITE_OK) {
        return failed(raw, code, file);
    }
    sqlite3_busy_timeout(raw, kBusyMs);
    // In place of SQLite's own, which moves the log.
    const auto committed = [](void* pages, sqlite3*, const char*, int count) {
        *static_cast<std::uint64_t*>(pages) = static_cast<std::uint64_t>(count);
        return SQLITE_OK;
    };
    sqlite3_wal_hook(raw, committed, &database->log_pages_);
    // Nothing in a file's schema is run, and a damaged page is noticed early.
    TRY(database->execute("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON"));
    return database;
}

Database::~Database() {
    sqlite3_close_v2(database_);
}

void Database::set_patience(int milliseconds) {
    sqlite3_busy_timeout(database_, milliseconds);
}

void Database::abandon() {
    static_cast<void>(sqlite3_db_config(database_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr));
}

Result<void> Database::execute(const std::string& sql) {
    const int code = sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) {
        return failed(database_, code, file_);
    }
    return {};
}

Result<Statement> Database::prepare(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    const int code = sqlite3_prepare_v2(database_, sql.c_str(), static_cast<int>(sql.size()),
                                        &statement, nullptr);
    if (code != SQLITE_OK) {
        return failed(database_, code, file_);
    }
    return Statement(statement, file_);
}

Result<std::int64_t> Database::integer(const std::string& sql) {
    Statement statement = TRY(prepare(sql));
    if (!TRY(statement.step())) {
        return fail(ErrorKind::BadInput, file_ + ": a row is missing");
    }
    return statement.integer(0);
}

Result<std::string> Database::text(const std::string& sql) {
    Statement statement = TRY(prepare(sql));
    if (!TRY(statement.step())) {
        return fail(ErrorKind::BadInput, file_ + ": a row is missing");
    }
    return statement.text(0);
}

}  // namespace snapshotter::sqlite
