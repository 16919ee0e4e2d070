// Sums over the rows of dense matrices; see pattern_match.h.
#include "eval/pattern_match.h"

#include <cmath>

namespace giantrabbit::eval {

torch::Tensor true_support(const torch::Tensor& weights, double mass) {
  if (mass >= 1) return weights.gt(0);
  const auto [sorted, order] = weights.sort(/*stable=*/true, -1, /*descending=*/true);
  // A key is needed while those before it hold too little; rows sum to 1 or, without keys, to 0.
  const torch::Tensor before = sorted.to(torch::kDouble).cumsum(-1) - sorted;
  const torch::Tensor needed = before.lt(mass).logical_and(sorted.gt(0));
  return torch::zeros_like(needed).scatter(-1, order, needed);
}

void add_match(PatternMatch& match, const torch::Tensor& weights, const torch::Tensor& support,
               const torch::Tensor& visible) {
  const torch::Tensor sizes = support.sum(-1);
  const torch::Tensor counts = sizes.gt(0);
  const auto sum = [&](const torch::Tensor& of_rows) {
    return of_rows.to(torch::kDouble).masked_select(counts).sum().item<double>();
  };
  match.queries += sum(counts);
  match.keys += sum(visible.sum(-1));
  match.recall += sum(support.logical_and(visible).sum(-1).to(torch::kDouble) / sizes);
  match.mass += sum(weights.to(torch::kDouble).mul(visible).sum(-1));
}

void RelativeError::add(const torch::Tensor& actual, const torch::Tensor& expected) {
  const torch::Tensor wide = expected.to(torch::kDouble);
  difference += (actual.to(torch::kDouble) - wide).square().sum().item<double>();
  size += wide.square().sum().item<double>();
}

double RelativeError::value() const { return size == 0 ? 0 : std::sqrt(difference / size); }

}  // namespace giantrabbit::eval
