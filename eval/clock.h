// Wall time of what was just done.
#pragma once

#include <chrono>

namespace giantrabbit::eval {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace giantrabbit::eval
