#include "common/io/random.h"

#include <sys/random.h>

#include <cerrno>
#include <string_view>

#include "common/verify.h"

namespace common::io {

namespace {

void fill_random(void* out, std::size_t size) {
    // Up to 256 bytes come whole; before the kernel's pool is ready the call waits, as it should.
    VERIFY(size <= 256);
    ssize_t got = -1;
    do {
        got = getrandom(out, size, 0);
    } while (got < 0 && errno == EINTR);
    VERIFY(got == static_cast<ssize_t>(size));
}

}  // namespace

std::uint64_t random_id() {
    std::uint64_t id = 0;
    while (id == 0) {
        fill_random(&id, sizeof id);
    }
    return id;
}

std::string random_password() {
    constexpr std::string_view kLetters =
        "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    // Bytes from here on would make the first letters likelier than the others.
    constexpr unsigned kFairBelow = 256 - 256 % kLetters.size();
    std::string password;
    int letters = 0;
    while (letters < 20) {
        unsigned char byte = 0;
        fill_random(&byte, sizeof byte);
        if (byte >= kFairBelow) {
            continue;
        }
        if (letters > 0 && letters % 5 == 0) {
            password += '-';
        }
        password += kLetters[byte % kLetters.size()];
        ++letters;
    }
    return password;
}

}  // namespace common::io
