// The CPU kernels of lsh_attention by accumulation type (float or double). In, a problem with at least one
// position; out, rows of that type, one head behind the other. Every number is written by one thread, or
// added in an order that does not depend on the threads: same bits for any number of them.
#pragma once

#include "ops/cpu/lsh_problem.h"

namespace giantrabbit::ops::cpu {

// Rows of gradients [B, H, N, width] that start at 0; undefined where not asked for.
struct LshTargets {
  at::Tensor query;
  at::Tensor key;
  at::Tensor value;
};

// Softmax, round by round. `output` starts at 0; `log_sums` [B, H, N] becomes the log-sum-exp of the scores
// of all rounds, -inf where they show a query nothing.
template <class A>
void lsh_softmax_forward(const LshProblem<A>& problem, const at::Tensor& output, const at::Tensor& log_sums);
template <class A>
void lsh_softmax_backward(const LshProblem<A>& problem, const at::Tensor& grad, const at::Tensor& output,
                          const at::Tensor& log_sums, const LshTargets& targets);

// The weights of sparsemax and entmax-1.5 that are not 0, in compressed rows: row (b*H + h)*N + i.
struct LshSupport {
  at::Tensor row_offsets;  // [B*H*N + 1] int64
  at::Tensor key_indices;  // [nonzeros] int32, rising inside a row
  at::Tensor weights;      // [nonzeros] in the accumulation type
};
template <class A>
LshSupport lsh_sparse_forward(const LshProblem<A>& problem, const at::Tensor& output);
template <class A>
void lsh_sparse_backward(const LshProblem<A>& problem, const at::Tensor& grad, const LshSupport& support,
                         const LshTargets& targets);

}  // namespace giantrabbit::ops::cpu
