// In: a family's parts, a prompt, an output. Out: the verdict. Kept invariant: a line counts as valid only
// when every word of it follows from the state the model wrote before.
#include "data/families/chain_family.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

namespace giantrabbit::data {

void ChainFamily::validate(const Words& prompt) const {
  bool readable = false;
  try {
    (void)canonical(prompt);  // reads the prompt: what is wrong with its form is said there
    readable = true;
    (void)solve(prompt, ChainFormat::prod);
  } catch (const ProblemError& error) {
    if (!readable) throw;
    throw ProblemError(fmt::format("{}: the solution meets a value without words: {}", name(), error.what()));
  } catch (const std::overflow_error&) {
    throw ProblemError(fmt::format("{}: the solution meets values beyond 64 bits", name()));
  }
}

Verdict ChainFamily::judge(const Words& prompt, std::span<const std::string> output,
                           ChainFormat format) const {
  const Words reference = solve(prompt, format);
  const OutputParts parts = split_output(output);
  Verdict verdict = begin_verdict(parts, reference);
  // The same whatever the format, so that results without chains are shown by the same groups.
  const Words full = format == ChainFormat::prod ? reference : solve(prompt, ChainFormat::prod);
  verdict.reference_steps = static_cast<int>(split_output(full).lines.size());
  verdict.has_fraction = has_denominator(prompt) || has_denominator(full);
  const auto chain = chain_judge(prompt, format);
  for (const auto& line : parts.lines) verdict.steps.push_back(chain->read(output, line));
  mark_reference_steps(verdict, output, reference);
  Ending ending{format == ChainFormat::answer_only, true, false};
  try {
    ending.complete = ending.complete || chain->complete();
    const auto right = grade(prompt, parts.answer);
    ending.readable = right.has_value();
    ending.right = right.value_or(false);
  } catch (const std::overflow_error&) {
    // Far-fetched values only: such an answer counts as wrong.
  }
  conclude(verdict, parts, ending);
  return verdict;
}

Problem ChainFamily::checked(Words prompt) const {
  validate(prompt);
  return {"", std::move(prompt)};
}

bool has_denominator(std::span<const std::string> words) {
  return std::any_of(words.begin(), words.end(),
                     [](const std::string& word) { return word.starts_with('/'); });
}

}  // namespace giantrabbit::data
