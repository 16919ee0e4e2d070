// Problems -> outputs -> verdicts. Every number of a report is counted from the verdicts made here.
#include "eval/evaluator.h"

#include <algorithm>

namespace giantrabbit::eval {
namespace {

constexpr int64_t limit_without_reference = 256;
// Room for a first wrong turn where the reference is only a few words long (the FACT families).
constexpr int64_t shortest_limit = 32;

template <typename Predicate>
double share(const std::vector<Judged>& items, Predicate predicate) {
  if (items.empty()) return 0;
  return static_cast<double>(std::ranges::count_if(items, predicate)) / static_cast<double>(items.size());
}

}  // namespace

double Evaluation::exact() const {
  return share(items, [](const Judged& item) { return item.verdict.answer_right; });
}

double Evaluation::chain_valid() const {
  return share(items, [](const Judged& item) { return item.verdict.chain_valid; });
}

Judged unreadable_item(std::string id) {
  Judged item;
  item.problem = {std::move(id), {"?"}};
  item.verdict.finished = true;  // nothing was decoded, so nothing was cut off
  item.verdict.error = data::ErrorClass::format;
  return item;
}

bool is_unreadable(const Judged& item) { return item.problem.prompt == data::Words{"?"}; }

int64_t output_limit(const data::Problem& problem, data::ChainFormat format) {
  try {
    const data::Words reference = data::find_family(problem.prompt.at(0)).solve(problem.prompt, format);
    return std::max(shortest_limit, 2 * static_cast<int64_t>(reference.size()));
  } catch (const data::ProblemError&) {  // an outside item whose own chain leaves the vocabulary's range
    return limit_without_reference;
  }
}

Evaluation evaluate(model::GiantRabbit& network, const data::Vocabulary& vocabulary,
                    std::span<const data::Problem> problems, data::ChainFormat format, int64_t batch_size,
                    model::WeightType weights) {
  std::vector<data::Words> prompts;
  std::vector<int64_t> limits;
  for (const data::Problem& problem : problems) {
    prompts.push_back(problem.prompt);
    limits.push_back(output_limit(problem, format));
  }
  Decoded decoded = decode_greedy(network, vocabulary, prompts, limits, batch_size, weights);

  Evaluation evaluation;
  evaluation.seconds = decoded.seconds;
  evaluation.tokens = decoded.tokens;
  for (size_t index = 0; index < problems.size(); ++index) {
    const data::Problem& problem = problems[index];
    data::Words& output = decoded.outputs[index];
    data::Verdict verdict = data::find_family(problem.prompt.at(0)).judge(problem.prompt, output, format);
    evaluation.items.push_back({problem, std::move(output), std::move(verdict)});
  }
  return evaluation;
}

}  // namespace giantrabbit::eval
