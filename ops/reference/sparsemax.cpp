// Sort-based definitions of sparsemax and entmax-1.5; the CPU kernels compute the same without sorting.
//
// Note [Sparsemax threshold]
// For a row z let y = z - max(z), for entmax-1.5 y = (z - max(z)) / 2. The weights are max(y - tau, 0)^k with
// k = 1 (sparsemax) or 2 (entmax-1.5), and tau solves f(tau) = sum_j max(y_j - tau, 0)^k = 1. Facts that
// every kernel uses:
//   1. Adding a constant to z changes nothing, so the maximum is subtracted first. Then the largest y is 0
//   and
//      -1 <= tau < 0: a huge logit loses no digits of tau, and an entry with y <= -1 cannot have a weight.
//   2. f falls as tau grows and grows with every entry that is added. So tau of a part of the row is a lower
//   bound of
//      tau of the row, and whatever lies at or below a lower bound has weight exactly 0 and may be skipped.
//   3. For the right support S of m entries tau has a closed form:
//        sparsemax:   tau = (sum_S y - 1) / m
//        entmax-1.5:  tau = mean_S y - sqrt((1 - sum_S (y - mean_S y)^2) / m)
//      Sorted downwards, S is the longest head whose last entry lies above the tau of that head (this file).
//      Without sorting, a bound that starts at -1 rises, and entries leave, until the closed form keeps all
//      members (ops/cpu/row_functions.cpp). An entry exactly at tau is not in S; it would not change tau.
//   4. The gradient lives on S: with weights s_j = p_j^((k-1)/k), that is 1 or sqrt(p_j), the Jacobian-vector
//   product is
//      s * (v - sum(s v) / sum(s)). It needs the weights only, not tau.
#include "ops/reference/sparsemax.h"

#include <cmath>
#include <tuple>
#include <vector>

#include <ATen/ATen.h>

#include "ops/checks.h"

namespace giantrabbit::ops::reference {
namespace {

at::Tensor constant(double value, const at::Tensor& like) { return at::full({}, value, like.options()); }

// 1, 2, .. n along dim.
at::Tensor ranks(const at::Tensor& rows, int64_t dim) {
  std::vector<int64_t> shape(rows.dim(), 1);
  shape[dim] = rows.size(dim);
  return at::arange(1, rows.size(dim) + 1, rows.options()).reshape(shape);
}

// z minus the row maximum; the maximum is a constant for the gradient because adding one changes nothing.
at::Tensor shifted(const at::Tensor& scores, int64_t dim) {
  const at::Tensor maximum = scores.detach().amax(dim, /*keepdim=*/true);
  return scores - at::where(maximum.isfinite(), maximum, constant(0.0, maximum));
}

// NaN in every entry of a row that holds NaN or +inf, 0 elsewhere.
at::Tensor poison(const at::Tensor& scores, int64_t dim) {
  const at::Tensor maximum = scores.detach().amax(dim, /*keepdim=*/true);  // amax passes NaN on
  return at::where(maximum.lt(INFINITY), constant(0.0, maximum), constant(NAN, maximum));
}

// max(y - tau, 0) without an infinite number in a branch that where() drops, which would spoil the gradient.
at::Tensor above(const at::Tensor& y, const at::Tensor& tau) { return at::where(y.gt(tau), y, tau) - tau; }

at::Tensor sparsemax_tau(const at::Tensor& y, int64_t dim) {
  const at::Tensor sorted = std::get<0>(y.sort(dim, /*descending=*/true));
  const at::Tensor members = (sorted * ranks(y, dim) + 1).gt(sorted.cumsum(dim));
  const at::Tensor count = members.sum(dim, /*keepdim=*/true).clamp_min(1);
  const at::Tensor kept = at::where(members, sorted, constant(0.0, y));
  return (kept.sum(dim, /*keepdim=*/true) - 1) / count;
}

at::Tensor entmax15_tau(const at::Tensor& y, int64_t dim) {
  const at::Tensor sorted = std::get<0>(y.sort(dim, /*descending=*/true));
  const at::Tensor heads = ranks(y, dim);
  const at::Tensor mean_of_head = sorted.cumsum(dim) / heads;
  const at::Tensor spread_of_head = sorted.square().cumsum(dim) - heads * mean_of_head.square();
  const at::Tensor tau_of_head = mean_of_head - ((1 - spread_of_head) / heads).clamp_min(0).sqrt();
  const at::Tensor members = sorted.gt(tau_of_head).detach();
  const at::Tensor count = members.sum(dim, /*keepdim=*/true).clamp_min(1);
  const at::Tensor mean = at::where(members, sorted, constant(0.0, y)).sum(dim, /*keepdim=*/true) / count;
  const at::Tensor spread = (at::where(members, sorted, mean) - mean).square().sum(dim, /*keepdim=*/true);
  return mean - ((1 - spread) / count).sqrt();
}

}  // namespace

at::Tensor sparsemax_threshold(const at::Tensor& scores, int64_t dim) {
  const int64_t axis = check_rows("reference::sparsemax_threshold", scores, dim);
  return sparsemax_tau(shifted(scores, axis), axis);
}

at::Tensor sparsemax(const at::Tensor& scores, int64_t dim) {
  const int64_t axis = check_rows("reference::sparsemax", scores, dim);
  if (scores.numel() == 0) return scores.clone();
  const at::Tensor y = shifted(scores, axis);
  return above(y, sparsemax_tau(y, axis)) + poison(scores, axis);
}

at::Tensor entmax15(const at::Tensor& scores, int64_t dim) {
  const int64_t axis = check_rows("reference::entmax15", scores, dim);
  if (scores.numel() == 0) return scores.clone();
  const at::Tensor y = shifted(scores, axis) / 2;
  return above(y, entmax15_tau(y, axis)).square() + poison(scores, axis);
}

}  // namespace giantrabbit::ops::reference
