// BLOCK: given A (m by n), the reduced row echelon form of the 2m by 2n matrix [[A, A], [A, A]]. Chain: the
// reduction of A and its pivot columns; the lower half only repeats the upper one. Kept invariant: the answer
// is [[R, R], [0, 0]], zero rows last.
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/families/families.h"
#include "data/families/matrix_family.h"

namespace giantrabbit::data {
namespace {

constexpr std::string_view pattern = "[[A,A],[A,A]]";
constexpr std::array<Shape, 6> block_shapes = {{{3, 4}, {2, 2}, {2, 3}, {3, 3}, {2, 4}, {3, 2}}};

class Block final : public MatrixFamily {
 public:
  Block() : MatrixFamily(block_shapes) {}

  std::string_view name() const override { return "BLOCK"; }
  std::string_view summary() const override {
    return "given the rows of A, asks for the reduced row echelon form of [[A, A], [A, A]]";
  }

  Words solve(const Words& prompt, ChainFormat format) const override {
    const Matrix matrix = read(prompt);
    const Reduction reduction = reduce(matrix);
    Words words;
    append_chain(words, matrix, reduction.operations, format);
    if (format != ChainFormat::answer_only) append_columns(words, "PIV", reduction.pivots);
    words.emplace_back("ANS");
    append_rows(words, doubled(reduction.rref));
    words.emplace_back("EOS");
    return words;
  }

 protected:
  void check_given(const nlohmann::json& given) const override {
    if (given.contains("block_pattern") && given["block_pattern"] != pattern) {
      throw ProblemError(fmt::format("given.block_pattern: expected \"{}\", got {}", pattern,
                                     given["block_pattern"].dump()));
    }
  }

  std::unique_ptr<ChainJudge> chain_judge(const Words& prompt, ChainFormat format) const override {
    Matrix matrix = read(prompt);
    const int columns = matrix.columns();
    return std::make_unique<EliminationJudge>(std::move(matrix), columns, EliminationJudge::Goal::reduced,
                                              format);
  }

  std::optional<bool> grade(const Words& prompt, std::span<const std::string> answer) const override {
    const auto written = read_rows(answer);
    if (!written) return std::nullopt;
    return *written == doubled(reduce(read(prompt)).rref);
  }

 private:
  static Matrix doubled(const Matrix& reduced) {
    const Matrix upper = reduced.beside(reduced);
    Matrix result(2 * upper.rows(), upper.columns());
    for (int i = 0; i < upper.rows(); ++i) {
      for (int j = 0; j < upper.columns(); ++j) result(i, j) = upper(i, j);
    }
    return result;
  }
};

}  // namespace

const Family& block() {
  static const Block family;
  return family;
}

}  // namespace giantrabbit::data
