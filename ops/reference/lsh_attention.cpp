// The definition of lsh_attention: count how often the rounds bring a key to a query, mask, and attend with
// the logarithm of the count as bias. In, the operator's arguments; out, its result.
#include "ops/reference/lsh_attention.h"

#include <algorithm>
#include <limits>

#include <ATen/ATen.h>

#include "ops/reference/sparse_mask_attention.h"

namespace giantrabbit::ops::reference {
namespace {

// The positions of one head in the chunks of all rounds.
std::vector<std::vector<int64_t>> chunks_of(const at::Tensor& buckets, int64_t chunk_length) {
  std::vector<std::vector<int64_t>> chunks;
  for (const at::Tensor& round : buckets.unbind(0)) {
    const at::Tensor order = std::get<1>(round.sort(/*stable=*/true, 0, /*descending=*/false));
    for (const at::Tensor& chunk : order.split(chunk_length)) {
      const int64_t* first = chunk.const_data_ptr<int64_t>();
      chunks.emplace_back(first, first + chunk.size(0));
    }
  }
  return chunks;
}

void count_head(const std::vector<std::vector<int64_t>>& chunks, const LshPattern& pattern,
                at::Tensor counts) {
  const auto total = static_cast<int64_t>(chunks.size());
  const int64_t window = std::min(pattern.chunks_before + 1 + pattern.chunks_after, total);
  const int64_t before = std::min(pattern.chunks_before, window - 1);
  auto count = counts.accessor<int64_t, 2>();
  for (int64_t chunk = 0; chunk < total; ++chunk) {
    for (int64_t seen = chunk - before; seen < chunk - before + window; ++seen) {
      for (const int64_t query : chunks[static_cast<size_t>(chunk)]) {
        for (const int64_t key : chunks[static_cast<size_t>((seen + total) % total)]) ++count[query][key];
      }
    }
  }
}

}  // namespace

at::Tensor lsh_counts(const at::Tensor& buckets, const LshPattern& pattern) {
  const int64_t length = buckets.size(3);
  at::Tensor counts = at::zeros({buckets.size(0), buckets.size(1), length, length}, at::kLong);
  for (int64_t batch = 0; length > 0 && batch < buckets.size(0); ++batch) {
    for (int64_t head = 0; head < buckets.size(1); ++head) {
      count_head(chunks_of(buckets[batch][head], pattern.chunk_length), pattern, counts[batch][head]);
    }
  }
  return counts;
}

at::Tensor lsh_permitted(const at::Tensor& counts, const LshPattern& pattern) {
  at::Tensor permitted = counts.gt(0);
  if (pattern.causal) permitted = permitted.tril();
  if (pattern.valid) {
    const at::Tensor valid = pattern.valid->unsqueeze(1);
    permitted = permitted.logical_and(valid.unsqueeze(3)).logical_and(valid.unsqueeze(2));
  }
  if (!pattern.exclude_self) return permitted;
  const at::Tensor self = at::eye(counts.size(3), at::TensorOptions(at::kBool));
  const at::Tensor others = permitted.logical_and(self.logical_not());
  const at::Tensor alone = others.any(-1, /*keepdim=*/true).logical_not();
  return others.logical_or(permitted.logical_and(self).logical_and(alone));
}

at::Tensor lsh_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         const at::Tensor& buckets, const LshPattern& pattern, Normalizer normalizer,
                         std::optional<double> scale) {
  const at::Tensor counts = lsh_counts(buckets, pattern);
  at::Tensor bias = at::zeros_like(counts, at::TensorOptions(query.scalar_type()));
  if (normalizer == Normalizer::softmax) bias = counts.to(query.scalar_type()).log();
  bias = bias.masked_fill(lsh_permitted(counts, pattern).logical_not(),
                          -std::numeric_limits<double>::infinity());
  // Qualified: the arguments would find the operator, too.
  return reference::sparse_mask_attention(query, key, value, {}, normalizer, scale, bias);
}

}  // namespace giantrabbit::ops::reference
