// Which keys a shared-query-key layer may see, compared on the same trained heads: locality-sensitive
// hashing, the last keys and random ones, for several numbers of rounds, against all earlier keys (`full`).
// In, a run whose model has such layers and problems of its task; out, one line of figures for every pattern.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/problem.h"
#include "eval/run.h"
#include "eval/statistics.h"

namespace giantrabbit::eval {

// Heads are captured while the solutions of the first problems are forced through the run, as it was trained.
inline constexpr size_t most_traced = 8;
// Exact weights are written out: longer sequences are decoded, but not traced.
inline constexpr int64_t longest_traced = 4400;
// Of the true support of softmax, which has a weight on every key.
inline constexpr double softmax_mass = 0.9;

struct PatternLine {
  std::string pattern;  // full | lsh | window | random
  int64_t rounds = 0;   // window and random have as many keys as the rounds have chunks' places; 0: full
  // Means over the queries of every shared layer and head.
  double keys = 0;    // that a query may see, each once
  double recall = 0;  // share of the true support among them
  double mass = 0;    // exact weight that lies on them
  double error = 0;   // of the attention's output, relative, Euclidean
  // The run decoded with its shared layers switched to the pattern.
  Share exact;
  double right_words = 0;  // mean share of the solution's words that stand in their place
  // Forward and backward of the first shared layer's attention on the longest traced sequence.
  double seconds = 0;     // least processor time
  double time_ratio = 0;  // to `full`, median over rounds
  int64_t peak_bytes = 0;
};

struct PatternReport {
  std::vector<PatternLine> lines;  // full first
  size_t traced = 0;               // sequences
  int64_t longest = 0;             // positions of the timed one
  double mass = 1;                 // that the true support holds
};

// "RUN" or "RUN@changes" under one more change.
std::string with_changes(const std::string& run, const std::string& changes);

// Share of the solution's words that stand in their place; 1 for none.
double right_words(const data::Words& output, const data::Words& solution);

// `run` as load_run() takes it; `trained` is that run. Throws std::runtime_error where no problem is short
// enough to be traced.
PatternReport compare_patterns(const std::string& run, Run& trained, std::span<const data::Problem> problems,
                               const std::vector<int64_t>& rounds);

}  // namespace giantrabbit::eval
