// MAJORITY and COUNT: which value occurs most often in a list, and how often the list's first value occurs in
// it. No chain: the answer needs nearly even attention to the whole list. Kept invariant: MAJORITY has one
// answer; COUNT's answer is at most 60, so that it is one word.
#include <algorithm>
#include <map>
#include <memory>

#include <fmt/format.h>

#include "data/families/families.h"
#include "data/families/lists.h"
#include "data/vocabulary.h"

namespace giantrabbit::data {
namespace {

class Counting final : public ListFamily {
 public:
  enum class Question { majority, count };
  Counting(Question question, int least, int most)
      : question_(question),
        least_(least),
        most_(most),
        extra_words_{{question == Question::majority ? "MAJORITY" : "COUNT"}} {}

  std::string_view name() const override { return extra_words_[0].text; }
  std::string_view summary() const override {
    return question_ == Question::majority
               ? "given a list of whole numbers, asks which occurs most often"
               : "given a list of whole numbers, asks how often its first one occurs";
  }
  std::span<const ExtraWord> extra_words() const override { return extra_words_; }

  Problem generate(CounterRng& rng) const override {
    for (;;) {
      const auto count = static_cast<size_t>(rng.uniform(least_, most_));
      const Numbers numbers = draw_numbers(rng, count, 0, question_ == Question::majority ? 3 : 9);
      try {
        (void)answer(numbers);
        return {"", write(numbers)};
      } catch (const ProblemError&) {
        continue;  // two values are equally frequent, or one is too frequent
      }
    }
  }

 protected:
  Numbers answer(const Numbers& numbers) const override {
    std::map<int, int> counts;
    for (const int number : numbers) ++counts[number];
    if (question_ == Question::count) {
      const int count = counts[numbers.front()];
      if (count <= max_whole) return {count};
      throw ProblemError(fmt::format("{}: {} occurs {} times; at most {} can be written", name(),
                                     numbers.front(), count, max_whole));
    }
    const auto rarer = [](const auto& a, const auto& b) { return a.second < b.second; };
    const auto most = std::max_element(counts.begin(), counts.end(), rarer);
    const auto as_often = [&](const auto& value) { return value.second == most->second; };
    if (std::count_if(counts.begin(), counts.end(), as_often) == 1) return {most->first};
    throw ProblemError(fmt::format("{}: {} values occur {} times, so none has the majority", name(),
                                   std::count_if(counts.begin(), counts.end(), as_often), most->second));
  }

 private:
  Question question_;
  int least_;
  int most_;
  std::vector<ExtraWord> extra_words_;
};

}  // namespace

std::vector<FamilyTask> counting_tasks() {
  std::vector<FamilyTask> tasks;
  for (const auto question : {Counting::Question::majority, Counting::Question::count}) {
    const std::string name = question == Counting::Question::majority ? "majority" : "count";
    tasks.push_back({name, std::make_shared<Counting>(question, 4, 32)});
    for (const int length : {64, 128, 256}) {
      tasks.push_back(
          {fmt::format("{}-{}", name, length), std::make_shared<Counting>(question, length, length)});
    }
  }
  return tasks;
}

}  // namespace giantrabbit::data
