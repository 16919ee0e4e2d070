// The autoregressive trace of one problem: for every written word the probabilities of the words that it was
// chosen from and each decoder head's weight on every word that it saw. In, a run and an output that it
// wrote; out, the trace and its text. Kept invariant: a head's list holds every visible word, weights of 0
// too.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "data/problem.h"
#include "eval/run.h"

namespace giantrabbit::eval {

struct WeightedWord {
  std::string word;
  double weight = 0;
};

struct TracedWord {
  std::string word;
  std::vector<WeightedWord> candidates;  // with their output weights
  struct Head {
    std::string name;                // "head0"; with several attentions "decoder.1.cross head0"
    std::vector<WeightedWord> seen;  // in the order of the sequence
  };
  std::vector<Head> heads;
};

struct GenerationTrace {
  data::Words start;  // the prompt and BOS
  int64_t heads = 0;
  int64_t head_width = 0;
  std::vector<TracedWord> words;
};

// `output` is forced through the network. Candidates are the letters of the task's alphabet or, where it has
// none, the three most likely words.
GenerationTrace trace_generation(Run& run, const data::Words& prompt, const data::Words& output);

// "start [..]", then for every word "step1: p(a)=0.792, .. -> 'a'" and a line a head.
std::string to_text(const GenerationTrace& trace);

// Texts of several lines beside each other, each in a column as wide as its longest line.
std::string side_by_side(std::span<const std::string> texts);

}  // namespace giantrabbit::eval
