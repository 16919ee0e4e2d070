// Autocast rules of lsh_attention and lsh_buckets. Query, key and value in, the same in autocast's dtype out;
// scores, weights and sums are fp32 inside the kernels. Hashing computes in fp32 whatever comes: no cast.
#include "ops/autocast/rules.h"
#include "ops/lsh_call.h"

namespace giantrabbit::ops {
namespace {

template <c10::DeviceType device>
at::Tensor lsh_attention_autocast(const LshCall& call) {
  const WithoutAutocast<device> guard;
  const at::ScalarType dtype = at::autocast::get_autocast_dtype(device);
  LshCall cast = call;
  for (at::Tensor* tensor : {&cast.query, &cast.key, &cast.value}) {
    *tensor = at::autocast::cached_cast(dtype, *tensor, device);
  }
  return call_lsh(cast);
}

template <c10::DeviceType device>
void add_lsh_rules(torch::Library& library) {
  library.impl("lsh_attention", TORCH_FN(LshForwardArguments::kernel<lsh_attention_autocast<device>>));
  library.impl("lsh_buckets", torch::CppFunction::makeFallthrough());
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, AutocastCPU, library) { add_lsh_rules<at::kCPU>(library); }
TORCH_LIBRARY_IMPL(giantrabbit, AutocastCUDA, library) { add_lsh_rules<at::kCUDA>(library); }

}  // namespace giantrabbit::ops
