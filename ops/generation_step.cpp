// Rows between plain memory and the kernels, which want them padded; see generation_step.h.
#include "ops/generation_step.h"

#include <algorithm>

#include "ops/cpu/cached_attention.h"
#include "ops/cpu/packed_product.h"

namespace giantrabbit::ops {
namespace {

std::vector<float> numbers_of(const at::Tensor& tensor) {
  const at::Tensor row = tensor.detach().to(at::kFloat).contiguous();
  return {row.const_data_ptr<float>(), row.const_data_ptr<float>() + row.numel()};
}

// The same call on padded copies of its rows.
void attend_padded(const TokenQueries& rows, cpu::CachedProblem problem, CachedAttentionCounters& counters) {
  const KeyValueCache::Sizes& sizes = problem.cache.sizes();
  const int64_t query_row = cpu::padded_row(sizes.width);
  const int64_t output_row = cpu::padded_row(sizes.value_width);
  const int64_t count = sizes.batch * rows.heads;
  std::vector<float> queries(static_cast<size_t>(count * query_row));
  std::vector<float> outputs(static_cast<size_t>(count * output_row));
  for (int64_t i = 0; i < count; ++i) {
    const float* from = rows.query + i / rows.heads * rows.query_step + i % rows.heads * sizes.width;
    std::copy_n(from, sizes.width, queries.data() + i * query_row);
  }
  problem.query = queries.data();
  problem.query_steps = {rows.heads * query_row, query_row, 0};
  problem.output = outputs.data();
  problem.output_steps = {rows.heads * output_row, output_row, 0};
  cpu::attend_sequences(problem, nullptr, counters);
  for (int64_t i = 0; i < count; ++i) {
    float* to = rows.output + i / rows.heads * rows.output_step + i % rows.heads * sizes.value_width;
    std::copy_n(outputs.data() + i * output_row, sizes.value_width, to);
  }
}

}  // namespace

LayerNorm::LayerNorm(const at::Tensor& gain, const at::Tensor& offset)
    : gain_(numbers_of(gain)), offset_(numbers_of(offset)) {
  TORCH_CHECK(gain_.size() == offset_.size(), "LayerNorm: expected gain and offset of equal length, got ",
              gain.sizes(), " and ", offset.sizes());
}

void LayerNorm::apply(const float* input, int64_t rows, float* output) const {
  const auto width = std::ssize(gain_);
  for (int64_t row = 0; row < rows; ++row) {
    cpu::packed_functions().layer_norm(input + row * width, gain_.data(), offset_.data(), width,
                                       output + row * width);
  }
}

void attend_token(const TokenQueries& rows, const KeyValueCache& cache, Normalizer normalizer, double scale,
                  std::optional<int64_t> window, CachedAttentionCounters& counters) {
  const KeyValueCache::Sizes& sizes = cache.sizes();
  const cpu::CachedProblem problem{
      cache,
      {cpu::decode_functions(cpu::chosen_capability()), normalizer, static_cast<float>(scale)},
      window,
      rows.heads,
      1,
      rows.query,
      {rows.query_step, sizes.width, 0},
      rows.output,
      {rows.output_step, sizes.value_width, 0}};
  const bool whole_rows =
      cpu::padded_row(sizes.width) == sizes.width && cpu::padded_row(sizes.value_width) == sizes.value_width;
  if (!whole_rows) return attend_padded(rows, problem, counters);
  cpu::attend_sequences(problem, nullptr, counters);
}

}  // namespace giantrabbit::ops
