// FACT_COUNT: given rows, columns and rank of A, whether Ax = b can always be solved and how many solutions
// there are when it can. Kept invariant: rank = rows <=> always; rank = columns <=> unique.
#include "data/families/facts.h"
#include "data/families/families.h"

namespace giantrabbit::data {
namespace {

class FactCount final : public FactFamily {
 public:
  std::string_view name() const override { return "FACT_COUNT"; }
  std::string_view summary() const override {
    return "given rows, columns and rank of A, asks whether Ax = b is solvable always or sometimes, and "
           "uniquely "
           "or in many ways";
  }

 protected:
  void append_answer(Words& words, const Sizes& sizes) const override {
    words.emplace_back(sizes.rank == sizes.rows ? "ALWAYS" : "SOMETIMES");
    words.emplace_back(sizes.rank == sizes.columns ? "UNIQUE" : "MANY");
  }

  std::optional<bool> grade(const Words& prompt, std::span<const std::string> answer) const override {
    const auto one_of = [](const std::string& word, std::string_view a, std::string_view b) {
      return word == a || word == b;
    };
    if (answer.size() != 2 || !one_of(answer[0], "ALWAYS", "SOMETIMES") ||
        !one_of(answer[1], "UNIQUE", "MANY")) {
      return std::nullopt;
    }
    Words right;
    append_answer(right, read(prompt));
    return answer[0] == right[0] && answer[1] == right[1];
  }
};

}  // namespace

const Family& fact_count() {
  static const FactCount family;
  return family;
}

}  // namespace giantrabbit::data
