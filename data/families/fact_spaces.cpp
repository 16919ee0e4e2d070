// FACT_SPACES: given rows, columns and rank of A, kind and dimension of its column space and of its null
// space. Kept invariant: dimensions r in R^m and n - r in R^n; every true kind is accepted (vectors.h).
#include "data/families/facts.h"
#include "data/families/families.h"
#include "data/families/vectors.h"

namespace giantrabbit::data {
namespace {

class FactSpaces final : public FactFamily {
 public:
  std::string_view name() const override { return "FACT_SPACES"; }
  std::string_view summary() const override {
    return "given rows, columns and rank of A, asks for kind, dimension and surrounding space of column "
           "space "
           "and null space";
  }

 protected:
  void append_answer(Words& words, const Sizes& sizes) const override {
    append_space(words, sizes.rank, sizes.rows);
    append_space(words, sizes.columns - sizes.rank, sizes.columns);
  }

  std::optional<bool> grade(const Words& prompt, std::span<const std::string> answer) const override {
    const Sizes sizes = read(prompt);
    WordReader reader(answer);
    const auto column_space = read_space(reader, sizes.rank, sizes.rows);
    const auto null_space = read_space(reader, sizes.columns - sizes.rank, sizes.columns);
    if (!column_space || !null_space || !reader.done()) return std::nullopt;
    return *column_space && *null_space;
  }
};

}  // namespace

const Family& fact_spaces() {
  static const FactSpaces family;
  return family;
}

}  // namespace giantrabbit::data
