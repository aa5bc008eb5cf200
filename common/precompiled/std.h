// What nearly every file includes, parsed once for all of them: scripts/test builds all anew and
// sets b_pch. Each file still includes what it uses. No `pragma once`: it is compiled itself.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "common/result.h"
