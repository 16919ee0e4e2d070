// What judging has in common, whatever the chain is about: lines, verdicts of lines, the verdict of an
// output. In: a model's words and what the family found in them. Out: one verdict, its error the first fault.
// Kept invariant: chain_valid means finished, right, complete, and every line valid.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "data/problem.h"
#include "data/words.h"

namespace giantrabbit::data {

void refuse(StepVerdict& verdict, ErrorClass error, std::string reason);
// The words of a line without its NL; empty, and `verdict` says why, when no line of this format can stand
// there.
std::optional<std::span<const std::string>> line_words(std::span<const std::string> output,
                                                       const OutputParts::Line& line, ChainFormat format,
                                                       StepVerdict& verdict);

// The first part of every verdict: end of the output, lengths, and the reference chain of `reference` (a
// solution in the same format). Steps are added by the family.
Verdict begin_verdict(const OutputParts& parts, std::span<const std::string> reference);
// Marks the steps that say word for word what the reference says at the same place.
void mark_reference_steps(Verdict& verdict, std::span<const std::string> output,
                          std::span<const std::string> reference);

// What the family found after the last step.
struct Ending {
  bool complete = false;  // the chain (if one is asked for) reached all that the answer needs
  bool readable = false;  // the answer could be read
  bool right = false;     // the answer is right by the family's rule
};
// Fills answer_right, chain_valid and error; the error is the first fault of the output. An output whose
// chain does not reach the answer is never chain_valid, even when the answer is right.
void conclude(Verdict& verdict, const OutputParts& parts, const Ending& ending);

}  // namespace giantrabbit::data
