// Reasoning time against length: known chains are forced through the prepared decoders of runs that take
// turns, a few tokens each, so that all see the same machine. Nothing is predicted, so a task need not be
// solved; supports are those of the trained weights.
//
// Times in seconds, positions in tokens that the cache holds.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/run.h"
#include "eval/timing.h"

namespace giantrabbit::eval {

// The words that are forced: the longest of the first chains of the run's task (test split), then the others
// in their order until `length` words are there.
struct ForcedChain {
  data::Words prompt;
  data::Words words;
  int64_t first_chain = 0;  // words of the longest chain
};
ForcedChain forced_chain(const TaskConfig& task, int64_t length);

// The most tokens of such a chain that every run has positions for.
int64_t longest_chain(std::span<const Run> runs);
// Throws model::OptionError, which says --lengths, unless that many are enough for the last of `lengths`.
void check_lengths(std::span<const Run> runs, std::span<const int64_t> lengths);

// What one token costs around a position, self-attention summed over layers and heads.
struct TokenWork {
  double keys_visible = 0;
  double keys_coded = 0;   // scored in 8 bits
  double keys_scored = 0;  // scored in fp32
  double values_read = 0;
  double bytes_read = 0;
};

struct Rung {
  int64_t position = 0;
  Spread token;  // one step of the decoder, over the tokens up to this position
  TokenWork work;
  double prefill = 0;  // one forward pass over that many known tokens, fastest of the repeats
  double encode = 0;   // one pass of the encoder over a prompt of that many tokens
};

// seconds = intercept + slope * position.
struct TimeLine {
  double intercept = 0;
  double slope = 0;
  // Where the part that grows equals the part that does not; none for a flat line.
  std::optional<double> crossover() const;
};
// Least squares; at least two different positions.
TimeLine fit_line(std::span<const double> positions, std::span<const double> seconds);
// Where `second` becomes faster than `first` for good; none when it does not.
std::optional<double> overtaking(const TimeLine& first, const TimeLine& second);

struct Ladder {
  std::string name;
  std::vector<Rung> rungs;
  TimeLine line;             // of medians of token times over windows of the whole chain
  int64_t weight_bytes = 0;  // what a step reads besides keys and values
  // From the model's shape: where dense attention's keys and values are as many bytes as the weights.
  double predicted_crossover = 0;
};

struct LadderPlan {
  std::vector<int64_t> lengths;  // increasing
  int repeats = 3;               // of prefill and encode
};
// One thread's worth of work per run; checks the lengths as check_lengths.
std::vector<Ladder> climb(std::span<Run> runs, const ForcedChain& chain, const LadderPlan& plan);

double predicted_crossover(const model::ModelConfig& config, int64_t weight_bytes);

}  // namespace giantrabbit::eval
