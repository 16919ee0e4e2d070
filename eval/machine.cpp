// Reads the CPU's name from the system and the rest from LibTorch; never fails, a report must not.
#include "eval/machine.h"

#include <fstream>

#include <ATen/Parallel.h>
#include <torch/version.h>

namespace giantrabbit::eval {
namespace {

std::string cpu_model() {
  std::ifstream stream("/proc/cpuinfo");
  for (std::string line; std::getline(stream, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown CPU";
}

}  // namespace

Machine this_machine() { return {cpu_model(), at::get_num_threads(), "LibTorch " TORCH_VERSION}; }

}  // namespace giantrabbit::eval
