// Gradient of lsh_attention with sparsemax or entmax-1.5 weights, over the support alone: rows first, then
// for every key the sum over the queries that use it, in their order.
#pragma once

#include "ops/cuda/lsh_sparse_kernel.cuh"

namespace giantrabbit::ops::cuda {

// The entries of one row, a stretch of one entry per lane at a time; lanes past the end have none.
struct LshEntries {
  int64_t begin;
  int64_t end;

  template <class Function>
  __device__ void for_each_stretch(Function function) const {
    for (int64_t first = begin; first < end; first += kWarp) {
      const int64_t left = end - first;
      function(first + lane_index(), left < kWarp ? static_cast<int>(left) : kWarp);
    }
  }
};

// Row `own` times the rows at the lanes' positions; `count` lanes have one.
template <class Stored>
__device__ Math<Stored> products_of_lanes(const LshRows<Stored>& own, int64_t own_at,
                                          const LshRows<Stored>& others, int position, int count) {
  using M = Math<Stored>;
  M of_lane = M(0);
  for (int lane = 0; lane < count; ++lane) {
    const int other = __shfl_sync(kAllLanes, position, lane);
    M sum = M(0);
    for (int64_t column = lane_index(); column < own.width; column += kWarp)
      sum = fused(own.at(own_at, column), others.at(other, column), sum);
    sum = WarpGroup().sum(sum);
    if (lane == lane_index()) of_lane = sum;
  }
  return of_lane;
}

// Gradients of the scores, and of the queries where wanted: with s = p^(1 - 1/k), k the exponent of the
// weight, s * (g - sum s g / sum s) for the gradients g of a row's weights.
template <class Rule, class Stored>
__global__ void __launch_bounds__(kBlockThreads)
    lsh_sparse_backward_queries(LshProblem problem, const Stored* key, const Stored* value,
                                const Stored* grad, HeadsLayout grad_layout, const int64_t* offsets,
                                const int64_t* keys, const Math<Stored>* weights, Math<Stored>* score_grads,
                                Math<Stored>* grad_query) {
  using M = Math<Stored>;
  const LshQuery query(problem, {0, problem.batch * problem.heads});
  if (!query.exists(problem, {0, problem.batch * problem.heads})) return;
  const LshEntries entries{offsets[query.row], offsets[query.row + 1]};
  const int64_t first_row = query.head * problem.length;
  const auto key_rows = rows_of_head(key, problem.key, problem.width, problem, query.head);
  const auto value_rows = rows_of_head(value, problem.value, problem.value_width, problem, query.head);
  const auto grad_rows = rows_of_head(grad, grad_layout, problem.value_width, problem, query.head);
  const auto position_of = [&](int64_t entry) {
    return entry < entries.end ? static_cast<int>(keys[entry] - first_row) : kNobody;
  };
  double product = 0.0;
  double total = 0.0;
  entries.for_each_stretch([&](int64_t entry, int count) {
    const M of_weight = products_of_lanes(grad_rows, query.position, value_rows, position_of(entry), count);
    if (entry >= entries.end) return;
    score_grads[entry] = of_weight;  // the same lane reads it again
    const double root = static_cast<double>(Rule::root(weights[entry]));
    product += root * static_cast<double>(of_weight);
    total += root;
  });
  const double mean = WarpGroup().sum(product) / WarpGroup().sum(total);
  entries.for_each_stretch([&](int64_t entry, int) {
    if (entry >= entries.end) return;
    // As a weight of NaN has no root but 1 for sparsemax, it is multiplied in.
    const M weight = weights[entry];
    const double root = static_cast<double>(weight == weight ? Rule::root(weight) : weight);
    score_grads[entry] =
        static_cast<M>(problem.scale * root * (static_cast<double>(score_grads[entry]) - mean));
  });
  if (grad_query == nullptr) return;
  for (int64_t first = 0; first < problem.width; first += kColumnsPerPass) {
    ColumnSums<M> columns{first};
    entries.for_each_stretch([&](int64_t entry, int) {
      add_lanes(columns, key_rows, position_of(entry), entry < entries.end ? score_grads[entry] : M(0));
    });
    columns.for_each(problem.width,
                     [&](int64_t column, M sum) { grad_query[query.row * problem.width + column] = sum; });
  }
}

// Sums over the queries that use a key, a warp per key. Either gradient may be null.
template <class Stored>
__global__ void __launch_bounds__(kBlockThreads)
    lsh_sparse_backward_keys(LshProblem problem, const Stored* query, const Stored* grad,
                             HeadsLayout grad_layout, const int64_t* queries, const Math<Stored>* weights,
                             const Math<Stored>* score_grads, const int64_t* key_offsets,
                             const int64_t* by_key, Math<Stored>* grad_key, Math<Stored>* grad_value) {
  using M = Math<Stored>;
  const LshQuery key(problem, {0, problem.batch * problem.heads});
  if (!key.exists(problem, {0, problem.batch * problem.heads})) return;
  const LshEntries places{key_offsets[key.row], key_offsets[key.row + 1]};
  const int64_t first_row = key.head * problem.length;
  const auto sum_rows = [&](const LshRows<Stored>& rows, const M* factors, M* target) {
    for (int64_t first = 0; target != nullptr && first < rows.width; first += kColumnsPerPass) {
      ColumnSums<M> columns{first};
      places.for_each_stretch([&](int64_t place, int) {
        const bool exists = place < places.end;
        const int64_t entry = exists ? by_key[place] : 0;
        add_lanes(columns, rows, exists ? static_cast<int>(queries[entry] - first_row) : kNobody,
                  exists ? factors[entry] : M(0));
      });
      columns.for_each(rows.width,
                       [&](int64_t column, M sum) { target[key.row * rows.width + column] = sum; });
    }
  };
  sum_rows(rows_of_head(query, problem.query, problem.width, problem, key.head), score_grads, grad_key);
  sum_rows(rows_of_head(grad, grad_layout, problem.value_width, problem, key.head), weights, grad_value);
}

}  // namespace giantrabbit::ops::cuda
