// The kernel that filters keys: blocks take tile after tile of queries (attention_filter.cuh). In: codes.
// Out: candidates of all rows.
#pragma once

#include "ops/cuda/attention_filter.cuh"

namespace giantrabbit::ops::cuda {

template <int kWidth>
using FilterMemory = typename FilterShape<kWidth>::Stage[kStages];

template <int kWidth>
constexpr int kFilterBlocks = kWidth <= 64 ? 3 : 2;  // per multiprocessor, by registers

// Tiles are dealt to and fro, because the first ones have most to do.
template <class Rule, int kWidth>
__global__ void __launch_bounds__(kFilterThreads, kFilterBlocks<kWidth>)
    filter_keys(AttentionProblem problem, AttentionCodes codes, CandidateRows candidates) {
  auto& stages = *reinterpret_cast<FilterMemory<kWidth>*>(dynamic_shared_memory());
  const int64_t tiles = problem.batch * problem.heads * (codes.query_rows / kCodedQueries);
  for (int64_t turn = 0; turn * gridDim.x < tiles; ++turn) {
    const int64_t place = turn * gridDim.x + (turn % 2 == 0 ? blockIdx.x : gridDim.x - 1 - blockIdx.x);
    if (place >= tiles) continue;
    const FilterTile tile(problem, codes, place);
    Filter<Rule, kWidth> filter(problem, codes, tile, candidates, stages[0]);
    filter.sweep();
    filter.write_counts();
  }
}

}  // namespace giantrabbit::ops::cuda
