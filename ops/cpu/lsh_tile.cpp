// Picks the row functions of lsh_attention for the chosen instruction set, once per process.
#include "ops/cpu/lsh_tile.h"

#include "ops/cpu/capability.h"

namespace giantrabbit::ops::cpu {
namespace {

const LshFunctions& chosen_lsh_functions() {
#if defined(__x86_64__)
  static const LshFunctions& functions = chosen_capability() >= Capability::avx512 ? avx512::lsh_functions
                                         : chosen_capability() == Capability::avx2 ? avx2::lsh_functions
                                                                                   : baseline::lsh_functions;
  return functions;
#else
  return baseline::lsh_functions;
#endif
}

}  // namespace

template <>
const LshFunctionsOf<float>& lsh_functions_of<float>() {
  return chosen_lsh_functions().of_float;
}

template <>
const LshFunctionsOf<double>& lsh_functions_of<double>() {
  return chosen_lsh_functions().of_double;
}

}  // namespace giantrabbit::ops::cpu
