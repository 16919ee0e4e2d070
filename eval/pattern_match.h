// How much of exact attention the keys of a pattern hold. In, weights and visible keys of one head, queries
// in rows; out, sums over queries. Queries that exact attention shows nothing do not count.
#pragma once

#include <torch/torch.h>

namespace giantrabbit::eval {

// The keys that exact attention rests on, bool like `weights` [N, N]: of each row the fewest heaviest keys
// that hold the share `mass` of its weight; with mass 1 every key with a weight.
torch::Tensor true_support(const torch::Tensor& weights, double mass);

struct PatternMatch {
  double queries = 0;
  double keys = 0;    // that the pattern shows, summed over queries
  double recall = 0;  // share of the true support that is among them
  double mass = 0;    // exact weight that lies on them
  double mean(double PatternMatch::*sum) const { return queries == 0 ? 0 : this->*sum / queries; }
};

// weights, exact, and visible (bool), the pattern's, [N, N] both.
void add_match(PatternMatch& match, const torch::Tensor& weights, const torch::Tensor& support,
               const torch::Tensor& visible);

// |actual - expected| / |expected|, Euclidean over everything that was added.
struct RelativeError {
  double difference = 0;  // squares
  double size = 0;
  void add(const torch::Tensor& actual, const torch::Tensor& expected);
  double value() const;
};

}  // namespace giantrabbit::eval
