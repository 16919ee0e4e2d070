// Asks the processor for its instruction sets and the environment for an override.
#include "ops/cpu/capability.h"

#include <algorithm>
#include <cstdlib>

#include <ATen/cpu/Utils.h>
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
              "GR_CPU_CAPABILITY: expected default, avx2, avx512, avx512vnni or amx and no more than this "
              "machine has (",
              capability_name(available.back()), "), got '", wanted, "'");
  return *found;
}

}  // namespace

std::string_view capability_name(Capability capability) {
  switch (capability) {
    case Capability::amx:
      return "amx";
    case Capability::avx512vnni:
      return "avx512vnni";
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
  // Each set holds the one before it.
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi") ||
      !__builtin_cpu_supports("bmi2")) {
    return available;
  }
  available.push_back(Capability::avx2);
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512bw")) {
    return available;
  }
  available.push_back(Capability::avx512);
  if (!__builtin_cpu_supports("avx512vnni")) return available;
  available.push_back(Capability::avx512vnni);
  // The operating system hands out the tile registers on request only.
  if (__builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-int8") && at::cpu::init_amx()) {
    available.push_back(Capability::amx);
  }
#endif
  return available;
}

Capability chosen_capability() {
  static const Capability chosen = choose();
  return chosen;
}

}  // namespace giantrabbit::ops::cpu
