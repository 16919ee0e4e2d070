// ABC: letters in alphabetical order, repetitions included. No chain:
//   ABC c a a ;   ANS a a c EOS
// The alphabet (the first 2 to 26 letters) and the length belong to the task: abc-sort has 3 letters and
// length 3, abc-sort-8x10 has 8 letters and length 10. Kept invariant: the answer is a permutation of the
// prompt.
#include <algorithm>
#include <cmath>
#include <memory>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "data/families/families.h"
#include "data/families/lists.h"
#include "data/json_values.h"
#include "data/split.h"

namespace giantrabbit::data {
namespace {

constexpr int most_letters = 26;
constexpr int most_length = 64;
// With fewer problems than this a split would leave a handful for training and next to none for the test.
constexpr double least_split = 1000;

bool is_letter(const std::string& word) { return word.size() == 1 && word[0] >= 'a' && word[0] <= 'z'; }

class LetterSorting final : public ChainFamily {
 public:
  LetterSorting(int letters, int length) : letters_(letters), length_(length) {}

  std::string_view name() const override { return "ABC"; }
  std::string_view summary() const override { return "given letters, asks for them in alphabetical order"; }
  bool needs_base_words() const override { return false; }
  bool is_split() const override { return std::pow(letters_, length_) >= least_split; }

  std::span<const ExtraWord> extra_words() const override {
    static const std::vector<ExtraWord> words = [] {
      std::vector<ExtraWord> all = {{"ABC"}};
      for (char letter = 'a'; letter <= 'z'; ++letter) all.push_back({std::string(1, letter)});
      return all;
    }();
    return std::span(words).first(static_cast<size_t>(1 + letters_));
  }

  Problem generate(CounterRng& rng) const override {
    std::string letters;
    for (int i = 0; i < length_; ++i) letters += static_cast<char>('a' + rng.uniform(0, letters_ - 1));
    return {"", write(letters)};
  }

  // {"letters": "caa"}
  Problem from_json(const nlohmann::json& given) const override {
    const nlohmann::json& letters = json_field(given, "letters");
    if (!letters.is_string()) {
      throw ProblemError(
          fmt::format("given.letters: expected a text such as \"caa\", got {}", letters.dump()));
    }
    return checked(write(letters.get<std::string>()));
  }

  Words solve(const Words& prompt, ChainFormat) const override {
    Words words = {"ANS"};
    const Words sorted = answer(prompt);
    words.insert(words.end(), sorted.begin(), sorted.end());
    words.emplace_back("EOS");
    return words;
  }

  std::string canonical(const Words& prompt) const override {
    return with_digest(fmt::format("{}|{}", name(), fmt::join(read(prompt), "")));
  }
  std::string stratum(const Words& prompt) const override {
    return fmt::format("length {}", read(prompt).size());
  }

 protected:
  std::unique_ptr<ChainJudge> chain_judge(const Words&, ChainFormat) const override {
    return std::make_unique<NoChain>();
  }

  std::optional<bool> grade(const Words& prompt, std::span<const std::string> said) const override {
    if (!std::ranges::all_of(said, is_letter)) return std::nullopt;
    return std::ranges::equal(said, answer(prompt));
  }

 private:
  static Words answer(const Words& prompt) {
    Words letters = read(prompt);
    std::ranges::sort(letters);
    return letters;
  }

  Words write(const std::string& letters) const {
    Words prompt = {std::string(name())};
    for (const char letter : letters) prompt.emplace_back(1, letter);
    prompt.emplace_back(";");
    return prompt;
  }

  static Words read(const Words& prompt) {
    const bool framed = prompt.size() > 2 && prompt.front() == "ABC" && prompt.back() == ";";
    const Words letters = framed ? Words(prompt.begin() + 1, prompt.end() - 1) : Words{};
    if (letters.empty() || !std::ranges::all_of(letters, is_letter)) {
      throw ProblemError(
          fmt::format("ABC: expected letters from a to z (\"ABC c a a ;\"), got \"{}\"", join_words(prompt)));
    }
    return letters;
  }

  int letters_;
  int length_;
};

}  // namespace

// The whole alphabet comes first: find_family() has to read every letter.
std::vector<FamilyTask> letter_sorting_tasks() {
  return {{"abc-sort-26x20", std::make_shared<LetterSorting>(most_letters, 20)},
          {"abc-sort-8x10", std::make_shared<LetterSorting>(8, 10)},
          {"abc-sort", std::make_shared<LetterSorting>(3, 3)}};
}

const Family* find_letter_sorting(std::string_view task) {
  static const std::vector<FamilyTask> sizes = [] {
    std::vector<FamilyTask> all;
    for (int letters = 2; letters <= most_letters; ++letters) {
      for (int length = 1; length <= most_length; ++length) {
        all.push_back({fmt::format("abc-sort-{}x{}", letters, length),
                       std::make_shared<LetterSorting>(letters, length)});
      }
    }
    return all;
  }();
  const auto found = std::ranges::find(sizes, task, &FamilyTask::name);
  return found == sizes.end() ? nullptr : found->family.get();
}

}  // namespace giantrabbit::data
