// Picks the packed products of the chosen instruction set, once per process.
#include "ops/cpu/packed_product.h"

#include "ops/cpu/capability.h"

namespace giantrabbit::ops::cpu {
namespace {

const PackedFunctions& choose(Capability capability) {
#if defined(__x86_64__)
  if (capability >= Capability::avx512vnni) return avx512vnni::packed_functions;
  if (capability == Capability::avx512) return avx512::packed_functions;
  if (capability == Capability::avx2) return avx2::packed_functions;
#endif
  static_cast<void>(capability);
  return baseline::packed_functions;
}

}  // namespace

const PackedFunctions& packed_functions() {
  static const PackedFunctions& functions = choose(chosen_capability());
  return functions;
}

}  // namespace giantrabbit::ops::cpu
