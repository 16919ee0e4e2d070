// LISTOPS: the value of a nested expression over digits. Chain: one operator a line, innermost first, from
// left to right (postorder), with the numbers that its arguments have become:
//   LISTOPS [MAX 2 [SM 4 7 9 ] 1 ] ;   [SM 4 7 9 : 0 NL [MAX 2 0 1 : 2 NL ANS 2 EOS
// Kept invariant: every operator of the expression is evaluated once; any operator whose arguments are
// numbers may come next.
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/families/chain_family.h"
#include "data/families/families.h"
#include "data/families/list_ops_tree.h"
#include "data/json_values.h"

namespace giantrabbit::data {
namespace {

// The law of the published data: below the root three of four arguments are digits.
constexpr double digit_share = .75;
constexpr int most_arguments = 5;
constexpr int most_depth = 20;

std::optional<int> read_digit(std::string_view word) {
  if (word.size() != 1 || word[0] < '0' || word[0] > '9') return std::nullopt;
  return word[0] - '0';
}

class ListOpsJudge final : public ChainJudge {
 public:
  ListOpsJudge(ListExpression expression, ChainFormat format)
      : expression_(std::move(expression)), format_(format) {}

  StepVerdict read(std::span<const std::string> output, const OutputParts::Line& line) override {
    StepVerdict verdict;
    const auto words = line_words(output, line, format_, verdict);
    if (!words) return verdict;
    const auto written = parse(*words);
    if (!written) {
      refuse(verdict, ErrorClass::format, "the line is not readable (operator, digits, ':', digit)");
    } else if (expression_.ready().empty()) {
      refuse(verdict, ErrorClass::policy, "the expression is evaluated already");
    } else {
      judge(*written, verdict);
    }
    return verdict;
  }

  bool complete() const override { return expression_.ready().empty(); }

 private:
  struct Written {
    std::string name;
    std::vector<int> arguments;
    int result = 0;
  };

  static std::optional<Written> parse(std::span<const std::string> words) {
    if (words.size() < 4 || !is_list_operator(words[0]) || words[words.size() - 2] != ":")
      return std::nullopt;
    Written written{words[0], {}, 0};
    for (const std::string& word : words.subspan(1, words.size() - 3)) {
      const auto digit = read_digit(word);
      if (!digit) return std::nullopt;
      written.arguments.push_back(*digit);
    }
    const auto result = read_digit(words.back());
    if (!result) return std::nullopt;
    written.result = *result;
    return written;
  }

  // A line that names no ready operator is taken for the next one in order if it may be meant (the same
  // operator with as many arguments), so that one slip counts once; other lines evaluate nothing.
  void judge(const Written& written, StepVerdict& verdict) {
    const size_t next = *expression_.ready().begin();
    size_t meant = next;
    bool found = false;
    for (const size_t node : expression_.ready()) {
      if (expression_.name(node) != written.name || expression_.arguments(node) != written.arguments)
        continue;
      meant = node;
      found = true;
      break;
    }
    if (!found) {
      refuse(
          verdict, ErrorClass::stale_row,
          fmt::format("no operator with these arguments can be evaluated; the next one is {}", text(next)));
    } else if (const int right = list_operation(written.name, written.arguments); written.result != right) {
      refuse(verdict, ErrorClass::arithmetic,
             fmt::format("{} should be {}, written {}", text(meant), right, written.result));
    } else {
      verdict.valid = true;
    }
    const bool fits = expression_.name(meant) == written.name &&
                      expression_.arguments(meant).size() == written.arguments.size();
    if (fits) expression_.replace(meant, written.result);
  }

  std::string text(size_t node) const {
    std::string result(expression_.name(node));
    for (const int argument : expression_.arguments(node)) result += fmt::format(" {}", argument);
    return result;
  }

  ListExpression expression_;
  ChainFormat format_;
};

class ListOps final : public ChainFamily {
 public:
  // Generates expressions of least .. most words.
  ListOps(size_t least, size_t most) : least_(least), most_(most) {}

  std::string_view name() const override { return "LISTOPS"; }
  std::string_view summary() const override {
    return "given an expression of MIN, MAX, MED and SM over digits, asks for its value";
  }
  std::span<const ExtraWord> extra_words() const override {
    static const std::vector<ExtraWord> words = {{"LISTOPS"},    {"[MIN", true}, {"[MAX", true},
                                                 {"[MED", true}, {"[SM", true},  {"]", true}};
    return words;
  }

  Problem generate(CounterRng& rng) const override {
    for (;;) {
      Words prompt = {std::string(name())};
      append_expression(prompt, rng, 1);
      if (prompt.size() - 1 < least_ || prompt.size() - 1 > most_) continue;
      prompt.emplace_back(";");
      return {"", std::move(prompt)};
    }
  }

  // {"expression": "[MAX 2 [MIN 4 7 ] 0 ]"}; round brackets, which some files put around pairs, are left out.
  Problem from_json(const nlohmann::json& given) const override {
    const auto& expression = json_field(given, "expression");
    if (!expression.is_string()) {
      throw ProblemError(fmt::format("given.expression: expected a text, got {}", expression.type_name()));
    }
    std::string text = expression.get<std::string>();
    for (char& letter : text) {
      if (letter == '(' || letter == ')') letter = ' ';
    }
    return parse_problem(fmt::format("{} {} ;", name(), text));
  }

  Words solve(const Words& prompt, ChainFormat format) const override {
    ListExpression expression = read(prompt);
    Words words;
    int value = 0;
    while (!expression.ready().empty()) {
      const size_t node = *expression.ready().begin();
      const std::vector<int> arguments = expression.arguments(node);
      value = list_operation(expression.name(node), arguments);
      if (format != ChainFormat::answer_only) {
        words.emplace_back(expression.name(node));
        for (const int argument : arguments) words.push_back(std::to_string(argument));
        for (const std::string& word : {std::string(":"), std::to_string(value), std::string("NL")}) {
          words.push_back(word);
        }
      }
      expression.replace(node, value);
    }
    for (const std::string& word : {std::string("ANS"), std::to_string(value), std::string("EOS")}) {
      words.push_back(word);
    }
    return words;
  }

  std::string canonical(const Words& prompt) const override {
    (void)read(prompt);
    return join_words(prompt);
  }

  std::string stratum(const Words& prompt) const override {
    return fmt::format("depth {}", read(prompt).depth());
  }

 protected:
  std::unique_ptr<ChainJudge> chain_judge(const Words& prompt, ChainFormat format) const override {
    return std::make_unique<ListOpsJudge>(read(prompt), format);
  }

  std::optional<bool> grade(const Words& prompt, std::span<const std::string> answer) const override {
    if (answer.size() != 1 || !read_digit(answer[0])) return std::nullopt;
    return answer[0] == *(solve(prompt, ChainFormat::answer_only).begin() + 1);
  }

 private:
  // Stops growing beyond the allowed length, where the expression is thrown away anyway.
  void append_expression(Words& words, CounterRng& rng, int depth) const {
    if (depth > 1 && (depth >= most_depth || words.size() > most_ || rng.chance(digit_share))) {
      words.push_back(std::to_string(rng.uniform(0, 9)));
      return;
    }
    constexpr const char* names[] = {"[MIN", "[MAX", "[MED", "[SM"};
    words.emplace_back(names[rng.uniform(0, 3)]);
    for (int64_t left = rng.uniform(2, most_arguments); left > 0; --left)
      append_expression(words, rng, depth + 1);
    words.emplace_back("]");
  }

  ListExpression read(const Words& prompt) const {
    if (prompt.size() < 3 || prompt.front() != name() || prompt.back() != ";") {
      throw ProblemError(fmt::format("{}: expected an expression, got \"{}\"", name(), join_words(prompt)));
    }
    return ListExpression(std::span(prompt).subspan(1, prompt.size() - 2));
  }

  size_t least_;
  size_t most_;
};

}  // namespace

std::vector<FamilyTask> list_ops_tasks() {
  // Chains of up to 130 words' expressions fit 384 positions; the long ones are the published data's tail.
  return {{"listops", std::make_shared<ListOps>(4, 130)},
          {"listops-long", std::make_shared<ListOps>(200, 1000)}};
}

}  // namespace giantrabbit::data
