// See the header for what each quantity means and why it was chosen. Invariant: an interval contains its
// estimate.
#include "eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>

namespace giantrabbit::eval {
namespace {

// Wilson's formula for a share p of n parts, n not necessarily whole.
Interval wilson_at(double rate, double parts, double z) {
  const double square = z * z;
  const double center = (rate + square / (2 * parts)) / (1 + square / parts);
  const double half =
      z / (1 + square / parts) * std::sqrt(rate * (1 - rate) / parts + square / (4 * parts * parts));
  // At 0 and 1 the bound is the rate itself; rounding must not move it across.
  return {std::clamp(center - half, 0.0, rate), std::clamp(center + half, rate, 1.0)};
}

double upper_normal_tail(double z) { return 0.5 * std::erfc(z / std::sqrt(2.0)); }

double binomial(int64_t count, int64_t total, double rate) {
  const auto k = static_cast<double>(count);
  const auto n = static_cast<double>(total);
  if (rate <= 0) return count == 0 ? 1 : 0;
  if (rate >= 1) return count == total ? 1 : 0;
  return std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) + k * std::log(rate) +
                  (n - k) * std::log1p(-rate));
}

// What lies further from the mean has a probability below 1e-15.
double reach(int64_t total, double rate) {
  return 9 * std::sqrt(static_cast<double>(total) * rate * (1 - rate)) + 9;
}

// Probability of at least `least` of `total`.
double upper_binomial_tail(int64_t least, int64_t total, double rate) {
  if (rate >= 1) return least <= total ? 1 : 0;
  const double mean = static_cast<double>(total) * rate;
  const auto begin = std::max(least, static_cast<int64_t>(mean - reach(total, rate)));
  const auto end = std::min(total, static_cast<int64_t>(mean + reach(total, rate)));
  double tail = 0;
  double term = begin <= end ? binomial(begin, total, rate) : 0;
  for (int64_t count = begin; count <= end; ++count) {
    tail += term;
    term *= static_cast<double>(total - count) / static_cast<double>(count + 1) * rate / (1 - rate);
  }
  return std::min(tail, 1.0);
}

// For every number of items that only the first solved, the fewest that only the second has to solve for a
// score of at least `score`; items + 1 where none is enough. The score grows with them.
std::vector<int64_t> fewest_gained(int64_t items, double margin, double score) {
  std::vector<int64_t> fewest;
  for (int64_t lost = 0; lost <= items; ++lost) {
    int64_t low = 0;
    int64_t high = items - lost + 1;
    while (low < high) {
      const int64_t gained = (low + high) / 2;
      const bool enough = tango_score({items - lost - gained, lost, gained, 0}, -margin) >= score;
      (enough ? high : low) = enough ? gained : gained + 1;
    }
    fewest.push_back(low <= items - lost ? low : items + 1);
  }
  return fewest;
}

// Probability, when the second is worse by exactly the margin, of a score of at least the observed one; the
// largest over a grid of shares of lost items, which is finer at both ends.
double exact_probability(const PairedCounts& pairs, double margin) {
  constexpr int grid = 256;
  const int64_t items = pairs.total();
  // Equal scores must not differ by rounding.
  const std::vector<int64_t> fewest = fewest_gained(items, margin, tango_score(pairs, -margin) - 1e-9);
  double largest = 0;
  for (int point = 0; point <= grid; ++point) {
    const double part = (1 - std::cos(std::numbers::pi * point / grid)) / 2;
    const double lost_share = margin + (1 - margin) / 2 * part;
    const double gained_share = (lost_share - margin) / (1 - lost_share);  // of the items that are not lost
    const double mean = static_cast<double>(items) * lost_share;
    const auto end = std::min(items, static_cast<int64_t>(mean + reach(items, lost_share)));
    double probability = 0;
    for (auto lost = std::max<int64_t>(0, static_cast<int64_t>(mean - reach(items, lost_share))); lost <= end;
         ++lost) {
      probability += binomial(lost, items, lost_share) *
                     upper_binomial_tail(fewest[static_cast<size_t>(lost)], items - lost, gained_share);
    }
    largest = std::max(largest, probability);
  }
  return std::min(largest, 1.0);
}

}  // namespace

Interval wilson(int64_t count, int64_t total, double z) {
  if (count < 0 || count > total) {
    throw std::invalid_argument(
        fmt::format("wilson: count must lie in 0 .. total, got {} of {}", count, total));
  }
  if (total == 0) return {0, 1};
  return wilson_at(static_cast<double>(count) / static_cast<double>(total), static_cast<double>(total), z);
}

Share share(int64_t count, int64_t total) { return {count, total, wilson(count, total)}; }

Share clustered_share(std::span<const Cluster> clusters) {
  Share result;
  double used = 0;
  for (const Cluster& cluster : clusters) {
    result.count += cluster.count;
    result.total += cluster.total;
    used += cluster.total > 0 ? 1 : 0;
  }
  result.interval = wilson(result.count, result.total);
  if (result.total == 0) return result;
  const double rate = result.rate();
  const auto total = static_cast<double>(result.total);
  double effect = total / used;
  if (result.count > 0 && result.count < result.total && used > 1) {
    double squares = 0;
    for (const Cluster& cluster : clusters) {
      const double residual = static_cast<double>(cluster.count) - rate * static_cast<double>(cluster.total);
      squares += residual * residual;
    }
    const double variance = squares * used / (used - 1) / (total * total);
    effect = std::max(1.0, variance / (rate * (1 - rate) / total));
  }
  result.interval = wilson_at(rate, total / effect, z_two_sided_95);
  return result;
}

double mcnemar(const PairedCounts& pairs) {
  const int64_t discordant = pairs.only_first + pairs.only_second;
  const int64_t smaller = std::min(pairs.only_first, pairs.only_second);
  const double log_half_power = -static_cast<double>(discordant) * std::log(2.0);
  double tail = 0;
  for (int64_t k = 0; k <= smaller; ++k) {
    const auto n = static_cast<double>(discordant);
    const auto chosen = static_cast<double>(k);
    tail +=
        std::exp(std::lgamma(n + 1) - std::lgamma(chosen + 1) - std::lgamma(n - chosen + 1) + log_half_power);
  }
  return std::min(1.0, 2 * tail);
}

double tango_score(const PairedCounts& pairs, double difference) {
  const auto items = static_cast<double>(pairs.total());
  const auto gained = static_cast<double>(pairs.only_second);
  const auto lost = static_cast<double>(pairs.only_first);
  const double distance = gained - lost - items * difference;
  // Maximum-likelihood share of `lost` pairs when the difference is fixed: the root of a x^2 + b x + c.
  const double a = 2 * items;
  const double b = -gained - lost + (2 * items - gained + lost) * difference;
  const double c = -lost * difference * (1 - difference);
  const double lost_share = a == 0 ? 0 : (std::sqrt(std::max(0.0, b * b - 4 * a * c)) - b) / (2 * a);
  const double variance = items * (2 * lost_share + difference * (1 - difference));
  if (variance > 0) return distance / std::sqrt(variance);
  if (distance == 0) return 0;
  return std::copysign(std::numeric_limits<double>::infinity(), distance);
}

Interval tango_interval(const PairedCounts& pairs, double z) {
  if (pairs.total() == 0) return {-1, 1};
  const double estimate =
      static_cast<double>(pairs.only_second - pairs.only_first) / static_cast<double>(pairs.total());
  // The score falls as the difference grows; 60 halvings leave an error below 1e-17.
  const auto solve = [&](double inside, double outside) {
    for (int halving = 0; halving < 60; ++halving) {
      const double middle = (inside + outside) / 2;
      (std::abs(tango_score(pairs, middle)) <= z ? inside : outside) = middle;
    }
    return inside;
  };
  return {solve(estimate, -1), solve(estimate, 1)};
}

NonInferiority non_inferiority(const PairedCounts& pairs, double margin) {
  NonInferiority result;
  if (pairs.total() == 0) return result;
  result.lower_bound = tango_interval(pairs, z_one_sided_95).low;
  result.probability =
      std::max(upper_normal_tail(tango_score(pairs, -margin)), exact_probability(pairs, margin));
  result.adjusted = result.probability;
  if (!result.shown()) result.lower_bound = std::min(result.lower_bound, -margin);
  return result;
}

double quantile(std::span<const double> values, double probability) {
  if (values.empty()) return 0;
  std::vector<double> sorted(values.begin(), values.end());
  std::ranges::sort(sorted);
  const double position = probability * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace giantrabbit::eval
