// The inner loops of packed_functions.h for the chosen instruction set.
#pragma once

#include "ops/cpu/packed_functions.h"

namespace giantrabbit::ops::cpu {

// Throws c10::Error as chosen_capability() does.
const PackedFunctions& packed_functions();

}  // namespace giantrabbit::ops::cpu
