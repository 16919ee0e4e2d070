// Matches of single problems -> shares over a test set. A problem counts once, however long its chain, so
// that the bootstrap may resample problems.
#include <algorithm>
#include <cmath>
#include <limits>

#include "eval/need_match.h"
#include "eval/resampling.h"

namespace giantrabbit::eval {
namespace {

constexpr double nothing_needed = std::numeric_limits<double>::quiet_NaN();

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  double count = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    ++count;
  }
  return count == 0 ? 0 : sum / count;
}

Interval interval_of(const std::vector<double>& values) {
  return seed_item_bootstrap(std::span(&values, 1), 1, 2000).interval;
}

// Single heads get no intervals: they are shown, not claimed.
Recovered recover(const std::vector<std::vector<MatchRow>>& items, size_t row, Hits Match::*kind,
                  bool with_intervals) {
  Recovered result;
  std::vector<double> chance;
  std::vector<double> excess;
  for (const std::vector<MatchRow>& item : items) {
    const Hits& hits = item[row].match.*kind;
    const bool needed = hits.total > 0;
    result.items.push_back(needed ? hits.found / hits.total : nothing_needed);
    chance.push_back(needed ? hits.chance / hits.total : nothing_needed);
    excess.push_back(result.items.back() - chance.back());
  }
  result.found = mean_of(result.items);
  result.chance = mean_of(chance);
  result.excess = mean_of(excess);
  if (!with_intervals) return result;
  result.interval = interval_of(result.items);
  const PairedDifference difference = paired_difference(std::span(&excess, 1));
  result.excess_interval = difference.interval;
  result.excess_test = difference;
  return result;
}

}  // namespace

const NeedRow* NeedSummary::find(std::string_view layer, std::string_view head) const {
  const auto found =
      std::ranges::find_if(rows, [&](const NeedRow& row) { return row.layer == layer && row.head == head; });
  return found == rows.end() ? nullptr : &*found;
}

void NeedCounter::add(const model::ModelConfig& config, const model::Trace& trace, const data::Words& prompt,
                      const data::Words& output, data::ChainFormat format) {
  const std::vector<WordNeed> needs = find_needs(prompt, output, format);
  if (std::ranges::none_of(needs, &WordNeed::is_defined)) return;
  items_.push_back(match_needs(config, trace, std::ssize(prompt), needs, mass_, 0, needs.size()));
}

NeedSummary NeedCounter::result() const {
  NeedSummary summary;
  summary.mass = mass_;
  summary.items = std::ssize(items_);
  if (items_.empty()) return summary;
  for (size_t row = 0; row < items_.front().size(); ++row) {
    const MatchRow& first = items_.front()[row];
    const bool shown = first.head == "any" || first.head == "mean";
    NeedRow entry{first.layer, first.head, {}, {}, {}, {}, 0, 0};
    entry.values = recover(items_, row, &Match::values, shown);
    entry.header = recover(items_, row, &Match::header, shown);
    entry.support = recover(items_, row, &Match::support, shown);
    entry.weight = recover(items_, row, &Match::weight, shown);
    Match all;
    for (const std::vector<MatchRow>& item : items_) all.add(item[row].match);
    entry.keys = all.keys / all.words;
    entry.visible = all.visible / all.words;
    summary.rows.push_back(std::move(entry));
  }
  for (const std::vector<MatchRow>& item : items_) {
    summary.words += std::llround(item.back().match.words);
  }
  return summary;
}

}  // namespace giantrabbit::eval
