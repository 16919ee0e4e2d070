// Forces chains and takes the times; see ladder.h. Kept invariant: every run sees the same words at the same
// positions, and no run takes more than `turn` tokens before the others had theirs.
#include "eval/ladder.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>

#include <fmt/format.h>

#include "data/batch.h"
#include "data/example_source.h"
#include "eval/clock.h"
#include "eval/decode.h"
#include "model/option_set.h"
#include "model/prepared_decoder.h"

namespace giantrabbit::eval {
namespace {

constexpr uint64_t chains_looked_at = 64;
constexpr int64_t turn = 16;
// Token times that a rung sums up: enough for quartiles, short against the distance to the next rung.
constexpr int64_t most_window = 128;

template <typename Function>
double fastest(int repeats, Function function) {
  double best = std::numeric_limits<double>::infinity();
  for (int repeat = 0; repeat < repeats; ++repeat) {
    const Clock::time_point start = Clock::now();
    function();
    best = std::min(best, seconds_since(start));
  }
  return best;
}

int64_t window_of(int64_t position) { return std::min(most_window, std::max<int64_t>(1, position / 2)); }

// One run on its way along the chain.
class Climber {
 public:
  Climber(Run& run, const ForcedChain& chain)
      : run_(run),
        prompt_(data::one_sequence(run.vocabulary.encode(chain.prompt))),
        words_(run.vocabulary.encode(chain.words)),
        decoder_(run.network, run.weights),
        sequences_(decoder_.start(run.network->start(prompt_, prompt_length()))) {}

  void advance(int64_t tokens) {
    for (int64_t i = 0; i < tokens; ++i) {
      const auto position = static_cast<size_t>(std::ssize(seconds_));
      const int64_t token = position == 0 ? data::Vocabulary::bos : words_[position - 1];
      const Clock::time_point start = Clock::now();
      decoder_.step(sequences_, std::span(&token, 1));
      seconds_.push_back(seconds_since(start));
      counters_.push_back(sequences_.self_counters);
    }
  }

  // After at least `position` tokens.
  Rung rung(int64_t position, int repeats) {
    Rung result;
    result.position = position;
    const int64_t window = window_of(position);
    result.token = spread(
        std::span(seconds_).subspan(static_cast<size_t>(position - window), static_cast<size_t>(window)));
    result.work = work(position - window, position);
    const torch::Tensor known = data::one_sequence(std::span(words_).first(static_cast<size_t>(position)));
    result.prefill = fastest(repeats, [&] { run_.network->forward({prompt_, prompt_length(), known}); });
    if (run_.config.encoder) {
      const torch::Tensor length = torch::tensor({position}, torch::kInt64);
      result.encode = fastest(repeats, [&] { run_.network->encode(known, length); });
    }
    return result;
  }

  TimeLine line() const {
    std::vector<double> positions;
    std::vector<double> medians;
    const int64_t tokens = std::ssize(seconds_);
    const int64_t width = std::max<int64_t>(1, tokens / 64);
    for (int64_t begin = 0; begin + width <= tokens; begin += width) {
      positions.push_back(static_cast<double>(begin) + static_cast<double>(width - 1) / 2);
      medians.push_back(
          quantile(std::span(seconds_).subspan(static_cast<size_t>(begin), static_cast<size_t>(width)), 0.5));
    }
    return fit_line(positions, medians);
  }

  int64_t weight_bytes() const { return decoder_.weight_bytes(); }

 private:
  torch::Tensor prompt_length() const { return torch::tensor({prompt_.size(1)}, torch::kInt64); }

  TokenWork work(int64_t begin, int64_t end) const {
    const auto before =
        begin == 0 ? ops::CachedAttentionCounters{} : counters_[static_cast<size_t>(begin - 1)];
    const ops::CachedAttentionCounters& after = counters_[static_cast<size_t>(end - 1)];
    const auto per_token = [&](int64_t ops::CachedAttentionCounters::*member) {
      return static_cast<double>(after.*member - before.*member) / static_cast<double>(end - begin);
    };
    using Counters = ops::CachedAttentionCounters;
    return {per_token(&Counters::keys_visible), per_token(&Counters::keys_coded),
            per_token(&Counters::keys_scored), per_token(&Counters::support),
            per_token(&Counters::bytes_read)};
  }

  Run& run_;
  torch::Tensor prompt_;
  std::vector<int64_t> words_;
  model::PreparedDecoder decoder_;
  model::PreparedDecoder::Sequences sequences_;
  std::vector<double> seconds_;                         // of every token
  std::vector<ops::CachedAttentionCounters> counters_;  // after every token
};

}  // namespace

ForcedChain forced_chain(const TaskConfig& task, int64_t length) {
  const data::ExampleSource source(task.task, data::parse_chain_format(task.format), data::Split::test,
                                   static_cast<uint64_t>(task.seed));
  std::vector<data::Example> examples;
  for (uint64_t i = 0; i < chains_looked_at; ++i) examples.push_back(source.example(i));
  const auto longest = std::ranges::max_element(
      examples, {}, [](const data::Example& example) { return example.target.size(); });
  std::rotate(examples.begin(), longest, examples.end());
  ForcedChain chain;
  chain.prompt = examples.front().problem.prompt;
  chain.first_chain = std::ssize(examples.front().target);
  for (size_t i = 0; std::ssize(chain.words) < length; ++i) {
    const data::Words words = source.vocabulary().decode(examples[i % examples.size()].target);
    chain.words.insert(chain.words.end(), words.begin(), words.end());
  }
  chain.words.resize(static_cast<size_t>(length));
  return chain;
}

int64_t longest_chain(std::span<const Run> runs) {
  int64_t longest = std::numeric_limits<int64_t>::max();
  const data::Words prompt = forced_chain(runs.front().task, 0).prompt;
  for (const Run& run : runs) longest = std::min(longest, position_limit(run.config, std::ssize(prompt)));
  return longest;
}

void check_lengths(std::span<const Run> runs, std::span<const int64_t> lengths) {
  const data::Words prompt = forced_chain(runs.front().task, 0).prompt;
  for (const Run& run : runs) {
    if (lengths.back() <= position_limit(run.config, std::ssize(prompt))) continue;
    throw model::OptionError(fmt::format(
        "--lengths {}: {} has positions for {} tokens of a chain; choose shorter lengths or a run with a "
        "larger model.max_positions",
        lengths.back(), run.directory.string(), position_limit(run.config, std::ssize(prompt))));
  }
}

std::optional<double> TimeLine::crossover() const {
  if (slope <= 0 || intercept <= 0) return std::nullopt;
  return intercept / slope;
}

TimeLine fit_line(std::span<const double> positions, std::span<const double> seconds) {
  const auto count = static_cast<double>(positions.size());
  const double x = std::accumulate(positions.begin(), positions.end(), 0.0) / count;
  const double y = std::accumulate(seconds.begin(), seconds.end(), 0.0) / count;
  double xx = 0;
  double xy = 0;
  for (size_t i = 0; i < positions.size(); ++i) {
    xx += (positions[i] - x) * (positions[i] - x);
    xy += (positions[i] - x) * (seconds[i] - y);
  }
  if (!(xx > 0)) throw std::invalid_argument("fit_line: at least two different positions are needed");
  return {y - xy / xx * x, xy / xx};
}

std::optional<double> overtaking(const TimeLine& first, const TimeLine& second) {
  if (second.slope >= first.slope) return std::nullopt;
  return std::max(0.0, (second.intercept - first.intercept) / (first.slope - second.slope));
}

double predicted_crossover(const model::ModelConfig& config, int64_t weight_bytes) {
  const int64_t bytes_per_position = 2 * config.width * 4 * config.decoder_layers;
  return static_cast<double>(weight_bytes) / static_cast<double>(bytes_per_position);
}

std::vector<Ladder> climb(std::span<Run> runs, const ForcedChain& chain, const LadderPlan& plan) {
  const torch::NoGradGuard no_grad;
  const int64_t longest = plan.lengths.back();
  check_lengths(runs, plan.lengths);
  std::vector<Climber> climbers;
  climbers.reserve(runs.size());
  for (Run& run : runs) climbers.emplace_back(run, chain);
  bool forward = true;
  for (int64_t begin = 0; begin < longest; begin += turn) {
    // A B, then B A: neither always runs behind the other.
    const int64_t tokens = std::min(turn, longest - begin);
    for (size_t i = 0; i < climbers.size(); ++i)
      climbers[forward ? i : climbers.size() - 1 - i].advance(tokens);
    forward = !forward;
  }
  std::vector<Ladder> ladders;
  for (size_t i = 0; i < climbers.size(); ++i) {
    Climber& climber = climbers[i];
    ladders.push_back({runs[i].name,
                       {},
                       climber.line(),
                       climber.weight_bytes(),
                       predicted_crossover(runs[i].config, climber.weight_bytes())});
  }
  for (const int64_t length : plan.lengths) {
    for (size_t i = 0; i < climbers.size(); ++i) {
      ladders[i].rungs.push_back(climbers[i].rung(length, plan.repeats));
    }
  }
  return ladders;
}

}  // namespace giantrabbit::eval
