// In: what `solve --problem` takes. Accepted: the problem reads back from its own words, its solution is
// inside the vocabulary and judged right in every format.
#include "data/problem.h"

#include "data/split.h"
#include "data/vocabulary.h"
#include "tests/fuzz/fuzz.h"

namespace giantrabbit::fuzz {

void problem(std::string_view bytes) {
  data::Problem problem;
  if (!accepts<data::ProblemError>([&] { problem = data::parse_problem(bytes); })) return;
  const data::Words& prompt = problem.prompt;
  require(data::parse_problem(data::join_words(prompt)).prompt == prompt,
          "a problem reads back from its words");
  const data::Family& family = data::find_family(prompt.at(0));
  const std::string canonical = family.canonical(prompt);
  (void)data::split_of(canonical);
  require(!canonical.empty() && !family.stratum(prompt).empty(),
          "a problem has a canonical text and a group");
  const double weight = family.training_weight(prompt);
  require(weight > 0 && weight <= 1, "a share of problems lies in (0, 1]");
  const data::Vocabulary vocabulary(family.extra_words());
  for (const auto format :
       {data::ChainFormat::prod, data::ChainFormat::delta, data::ChainFormat::answer_only}) {
    const data::Words solution = family.solve(prompt, format);
    (void)vocabulary.encode(solution);
    const data::Verdict verdict = family.judge(prompt, solution, format);
    require(verdict.finished && verdict.answer_right && verdict.chain_valid, "the solution is right");
    require(verdict.reference_chain_words == verdict.chain_words, "the solution is the reference");
  }
}

}  // namespace giantrabbit::fuzz
