// COPY and REVERSE: a list again, in its own order or from the end; LONG_COPY: the same without rows, so that
// what is copied and its copy are equally far apart everywhere. No chain: every value of the answer is one
// look-up. Kept invariant: the answer has as many values as the list.
#include <algorithm>
#include <bit>
#include <memory>

#include <fmt/format.h>

#include "data/families/families.h"
#include "data/families/lists.h"

namespace giantrabbit::data {
namespace {

enum class CopyKind { copy, reverse, long_copy };

const char* family_name(CopyKind kind) {
  switch (kind) {
    case CopyKind::copy:
      return "COPY";
    case CopyKind::reverse:
      return "REVERSE";
    case CopyKind::long_copy:
      return "LONG_COPY";
  }
  return "";
}

// Numbers of a long copy that has so many words in all, EOS not counted.
int numbers_of(int words) { return words / 2 - 2; }

// Lists of `least` to `most` numbers; of long copies it is the powers of two of their words.
class Copying final : public ListFamily {
 public:
  Copying(CopyKind kind, int least, int most)
      : kind_(kind), least_(least), most_(most), extra_words_{{family_name(kind)}} {}

  std::string_view name() const override { return extra_words_[0].text; }
  std::string_view summary() const override {
    return kind_ == CopyKind::reverse ? "given a list of whole numbers, asks for it from the end"
                                      : "given a list of whole numbers, asks for it again";
  }
  std::span<const ExtraWord> extra_words() const override { return extra_words_; }

  Problem generate(CounterRng& rng) const override {
    const int count = kind_ == CopyKind::long_copy ? numbers_of(1 << draw_power(rng))
                                                   : static_cast<int>(rng.uniform(least_, most_));
    return {"", write(draw_numbers(rng, static_cast<size_t>(count), 0, 60))};
  }

 protected:
  size_t row_length() const override { return kind_ == CopyKind::long_copy ? SIZE_MAX : list_row; }
  Numbers answer(const Numbers& numbers) const override {
    return kind_ == CopyKind::reverse ? Numbers(numbers.rbegin(), numbers.rend()) : numbers;
  }

 private:
  // Half the length twice as often, so that every length has as many words.
  int draw_power(CounterRng& rng) const {
    const auto drawn = static_cast<unsigned>(rng.uniform(1, (2 << (most_ - least_)) - 1));
    return most_ + 1 - static_cast<int>(std::bit_width(drawn));
  }

  CopyKind kind_;
  int least_;
  int most_;
  std::vector<ExtraWord> extra_words_;
};

}  // namespace

std::vector<FamilyTask> copying_tasks() {
  std::vector<FamilyTask> tasks;
  for (const CopyKind kind : {CopyKind::copy, CopyKind::reverse}) {
    const std::string name = kind == CopyKind::reverse ? "reverse" : "copy";
    tasks.push_back({name, std::make_shared<Copying>(kind, 4, 32)});
    for (const int length : {64, 128, 256}) {
      tasks.push_back({fmt::format("{}-{}", name, length), std::make_shared<Copying>(kind, length, length)});
    }
  }
  tasks.push_back({"long-copy", std::make_shared<Copying>(CopyKind::long_copy, 6, 12)});
  for (int power = 6; power <= 12; ++power) {
    tasks.push_back({fmt::format("long-copy-{}", 1 << power),
                     std::make_shared<Copying>(CopyKind::long_copy, power, power)});
  }
  return tasks;
}

}  // namespace giantrabbit::data
