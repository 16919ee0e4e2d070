// Definitions of the losses: [.., V] and [..] in, [..] out. The row maximum is subtracted from the logits
// first, which leaves the losses as they are.
#include "ops/reference/sparsemax_loss.h"

#include <ATen/ATen.h>

#include "ops/checks.h"
#include "ops/reference/sparsemax.h"

namespace giantrabbit::ops::reference {
namespace {

at::Tensor shifted(const at::Tensor& logits) { return logits - logits.detach().amax(-1, /*keepdim=*/true); }

at::Tensor chosen(const at::Tensor& rows, const at::Tensor& target) {
  return rows.gather(-1, target.clamp_min(0).unsqueeze(-1)).squeeze(-1);
}

// Rows that do not count, and rows without a permitted entry, have loss 0.
at::Tensor only_counted(const at::Tensor& losses, const at::Tensor& weights, const at::Tensor& target) {
  const at::Tensor counted = target.ne(kIgnoredTarget).logical_and(weights.ne(0).any(-1));
  return at::where(counted, losses, at::zeros({}, losses.options()));
}

}  // namespace

at::Tensor sparsemax_loss(const at::Tensor& logits, const at::Tensor& target) {
  check_targets("reference::sparsemax_loss", logits, target);
  const at::Tensor y = shifted(logits);
  const at::Tensor tau = sparsemax_threshold(logits);
  const at::Tensor kept = at::where(y.gt(tau), y, tau);
  const at::Tensor losses = 0.5 * (kept.square() - tau.square()).sum(-1) + 0.5 - chosen(y, target);
  return only_counted(losses, sparsemax(logits), target);
}

at::Tensor entmax15_loss(const at::Tensor& logits, const at::Tensor& target) {
  check_targets("reference::entmax15_loss", logits, target);
  const at::Tensor weights = entmax15(logits);
  const at::Tensor zero = at::zeros({}, logits.options());
  const at::Tensor support = weights.ne(0);
  const at::Tensor y = shifted(logits);
  const at::Tensor expected = (weights * at::where(support, y, zero)).sum(-1);
  const at::Tensor safe = at::where(support, weights, zero + 1);  // the root's slope at 0 is infinite
  const at::Tensor power = at::where(support, safe * safe.sqrt(), zero).sum(-1);
  return only_counted(expected - chosen(y, target) + (1 - power) / 0.75, weights, target);
}

}  // namespace giantrabbit::ops::reference
