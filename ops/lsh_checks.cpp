// Checks of lsh_attention and lsh_buckets: in, their arguments; out, nothing or one sentence that names the
// operator, what it expected and what came. Reads no tensor data.
#include <limits>
#include <numeric>

#include "ops/checks.h"
#include "ops/lsh_call.h"

namespace giantrabbit::ops {
namespace {

void check_valid(const char* name, const at::Tensor& heads, const std::optional<at::Tensor>& valid) {
  if (!valid) return;
  const std::array<c10::SymInt, 2> sizes{heads.sym_size(0), heads.sym_size(2)};
  TORCH_CHECK(valid->scalar_type() == at::kBool && valid->device() == heads.device() &&
                  valid->sym_sizes() == c10::SymIntArrayRef(sizes),
              name, ": valid needs Bool on ", heads.device(), " of shape ", c10::SymIntArrayRef(sizes),
              ", got ", valid->scalar_type(), " on ", valid->device(), " of shape ", valid->sym_sizes());
}

}  // namespace

void check_lsh_call(const LshCall& call) {
  constexpr const char* kName = "lsh_attention";
  check_attention_call(kName, call.attention());
  const auto query = call.query.sym_sizes();
  TORCH_CHECK(query == call.key.sym_sizes(), kName, ": query and key need equal shapes, got query ", query,
              " and key ", call.key.sym_sizes());
  TORCH_CHECK(query[2] < std::numeric_limits<int32_t>::max(), kName,
              ": expected fewer than 2^31 - 1 positions, got ", query[2]);
  const auto buckets = call.buckets.sym_sizes();
  TORCH_CHECK(call.buckets.scalar_type() == at::kLong && call.buckets.device() == call.query.device() &&
                  buckets.size() == 4 && buckets[0] == query[0] && buckets[1] == query[1] && buckets[2] > 0 &&
                  buckets[3] == query[2],
              kName, ": buckets need Long on ", call.query.device(), " of shape [", query[0], ", ", query[1],
              ", rounds, ", query[2], "], got ", call.buckets.scalar_type(), " on ", call.buckets.device(),
              " of shape ", buckets);
  const LshPattern& pattern = call.pattern;
  TORCH_CHECK(pattern.chunk_length >= 1 && pattern.chunks_before >= 0 && pattern.chunks_after >= 0, kName,
              ": chunk_length needs to be at least 1, chunks_before and chunks_after at least 0, got ",
              pattern.chunk_length, ", ", pattern.chunks_before, " and ", pattern.chunks_after);
  check_valid(kName, call.query, pattern.valid);
}

void check_lsh_gradient(const at::Tensor& grad, const LshCall& call) {
  const SymbolicSizes expected = call.attention().result_sizes();
  TORCH_CHECK(
      grad.sym_sizes() == c10::SymIntArrayRef(expected) && grad.scalar_type() == call.query.scalar_type(),
      "lsh_attention: the gradient needs shape ", c10::SymIntArrayRef(expected), " and dtype ",
      call.query.scalar_type(), ", got ", grad.sym_sizes(), " and ", grad.scalar_type());
}

void check_lsh_hashing(const at::Tensor& vectors, const at::Tensor& rotations, at::IntArrayRef bucket_counts,
                       const std::optional<at::Tensor>& valid) {
  constexpr const char* kName = "lsh_buckets";
  check_floating(kName, vectors);
  check_floating(kName, rotations);
  TORCH_CHECK(vectors.dim() == 4, kName, ": vectors need 4 dimensions [batch, heads, length, width], got ",
              vectors.sym_sizes());
  bool even = !bucket_counts.empty();
  for (const int64_t count : bucket_counts) even = even && count > 0 && count % 2 == 0;
  TORCH_CHECK(even, kName, ": bucket_counts need to be even and positive, got ", bucket_counts);
  const int64_t columns = std::accumulate(bucket_counts.begin(), bucket_counts.end(), int64_t{0}) / 2;
  const auto sizes = rotations.sym_sizes();
  const auto heads = vectors.sym_sizes();
  TORCH_CHECK(sizes.size() == 4 && (sizes[0] == heads[1] || sizes[0] == 1) && sizes[1] == heads[3] &&
                  sizes[2] > 0 && sizes[3] == columns && rotations.device() == vectors.device(),
              kName, ": rotations need shape [", heads[1], " or 1, ", heads[3], ", rounds, ", columns,
              "] on ", vectors.device(), " for vectors ", heads, " and bucket_counts ", bucket_counts,
              ", got ", sizes, " on ", rotations.device());
  check_valid(kName, vectors, valid);
}

}  // namespace giantrabbit::ops
