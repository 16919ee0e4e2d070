// Which of the instruction sets that the inner loops are compiled for this process uses. Decided once: the
// best one the machine has, or the one that the environment variable GR_CPU_CAPABILITY (default, avx2,
// avx512, avx512vnni, amx) names. avx512vnni and amx add integer products; loops that have none of those use
// avx512's.
#pragma once

#include <string_view>
#include <vector>

namespace giantrabbit::ops::cpu {

enum class Capability { baseline, avx2, avx512, avx512vnni, amx };

std::string_view capability_name(Capability capability);  // as in GR_CPU_CAPABILITY
std::vector<Capability> machine_capabilities();           // ascending; the baseline is always there
// Throws c10::Error if GR_CPU_CAPABILITY names something unknown or something this machine cannot run.
Capability chosen_capability();

}  // namespace giantrabbit::ops::cpu
