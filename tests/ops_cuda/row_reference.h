// sparsemax and entmax-1.5 of one row in double by their sort-based definition, with gradient and loss, and
// without any library: what the kernels are held against. See Note [Sparsemax threshold] in
// ops/reference/sparsemax.cpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "ops/normalizer.h"

namespace giantrabbit::ops::cuda {

using Row = std::vector<double>;

// tau of y sorted downwards, whose first is 0.
inline double sorted_tau(Normalizer normalizer, const Row& y) {
  double sum = 0.0;
  double squares = 0.0;
  double tau = -1.0;
  for (size_t m = 1; m <= y.size(); ++m) {
    sum += y[m - 1];
    squares += y[m - 1] * y[m - 1];
    const auto count = static_cast<double>(m);
    const double mean = sum / count;
    const double room = (1.0 - (squares - sum * mean)) / count;
    const double next = normalizer == Normalizer::sparsemax ? (sum - 1.0) / count
                        : room < 0.0                        ? std::numeric_limits<double>::infinity()
                                                            : mean - std::sqrt(room);
    if (!(y[m - 1] > next)) break;
    tau = next;
  }
  return tau;
}

inline Row reference_weights(Normalizer normalizer, const Row& scores) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const bool undefined = std::any_of(scores.begin(), scores.end(), [](double z) { return !(z < kInf); });
  if (undefined) return Row(scores.size(), std::numeric_limits<double>::quiet_NaN());
  const double maximum = scores.empty() ? -kInf : *std::max_element(scores.begin(), scores.end());
  Row weights(scores.size(), 0.0);
  if (maximum == -kInf) return weights;
  Row y;
  for (const double z : scores)
    y.push_back((z - maximum) * (normalizer == Normalizer::sparsemax ? 1.0 : 0.5));
  Row sorted = y;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  const double tau = sorted_tau(normalizer, sorted);
  for (size_t j = 0; j < y.size(); ++j) {
    const double distance = std::max(y[j] - tau, 0.0);
    weights[j] = normalizer == Normalizer::sparsemax ? distance : distance * distance;
  }
  return weights;
}

inline Row reference_gradient(Normalizer normalizer, const Row& weights, const Row& grad) {
  const auto root = [&](double p) { return normalizer == Normalizer::sparsemax ? 1.0 : std::sqrt(p); };
  double sum = 0.0;
  double product = 0.0;
  for (size_t j = 0; j < weights.size(); ++j) {
    if (weights[j] == 0.0) continue;
    sum += root(weights[j]);
    product += root(weights[j]) * grad[j];
  }
  Row result(weights.size(), 0.0);
  for (size_t j = 0; j < weights.size(); ++j) {
    if (std::isnan(weights[j])) result[j] = weights[j];
    if (weights[j] != 0.0 && !std::isnan(weights[j]))
      result[j] = root(weights[j]) * (grad[j] - product / sum);
  }
  return result;
}

// Loss of a row whose target is one of its classes.
inline double reference_loss(Normalizer normalizer, const Row& logits, int64_t target) {
  const Row weights = reference_weights(normalizer, logits);
  double expected = 0.0;
  double power = 0.0;
  for (size_t j = 0; j < logits.size(); ++j) {
    if (weights[j] == 0.0) continue;
    expected += weights[j] * (logits[j] - logits[static_cast<size_t>(target)]);
    power += std::pow(weights[j], normalizer == Normalizer::sparsemax ? 2.0 : 1.5);
  }
  if (power == 0.0) return 0.0;
  return std::max(expected + (1.0 - power) * (normalizer == Normalizer::sparsemax ? 0.5 : 4.0 / 3.0), 0.0);
}

}  // namespace giantrabbit::ops::cuda
