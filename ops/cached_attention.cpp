// cached_attention: checks, query rows and results around ops/cpu/cached_attention.h; the work is cut by
// sequence and key/value head, or inside of them where there are few.
#include "ops/cached_attention.h"

#include <cmath>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include "ops/cpu/cached_attention.h"

namespace giantrabbit::ops {
namespace {

void check_cached_call(const at::Tensor& query, const KeyValueCache& cache, std::optional<int64_t> window) {
  const KeyValueCache::Sizes& sizes = cache.sizes();
  TORCH_CHECK(query.is_cpu() && query.is_floating_point() && query.scalar_type() != at::kDouble,
              "cached_attention: expected the query in fp32 or a 16-bit floating dtype on the CPU, got ",
              query.scalar_type());
  const bool fits = query.dim() == 4 && query.size(0) == sizes.batch && query.size(3) == sizes.width &&
                    (sizes.heads == 0 ? query.size(1) == 0 : query.size(1) % sizes.heads == 0);
  TORCH_CHECK(fits, "cached_attention: expected query [", sizes.batch, ", multiple of ", sizes.heads, ", M, ",
              sizes.width, "] for the cache, got ", query.sizes());
  TORCH_CHECK(!window || *window >= 1, "cached_attention: expected a window of at least 1, got ",
              window.value_or(0));
  TORCH_CHECK(!(at::GradMode::is_enabled() && query.requires_grad()),
              "cached_attention: has no gradient; expected a query that needs none, or a NoGradGuard");
}

// Rows of the kernels: padded and in fp32. The tensor itself where it is like that already.
at::Tensor padded_query(const at::Tensor& query) {
  const int64_t width = query.size(3);
  const int64_t padded = cpu::padded_row(width);
  const bool usable = query.scalar_type() == at::kFloat && padded == width && query.stride(3) == 1;
  if (usable) return query;
  at::Tensor rows = at::zeros({query.size(0), query.size(1), query.size(2), padded}, at::kFloat);
  rows.narrow(3, 0, width).copy_(query);
  return rows;
}

class CachedProblem {
 public:
  CachedProblem(const at::Tensor& query, const KeyValueCache& cache, Normalizer normalizer,
                std::optional<double> scale, std::optional<int64_t> window)
      : cache_(cache),
        call_{cpu::decode_functions(cpu::chosen_capability()), normalizer, 1.0F},
        window_(window),
        heads_(query.size(1)),
        queries_(query.size(2)),
        group_(cache.sizes().heads == 0 ? 0 : heads_ / cache.sizes().heads),
        query_(padded_query(query)),
        result_(at::empty({query.size(0), heads_, queries_, cpu::padded_row(cache.sizes().value_width)},
                          at::kFloat)) {
    const auto width = static_cast<double>(std::max<int64_t>(1, cache.sizes().width));
    call_.scale = static_cast<float>(scale.value_or(1.0 / std::sqrt(width)));
  }

  // Fills result and, if wanted, supports per row (b, h, m).
  void run(std::vector<cpu::CachedSupport>* supports, CachedAttentionCounters* counters) const;
  at::Tensor output(at::ScalarType dtype) const {
    const int64_t width = cache_.sizes().value_width;
    const at::Tensor rows = result_.size(3) == width ? result_ : result_.narrow(3, 0, width).contiguous();
    return rows.scalar_type() == dtype ? rows : rows.to(dtype);
  }

 private:
  void attend(int64_t unit, std::vector<cpu::CachedSupport>* supports,
              CachedAttentionCounters& counters) const;

  const KeyValueCache& cache_;
  cpu::CachedCall call_;
  std::optional<int64_t> window_;
  int64_t heads_;
  int64_t queries_;
  int64_t group_;
  at::Tensor query_;
  at::Tensor result_;
};

void CachedProblem::attend(int64_t unit, std::vector<cpu::CachedSupport>* supports,
                           CachedAttentionCounters& counters) const {
  const int64_t key_heads = cache_.sizes().heads;
  const cpu::CachedHead head = cache_.sequence(unit / key_heads).head(unit % key_heads);
  const int64_t first_row = unit * group_ * queries_;  // heads of a group are neighbours
  const float* query = query_.const_data_ptr<float>() + unit / key_heads * query_.stride(0);
  std::vector<cpu::CachedQuery> rows;
  rows.reserve(static_cast<size_t>(group_ * queries_));
  for (int64_t i = 0; i < group_ * queries_; ++i) {
    const int64_t end = std::max<int64_t>(0, head.length - queries_ + i % queries_ + 1);
    const int64_t begin = window_ ? std::max<int64_t>(0, end - *window_) : 0;
    const int64_t index = unit % key_heads * group_ + i / queries_;
    rows.push_back({query + index * query_.stride(1) + i % queries_ * query_.stride(2), begin, end,
                    result_.mutable_data_ptr<float>() + (first_row + i) * result_.size(3),
                    supports == nullptr ? nullptr : &(*supports)[static_cast<size_t>(first_row + i)]});
  }
  cpu::attend_head(call_, head, rows, counters);
}

void CachedProblem::run(std::vector<cpu::CachedSupport>* supports, CachedAttentionCounters* counters) const {
  const int64_t units = cache_.sizes().batch * cache_.sizes().heads;
  int64_t keys = 0;
  for (int64_t b = 0; b < cache_.sizes().batch; ++b) keys += cache_.length(b);
  std::vector<CachedAttentionCounters> counts(static_cast<size_t>(units));
  const auto attend_units = [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) attend(unit, supports, counts[static_cast<size_t>(unit)]);
  };
  // Waking a thread costs as much as scoring some thousands of keys.
  constexpr int64_t kKeysPerThread = 4096;
  const int64_t work = keys * heads_ * queries_;
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), work / kKeysPerThread);
  if (threads > 1 && units >= threads) {
    at::parallel_for(0, units, (units + threads - 1) / threads, attend_units);
  } else {
    attend_units(0, units);
  }
  if (counters == nullptr) return;
  for (const CachedAttentionCounters& count : counts) {
    counters->rows += count.rows;
    counters->dense_rows += count.dense_rows;
    counters->keys_visible += count.keys_visible;
    counters->keys_coded += count.keys_coded;
    counters->keys_scored += count.keys_scored;
    counters->pages_skipped += count.pages_skipped;
    counters->support += count.support;
    counters->bytes_read += count.bytes_read;
  }
}

}  // namespace

at::Tensor cached_attention(const at::Tensor& query, const KeyValueCache& cache, Normalizer normalizer,
                            std::optional<double> scale, std::optional<int64_t> window,
                            CachedAttentionCounters* counters) {
  check_cached_call(query, cache, window);
  const CachedProblem problem(query.detach(), cache, normalizer, scale, window);
  problem.run(nullptr, counters);
  return problem.output(query.scalar_type());
}

AttentionSupport cached_attention_support(const at::Tensor& query, const KeyValueCache& cache,
                                          Normalizer normalizer, std::optional<double> scale,
                                          std::optional<int64_t> window) {
  check_cached_call(query, cache, window);
  const CachedProblem problem(query.detach(), cache, normalizer, scale, window);
  std::vector<cpu::CachedSupport> supports(
      static_cast<size_t>(query.size(0) * query.size(1) * query.size(2)));
  problem.run(&supports, nullptr);
  const at::Tensor offsets = at::zeros({std::ssize(supports) + 1}, at::kLong);
  int64_t* offset = offsets.mutable_data_ptr<int64_t>();
  for (size_t row = 0; row < supports.size(); ++row) {
    offset[row + 1] = offset[row] + std::ssize(supports[row].keys);
  }
  const at::Tensor keys = at::empty({offset[supports.size()]}, at::kLong);
  const at::Tensor weights = at::empty({offset[supports.size()]}, at::kFloat);
  for (size_t row = 0; row < supports.size(); ++row) {
    std::copy(supports[row].keys.begin(), supports[row].keys.end(),
              keys.mutable_data_ptr<int64_t>() + offset[row]);
    std::copy(supports[row].weights.begin(), supports[row].weights.end(),
              weights.mutable_data_ptr<float>() + offset[row]);
  }
  return {problem.output(query.scalar_type()), offsets, keys, weights, {}};
}

}  // namespace giantrabbit::ops
