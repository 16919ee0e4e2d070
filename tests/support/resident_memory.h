// The process's resident memory as Linux counts it: scratch and tensors alike, in bytes; -1 where the system
// does not tell.
#pragma once

#include <cstdint>
#include <fstream>
#include <functional>
#include <string>

#include <malloc.h>

namespace giantrabbit::test_support {

// "VmHWM", the peak, or "VmRSS".
inline int64_t resident_bytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(name + ":", 0) == 0) return std::stoll(line.substr(name.size() + 1)) * 1024;
  }
  return -1;
}

// What a call needs at its peak, above what the process held before.
inline int64_t resident_peak_of(const std::function<void()>& call) {
  constexpr const char* kPeakToCurrent = "5";
  constexpr int64_t kNoise = int64_t{4} << 20;
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << kPeakToCurrent << std::flush;
  const int64_t before = resident_bytes("VmRSS");
  if (resident_bytes("VmHWM") >= before + kNoise) return -1;
  call();
  return resident_bytes("VmHWM") - before;
}

}  // namespace giantrabbit::test_support
