// MUL: the product of two numbers, digits least significant first. Chain: one partial product a line, shifted
// by leading zeros, and in every line but the first and the last the running sum in brackets:
//   MUL 8 3 6 * 4 5 1 ;   2 5 5 2 NL 0 0 9 1 3 ( 2 5 4 4 3 ) NL 0 0 8 3 6 0 NL ANS 2 5 2 8 9 0 EOS
// This is the format of the implicit chain-of-thought data ("question||chain #### answer"), word for word:
// its
// "||" is ";", its "+" NL, its "####" ANS. Kept invariant: with n digits of a, partial product i and the sum
// that ends with it have n + 1 + i digits, and the product has as many as both numbers together.
#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "data/families/families.h"
#include "data/families/operands.h"

namespace giantrabbit::data {
namespace {

constexpr size_t most_factor_digits = 128;  // 50,000 words of chain

struct WrittenLine {
  Digits product;
  std::optional<Digits> sum;
};

// "digits" or "digits ( digits )", both of one width.
std::optional<WrittenLine> read_partial_product(std::span<const std::string> words) {
  const auto open = std::find(words.begin(), words.end(), "(");
  const auto product = read_digits(std::span(words.begin(), open));
  if (!product) return std::nullopt;
  if (open == words.end()) return WrittenLine{*product, std::nullopt};
  if (words.back() != ")") return std::nullopt;
  const auto running = read_digits(std::span(open + 1, words.end() - 1));
  if (!running || running->size() != product->size()) return std::nullopt;
  return WrittenLine{*product, running};
}

class ProductJudge final : public ChainJudge {
 public:
  ProductJudge(Operands operands, ChainFormat format) : operands_(std::move(operands)), format_(format) {}

  StepVerdict read(std::span<const std::string> output, const OutputParts::Line& line) override {
    StepVerdict verdict;
    const auto words = line_words(output, line, format_, verdict);
    if (!words) return verdict;
    const auto written = read_partial_product(*words);
    const size_t first_width = operands_.a.size() + 1;
    const size_t place = written ? written->product.size() - first_width : 0;
    if (!written || written->product.size() < first_width || place >= operands_.b.size()) {
      refuse(
          verdict, ErrorClass::format,
          fmt::format("the line is no partial product ({} to {} digits, then a sum of as many in brackets)",
                      first_width, operands_.a.size() + operands_.b.size()));
    } else if (written->sum.has_value() != (place > 0 && place + 1 < operands_.b.size())) {
      refuse(verdict, ErrorClass::format,
             written->sum ? "no running sum stands here" : "the running sum is missing");
    } else {
      judge_values(place, *written, verdict);
    }
    return verdict;
  }

  bool complete() const override { return next_ == operands_.b.size(); }

 private:
  void judge_values(size_t place, const WrittenLine& written, StepVerdict& verdict) {
    const Digits product = trimmed(written.product);
    const Digits total = sum(sums_.back(), product);
    const Digits said = written.sum ? trimmed(*written.sum) : total;
    if (place != next_) {
      refuse(verdict, ErrorClass::policy,
             fmt::format("the partial product of digit {} belongs here", next_ + 1));
    } else if (product != partial(place, place)) {
      judge_product(place, product, verdict);
    } else if (said != total) {
      const bool stale = std::any_of(sums_.begin(), sums_.end(),
                                     [&](const Digits& before) { return sum(before, product) == said; });
      refuse(verdict, stale ? ErrorClass::stale_row : ErrorClass::arithmetic,
             fmt::format("the running sum after digit {} is wrong", place + 1));
    } else {
      verdict.valid = true;
    }
    if (place < next_) return;
    next_ = place + 1;
    sums_.push_back(said);
  }

  void judge_product(size_t place, const Digits& product, StepVerdict& verdict) const {
    for (size_t other = 0; other < operands_.b.size(); ++other) {
      if (product != partial(other, place)) continue;
      refuse(verdict, ErrorClass::stale_row,
             fmt::format("the partial product of digit {} is that of digit {}", place + 1, other + 1));
      return;
    }
    refuse(verdict, ErrorClass::arithmetic,
           fmt::format("the partial product of digit {} is wrong", place + 1));
  }

  // a times digit `digit` of b, shifted to `place`.
  Digits partial(size_t digit, size_t place) const {
    return times_digit(operands_.a, operands_.b[digit], place);
  }

  Operands operands_;
  ChainFormat format_;
  size_t next_ = 0;              // the digit of b whose partial product comes next
  std::vector<Digits> sums_{1};  // the running sums that the model wrote, the newest last
};

class Multiplication final : public OperandFamily {
 public:
  explicit Multiplication(int digits) : OperandFamily("*", digits, digits, most_factor_digits) {}

  std::string_view name() const override { return "MUL"; }
  std::string_view summary() const override {
    return "given the digits of two numbers, least significant first, asks for their product";
  }
  std::span<const ExtraWord> extra_words() const override {
    static const std::vector<ExtraWord> words = {{"MUL"}, {"*", true, true}, {"(", true}, {")"}};
    return words;
  }

  Words solve(const Words& prompt, ChainFormat format) const override {
    const auto [a, b] = read(prompt);
    Words words;
    Digits total;
    for (size_t place = 0; place < b.size(); ++place) {
      const Digits partial = times_digit(a, b[place], place);
      const size_t width = a.size() + 1 + place;
      total = sum(total, partial);
      if (format == ChainFormat::answer_only) continue;
      append_digits(words, partial, width);
      if (place > 0 && place + 1 < b.size()) {
        words.emplace_back("(");
        append_digits(words, total, width);
        words.emplace_back(")");
      }
      words.emplace_back("NL");
    }
    words.emplace_back("ANS");
    append_digits(words, total, a.size() + b.size());
    words.emplace_back("EOS");
    return words;
  }

 protected:
  std::unique_ptr<ChainJudge> chain_judge(const Words& prompt, ChainFormat format) const override {
    return std::make_unique<ProductJudge>(read(prompt), format);
  }

  std::optional<bool> grade(const Words& prompt, std::span<const std::string> answer) const override {
    const auto digits = read_digits(answer);
    if (!digits) return std::nullopt;
    const auto [a, b] = read(prompt);
    return trimmed(*digits) == product(a, b);
  }
};

}  // namespace

std::vector<FamilyTask> multiplication_tasks() {
  std::vector<FamilyTask> tasks;
  for (const int digits : {4, 2, 3, 5, 7, 9, 11, 16, 20, 32, 64}) {
    tasks.push_back(
        {fmt::format("multiplication-{}x{}", digits, digits), std::make_shared<Multiplication>(digits)});
  }
  return tasks;
}

}  // namespace giantrabbit::data
