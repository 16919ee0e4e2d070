// Asks the processor for its instruction sets and the environment for an override.
#include "ops/cpu/capability.h"

#include <algorithm>
#include <cstdlib>

#include <c10/util/Exception.h>

namespace giantrabbit::ops::cpu {
namespace {

Capability choose() {
  const std::vector<Capability> available = machine_capabilities();
  const char* wanted = std::getenv("GR_CPU_CAPABILITY");
  if (wanted == nullptr) return available.back();
  const auto found = std::find_if(available.begin(), available.end(), [&](Capability capability) {
    return capability_name(capability) == wanted;
  });
  TORCH_CHECK(found != available.end(),
              "GR_CPU_CAPABILITY: expected default, avx2 or avx512 and no more than this ", "machine has (",
              capability_name(available.back()), "), got '", wanted, "'");
  return *found;
}

}  // namespace

std::string_view capability_name(Capability capability) {
  switch (capability) {
    case Capability::avx512:
      return "avx512";
    case Capability::avx2:
      return "avx2";
    default:
      return "default";
  }
}

std::vector<Capability> machine_capabilities() {
  std::vector<Capability> available = {Capability::baseline};
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2) available.push_back(Capability::avx2);
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")) {
    available.push_back(Capability::avx512);
  }
#endif
  return available;
}

Capability chosen_capability() {
  static const Capability chosen = choose();
  return chosen;
}

}  // namespace giantrabbit::ops::cpu
