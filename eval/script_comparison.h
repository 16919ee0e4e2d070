// A TorchScript of a run (model/script/script_module.h) held against the run: logits at several shapes of
// random words, then, on problems, the words that generation writes and the logits behind them. In, a run and
// problems; out, what the run's model expects and how near a script comes.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "data/problem.h"
#include "eval/run.h"

namespace giantrabbit::eval {

// Logits may differ by this much of the largest one, but at least of 1: two orders of the same fp32 sums.
inline constexpr double script_tolerance = 1e-5;

struct ScriptAgreement {
  double logits = 0;    // largest difference over the largest logit, at least 1
  double absolute = 0;  // largest difference
  int64_t prompts = 0;  // on which generation was compared
  int64_t equal = 0;    // of them, with the model's own words; the others differ from a tie of two words on
};

class ScriptComparison {
 public:
  ScriptComparison(Run& run, std::span<const data::Problem> problems);

  // Inputs and expected results as JSON, for other programs to repeat the comparison:
  // {"forward": [{"prompt", "decoder_tokens", "logits"}, ..], "generate": [{"prompt", "max_tokens",
  // "tokens"}, ..]}
  std::string expected() const;
  // Throws std::runtime_error, one sentence, where the script is not the model.
  ScriptAgreement with(torch::jit::Module script) const;

 private:
  struct Logits {
    bool is_random;
    model::Inputs inputs;
    torch::Tensor expected;
  };
  struct Generated {
    model::Inputs inputs;  // without decoder tokens
    int64_t max_tokens;
    torch::Tensor expected;
  };

  void add_logits(bool is_random, const model::Inputs& inputs);
  void add_random_words();
  void add_problems(std::span<const data::Problem> problems);
  void add_generated(const std::vector<data::Words>& prompts, int64_t limit);
  static model::Inputs fed(const Generated& generated);
  static void compare(const Logits& one, torch::jit::Module& script, ScriptAgreement& agreement);
  void compare(const Generated& one, torch::jit::Module& script, ScriptAgreement& agreement) const;
  void check_tie(const Generated& one, int64_t row, int64_t place, const torch::Tensor& actual) const;

  Run& run_;
  std::vector<Logits> logits_;
  std::vector<Generated> generated_;
};

}  // namespace giantrabbit::eval
