// Cuts an output at its steps. Words between two steps belong to no step and are shown without a mark.
#include "eval/chain_text.h"

#include <algorithm>

#include <fmt/format.h>

namespace giantrabbit::eval {
namespace {

class ChainWriter {
 public:
  ChainWriter(const Judged& item, const BesideStep& beside) : item_(item), beside_(beside) {}

  void line(int begin, int end, const std::string& mark, const std::string& remark) {
    const auto words =
        std::span(item_.output).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
    const std::string column = beside_ ? beside_(begin, end) + "  " : "";
    text_ += fmt::format("    {} {}{}{}\n", mark, column, data::join_words(words),
                         remark.empty() ? "" : "   <- " + remark);
  }
  void add(const std::string& text) { text_ += text; }
  const std::string& text() const { return text_; }

 private:
  const Judged& item_;
  const BesideStep& beside_;
  std::string text_;
};

// The reference's answer without ANS and EOS; empty when there is no reference.
std::string reference_answer(const data::Problem& problem, data::ChainFormat format) {
  try {
    const data::Words words = data::find_family(problem.prompt.at(0)).solve(problem.prompt, format);
    const auto answer = std::ranges::find(words, "ANS");
    if (answer == words.end()) return "";
    return data::join_words(std::span(answer + 1, words.end() - 1));
  } catch (const data::ProblemError&) {
    return "";
  }
}

std::string answer_remark(const Judged& item, data::ChainFormat format) {
  const data::Verdict& verdict = item.verdict;
  if (verdict.answer_right) return verdict.finished ? "" : "right, but the output does not end";
  std::string remark = verdict.finished ? "wrong" : "the output does not end within the limit";
  const std::string reference = reference_answer(item.problem, format);
  if (!reference.empty()) remark += "; a right answer: " + reference;
  return remark;
}

}  // namespace

std::string check_mark(bool right) { return right ? "\u2713" : "\u2717"; }

std::string chain_text(const Judged& item, data::ChainFormat format, const BesideStep& beside) {
  const data::Verdict& verdict = item.verdict;
  const auto size = static_cast<int>(item.output.size());
  ChainWriter writer(item, beside);
  int position = 0;
  for (const data::StepVerdict& step : verdict.steps) {
    if (step.begin > position) writer.line(position, step.begin, " ", "");
    const std::string reason =
        step.valid ? "" : fmt::format("{}: {}", data::error_class_name(step.error), step.reason);
    writer.line(step.begin, step.end, check_mark(step.valid), reason);
    position = step.end;
  }
  const int answer = std::clamp(verdict.chain_words, position, size);
  if (answer > position) writer.line(position, answer, " ", "");
  writer.line(answer, size, check_mark(verdict.answer_right), answer_remark(item, format));
  const bool steps_valid = std::ranges::all_of(verdict.steps, &data::StepVerdict::valid);
  if (!verdict.chain_valid && verdict.answer_right && steps_valid) {
    writer.add(fmt::format("      the chain does not lead to the answer: {}\n",
                           data::error_class_name(verdict.error)));
  }
  return writer.text();
}

}  // namespace giantrabbit::eval
