// COPY and REVERSE: a list again, in its own order or from the end. No chain: every value of the answer is
// one look-up. Kept invariant: the answer has as many values as the list.
#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "data/families/families.h"
#include "data/families/lists.h"

namespace giantrabbit::data {
namespace {

class Copying final : public ListFamily {
 public:
  Copying(bool reverse, int least, int most)
      : reverse_(reverse), least_(least), most_(most), extra_words_{{reverse ? "REVERSE" : "COPY"}} {}

  std::string_view name() const override { return extra_words_[0].text; }
  std::string_view summary() const override {
    return reverse_ ? "given a list of whole numbers, asks for it from the end"
                    : "given a list of whole numbers, asks for it again";
  }
  std::span<const ExtraWord> extra_words() const override { return extra_words_; }

  Problem generate(CounterRng& rng) const override {
    const auto count = static_cast<size_t>(rng.uniform(least_, most_));
    return {"", write(draw_numbers(rng, count, 0, 60))};
  }

 protected:
  Numbers answer(const Numbers& numbers) const override {
    return reverse_ ? Numbers(numbers.rbegin(), numbers.rend()) : numbers;
  }

 private:
  bool reverse_;
  int least_;
  int most_;
  std::vector<ExtraWord> extra_words_;
};

}  // namespace

std::vector<FamilyTask> copying_tasks() {
  std::vector<FamilyTask> tasks;
  for (const bool reverse : {false, true}) {
    const std::string name = reverse ? "reverse" : "copy";
    tasks.push_back({name, std::make_shared<Copying>(reverse, 4, 32)});
    for (const int length : {32, 64, 128, 256, 512, 1024, 2048}) {
      tasks.push_back(
          {fmt::format("{}-{}", name, length), std::make_shared<Copying>(reverse, length, length)});
    }
  }
  return tasks;
}

}  // namespace giantrabbit::data
