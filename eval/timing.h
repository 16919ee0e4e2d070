// Wall time of reasoning at batch 1, by phase. Compared runs take turns on every item in the order A B B A,
// so that a slow spell of the machine hits all of them; of the repeats of one item the fastest counts,
// because disturbances only ever add time.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "data/problem.h"
#include "data/vocabulary.h"
#include "eval/decode.h"
#include "eval/statistics.h"
#include "model/giant_rabbit.h"

namespace giantrabbit::eval {

struct Spread {
  double least = 0;
  double low = 0;  // first quartile
  double median = 0;
  double high = 0;  // third quartile
};
Spread spread(std::span<const double> values);

// One item decoded by one run.
struct TimedItem {
  PhaseSeconds seconds;
  int64_t tokens = 0;
  int64_t steps = 0;         // written steps
  double chain_seconds = 0;  // decoding of the words before ANS
};

struct RunTiming {
  std::vector<TimedItem> items;
  int repeats = 0;
  // Seconds over the items.
  Spread encode, think, decode, total;
  Spread per_token;  // decode / tokens
  Spread per_step;   // chain / written steps, items with steps only
};
RunTiming summarize(std::vector<TimedItem> items, int repeats);

struct TimedRun {
  model::GiantRabbit network{nullptr};
  data::ChainFormat format = data::ChainFormat::prod;
  data::Vocabulary vocabulary{};  // the run's
  model::WeightType weights = model::WeightType::float32;
};
// `rounds` A B B A rounds per item, two repeats each.
std::vector<RunTiming> time_interleaved(std::span<TimedRun> runs, std::span<const data::Problem> problems,
                                        int rounds = 1);

}  // namespace giantrabbit::eval
