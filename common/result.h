#pragma once
// Result<T>: what can go wrong outside of our own code. Returned, not thrown and not logged: the
// loop that asked logs once.

#include <string>
#include <tl/expected.hpp>
#include <type_traits>
#include <utility>

namespace common {

enum class ErrorKind {
    BadInput,     // the peer's or the file's bytes are wrong: drop them, name their origin
    Limit,        // a bound of limits.h was exceeded: treated like BadInput
    Unsupported,  // a version, type or action that we do not know: refuse in words
    NotFound,     // it is not there: the caller decides whether that is normal
    Busy,         // somebody else holds it (a lock, a port): say who, stop
    Io,           // the operating system refused: keep the last good state, retry later or stop
};

struct [[nodiscard]] Error {
    ErrorKind kind;
    std::string what;  // a sentence for a log line, without a final full stop
};

template <typename T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(ErrorKind kind, std::string what) {
    return tl::unexpected<Error>(Error{kind, std::move(what)});
}

inline tl::unexpected<Error> bad_input(std::string what) {
    return fail(ErrorKind::BadInput, std::move(what));
}

// For TRY: what a good result holds, also when that is nothing.
template <typename T>
T take_value(Result<T>&& result) {
    if constexpr (!std::is_void_v<T>) {
        return *std::move(result);
    }
}

}  // namespace common

// TRY(expression): the value of a Result, or return its error to the caller.
#define TRY(...)                                                                      \
    __extension__({                                                                   \
        auto try_result_ = (__VA_ARGS__);                                             \
        if (!try_result_) [[unlikely]] {                                              \
            return ::tl::unexpected<::common::Error>(std::move(try_result_).error()); \
        }                                                                             \
        ::common::take_value(std::move(try_result_));                                 \
    })
