// sparsemax_loss and entmax15_loss of contiguous rows, and their common gradient. The logits are read once,
// weights are not written. Definition and contract: ops/sparsemax_loss.h; the sum is that of
// ops/cpu/sparsemax_loss_kernel.cpp.
#pragma once

#include "ops/cuda/long_row.cuh"
#include "ops/cuda/short_row.cuh"

namespace giantrabbit::ops::cuda {

constexpr int64_t kIgnoredClass = -100;

// The target of a row: how the row's loss comes about.
enum class TargetKind { a_class, ignored, invalid };

__device__ inline TargetKind target_kind(int64_t target, int classes) {
  if (target == kIgnoredClass) return TargetKind::ignored;
  return 0 <= target && target < classes ? TargetKind::a_class : TargetKind::invalid;
}

// One thread writes the losses that need no sum.
template <class M>
__device__ void write_special_loss(TargetKind kind, M* loss) {
  *loss = kind == TargetKind::ignored ? M(0) : kNan<M>;
}

template <class Rule, class M, int kPerLane>
__global__ void __launch_bounds__(kShortRowThreads)
    short_row_losses(int64_t rows, int n, const M* logits, const int64_t* targets, M* losses) {
  const int64_t row = int64_t{blockIdx.x} * kShortRowWarps + warp_index();
  if (row >= rows) return;  // a whole warp, and nobody meets at a barrier
  const TargetKind kind = target_kind(targets[row], n);
  if (kind != TargetKind::a_class) {
    if (lane_index() == 0) write_special_loss(kind, losses + row);
    return;
  }
  ShortRow<M, kPerLane> entries;
  entries.load(logits + row * n, n);
  M* const lists = reinterpret_cast<M*>(dynamic_shared_memory());
  const RowThreshold<M> threshold = entries.template threshold<Rule>(lists + warp_index() * kWarp);
  LossSums<Rule, M> sums{threshold, logits[row * n + targets[row]]};
  LaneEntries<M, kPerLane>{entries.values}.for_each([&](M x) { sums.add(x); });
  const M loss = sums.loss(WarpGroup());
  if (lane_index() == 0) losses[row] = loss;
}

template <class Rule, class M>
__global__ void __launch_bounds__(kBlockThreads)
    long_row_losses(int n, const M* logits, const int64_t* targets, M* losses) {
  auto& memory = *reinterpret_cast<LongRowMemory<M>*>(dynamic_shared_memory());
  const int64_t target = targets[blockIdx.x];
  const TargetKind kind = target_kind(target, n);
  if (kind != TargetKind::a_class) {  // the whole block
    if (threadIdx.x == 0) write_special_loss(kind, losses + blockIdx.x);
    return;
  }
  const M* const row = logits + int64_t{blockIdx.x} * n;
  const LongRowResult<M> result = sweep_row<Rule>(row, n, memory, [](int) {});
  LossSums<Rule, M> sums{result.threshold, row[target]};
  const auto add = [&](M x) { sums.add(x); };
  if (result.wide) {
    RowEntries<M>{row, n}.for_each(add);
  } else {
    ListEntries<M>{&memory.lists[warp_index()], &memory.counts[warp_index()], 1}.for_each(add);
  }
  const M loss = sums.loss(BlockGroup{memory.parts});
  if (threadIdx.x == 0) losses[blockIdx.x] = loss;
}

// (weights - onehot(target)) * grad, 0 where the weight is; nothing where the row is ignored or nothing is
// permitted.
template <class Group, class M>
__device__ void row_loss_backward(const Group& group, int n, M grad, const M* weights, int64_t target,
                                  M* grad_logits) {
  const TargetKind kind = target_kind(target, n);
  bool permitted = false;
  for (int j = group.rank(); j < n; j += group.size()) permitted |= weights[j] != M(0);
  permitted = group.any(permitted);
  for (int j = group.rank(); j < n; j += group.size()) {
    const M weight = weights[j];
    M value = weight == M(0) ? M(0) : weight * grad;
    if (j == target && permitted) value = (weight - M(1)) * grad;
    if (kind == TargetKind::ignored) value = M(0);
    if (kind == TargetKind::invalid) value = kNan<M>;
    grad_logits[j] = value;
  }
}

template <class M>
__global__ void __launch_bounds__(kShortRowThreads)
    short_row_losses_backward(int64_t rows, int n, const M* grad, const M* weights, const int64_t* targets,
                              M* grad_logits) {
  const int64_t row = int64_t{blockIdx.x} * kShortRowWarps + warp_index();
  if (row >= rows) return;
  row_loss_backward(WarpGroup(), n, grad[row], weights + row * n, targets[row], grad_logits + row * n);
}

template <class M>
__global__ void __launch_bounds__(kBlockThreads)
    long_row_losses_backward(int n, const M* grad, const M* weights, const int64_t* targets, M* grad_logits) {
  const int64_t row = blockIdx.x;
  row_loss_backward(BlockGroup{dynamic_shared_memory()}, n, grad[row], weights + row * n, targets[row],
                    grad_logits + row * n);
}

}  // namespace giantrabbit::ops::cuda
