// Takes the times; see timing.h for the protocol. Judging happens outside the measured time.
#include "eval/timing.h"

#include <algorithm>
#include <numeric>

#include "eval/evaluator.h"

namespace giantrabbit::eval {
namespace {

TimedItem time_once(TimedRun& run, const data::Problem& problem) {
  const int64_t limit = output_limit(problem, run.format);
  const Decoded decoded = decode_greedy(run.network, run.vocabulary, std::span(&problem.prompt, 1),
                                        std::span(&limit, 1), 1, run.weights);
  const data::Words& output = decoded.outputs.at(0);
  const data::Verdict verdict =
      data::find_family(problem.prompt.at(0)).judge(problem.prompt, output, run.format);
  TimedItem item{decoded.seconds, decoded.tokens, static_cast<int64_t>(verdict.steps.size()), 0};
  const auto chain_end = decoded.step_seconds.begin() +
                         std::min<std::ptrdiff_t>(verdict.chain_words, std::ssize(decoded.step_seconds));
  item.chain_seconds = std::accumulate(decoded.step_seconds.begin(), chain_end, 0.0);
  return item;
}

void keep_faster(std::vector<TimedItem>& items, size_t index, const TimedItem& candidate) {
  if (index == items.size()) {
    items.push_back(candidate);
  } else if (candidate.seconds.total() < items[index].seconds.total()) {
    items[index] = candidate;
  }
}

template <typename Value>
Spread spread_of(const std::vector<TimedItem>& items, Value value) {
  std::vector<double> values;
  for (const TimedItem& item : items) values.push_back(value(item));
  return spread(values);
}

}  // namespace

Spread spread(std::span<const double> values) {
  return {quantile(values, 0), quantile(values, 0.25), quantile(values, 0.5), quantile(values, 0.75)};
}

RunTiming summarize(std::vector<TimedItem> items, int repeats) {
  RunTiming timing;
  timing.repeats = repeats;
  timing.encode = spread_of(items, [](const TimedItem& item) { return item.seconds.encode; });
  timing.think = spread_of(items, [](const TimedItem& item) { return item.seconds.think; });
  timing.decode = spread_of(items, [](const TimedItem& item) { return item.seconds.decode; });
  timing.total = spread_of(items, [](const TimedItem& item) { return item.seconds.total(); });
  timing.per_token = spread_of(items, [](const TimedItem& item) {
    return item.seconds.decode / static_cast<double>(std::max<int64_t>(1, item.tokens));
  });
  std::vector<double> per_step;
  for (const TimedItem& item : items) {
    if (item.steps > 0) per_step.push_back(item.chain_seconds / static_cast<double>(item.steps));
  }
  timing.per_step = spread(per_step);
  timing.items = std::move(items);
  return timing;
}

std::vector<RunTiming> time_interleaved(std::span<TimedRun> runs, std::span<const data::Problem> problems,
                                        int rounds) {
  std::vector<std::vector<TimedItem>> items(runs.size());
  // The first decoding pays for memory and thread pools, not for reasoning.
  if (!problems.empty()) {
    for (TimedRun& run : runs) time_once(run, problems.front());
  }
  for (size_t index = 0; index < problems.size(); ++index) {
    for (int round = 0; round < rounds; ++round) {
      for (size_t turn = 0; turn < 2 * runs.size(); ++turn) {
        const size_t run = turn < runs.size() ? turn : 2 * runs.size() - 1 - turn;
        keep_faster(items[run], index, time_once(runs[run], problems[index]));
      }
    }
  }
  std::vector<RunTiming> timings;
  for (std::vector<TimedItem>& run_items : items)
    timings.push_back(summarize(std::move(run_items), 2 * rounds));
  return timings;
}

}  // namespace giantrabbit::eval
