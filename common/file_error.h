#pragma once
// What to tell people when the system refuses something on a file (pure).

#include <string>

#include "common/result.h"

namespace common {

// "cannot write /data/x: No space left on device; free some space on that disk". `error` is an
// errno. Io, or NotFound for ENOENT.
Error file_error(const std::string& what, const std::string& path, int error);

// What to do about an errno: "free some space on that disk"; empty where there is nothing to say.
const char* remedy(int error);

}  // namespace common
