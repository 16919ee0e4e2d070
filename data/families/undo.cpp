// UNDO: given [R|d] and the operations "SUB Ri Rj f" that led to it, E with E[A|b] = [R|d] and [A|b]. Chain:
// the operations on the identity give E; after the line UNDO, they are taken back on [R|d], last first. Kept
// invariant: the answer is exact; the inverse of E may stand in its place after the word INVERSE.
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

constexpr int most_operations = 12;
constexpr std::array<Shape, 6> undo_shapes = {{{3, 3}, {2, 2}, {2, 3}, {3, 4}, {3, 2}, {4, 3}}};

struct Elimination {
  Matrix result;  // [R|d]
  std::vector<Operation> operations;
};

struct Origin {
  Matrix forward;                     // E
  std::vector<Operation> taken_back;  // on [R|d]
  Matrix start;                       // [A|b]
};

Matrix identity(int size) {
  Matrix result(size, size);
  for (int i = 0; i < size; ++i) result(i, i) = 1;
  return result;
}

Origin undo_elimination(const Elimination& elimination) {
  Origin origin{identity(elimination.result.rows()), {}, elimination.result};
  for (const Operation& operation : elimination.operations) apply(operation, origin.forward);
  for (auto step = elimination.operations.rbegin(); step != elimination.operations.rend(); ++step) {
    origin.taken_back.push_back({step->kind, step->target, step->source, -step->factor});
    apply(origin.taken_back.back(), origin.start);
  }
  return origin;
}

class UndoJudge final : public ChainJudge {
 public:
  UndoJudge(const Elimination& elimination, ChainFormat format)
      : origin_(undo_elimination(elimination)),
        forward_(identity(elimination.result.rows()), format),
        back_(elimination.result, format),
        format_(format) {}

  StepVerdict read(std::span<const std::string> output, const OutputParts::Line& line) override {
    if (output[static_cast<size_t>(line.begin)] != "UNDO") {
      return (turned_ ? back_ : forward_).read(output, line);
    }
    StepVerdict verdict;
    const auto words = line_words(output, line, format_, verdict);
    if (!words) return verdict;
    if (words->size() != 1 || turned_) {
      refuse(verdict, ErrorClass::format, "UNDO stands alone in its line and once in a chain");
    } else if (forward_.state() != origin_.forward) {
      refuse(verdict, ErrorClass::policy, "UNDO comes before the operations have made E");
    } else {
      verdict.valid = true;
    }
    turned_ = true;
    return verdict;
  }

  bool complete() const override {
    return turned_ && forward_.state() == origin_.forward && back_.state() == origin_.start;
  }

 private:
  Origin origin_;
  ChainReader forward_;
  ChainReader back_;
  ChainFormat format_;
  bool turned_ = false;
};

class Undo final : public ExamFamily {
 public:
  std::string_view name() const override { return "UNDO"; }
  std::string_view summary() const override {
    return "given the reduced [R|d] and the operations that led to it, asks for the elimination matrix E and "
           "[A|b]";
  }

  Problem from_json(const nlohmann::json& given) const override {
    const Matrix reduced = json_matrix(given, "R");
    const Vector right = json_vector(given, "d");
    if (static_cast<int>(right.size()) != reduced.rows()) {
      throw ProblemError(fmt::format("given.d: expected {} entries, got {}", reduced.rows(), right.size()));
    }
    Elimination elimination{with_column(reduced, right), {}};
    const auto& list = json_field(given, "operations");
    if (!list.is_array()) {
      throw ProblemError(fmt::format("given.operations: expected a list, got {}", list.type_name()));
    }
    for (const auto& step : list) {
      const auto& factor = json_field(step, "factor");
      const Vector factors = json_vector({{"factor", nlohmann::json::array({factor})}}, "factor");
      elimination.operations.push_back({Operation::Kind::subtract,
                                        json_whole(step, "target", 1, reduced.rows()) - 1,
                                        json_whole(step, "source", 1, reduced.rows()) - 1, factors[0]});
    }
    return checked(write(elimination));
  }

  Words solve(const Words& prompt, ChainFormat format) const override {
    const Elimination elimination = read(prompt);
    const Origin origin = undo_elimination(elimination);
    Words words;
    append_chain(words, identity(elimination.result.rows()), elimination.operations, format);
    if (format != ChainFormat::answer_only) words.insert(words.end(), {"UNDO", "NL"});
    append_chain(words, elimination.result, origin.taken_back, format);
    words.emplace_back("ANS");
    append_rows(words, origin.forward);
    words.emplace_back(":");
    append_rows(words, origin.start);
    words.emplace_back("EOS");
    return words;
  }

  std::string canonical(const Words& prompt) const override {
    return canonical_matrix(undo_elimination(read(prompt)).start);
  }

 protected:
  Words draw(CounterRng& rng) const override {
    const Shape shape = draw_shape(rng, undo_shapes);
    const int rank = draw_rank(rng, shape);
    Vector right(static_cast<size_t>(shape.rows));
    for (int row = 0; row < shape.rows; ++row) {
      if (row < rank || rng.chance(.1)) right[static_cast<size_t>(row)] = rng.uniform(-9, 9);
    }
    Elimination elimination{with_column(draw_reduced(rng, shape, rank), right), {}};
    const auto last = static_cast<int64_t>(shape.rows) - 1;
    const auto add = [&](int64_t target, int64_t source) {
      const int64_t size = rng.uniform(1, rng.chance(.3) ? 9 : 5);
      elimination.operations.push_back({Operation::Kind::subtract, static_cast<int>(target),
                                        static_cast<int>(source), rng.chance(.6) ? size : -size});
    };
    if (rng.chance(.5)) {  // the first column is cleared, as in the exam
      for (int64_t target = 1; target <= last; ++target) {
        if (target == last || rng.chance(.8)) add(target, 0);
      }
      if (last >= 2 && rng.chance(.3)) add(last, 1);
    } else {
      for (int64_t left = rng.uniform(1, last + 1); left > 0; --left) {
        const int64_t source = rng.uniform(0, last);
        const int64_t other = rng.uniform(0, last - 1);
        add(other < source ? other : other + 1, source);
      }
    }
    return write(elimination);
  }

  // More than one zero row.
  bool is_rare(const Words& prompt) const override {
    const Matrix result = read(prompt).result;
    return rank(result) + 1 < result.rows();
  }

  std::unique_ptr<ChainJudge> chain_judge(const Words& prompt, ChainFormat format) const override {
    return std::make_unique<UndoJudge>(read(prompt), format);
  }

  std::optional<bool> grade(const Words& prompt, std::span<const std::string> answer) const override {
    const bool inverse = !answer.empty() && answer[0] == "INVERSE";
    const auto body = answer.subspan(inverse ? 1 : 0);
    const auto colon = std::find(body.begin(), body.end(), ":");
    if (colon == body.end()) return std::nullopt;
    const auto left = read_rows({body.begin(), colon});
    const auto right = read_rows({colon + 1, body.end()});
    if (!left || !right) return std::nullopt;
    const Origin origin = undo_elimination(read(prompt));
    if (*right != origin.start) return false;
    if (!inverse) return *left == origin.forward;
    Matrix backward = identity(origin.start.rows());
    for (const Operation& operation : origin.taken_back) apply(operation, backward);
    return *left == backward;
  }

 private:
  Words write(const Elimination& elimination) const {
    Words prompt = matrix_prompt(elimination.result);
    for (const Operation& operation : elimination.operations) {
      prompt.insert(prompt.end(), {"SUB", "R" + std::to_string(operation.target + 1),
                                   "R" + std::to_string(operation.source + 1)});
      append_value(prompt, operation.factor);
      prompt.emplace_back(";");
    }
    return prompt;
  }

  static Elimination read(const Words& prompt) {
    const auto operations = std::find(prompt.begin(), prompt.end(), "SUB");
    Elimination elimination{
        read_prompt_matrix({prompt.begin(), operations}, most_family_rows, most_family_columns), {}};
    if (elimination.result.columns() < 2) {
      throw ProblemError("UNDO: expected [R|d] with at least two columns, got one");
    }
    const int rows = elimination.result.rows();
    WordReader reader({operations, prompt.end()});
    while (!reader.done()) {
      const auto number = elimination.operations.size() + 1;
      const bool named = reader.take("SUB");
      const auto target = named ? reader.row(rows) : std::nullopt;
      const auto source = target ? reader.row(rows) : std::nullopt;
      const auto factor = source ? reader.value() : std::nullopt;
      if (!factor || !reader.take(";")) {
        throw ProblemError(fmt::format(
            "UNDO: operation {} should read \"SUB Ri Rj factor ;\" with rows R1..R{}", number, rows));
      }
      if (*target == *source) {
        throw ProblemError(fmt::format("UNDO: operation {} takes R{} from itself", number, *target + 1));
      }
      if (number > most_operations) {
        throw ProblemError(fmt::format("UNDO: expected at most {} operations", most_operations));
      }
      elimination.operations.push_back({Operation::Kind::subtract, *target, *source, *factor});
    }
    return elimination;
  }
};

}  // namespace

const Family& undo() {
  static const Undo family;
  return family;
}

}  // namespace giantrabbit::data
