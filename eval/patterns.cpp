// Loads the run once for every pattern and measures all of them on the same vectors and problems.
#include "eval/patterns.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <functional>
#include <limits>
#include <stdexcept>

#include <fmt/format.h>

#include "eval/evaluator.h"
#include "eval/pattern_match.h"
#include "eval/peak_memory.h"
#include "eval/shared_heads.h"
#include "model/attention_core.h"
#include "ops/lsh_attention.h"
#include "ops/sparsemax.h"

namespace giantrabbit::eval {
namespace {

using Heads = model::SharedAttentionImpl::Heads;

constexpr int timing_rounds = 7;

struct Candidate {
  PatternLine line;
  Run run;
  std::vector<SharedLayer> layers;
  PatternMatch match;
  RelativeError error;
};

std::vector<Candidate> candidates(const std::string& run, const std::vector<int64_t>& rounds) {
  std::vector<Candidate> all;
  const auto add = [&](const std::string& pattern, int64_t count, const std::string& changes) {
    Candidate candidate;
    candidate.line.pattern = pattern;
    candidate.line.rounds = count;
    candidate.run = load_run(with_changes(run, changes));
    candidate.layers = shared_layers(candidate.run.network);
    all.push_back(std::move(candidate));
  };
  add("full", 0, "shared_attention=full");
  for (const int64_t count : rounds) {
    for (const char* pattern : {"lsh", "window", "random"})
      add(pattern, count, fmt::format("shared_attention={},lsh_rounds={}", pattern, count));
  }
  return all;
}

data::Words solution(const data::Problem& problem, data::ChainFormat format) {
  return data::find_family(problem.prompt.at(0)).solve(problem.prompt, format);
}

// Exact weights of all heads, [H, N, N].
torch::Tensor exact_weights(const torch::Tensor& query, const torch::Tensor& visible,
                            const model::AttentionCore& core) {
  const torch::Tensor key = ops::lsh_shared_keys(query);
  const torch::Tensor scores =
      (query.matmul(key.transpose(-2, -1)) * core.scale())
          .masked_fill(visible.logical_not(), -std::numeric_limits<double>::infinity())
          .squeeze(0);
  switch (core.normalizer()) {
    case ops::Normalizer::sparsemax:
      return ops::sparsemax(scores);
    case ops::Normalizer::entmax15:
      return ops::entmax15(scores);
    default:
      return scores.softmax(-1);
  }
}

// One sequence in one layer. The first position sees itself whatever the pattern is, and does not count.
void match_layer(std::vector<Candidate>& all, size_t layer, const Heads& heads, double mass) {
  const auto rows = [](const torch::Tensor& matrix) { return matrix.slice(0, 1); };
  const int64_t count = heads.query.size(1);
  const model::SharedAttention& full = all.front().layers[layer].attention;
  const torch::Tensor weights =
      exact_weights(heads.query, full->visible(heads.query), model::AttentionCore(all.front().run.config));
  const torch::Tensor exact = full->attend(heads);
  for (Candidate& candidate : all) {
    const model::SharedAttention& attention = candidate.layers[layer].attention;
    const torch::Tensor visible = attention->visible(heads.query);
    for (int64_t head = 0; head < count; ++head) {
      const torch::Tensor of_head = rows(weights[head]);
      add_match(candidate.match, of_head, true_support(of_head, mass),
                rows(visible[0][visible.size(1) == 1 ? 0 : head]));
    }
    candidate.error.add(attention->attend(heads).slice(2, 1), exact.slice(2, 1));
  }
}

double processor_seconds(const std::function<void()>& call, int calls) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double start = now();
  for (int i = 0; i < calls; ++i) call();
  return (now() - start) / calls;
}

// Forward and backward. The random pattern's lists are drawn beforehand: they are no part of attention.
std::function<void()> training_of(const Candidate& candidate, const Heads& heads) {
  const torch::Tensor query = heads.query.detach().clone().requires_grad_();
  const torch::Tensor value = heads.value.detach().clone().requires_grad_();
  const torch::Tensor grad = torch::ones_like(value);
  const model::SharedAttention attention = candidate.layers.front().attention;
  if (candidate.line.pattern != "random") {
    return [=]() mutable {
      torch::autograd::grad({attention->attend({query, value})}, {query, value}, {grad});
    };
  }
  const ops::SparseMask mask =
      ops::SparseMask::from_dense(attention->visible(query.detach()).squeeze(0).squeeze(0));
  const model::AttentionCore core(candidate.run.config);
  return [=] {
    const torch::Tensor result = core.attend(query, ops::lsh_shared_keys(query), value, mask, nullptr, "");
    torch::autograd::grad({result}, {query, value}, {grad});
  };
}

// In turns, so that every pattern sees the same machine.
void time_all(std::vector<Candidate>& all, const Heads& heads) {
  constexpr double kTurnSeconds = 0.002;
  std::vector<std::function<void()>> calls;
  std::vector<int> repeats;
  for (Candidate& candidate : all) {
    calls.push_back(training_of(candidate, heads));
    candidate.line.peak_bytes = peak_allocated(calls.back());
    const double once = std::max(processor_seconds(calls.back(), 1), 1e-7);
    repeats.push_back(static_cast<int>(std::ceil(std::clamp(kTurnSeconds / once, 1.0, 1000.0))));
  }
  std::vector<std::vector<double>> seconds(all.size());
  for (int round = 0; round < timing_rounds; ++round) {
    for (size_t i = 0; i < all.size(); ++i) seconds[i].push_back(processor_seconds(calls[i], repeats[i]));
  }
  for (size_t i = 0; i < all.size(); ++i) {
    std::vector<double> ratios;
    for (size_t round = 0; round < timing_rounds; ++round)
      ratios.push_back(seconds[i][round] / seconds[0][round]);
    all[i].line.seconds = *std::ranges::min_element(seconds[i]);
    all[i].line.time_ratio = quantile(ratios, 0.5);
  }
}

void decode(Candidate& candidate, std::span<const data::Problem> problems) {
  Run& run = candidate.run;
  const Evaluation evaluation = evaluate(run.network, run.vocabulary, problems, run.format());
  int64_t right = 0;
  double words = 0;
  for (const Judged& item : evaluation.items) {
    right += item.verdict.answer_right ? 1 : 0;
    words += right_words(item.output, solution(item.problem, run.format()));
  }
  candidate.line.exact = share(right, static_cast<int64_t>(problems.size()));
  candidate.line.right_words = words / static_cast<double>(problems.size());
}

}  // namespace

std::string with_changes(const std::string& run, const std::string& changes) {
  const bool changed = !std::filesystem::is_directory(run) && run.find('@') != std::string::npos;
  return run + (changed ? "," : "@") + changes;
}

double right_words(const data::Words& output, const data::Words& solution) {
  if (solution.empty()) return 1;
  int64_t right = 0;
  for (size_t i = 0; i < std::min(output.size(), solution.size()); ++i)
    right += output[i] == solution[i] ? 1 : 0;
  return static_cast<double>(right) / static_cast<double>(solution.size());
}

PatternReport compare_patterns(const std::string& run, Run& trained, std::span<const data::Problem> problems,
                               const std::vector<int64_t>& rounds) {
  std::vector<Candidate> all = candidates(run, rounds);
  PatternReport report;
  const bool sparse = model::AttentionCore(trained.config).normalizer() != ops::Normalizer::softmax;
  report.mass = sparse ? 1.0 : softmax_mass;
  Heads longest;
  {
    const torch::NoGradGuard no_grad;
    for (const data::Problem& problem : problems) {
      const data::Words output = solution(problem, trained.format());
      const auto length = static_cast<int64_t>(problem.prompt.size() + output.size());
      if (report.traced == most_traced || length > longest_traced) continue;
      const std::vector<Heads> heads =
          shared_heads(trained.network, trained.vocabulary, problem.prompt, output);
      for (size_t layer = 0; layer < heads.size(); ++layer)
        match_layer(all, layer, heads[layer], report.mass);
      ++report.traced;
      if (heads.front().query.size(2) <= report.longest) continue;
      report.longest = heads.front().query.size(2);
      longest = heads.front();
    }
  }
  if (report.traced == 0) {
    throw std::runtime_error(
        fmt::format("{}: no problem has at most {} words with its solution", run, longest_traced));
  }
  time_all(all, longest);
  for (Candidate& candidate : all) {
    PatternLine& line = candidate.line;
    line.keys = candidate.match.mean(&PatternMatch::keys);
    line.recall = candidate.match.mean(&PatternMatch::recall);
    line.mass = candidate.match.mean(&PatternMatch::mass);
    line.error = candidate.error.value();
    decode(candidate, problems);
    report.lines.push_back(line);
  }
  return report;
}

}  // namespace giantrabbit::eval
