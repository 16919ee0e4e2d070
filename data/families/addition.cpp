// ADD: the sum of two long numbers, digits least significant first. Chain: one place a line, "a b t NL",
// where t = a + b + the carry of the place before; its last digit is the answer's, the rest the next carry:
//   ADD 8 3 + 4 9 ;   8 4 12 NL 3 9 13 NL ANS 2 3 1 EOS
// Kept invariant: as many lines as the longer number has digits; the answer has one digit more.
#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "data/families/families.h"
#include "data/families/operands.h"

namespace giantrabbit::data {
namespace {

constexpr size_t most_summand_digits = 4096;
constexpr int64_t most_total = 19;  // 9 + 9 + 1

int digit_at(const Digits& digits, size_t place) { return place < digits.size() ? digits[place] : 0; }

size_t places(const Operands& operands) { return std::max(operands.a.size(), operands.b.size()); }

class SumJudge final : public ChainJudge {
 public:
  SumJudge(Operands operands, ChainFormat format) : operands_(std::move(operands)), format_(format) {}

  StepVerdict read(std::span<const std::string> output, const OutputParts::Line& line) override {
    StepVerdict verdict;
    const auto words = line_words(output, line, format_, verdict);
    if (!words) return verdict;
    const size_t place = next_++;  // every line is about a place, readable or not
    WordReader reader(*words);
    const auto values = reader.values(3);
    const bool whole = values && reader.done() && words->size() == 3 && values->back() >= Rational(0) &&
                       values->back() <= Rational(most_total);
    if (!whole || place >= places(operands_)) {
      refuse(
          verdict, ErrorClass::format,
          whole ? "the numbers have no more digits" : "the line is not readable (two digits, a total 0..19)");
      return verdict;
    }
    const int a = digit_at(operands_.a, place);
    const int b = digit_at(operands_.b, place);
    const int64_t total = values->back().numerator();
    if ((*values)[0] != Rational(a) || (*values)[1] != Rational(b)) {
      refuse(verdict, ErrorClass::stale_row,
             fmt::format("the digits of place {} are {} and {}", place + 1, a, b));
    } else if (total != a + b + carry_) {
      refuse(
          verdict, ErrorClass::arithmetic,
          fmt::format("{} + {} with carry {} should be {}, written {}", a, b, carry_, a + b + carry_, total));
    } else {
      verdict.valid = true;
    }
    carry_ = total / 10;
    return verdict;
  }

  bool complete() const override { return next_ == places(operands_); }

 private:
  Operands operands_;
  ChainFormat format_;
  size_t next_ = 0;
  int64_t carry_ = 0;  // what the model wrote
};

class Addition final : public OperandFamily {
 public:
  Addition(int least, int most) : OperandFamily("+", least, most, most_summand_digits) {}

  std::string_view name() const override { return "ADD"; }
  std::string_view summary() const override {
    return "given the digits of two numbers, least significant first, asks for their sum";
  }
  std::span<const ExtraWord> extra_words() const override {
    static const std::vector<ExtraWord> words = {{"ADD"}, {"+", true, true}};
    return words;
  }

  Words solve(const Words& prompt, ChainFormat format) const override {
    const Operands operands = read(prompt);
    Words words;
    int carry = 0;
    for (size_t place = 0; place < places(operands) && format != ChainFormat::answer_only; ++place) {
      const int a = digit_at(operands.a, place);
      const int b = digit_at(operands.b, place);
      for (const int value : {a, b, a + b + carry}) words.push_back(std::to_string(value));
      words.emplace_back("NL");
      carry = (a + b + carry) / 10;
    }
    words.emplace_back("ANS");
    append_digits(words, sum(operands.a, operands.b), places(operands) + 1);
    words.emplace_back("EOS");
    return words;
  }

 protected:
  std::unique_ptr<ChainJudge> chain_judge(const Words& prompt, ChainFormat format) const override {
    return std::make_unique<SumJudge>(read(prompt), format);
  }

  std::optional<bool> grade(const Words& prompt, std::span<const std::string> answer) const override {
    const auto digits = read_digits(answer);
    if (!digits) return std::nullopt;
    const auto [a, b] = read(prompt);
    return trimmed(*digits) == sum(a, b);
  }
};

}  // namespace

std::vector<FamilyTask> addition_tasks() {
  std::vector<FamilyTask> tasks = {{"addition", std::make_shared<Addition>(2, 16)}};
  for (const int digits : {16, 32, 64, 256, 1024, 4096}) {
    tasks.push_back({fmt::format("addition-{}", digits), std::make_shared<Addition>(digits, digits)});
  }
  return tasks;
}

}  // namespace giantrabbit::data
