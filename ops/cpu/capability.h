// Which of the instruction sets that the row functions are compiled for this process uses. Decided once: the
// best one the machine has, or the one that the environment variable GR_CPU_CAPABILITY (default, avx2,
// avx512) names.
#pragma once

#include <string_view>
#include <vector>

namespace giantrabbit::ops::cpu {

enum class Capability { baseline, avx2, avx512 };

std::string_view capability_name(Capability capability);  // "default", "avx2", "avx512"
std::vector<Capability> machine_capabilities();           // ascending; the baseline is always there
// Throws c10::Error if GR_CPU_CAPABILITY names something unknown or something this machine cannot run.
Capability chosen_capability();

}  // namespace giantrabbit::ops::cpu
