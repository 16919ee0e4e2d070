// See the header. A replicate counts how often each item was drawn and then sums every drawn seed's row once,
// so its cost is seeds x items.
#include "eval/resampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include <fmt/format.h>

#include "data/counter_rng.h"

namespace giantrabbit::eval {
namespace {

struct Sum {
  double total = 0;
  double count = 0;
  void add(double value, double times) {
    if (std::isnan(value)) return;
    total += times * value;
    count += times;
  }
};

void check_table(std::span<const std::vector<double>> values, int replicates) {
  for (const std::vector<double>& row : values) {
    if (row.size() != values.front().size()) {
      throw std::invalid_argument(
          fmt::format("seed_item_bootstrap: every seed needs the same items, got {} and {}",
                      values.front().size(), row.size()));
    }
  }
  if (replicates < 1) {
    throw std::invalid_argument(
        fmt::format("seed_item_bootstrap: at least one replicate is needed, got {}", replicates));
  }
}

}  // namespace

double Resampled::lower_bound() const { return quantile(means, 0.05); }

double Resampled::share_at_most(double value) const {
  const auto below = std::ranges::upper_bound(means, value) - means.begin();
  return (1 + static_cast<double>(below)) / (1 + static_cast<double>(means.size()));
}

double Resampled::two_sided() const {
  const auto above = means.end() - std::ranges::lower_bound(means, 0.0);
  const double at_least = (1 + static_cast<double>(above)) / (1 + static_cast<double>(means.size()));
  return std::min(1.0, 2 * std::min(share_at_most(0), at_least));
}

Resampled seed_item_bootstrap(std::span<const std::vector<double>> values, uint64_t seed, int replicates) {
  check_table(values, replicates);
  Resampled result;
  if (values.empty() || values.front().empty()) return result;
  const auto seeds = std::ssize(values);
  const auto items = std::ssize(values.front());
  Sum all;
  for (const std::vector<double>& row : values) {
    for (const double value : row) all.add(value, 1);
  }
  if (all.count == 0) return result;
  result.mean = all.total / all.count;

  std::vector<double> times(static_cast<size_t>(items));
  for (int replicate = 0; replicate < replicates; ++replicate) {
    data::CounterRng rng({seed, static_cast<uint64_t>(replicate)});
    std::ranges::fill(times, 0);
    std::vector<size_t> drawn(static_cast<size_t>(seeds));
    for (size_t& row : drawn) row = static_cast<size_t>(seeds == 1 ? 0 : rng.uniform(0, seeds - 1));
    for (int64_t draw = 0; draw < items; ++draw) ++times[static_cast<size_t>(rng.uniform(0, items - 1))];
    Sum resampled;
    for (const size_t row : drawn) {
      for (size_t item = 0; item < times.size(); ++item) {
        if (times[item] > 0) resampled.add(values[row][item], times[item]);
      }
    }
    if (resampled.count > 0) result.means.push_back(resampled.total / resampled.count);
  }
  std::ranges::sort(result.means);
  result.interval = {quantile(result.means, 0.025), quantile(result.means, 0.975)};
  return result;
}

double sign_flip(std::span<const double> differences, uint64_t seed, int replicates) {
  constexpr size_t most_exact = 12;
  std::vector<double> sizes;
  double observed = 0;
  for (const double difference : differences) {
    if (std::isnan(difference)) continue;
    sizes.push_back(std::abs(difference));
    observed += difference;
  }
  const double total = std::accumulate(sizes.begin(), sizes.end(), 0.0);
  const double least = std::abs(observed) - 1e-12 * total;  // equal sums must not differ by rounding
  const bool exact = sizes.size() <= most_exact;
  const int64_t flips = exact ? int64_t{1} << sizes.size() : replicates;
  data::CounterRng rng({seed, sizes.size()});
  int64_t as_far = 0;
  for (int64_t flip = 0; flip < flips; ++flip) {
    double sum = 0;
    for (size_t item = 0; item < sizes.size(); ++item) {
      const bool minus = exact ? (flip >> item & 1) != 0 : rng.uniform(0, 1) != 0;
      sum += minus ? -sizes[item] : sizes[item];
    }
    as_far += std::abs(sum) >= least ? 1 : 0;
  }
  // The observed signs are among all signs, but not among those that were drawn.
  const int64_t added = exact ? 0 : 1;
  return static_cast<double>(as_far + added) / static_cast<double>(flips + added);
}

PairedDifference paired_difference(std::span<const std::vector<double>> differences) {
  PairedDifference result;
  const Resampled resampled = seed_item_bootstrap(differences);
  result.mean = resampled.mean;
  result.interval = resampled.interval;
  std::vector<double> means;
  for (size_t item = 0; !differences.empty() && item < differences.front().size(); ++item) {
    Sum sum;
    for (const std::vector<double>& row : differences) sum.add(row[item], 1);
    if (sum.count > 0) means.push_back(sum.total / sum.count);
  }
  result.items = std::ssize(means);
  if (result.items < 6) result.interval = unbounded;
  result.probability = sign_flip(means);
  if (differences.size() > 1) result.probability = std::max(result.probability, resampled.two_sided());
  result.adjusted = result.probability;
  return result;
}

std::vector<double> holm(std::span<const double> probabilities) {
  std::vector<size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t index) { return probabilities[index]; });
  std::vector<double> adjusted(probabilities.size());
  double largest = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    const auto left = static_cast<double>(order.size() - rank);
    largest = std::max(largest, std::min(1.0, left * probabilities[order[rank]]));
    adjusted[order[rank]] = largest;
  }
  return adjusted;
}

void adjust(std::span<Test* const> family) {
  std::vector<double> probabilities;
  for (const Test* test : family) probabilities.push_back(test->probability);
  const std::vector<double> adjusted = holm(probabilities);
  for (size_t index = 0; index < family.size(); ++index) family[index]->adjusted = adjusted[index];
}

}  // namespace giantrabbit::eval
