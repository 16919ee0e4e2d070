// NULL: given A, the special solutions of Ax = 0. Chain: the row reduction, then pivot and free columns. Kept
// invariant: any basis of the null space is right (rank test); NONE, or the zero vector, says that it is {0}.
#include <array>

#include "data/families/families.h"
#include "data/families/matrix_family.h"
#include "data/families/vectors.h"

namespace giantrabbit::data {
namespace {

constexpr std::array<Shape, 8> null_space_shapes = {
    {{3, 4}, {2, 2}, {2, 3}, {2, 4}, {3, 3}, {3, 5}, {4, 3}, {1, 3}}};

class NullSpace final : public MatrixFamily {
 public:
  NullSpace() : MatrixFamily(null_space_shapes) {}

  std::string_view name() const override { return "NULL"; }
  std::string_view summary() const override {
    return "given the rows of A, asks for the special solutions of Ax = 0";
  }

  Words solve(const Words& prompt, ChainFormat format) const override {
    const Matrix matrix = read(prompt);
    const Reduction reduction = reduce(matrix);
    Words words;
    append_chain(words, matrix, reduction.operations, format);
    if (format != ChainFormat::answer_only) {
      append_columns(words, "PIV", reduction.pivots);
      append_columns(words, "FREE", free_columns(reduction));
    }
    words.emplace_back("ANS");
    const auto solutions = special_solutions(reduction);
    if (solutions.empty()) words.emplace_back("NONE");
    append_vectors(words, solutions);
    words.emplace_back("EOS");
    return words;
  }

 protected:
  std::unique_ptr<ChainJudge> chain_judge(const Words& prompt, ChainFormat format) const override {
    Matrix matrix = read(prompt);
    const int columns = matrix.columns();
    return std::make_unique<EliminationJudge>(std::move(matrix), columns,
                                              EliminationJudge::Goal::reduced_with_free, format);
  }

  std::optional<bool> grade(const Words& prompt, std::span<const std::string> answer) const override {
    const Matrix matrix = read(prompt);
    if (answer.size() == 1 && answer[0] == "NONE") return rank(matrix) == matrix.columns();
    const auto vectors = read_vectors(answer, static_cast<size_t>(matrix.columns()));
    if (!vectors || vectors->empty()) return std::nullopt;
    return is_null_basis(matrix, *vectors);
  }
};

}  // namespace

const Family& null_space() {
  static const NullSpace family;
  return family;
}

}  // namespace giantrabbit::data
