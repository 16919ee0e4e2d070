// SOLSET: given rows of A and the complete solution of Ax = b (a particular and the special solutions), the
// reduced [R|d]. Chain: pivot and free columns, then each pivot row of R and, as a running sum over its
// columns, its entry of d. Kept invariant: special solutions have their 1 at a free column, 0 at the other
// free columns and right of it.
#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/families/drawing.h"
#include "data/families/families.h"
#include "data/families/support.h"
#include "data/families/vectors.h"
#include "data/json_values.h"
#include "data/split.h"
#include "data/vocabulary.h"

namespace giantrabbit::data {
namespace {

constexpr std::array<Shape, 9> solution_set_shapes = {
    {{3, 3}, {2, 2}, {2, 3}, {3, 4}, {2, 4}, {4, 3}, {3, 2}, {3, 5}, {4, 4}}};

struct SolutionSet {
  int rows = 0;
  Vector particular;
  std::vector<Vector> special;
};

struct System {
  Matrix reduced;  // R
  Vector right;    // d
  std::vector<int> pivots;
  std::vector<int> free;
};

// The free column of a special solution: its last nonzero entry, which has to be 1.
int free_column(const Vector& special, size_t number) {
  int last = static_cast<int>(special.size()) - 1;
  while (last >= 0 && special[static_cast<size_t>(last)].is_zero()) --last;
  if (last < 0 || special[static_cast<size_t>(last)] != Rational(1)) {
    throw ProblemError(fmt::format("SOLSET: special solution {} needs a 1 as its last nonzero entry, got {}",
                                   number,
                                   last < 0 ? "the zero vector" : special[static_cast<size_t>(last)].text()));
  }
  return last;
}

System solve_backwards(const SolutionSet& set) {
  const auto columns = static_cast<int>(set.particular.size());
  System system{Matrix(set.rows, columns), Vector(static_cast<size_t>(set.rows)), {}, {}};
  for (size_t k = 0; k < set.special.size(); ++k) {
    const int column = free_column(set.special[k], k + 1);
    for (size_t other = 0; other < set.special.size(); ++other) {
      if (other == k || set.special[other][static_cast<size_t>(column)].is_zero()) continue;
      throw ProblemError(
          fmt::format("SOLSET: special solution {} needs a 0 at column {}, the free column of {}", other + 1,
                      column + 1, k + 1));
    }
    system.free.push_back(column);
  }
  std::sort(system.free.begin(), system.free.end());
  system.pivots = other_columns(system.free, columns);
  if (static_cast<int>(system.pivots.size()) > set.rows) {
    throw ProblemError(
        fmt::format("SOLSET: {} columns and {} special solutions need at least {} rows, got {}", columns,
                    set.special.size(), system.pivots.size(), set.rows));
  }
  for (size_t place = 0; place < system.pivots.size(); ++place) {
    const auto row = static_cast<int>(place);
    system.reduced(row, system.pivots[place]) = 1;
    for (const Vector& special : set.special) {
      system.reduced(row, free_column(special, 0)) = -special[static_cast<size_t>(system.pivots[place])];
    }
    system.right[place] = dot(system.reduced.row(row), set.particular);
  }
  return system;
}

// Product and running sum for each column in prod, the last sum alone in delta.
Vector sums(const Vector& row, const Vector& particular, ChainFormat format) {
  Vector result;
  Rational sum;
  for (size_t j = 0; j < row.size(); ++j) {
    const Rational term = row[j] * particular[j];
    sum = sum + term;
    if (format == ChainFormat::prod) result.insert(result.end(), {term, sum});
  }
  if (format == ChainFormat::delta) result.push_back(sum);
  return result;
}

class SolutionSetJudge final : public ChainJudge {
 public:
  SolutionSetJudge(const SolutionSet& set, ChainFormat format)
      : particular_(set.particular),
        system_(solve_backwards(set)),
        format_(format),
        said_(system_.pivots.size(), false) {}

  StepVerdict read(std::span<const std::string> output, const OutputParts::Line& line) override {
    StepVerdict verdict;
    const auto words = line_words(output, line, format_, verdict);
    if (!words) return verdict;
    const std::string_view name = words->empty() ? std::string_view() : words->front();
    if (name == "PIV" || name == "FREE") {
      judge_columns(*words, name == "PIV" ? system_.pivots : system_.free, verdict);
      if (verdict.valid) (name == "PIV" ? pivots_said_ : free_said_) = true;
    } else {
      read_row(*words, verdict);
    }
    return verdict;
  }

  bool complete() const override {
    return pivots_said_ && free_said_ && std::find(said_.begin(), said_.end(), false) == said_.end();
  }

 private:
  void read_row(std::span<const std::string> words, StepVerdict& verdict) {
    WordReader reader(words);
    const auto columns = particular_.size();
    const bool named = reader.take("ROW");
    const auto row = named ? reader.row(system_.reduced.rows()) : std::nullopt;
    const auto entries = row && reader.take(":") ? reader.values(columns) : std::nullopt;
    const size_t count = format_ == ChainFormat::prod ? 2 * columns : 1;
    const auto written = entries && reader.take(":") ? reader.values(count) : std::nullopt;
    if (!written || !reader.done()) {
      refuse(verdict, ErrorClass::format, "the line is neither PIV, FREE nor \"ROW Ri : entries : sums\"");
    } else if (*entries != system_.reduced.row(*row)) {
      refuse(verdict, ErrorClass::arithmetic, fmt::format("R{} is not this row of R", *row + 1));
    } else if (*written != sums(*entries, particular_, format_)) {
      refuse(verdict, ErrorClass::arithmetic, fmt::format("a product or sum of R{} is wrong", *row + 1));
    } else {
      verdict.valid = true;
      if (static_cast<size_t>(*row) < said_.size()) said_[static_cast<size_t>(*row)] = true;
    }
  }

  Vector particular_;
  System system_;
  ChainFormat format_;
  std::vector<bool> said_;  // per pivot row
  bool pivots_said_ = false;
  bool free_said_ = false;
};

class SolutionSetFamily final : public ExamFamily {
 public:
  std::string_view name() const override { return "SOLSET"; }
  std::string_view summary() const override {
    return "given the number of rows, a particular and the special solutions of Ax = b, asks for the reduced "
           "[R|d]";
  }

  Problem from_json(const nlohmann::json& given) const override {
    const Vector shape = json_vector(given, "A_shape");
    SolutionSet set{0, json_vector(given, "particular"), json_vectors(given, "special")};
    const auto columns = static_cast<int64_t>(set.particular.size());
    if (shape.size() != 2 || !shape[0].is_integer() || shape[0] < Rational(1) ||
        shape[0] > Rational(most_family_rows) || shape[1] != Rational(columns)) {
      throw ProblemError(fmt::format("given.A_shape: expected [rows up to {}, {}], got {}", most_family_rows,
                                     columns, given["A_shape"].dump()));
    }
    set.rows = static_cast<int>(shape[0].numerator());
    return checked(write(set));
  }

  Words solve(const Words& prompt, ChainFormat format) const override {
    const SolutionSet set = read(prompt);
    const System system = solve_backwards(set);
    Words words;
    if (format != ChainFormat::answer_only) {
      append_columns(words, "PIV", system.pivots);
      append_columns(words, "FREE", system.free);
      for (int row = 0; row < static_cast<int>(system.pivots.size()); ++row) {
        const Vector entries = system.reduced.row(row);
        words.insert(words.end(), {"ROW", "R" + std::to_string(row + 1), ":"});
        append_values(words, entries);
        words.emplace_back(":");
        append_values(words, sums(entries, set.particular, format));
        words.emplace_back("NL");
      }
    }
    words.emplace_back("ANS");
    append_rows(words, with_column(system.reduced, system.right));
    words.emplace_back("EOS");
    return words;
  }

  std::string canonical(const Words& prompt) const override {
    const System system = solve_backwards(read(prompt));
    return canonical_matrix(with_column(system.reduced, system.right));
  }

 protected:
  Words draw(CounterRng& rng) const override {
    const Shape shape = draw_shape(rng, solution_set_shapes);
    const int rank = draw_rank(rng, shape);
    const Reduction reduction = reduce(draw_reduced(rng, shape, rank));
    SolutionSet set{shape.rows, Vector(static_cast<size_t>(shape.columns)), special_solutions(reduction)};
    const bool free_zero = rng.chance(.7);
    const int64_t most = rng.chance(.2) ? 30 : 9;
    for (int j = 0; j < shape.columns; ++j) {
      const bool pivot = std::binary_search(reduction.pivots.begin(), reduction.pivots.end(), j);
      if (pivot) set.particular[static_cast<size_t>(j)] = rng.uniform(-most, most);
      if (!pivot && !free_zero) set.particular[static_cast<size_t>(j)] = rng.uniform(-3, 3);
    }
    return write(set);
  }

  // More than one free column.
  bool is_rare(const Words& prompt) const override { return read(prompt).special.size() > 1; }

  std::unique_ptr<ChainJudge> chain_judge(const Words& prompt, ChainFormat format) const override {
    return std::make_unique<SolutionSetJudge>(read(prompt), format);
  }

  std::optional<bool> grade(const Words& prompt, std::span<const std::string> answer) const override {
    const auto written = read_rows(answer);
    if (!written) return std::nullopt;
    const System system = solve_backwards(read(prompt));
    return *written == with_column(system.reduced, system.right);
  }

 private:
  Words write(const SolutionSet& set) const {
    Words prompt = {std::string(name())};
    append_value(prompt, set.rows);
    prompt.emplace_back(";");
    append_vectors(prompt, std::array{set.particular});
    append_vectors(prompt, set.special);
    return prompt;
  }

  SolutionSet read(const Words& prompt) const {
    WordReader reader(prompt);
    const auto rows = reader.take(name()) ? reader.value() : std::nullopt;
    if (!rows || !reader.take(";") || !rows->is_integer() || *rows < Rational(1) ||
        *rows > Rational(most_family_rows)) {
      throw ProblemError(fmt::format(
          "SOLSET: expected the number of rows of A (1 to {}), then \";\" and the solutions, got \"{}\"",
          most_family_rows, join_words(prompt)));
    }
    Words vectors = {std::string(name())};
    vectors.insert(vectors.end(), prompt.begin() + static_cast<std::ptrdiff_t>(reader.position()),
                   prompt.end());
    auto rows_read = rows_of(read_prompt_matrix(vectors, most_family_columns + 1, most_family_columns));
    SolutionSet set{static_cast<int>(rows->numerator()), std::move(rows_read[0]), {}};
    set.special.assign(std::make_move_iterator(rows_read.begin() + 1),
                       std::make_move_iterator(rows_read.end()));
    return set;
  }
};

}  // namespace

const Family& solution_set() {
  static const SolutionSetFamily family;
  return family;
}

}  // namespace giantrabbit::data
