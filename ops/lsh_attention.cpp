// lsh_attention and lsh_buckets: schemas, calls through the dispatcher, shapes of the results (Meta kernels),
// and what is composed of them. In, the public arguments; out, the operators' results. The arithmetic is in
// ops/cpu, the gradient in ops/autograd.
#include "ops/lsh_attention.h"

#include <numeric>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>

#include "ops/lsh_call.h"
#include "ops/operator_handle.h"

namespace giantrabbit::ops {
namespace {

constexpr const char* kLshArguments =
    "Tensor query, Tensor key, Tensor value, Tensor buckets, *, str normalizer=\"softmax\", "
    "float? scale=None, int chunk_length=64, int chunks_before=1, int chunks_after=0, bool causal=False, "
    "bool exclude_self=True, Tensor? valid=None";

at::Tensor lsh_attention_meta(const LshCall& call) {
  check_lsh_call(call);
  return empty_like_heads(call.query, call.attention().result_sizes());
}

// What is kept for backward depends on the values. Nothing stands for it here, and backward computes it
// again.
LshForTraining lsh_forward_meta(const LshCall& call) { return {lsh_attention_meta(call), {}}; }

LshGradients lsh_backward_meta(const at::Tensor& grad, const LshCall& call, at::TensorList /*saved*/,
                               LshNeeded needed) {
  check_lsh_call(call);
  check_lsh_gradient(grad, call);
  const auto gradient = [](bool wanted, const at::Tensor& input) {
    return wanted ? empty_like_heads(input, input.sym_sizes()) : at::Tensor();
  };
  return {gradient(needed[0], call.query), gradient(needed[1], call.key), gradient(needed[2], call.value)};
}

at::Tensor lsh_buckets_meta(const at::Tensor& vectors, const at::Tensor& rotations,
                            at::IntArrayRef bucket_counts, const std::optional<at::Tensor>& valid) {
  check_lsh_hashing(vectors, rotations, bucket_counts, valid);
  return at::empty_symint(
      {vectors.sym_size(0), vectors.sym_size(1), rotations.sym_size(2), vectors.sym_size(2)},
      vectors.options().dtype(at::kLong));
}

}  // namespace

at::Tensor call_lsh(const LshCall& call) {
  static const auto handle =
      find_operator<LshForwardArguments::Signature<at::Tensor>>("giantrabbit::lsh_attention");
  return LshForwardArguments::call(handle, call);
}

LshForTraining call_lsh_forward(const LshCall& call) {
  static const auto handle =
      find_operator<LshForwardArguments::Signature<LshForTraining>>("giantrabbit::_lsh_attention_forward");
  return LshForwardArguments::call(handle, call);
}

LshGradients call_lsh_backward(const at::Tensor& grad, const LshCall& call, at::TensorList saved,
                               LshNeeded needed) {
  static const auto handle =
      find_operator<LshBackwardArguments::Signature<LshGradients>>("giantrabbit::_lsh_attention_backward");
  return LshBackwardArguments::call(handle, grad, call, saved, needed);
}

at::Tensor call_lsh_buckets(const at::Tensor& vectors, const at::Tensor& rotations,
                            at::IntArrayRef bucket_counts, const std::optional<at::Tensor>& valid) {
  static const auto handle = find_operator<decltype(lsh_buckets_meta)>("giantrabbit::lsh_buckets");
  return handle.call(vectors, rotations, bucket_counts, valid);
}

LshHashing LshHashing::random(int64_t heads, int64_t width, int64_t rounds,
                              std::vector<int64_t> bucket_counts, uint64_t seed) {
  const int64_t columns = std::accumulate(bucket_counts.begin(), bucket_counts.end(), int64_t{0}) / 2;
  return {at::randn({heads, width, rounds, columns}, at::make_generator<at::CPUGeneratorImpl>(seed),
                    at::TensorOptions(at::kFloat)),
          std::move(bucket_counts)};
}

at::Tensor lsh_buckets(const at::Tensor& vectors, const LshHashing& hashing,
                       const std::optional<at::Tensor>& valid) {
  return call_lsh_buckets(vectors, hashing.rotations, hashing.bucket_counts, valid);
}

at::Tensor lsh_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         const at::Tensor& buckets, const LshPattern& pattern, Normalizer normalizer,
                         std::optional<double> scale) {
  return call_lsh({query, key, value, buckets, normalizer, scale, pattern});
}

at::Tensor lsh_shared_keys(const at::Tensor& query) {
  constexpr double kLeast = 1e-6;
  return query.mul(query.square().mean(-1, /*keepdim=*/true).add(kLeast).rsqrt());
}

at::Tensor lsh_shared_attention(const at::Tensor& query, const at::Tensor& value, const LshHashing& hashing,
                                const LshPattern& pattern, Normalizer normalizer,
                                std::optional<double> scale) {
  return lsh_attention(query, lsh_shared_keys(query), value, lsh_buckets(query, hashing, pattern.valid),
                       pattern, normalizer, scale);
}

TORCH_LIBRARY_FRAGMENT(giantrabbit, library) {
  const std::string arguments = kLshArguments;
  const auto define = [&](const std::string& schema) { library.def(schema.c_str()); };
  define("lsh_buckets(Tensor vectors, Tensor rotations, int[] bucket_counts, Tensor? valid=None) -> Tensor");
  define("lsh_attention(" + arguments + ") -> Tensor");
  define("_lsh_attention_forward(" + arguments + ") -> (Tensor, Tensor[])");
  define("_lsh_attention_backward(Tensor grad, " + arguments +
         ", Tensor[] saved, bool[3] needed) -> (Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(giantrabbit, Meta, library) {
  library.impl("lsh_buckets", TORCH_FN(lsh_buckets_meta));
  library.impl("lsh_attention", TORCH_FN(LshForwardArguments::kernel<lsh_attention_meta>));
  library.impl("_lsh_attention_forward", TORCH_FN(LshForwardArguments::kernel<lsh_forward_meta>));
  library.impl("_lsh_attention_backward", TORCH_FN(LshBackwardArguments::kernel<lsh_backward_meta>));
}

}  // namespace giantrabbit::ops
