// Attention to the paged cache with softmax: every visible key in float, in parts of a row that different
// blocks take; then the parts in their order.
#pragma once

#include "ops/cuda/cache_pages.cuh"

namespace giantrabbit::ops::cuda {

// Softmax of a part of a row, a warp per row: 8 pages.
constexpr int kPartPages = 8;
template <class Stored>
__global__ void __launch_bounds__(kBlockThreads, kCachedBlocks)
    cached_softmax_parts(CachePages pages, CacheTable table, CachedProblem problem, CachedScratch scratch) {
  float* const query = reinterpret_cast<float*>(dynamic_shared_memory()) + warp_index() * pages.width;
  const int64_t parts = (problem.most_pages + kPartPages - 1) / kPartPages;
  const CachedUnit unit(problem, pages, table, blockIdx.x / parts);
  const int64_t part = blockIdx.x % parts;
  for (int64_t row = warp_index(); row < unit.rows; row += kBlockWarps) {
    load_query(unit.query<Stored>(row), pages.width, query);
    const VisibleKeys visible = unit.visible(row);
    const int64_t at = (unit.first_row + row) * parts + part;
    for (int64_t first = 0; first == 0 || first < pages.value_width; first += kColumnsPerPass) {
      SoftmaxSum<float> sum;
      ColumnSums<float> columns{first};
      for (int64_t key = part * kPartPages * kPageTokens; key < (part + 1) * kPartPages * kPageTokens;
           key += kWarp) {
        if (key >= visible.end || key + kWarp <= visible.begin) continue;
        const int64_t place = page_place(pages, table, unit.sequence, unit.head, key / kPageTokens);
        const int token = static_cast<int>(key % kPageTokens);
        const float score = score_lanes<Stored>(pages, place, token, query, static_cast<float>(problem.scale),
                                                visible.has(key + lane_index()));
        columns.scale(sum.add(score));
        columns.add_lanes([&](int lane) { return value_row<Stored>(pages, place, token + lane); },
                          pages.value_width, sum.weight(score));
      }
      sum.finish();
      columns.for_each(pages.value_width, [&](int64_t column, float value) {
        scratch.sums[at * pages.value_width + column] = value;
      });
      if (lane_index() != 0) continue;
      scratch.maxima[at] = sum.undefined ? kNan<float> : sum.maximum;
      scratch.totals[at] = sum.total;
    }
  }
}

// The parts of a row in their order, a warp per row.
template <class Stored>
__global__ void __launch_bounds__(kBlockThreads)
    cached_softmax_rows(CachedProblem problem, int64_t rows, int64_t value_width, CachedScratch scratch) {
  const int64_t row = int64_t{blockIdx.x} * kBlockWarps + warp_index();
  if (row >= rows) return;
  const int64_t parts = (problem.most_pages + kPartPages - 1) / kPartPages;
  float maximum = -kInfinity<float>;
  bool undefined = false;
  for (int64_t part = 0; part < parts; ++part) {
    const float of_part = scratch.maxima[row * parts + part];
    undefined = undefined || of_part != of_part;
    maximum = of_part > maximum ? of_part : maximum;
  }
  const auto factor = [&](int64_t part) {
    const float of_part = scratch.maxima[row * parts + part];
    return of_part == -kInfinity<float> ? 0.0F : exp_of(of_part - maximum);
  };
  double total = 0.0;
  for (int64_t part = 0; part < parts; ++part)
    total += static_cast<double>(factor(part)) * static_cast<double>(scratch.totals[row * parts + part]);
  Stored* const result = static_cast<Stored*>(problem.result) + row * value_width;
  for (int64_t column = lane_index(); column < value_width; column += kWarp) {
    float sum = 0.0F;
    for (int64_t part = 0; part < parts; ++part) {
      const auto share = static_cast<float>(static_cast<double>(factor(part)) / total);
      if (factor(part) != 0.0F && share != 0.0F)
        sum = fused(share, scratch.sums[(row * parts + part) * value_width + column], sum);
    }
    put(result + column, undefined ? kNan<float> : sum);
  }
}

}  // namespace giantrabbit::ops::cuda
