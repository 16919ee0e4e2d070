// A family by its parts: reading of lines, completeness, grading. In: prompts and a model's words. Out:
// problems that fit the vocabulary, and verdicts. Kept invariant: nothing a model writes makes judge() throw.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "data/problem.h"
#include "data/verdict.h"
#include "data/words.h"

namespace giantrabbit::data {

// One output's chain, read line by line.
class ChainJudge {
 public:
  virtual ~ChainJudge() = default;
  virtual StepVerdict read(std::span<const std::string> output, const OutputParts::Line& line) = 0;
  virtual bool complete() const = 0;  // the lines so far reach all that the answer needs
};

class ChainFamily : public Family {
 public:
  void validate(const Words& prompt) const final;
  Verdict judge(const Words& prompt, std::span<const std::string> output, ChainFormat format) const final;

 protected:
  virtual std::unique_ptr<ChainJudge> chain_judge(const Words& prompt, ChainFormat format) const = 0;
  // Whether the answer is right, by the family's rule; empty when it cannot be read. May throw
  // std::overflow_error, which counts as wrong.
  virtual std::optional<bool> grade(const Words& prompt, std::span<const std::string> answer) const = 0;

  Problem checked(Words prompt) const;  // validates
};

bool has_denominator(std::span<const std::string> words);

}  // namespace giantrabbit::data
