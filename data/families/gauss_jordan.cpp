// Gauss-Jordan elimination over a prime field (GF2, GF3): the prompt is a matrix of residues, the answer its
// reduced row echelon form, the chain the operations in the order of row reduction. Long chains: about 0.8
// n^3 words for n rows. Kept invariant: every value of prompt and chain is a residue 0 .. p-1; rows are R1 ..
// R32.
//
// Note [Idle rows]: the needle tasks generate [A B; 0 D] with few rows in A. The chain begins with A, writes
// its rows, works on D for long without them, and needs them again when the rows above D are cleared: whoever
// drops what was not read for a while loses them.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "data/chain.h"
#include "data/elimination.h"
#include "data/families/chain_family.h"
#include "data/families/families.h"
#include "data/json_values.h"
#include "data/split.h"

namespace giantrabbit::data {
namespace {

constexpr int row_labels = 32;
constexpr int base_row_labels = 8;  // R1 .. R8 are base words

class OperationsJudge final : public ChainJudge {
 public:
  OperationsJudge(Matrix start, Matrix goal, ChainFormat format, const Field& field)
      : reader_(std::move(start), format, field), goal_(std::move(goal)) {}
  StepVerdict read(std::span<const std::string> output, const OutputParts::Line& line) override {
    return reader_.read(output, line);
  }
  bool complete() const override { return reader_.state() == goal_; }

 private:
  ChainReader reader_;
  Matrix goal_;
};

// Generated are n x (n + 1) matrices, least <= n <= most, whose first `idle` rows are idle: Note [Idle rows].
struct MatrixSizes {
  int least = 0;
  int most = 0;
  int idle = 0;
};

class GaussJordan final : public ChainFamily {
 public:
  GaussJordan(int prime, MatrixSizes sizes)
      : name_(fmt::format("GF{}", prime)),
        summary_(fmt::format("given the rows of a matrix over GF({}), asks for its reduced row echelon form",
                             prime)),
        prime_(prime),
        field_(prime),
        sizes_(sizes),
        extra_words_{{name_}} {
    for (int row = base_row_labels + 1; row <= row_labels; ++row)
      extra_words_.push_back({fmt::format("R{}", row)});
  }

  std::string_view name() const override { return name_; }
  std::string_view summary() const override { return summary_; }
  std::span<const ExtraWord> extra_words() const override { return extra_words_; }

  // Uniform entries: about 29% (GF2) and 56% (GF3) of the square parts have full rank.
  Problem generate(CounterRng& rng) const override {
    const int rows = static_cast<int>(rng.uniform(sizes_.least, sizes_.most));
    Matrix matrix = draw(rng, rows, rows + 1);
    Matrix idle = draw(rng, sizes_.idle, sizes_.idle);
    while (std::ssize(reduce(idle, field_).pivots) < sizes_.idle) idle = draw(rng, sizes_.idle, sizes_.idle);
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < sizes_.idle; ++j) matrix(i, j) = i < sizes_.idle ? idle(i, j) : Rational(0);
    }
    return {"", write_prompt(matrix)};
  }

  Problem from_json(const nlohmann::json& given) const override {
    return checked(write_prompt(json_matrix(given, "A")));
  }

  Words solve(const Words& prompt, ChainFormat format) const override {
    const Matrix matrix = read(prompt);
    const Reduction reduction = reduce(matrix, field_);
    Words words;
    append_chain(words, matrix, reduction.operations, format, field_);
    words.emplace_back("ANS");
    append_rows(words, reduction.rref);
    words.emplace_back("EOS");
    return words;
  }

  // Rows times any nonzero number are the same row here: each is divided by its first nonzero entry.
  std::string canonical(const Words& prompt) const override {
    Matrix matrix = read(prompt);
    for (int i = 0; i < matrix.rows(); ++i) {
      int first = 0;
      while (first < matrix.columns() && matrix(i, first).is_zero()) ++first;
      if (first == matrix.columns()) continue;
      apply({Operation::Kind::divide, i, 0, matrix(i, first)}, matrix, field_);
    }
    return with_digest(fmt::format("{}|{}", name_, canonical_matrix(matrix)));
  }

  std::string stratum(const Words& prompt) const override {
    const Matrix matrix = read(prompt);
    return fmt::format("{}x{}", matrix.rows(), matrix.columns());
  }

 protected:
  std::unique_ptr<ChainJudge> chain_judge(const Words& prompt, ChainFormat format) const override {
    Matrix matrix = read(prompt);
    Matrix goal = reduce(matrix, field_).rref;
    return std::make_unique<OperationsJudge>(std::move(matrix), std::move(goal), format, field_);
  }

  std::optional<bool> grade(const Words& prompt, std::span<const std::string> answer) const override {
    if (!read_rows(answer)) return std::nullopt;
    Words right;
    append_rows(right, reduce(read(prompt), field_).rref);
    return std::equal(answer.begin(), answer.end(), right.begin(), right.end());
  }

 private:
  Matrix draw(CounterRng& rng, int rows, int columns) const {
    Matrix matrix(rows, columns);
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < columns; ++j) matrix(i, j) = rng.uniform(0, prime_ - 1);
    }
    return matrix;
  }

  Words write_prompt(const Matrix& matrix) const {
    Words prompt = {name_};
    append_rows(prompt, matrix);
    return prompt;
  }

  Matrix read(const Words& prompt) const {
    Matrix matrix = read_prompt_matrix(prompt, row_labels, row_labels + 1);
    for (int i = 0; i < matrix.rows(); ++i) {
      for (int j = 0; j < matrix.columns(); ++j) {
        if (field_.contains(matrix(i, j))) continue;
        throw ProblemError(fmt::format("{}: expected entries 0..{}, got {} in row {}", name_, prime_ - 1,
                                       matrix(i, j).text(), i + 1));
      }
    }
    return matrix;
  }

  std::string name_;
  std::string summary_;
  int prime_;
  Field field_;
  MatrixSizes sizes_;
  std::vector<ExtraWord> extra_words_;
};

}  // namespace

std::vector<FamilyTask> gauss_jordan_tasks() {
  std::vector<FamilyTask> tasks;
  for (const int prime : {2, 3}) {
    const std::string name = fmt::format("gauss-jordan-gf{}", prime);
    tasks.push_back({name, std::make_shared<GaussJordan>(prime, MatrixSizes{3, 8, 0})});
    for (const int rows : {8, 12, 16, 20, 24, 28, 32}) {
      const MatrixSizes sizes{rows, rows, 0};
      tasks.push_back({fmt::format("{}-{}", name, rows), std::make_shared<GaussJordan>(prime, sizes)});
    }
  }
  for (const int prime : {2, 3}) {
    const std::string name = fmt::format("needle-gf{}", prime);
    tasks.push_back({name, std::make_shared<GaussJordan>(prime, MatrixSizes{6, 10, 3})});
    for (const int rows : {16, 24}) {
      const MatrixSizes sizes{rows, rows, 4};
      tasks.push_back({fmt::format("{}-{}", name, rows), std::make_shared<GaussJordan>(prime, sizes)});
    }
  }
  return tasks;
}

}  // namespace giantrabbit::data
