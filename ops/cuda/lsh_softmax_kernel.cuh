// lsh_attention with softmax weights and its gradient. Rounds are launches that follow each other: inside
// one, every position stands in one chunk, so a warp has its row of the result for itself and adds to it.
// Weights are computed again for the gradient. Definition and contract: ops/lsh_attention.h.
#pragma once

#include "ops/cuda/lsh_chunks.cuh"

namespace giantrabbit::ops::cuda {

template <class Stored>
struct LshTensors {
  const Stored* query;
  const Stored* key;
  const Stored* value;
};

// A query's result over the rounds before and how a round joins it: the weighted mean of the values and the
// log-sum-exp of the scores, as in ops/cpu/lsh_softmax_forward.cpp.
template <class M>
struct LshMerge {
  M log_sum;
  M kept = M(1);   // factor of the mean so far
  M added = M(0);  // factor of the round's sums

  __device__ LshMerge(M before, const SoftmaxSum<M>& round) : log_sum(before) {
    if (round.undefined || before != before) {
      log_sum = kept = added = kNan<M>;
      return;
    }
    if (round.total == M(0)) return;
    const M of_round = round.maximum + log_of(round.total);
    const bool leads = of_round >= before;
    const M smaller = exp_of(leads ? before - of_round : of_round - before);
    const M whole = M(1) + smaller;
    kept = (leads ? smaller : M(1)) / whole;
    added = (leads ? M(1) : smaller) / whole / round.total;
    log_sum = (leads ? of_round : before) + log_of(whole);
  }

  // What has no weight may be infinite.
  __device__ M joined(M mean, M sum) const {
    const M of_mean = kept == M(0) ? M(0) : kept * mean;
    return added == M(0) ? of_mean : of_mean + added * sum;
  }

 private:
  __device__ static float log_of(float x) { return logf(x); }
  __device__ static double log_of(double x) { return log(x); }
};

template <class Stored>
__global__ void __launch_bounds__(kBlockThreads, kLshBlocks)
    lsh_softmax_forward(LshProblem problem, LshCircle circle, int round, LshTensors<Stored> inputs,
                        Math<Stored>* output, Math<Stored>* log_sums) {
  using M = Math<Stored>;
  auto& memory = *reinterpret_cast<LshTileMemory<M>*>(dynamic_shared_memory());
  const LshPlace place = lsh_place(circle, circle.per_round);
  const LshHead head(problem, circle, place.head);
  LshBlock<M> block(head, round * circle.per_round + place.chunk, place.first_slot, memory);
  const auto query = rows_of_head(inputs.query, problem.query, problem.width, problem, place.head);
  const auto key = rows_of_head(inputs.key, problem.key, problem.width, problem, place.head);
  const auto value = rows_of_head(inputs.value, problem.value, problem.value_width, problem, place.head);
  const M scale = static_cast<M>(problem.scale);
  const int64_t row = place.head * problem.length + block.own();
  const bool exists = block.own() != kNobody;
  const M before = exists ? log_sums[row] : M(0);
  M after = before;
  for (int64_t first = 0; first == 0 || first < value.width; first += kColumnsPerPass) {
    SoftmaxSum<M> sum;
    ColumnSums<M> columns{first};
    block.for_each_place([&](int part) { return circle.seen(block.chunk(), part); },
                         [&](int other, int64_t) {
                           const M product = block.product(query, key);
                           const M score = head.sees(block.own(), other) ? product * scale : -kInfinity<M>;
                           columns.scale(sum.add(score));
                           add_lanes(columns, value, other, sum.weight(score));
                         });
    sum.finish();
    if (!exists) continue;
    const LshMerge<M> merge(before, sum);
    after = merge.log_sum;
    M* const result = output + row * value.width;
    columns.for_each(value.width, [&](int64_t column, M of_round) {
      result[column] = merge.joined(result[column], of_round);
    });
    // A query that saw nothing else sees itself.
    if (round + 1 == problem.rounds && after == -kInfinity<M> && problem.exclude_self) {
      columns.for_each(value.width,
                       [&](int64_t column, M) { result[column] = value.at(block.own(), column); });
    }
  }
  if (exists && lane_index() == 0) log_sums[row] = after;
}

// The mean of a row's gradients under its weights: the gradient of the result times the result.
template <class Stored>
__global__ void __launch_bounds__(kBlockThreads)
    lsh_softmax_means(LshProblem problem, const Stored* grad, HeadsLayout grad_layout,
                      const Math<Stored>* output, Math<Stored>* means) {
  using M = Math<Stored>;
  const int64_t row = int64_t{blockIdx.x} * kBlockWarps + warp_index();
  if (row >= problem.batch * problem.heads * problem.length) return;
  const auto grads = rows_of_head(grad, grad_layout, problem.value_width, problem, row / problem.length);
  M sum = M(0);
  for (int64_t column = lane_index(); column < grads.width; column += kWarp)
    sum = fused(grads.at(row % problem.length, column), output[row * grads.width + column], sum);
  sum = WarpGroup().sum(sum);
  if (lane_index() == 0) means[row] = sum;
}

// What the gradient kernels read. Pointers of rows are those of one head.
template <class Stored>
struct LshSoftmaxGrads {
  using M = Math<Stored>;
  LshRows<Stored> query;
  LshRows<Stored> key;
  LshRows<Stored> value;
  LshRows<Stored> grad;
  const M* log_sums;
  const M* means;
  M scale;

  __device__ LshSoftmaxGrads(const LshProblem& problem, int64_t head, const LshTensors<Stored>& inputs,
                             const Stored* grads, const HeadsLayout& grad_layout, const M* all_log_sums,
                             const M* all_means)
      : query(rows_of_head(inputs.query, problem.query, problem.width, problem, head)),
        key(rows_of_head(inputs.key, problem.key, problem.width, problem, head)),
        value(rows_of_head(inputs.value, problem.value, problem.value_width, problem, head)),
        grad(rows_of_head(grads, grad_layout, problem.value_width, problem, head)),
        log_sums(all_log_sums + head * problem.length),
        means(all_means + head * problem.length),
        scale(static_cast<M>(problem.scale)) {}

  // Of a key that the query sees, by their product. An undefined row makes every weight NaN.
  __device__ M weight(int of_query, M product) const {
    const M log_sum = log_sums[of_query];
    const M score = product * scale;
    return score > -kInfinity<M> || log_sum != log_sum ? exp_of(score - log_sum) : M(0);
  }

  __device__ M score_grad(int of_query, M of_weight, M weight_grad) const {
    return of_weight == M(0) ? M(0) : scale * of_weight * (weight_grad - means[of_query]);
  }
};

template <class M>
__device__ void add_to_row(const ColumnSums<M>& columns, int64_t width, M* row) {
  columns.for_each(width, [&](int64_t column, M sum) { row[column] += sum; });
}

template <class Stored>
__global__ void __launch_bounds__(kBlockThreads, kLshBlocks)
    lsh_softmax_backward_queries(LshProblem problem, LshCircle circle, int round, LshTensors<Stored> inputs,
                                 const Stored* grad, HeadsLayout grad_layout, const Math<Stored>* log_sums,
                                 const Math<Stored>* means, Math<Stored>* grad_query) {
  using M = Math<Stored>;
  auto& memory = *reinterpret_cast<LshTileMemory<M>*>(dynamic_shared_memory());
  const LshPlace place = lsh_place(circle, circle.per_round);
  const LshHead head(problem, circle, place.head);
  LshBlock<M> block(head, round * circle.per_round + place.chunk, place.first_slot, memory);
  const LshSoftmaxGrads<Stored> rows(problem, place.head, inputs, grad, grad_layout, log_sums, means);
  const int64_t row = place.head * problem.length + block.own();
  for (int64_t first = 0; first < problem.width; first += kColumnsPerPass) {
    ColumnSums<M> columns{first};
    block.for_each_place([&](int part) { return circle.seen(block.chunk(), part); },
                         [&](int other, int64_t) {
                           const M product = block.product(rows.query, rows.key);
                           const M weight_grad = block.product(rows.grad, rows.value);
                           const bool seen = head.sees(block.own(), other);
                           const M weight = seen ? rows.weight(block.own(), product) : M(0);
                           add_lanes(columns, rows.key, other,
                                     seen ? rows.score_grad(block.own(), weight, weight_grad) : M(0));
                         });
    if (block.own() != kNobody) add_to_row(columns, problem.width, grad_query + row * problem.width);
  }
}

// Here the block's own rows are keys, and the others the queries that see them. Either gradient may be null.
template <class Stored>
__global__ void __launch_bounds__(kBlockThreads, kLshBlocks)
    lsh_softmax_backward_keys(LshProblem problem, LshCircle circle, int round, LshTensors<Stored> inputs,
                              const Stored* grad, HeadsLayout grad_layout, const Math<Stored>* log_sums,
                              const Math<Stored>* means, Math<Stored>* grad_key, Math<Stored>* grad_value) {
  using M = Math<Stored>;
  auto& memory = *reinterpret_cast<LshTileMemory<M>*>(dynamic_shared_memory());
  const LshPlace place = lsh_place(circle, circle.per_round);
  const LshHead head(problem, circle, place.head);
  LshBlock<M> block(head, round * circle.per_round + place.chunk, place.first_slot, memory);
  const LshSoftmaxGrads<Stored> rows(problem, place.head, inputs, grad, grad_layout, log_sums, means);
  const int64_t row = place.head * problem.length + block.own();
  const bool exists = block.own() != kNobody;
  const int64_t key_width = grad_key != nullptr ? problem.width : 0;
  const int64_t value_width = grad_value != nullptr ? problem.value_width : 0;
  for (int64_t first = 0; first < key_width || first < value_width; first += kColumnsPerPass) {
    ColumnSums<M> of_key{first};
    ColumnSums<M> of_value{first};
    block.for_each_place([&](int part) { return circle.seen_by(block.chunk(), part); },
                         [&](int other, int64_t) {
                           const M product = block.product(rows.key, rows.query);
                           const bool seen = head.sees(other, block.own());
                           const M weight = seen ? rows.weight(other, product) : M(0);
                           if (first < value_width) add_lanes(of_value, rows.grad, other, weight);
                           if (first >= key_width) return;
                           const M weight_grad = block.product(rows.value, rows.grad);
                           add_lanes(of_key, rows.query, other,
                                     seen ? rows.score_grad(other, weight, weight_grad) : M(0));
                         });
    if (!exists) continue;
    if (first < key_width) add_to_row(of_key, key_width, grad_key + row * key_width);
    if (first >= value_width) continue;
    add_to_row(of_value, value_width, grad_value + row * value_width);
    // The result of a query that saw nothing else is its own value.
    if (round + 1 == problem.rounds && problem.exclude_self && rows.log_sums[block.own()] == -kInfinity<M>) {
      of_value.for_each(value_width, [&](int64_t column, M) {
        grad_value[row * value_width + column] += rows.grad.at(block.own(), column);
      });
    }
  }
}

}  // namespace giantrabbit::ops::cuda
