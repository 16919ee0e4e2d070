// COLSP: given A, which subspace its column space is: kind, dimension, surrounding space, then a basis or,
// after EQ, equations. Chain: downward elimination and the pivot columns. Kept invariant: any basis of the
// space is right, and any equations whose solutions are exactly the space.
#include <array>

#include "data/families/families.h"
#include "data/families/matrix_family.h"
#include "data/families/vectors.h"

namespace giantrabbit::data {
namespace {

constexpr std::array<Shape, 9> column_space_shapes = {
    {{3, 4}, {2, 2}, {2, 3}, {3, 2}, {3, 3}, {3, 5}, {4, 3}, {4, 4}, {4, 2}}};

class ColumnSpace final : public MatrixFamily {
 public:
  ColumnSpace() : MatrixFamily(column_space_shapes) {}

  std::string_view name() const override { return "COLSP"; }
  std::string_view summary() const override {
    return "given the rows of A, asks which subspace the column space is, with a basis or equations";
  }

  Words solve(const Words& prompt, ChainFormat format) const override {
    const Matrix matrix = read(prompt);
    const Reduction reduction = reduce(matrix);
    Words words;
    append_chain(words, matrix, downward_part(reduction), format);
    if (format != ChainFormat::answer_only) append_columns(words, "PIV", reduction.pivots);
    words.emplace_back("ANS");
    append_space(words, static_cast<int>(reduction.pivots.size()), matrix.rows());
    for (const int pivot : reduction.pivots) append_vectors(words, std::array{matrix.column(pivot)});
    words.emplace_back("EOS");
    return words;
  }

 protected:
  std::unique_ptr<ChainJudge> chain_judge(const Words& prompt, ChainFormat format) const override {
    Matrix matrix = read(prompt);
    const int columns = matrix.columns();
    return std::make_unique<EliminationJudge>(std::move(matrix), columns, EliminationJudge::Goal::echelon,
                                              format);
  }

  std::optional<bool> grade(const Words& prompt, std::span<const std::string> answer) const override {
    const Matrix matrix = read(prompt);
    WordReader reader(answer);
    const auto space = read_space(reader, rank(matrix), matrix.rows());
    if (!space) return std::nullopt;
    const bool equations = reader.take("EQ");
    const auto vectors = read_vectors(answer.subspan(reader.position()), static_cast<size_t>(matrix.rows()));
    if (!vectors) return std::nullopt;
    const bool says_all =
        vectors->empty() && rank(matrix) == matrix.rows();  // the whole space needs no basis
    if (says_all && !equations) return *space;
    return *space &&
           (equations ? spans_null_space(matrix.transposed(), *vectors) : is_column_basis(matrix, *vectors));
  }
};

}  // namespace

const Family& column_space() {
  static const ColumnSpace family;
  return family;
}

}  // namespace giantrabbit::data
