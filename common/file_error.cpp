#include "common/file_error.h"

#include <cerrno>
#include <system_error>

namespace common {

const char* remedy(int error) {
    switch (error) {
        case ENOSPC:
            return "free some space on that disk";
        case EDQUOT:
            return "the quota is used up: raise it, or free some space";
        case EACCES:
        case EPERM:
            return "give the user that runs this the right to write there";
        case EROFS:
            return "that disk can only be read: see the kernel's log for why, and mount it "
                   "writable again";
        case EIO:
        case ENXIO:
        case ENODEV:
            return "the disk does not do what it is asked: see the kernel's log, and replace it or "
                   "move the data directory";
        case ESTALE:
        case ENOTCONN:
            return "the file server is gone: mount the directory again";
        case EMFILE:
        case ENFILE:
            return "raise the limit of open files";
        default:
            return "";
    }
}

Error file_error(const std::string& what, const std::string& path, int error) {
    std::string text =
        "cannot " + what + " " + path + ": " + std::generic_category().message(error);
    const std::string to_do = remedy(error);
    if (!to_do.empty()) {
        text += "; " + to_do;
    }
    return {error == ENOENT ? ErrorKind::NotFound : ErrorKind::Io, std::move(text)};
}

}  // namespace common
