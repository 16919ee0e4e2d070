// Autocast rules of lsh_attention and lsh_buckets. Query, key and value in, the same in autocast's dtype out;
// scores, weights and sums are fp32 inside the kernels. Hashing computes in fp32 whatever comes: no cast.
#include <ATen/autocast_mode.h>

#include "ops/lsh_call.h"

namespace giantrabbit::ops {
namespace {

at::Tensor lsh_attention_autocast(const LshCall& call) {
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
  const at::ScalarType dtype = at::autocast::get_autocast_dtype(at::kCPU);
  LshCall cast = call;
  for (at::Tensor* tensor : {&cast.query, &cast.key, &cast.value}) {
    *tensor = at::autocast::cached_cast(dtype, *tensor, at::kCPU);
  }
  return call_lsh(cast);
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, AutocastCPU, library) {
  library.impl("lsh_attention", TORCH_FN(LshForwardArguments::kernel<lsh_attention_autocast>));
  library.impl("lsh_buckets", torch::CppFunction::makeFallthrough());
}

}  // namespace giantrabbit::ops
