// SORT: a list in ascending order. Chain: bubble sort with every comparison of neighbours logged, "x y YES
// NL" when they change places (x > y), "x y NO NL" when they stay:
//   SORT 3 1 2 ;   3 1 YES NL 3 2 YES NL 1 2 NO NL ANS 1 2 3 ; EOS
// Kept invariant: the k-th line compares the k-th pair of a fixed order (n(n-1)/2 lines for n values),
// whatever the values are.
#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "data/families/families.h"
#include "data/families/lists.h"

namespace giantrabbit::data {
namespace {

constexpr int lowest = -60;
constexpr int highest = 60;
constexpr size_t longest_list = 256;  // 32,640 comparisons

// The fixed order: each round runs over the places that the rounds before have not settled.
class Comparisons {
 public:
  explicit Comparisons(size_t length) : last_(length < 2 ? 0 : length - 1) {}
  bool done() const { return last_ == 0; }
  size_t place() const { return place_; }  // compared with place() + 1
  void advance() {
    if (++place_ < last_) return;
    place_ = 0;
    --last_;
  }

 private:
  size_t last_;  // the largest place of this round's last pair
  size_t place_ = 0;
};

class SortJudge final : public ChainJudge {
 public:
  SortJudge(Numbers numbers, ChainFormat format)
      : numbers_(std::move(numbers)), next_(numbers_.size()), format_(format) {}

  StepVerdict read(std::span<const std::string> output, const OutputParts::Line& line) override {
    StepVerdict verdict;
    const auto words = line_words(output, line, format_, verdict);
    if (!words) return verdict;
    WordReader reader(*words);
    const auto pair = reader.values(2);
    const bool swap = pair && reader.take("YES");
    const bool readable = pair && (swap || reader.take("NO")) && reader.done();
    if (next_.done()) {
      refuse(verdict, readable ? ErrorClass::policy : ErrorClass::format, "all comparisons are done");
    } else if (!readable) {
      refuse(verdict, ErrorClass::format, "the line is not readable (two values, then YES or NO)");
      next_.advance();
    } else {
      judge(*pair, swap, verdict);
    }
    return verdict;
  }

  bool complete() const override { return next_.done(); }

 private:
  void judge(const Vector& pair, bool swap, StepVerdict& verdict) {
    int& x = numbers_[next_.place()];
    int& y = numbers_[next_.place() + 1];
    if (pair[0] != Rational(x) || pair[1] != Rational(y)) {
      refuse(verdict, ErrorClass::stale_row,
             fmt::format("places {} and {} hold {} and {}", next_.place() + 1, next_.place() + 2, x, y));
    } else if (swap != (x > y)) {
      refuse(verdict, ErrorClass::arithmetic,
             fmt::format("{} {} {}", x, x > y ? "is larger than" : "is not larger than", y));
    } else {
      verdict.valid = true;
    }
    if (swap) std::swap(x, y);
    next_.advance();
  }

  Numbers numbers_;  // as the model's own swaps have left them
  Comparisons next_;
  ChainFormat format_;
};

class Sorting final : public ListFamily {
 public:
  Sorting(int least, int most) : least_(least), most_(most) {}

  std::string_view name() const override { return "SORT"; }
  std::string_view summary() const override {
    return "given a list of whole numbers, asks for it in ascending order";
  }
  std::span<const ExtraWord> extra_words() const override {
    static const std::vector<ExtraWord> words = {{"SORT"}};
    return words;
  }

  Problem generate(CounterRng& rng) const override {
    const auto count = static_cast<size_t>(rng.uniform(least_, most_));
    return {"", write(draw_numbers(rng, count, lowest, highest))};
  }

 protected:
  size_t most_values() const override { return longest_list; }
  std::unique_ptr<ChainJudge> chain_judge(const Words& prompt, ChainFormat format) const override {
    return std::make_unique<SortJudge>(read(prompt), format);
  }

  void append_steps(Words& words, const Numbers& numbers) const override {
    Numbers state = numbers;
    for (Comparisons next(state.size()); !next.done(); next.advance()) {
      int& x = state[next.place()];
      int& y = state[next.place() + 1];
      for (const int value : {x, y}) words.push_back(std::to_string(value));
      words.emplace_back(x > y ? "YES" : "NO");
      words.emplace_back("NL");
      if (x > y) std::swap(x, y);
    }
  }

  Numbers answer(const Numbers& numbers) const override {
    Numbers sorted = numbers;
    std::sort(sorted.begin(), sorted.end());
    return sorted;
  }

 private:
  int least_;
  int most_;
};

}  // namespace

std::vector<FamilyTask> sorting_tasks() {
  std::vector<FamilyTask> tasks = {{"sorting", std::make_shared<Sorting>(3, 12)}};
  for (const int length : {8, 16, 32, 64, 96}) {
    tasks.push_back({fmt::format("sorting-{}", length), std::make_shared<Sorting>(length, length)});
  }
  return tasks;
}

}  // namespace giantrabbit::data
