// In: lines and findings. Out: verdicts. Kept invariant: nothing here looks into what a line says.
#include "data/verdict.h"

#include <algorithm>
#include <utility>

namespace giantrabbit::data {

void refuse(StepVerdict& verdict, ErrorClass error, std::string reason) {
  verdict.valid = false;
  verdict.error = error;
  verdict.reason = std::move(reason);
}

std::optional<std::span<const std::string>> line_words(std::span<const std::string> output,
                                                       const OutputParts::Line& line, ChainFormat format,
                                                       StepVerdict& verdict) {
  verdict.begin = line.begin;
  verdict.end = line.end;
  if (format == ChainFormat::answer_only) {
    refuse(verdict, ErrorClass::format, "no chain is asked for");
    return std::nullopt;
  }
  if (!line.closed) {
    // The output ran out in the middle of a line, or ANS came before NL.
    const bool cut = static_cast<size_t>(line.end) == output.size();
    refuse(verdict, cut ? ErrorClass::truncated : ErrorClass::format,
           cut ? "the output ends inside the line" : "the line does not end with NL");
    return std::nullopt;
  }
  return output.subspan(static_cast<size_t>(line.begin), static_cast<size_t>(line.end - line.begin - 1));
}

Verdict begin_verdict(const OutputParts& parts, std::span<const std::string> reference) {
  const OutputParts solution = split_output(reference);
  Verdict verdict;
  verdict.finished = parts.finished;
  verdict.chain_words = parts.chain_words;
  verdict.reference_chain_words = solution.chain_words;
  verdict.reference_steps = static_cast<int>(solution.lines.size());
  verdict.has_fraction = std::any_of(reference.begin(), reference.end(),
                                     [](const std::string& word) { return word.starts_with('/'); });
  return verdict;
}

void mark_reference_steps(Verdict& verdict, std::span<const std::string> output,
                          std::span<const std::string> reference) {
  const OutputParts solution = split_output(reference);
  for (size_t i = 0; i < std::min(verdict.steps.size(), solution.lines.size()); ++i) {
    const auto said = output.subspan(static_cast<size_t>(verdict.steps[i].begin),
                                     static_cast<size_t>(verdict.steps[i].end - verdict.steps[i].begin));
    const auto& line = solution.lines[i];
    verdict.steps[i].as_reference =
        std::equal(said.begin(), said.end(), reference.begin() + line.begin, reference.begin() + line.end);
  }
}

void conclude(Verdict& verdict, const OutputParts& parts, const Ending& ending) {
  const bool complete_output = parts.finished && parts.has_answer;
  verdict.answer_right = complete_output && ending.readable && ending.right;
  const auto fault = std::find_if(verdict.steps.begin(), verdict.steps.end(),
                                  [](const StepVerdict& step) { return !step.valid; });
  if (fault != verdict.steps.end()) {
    verdict.error = fault->error;
  } else if (!parts.has_answer) {
    verdict.error = parts.finished ? ErrorClass::format : ErrorClass::truncated;
  } else if (!ending.complete) {
    verdict.error = ErrorClass::policy;
  } else if (!parts.finished) {
    verdict.error = ErrorClass::truncated;
  } else if (!ending.readable) {
    verdict.error = ErrorClass::format;
  } else if (!ending.right) {
    verdict.error = ErrorClass::final_copy;
  }
  verdict.chain_valid = verdict.answer_right && verdict.error == ErrorClass::none;
}

}  // namespace giantrabbit::data
