// Lists of whole numbers as words, in rows of at most 20 so that every place has its own row and column:
// "3 1 4 .. ; 1 5 ;". In: numbers or words. Out: words or numbers; reading takes rows of any length.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/counter_rng.h"
#include "data/families/chain_family.h"

namespace giantrabbit::data {

using Numbers = std::vector<int>;

inline constexpr size_t list_row = 20;  // models tell 31 columns and 15 rows apart

void append_list(Words& words, std::span<const int> numbers, size_t row_length = list_row);
// Empty when the words are no list: only whole numbers of the vocabulary, no empty row, ";" at the end.
std::optional<Numbers> read_list(std::span<const std::string> words);
Numbers draw_numbers(CounterRng& rng, size_t count, int low, int high);
Numbers json_numbers(const nlohmann::json& given, const char* field);  // inside the vocabulary's range
std::string numbers_text(std::span<const int> numbers);                // "3,1,4"
// "up to 32 values": results are shown by powers of two.
std::string length_group(size_t length);

// For families without steps: nothing is asked for before ANS.
class NoChain final : public ChainJudge {
 public:
  StepVerdict read(std::span<const std::string> output, const OutputParts::Line& line) override;
  bool complete() const override { return true; }
};

// A family whose prompt is "NAME list" and whose answer is computed from the list.
class ListFamily : public ChainFamily {
 public:
  Problem from_json(const nlohmann::json& given) const final;  // {"list": [3, 1, 4]}
  Words solve(const Words& prompt, ChainFormat format) const final;
  std::string canonical(const Words& prompt) const final;
  std::string stratum(const Words& prompt) const final;

 protected:
  std::unique_ptr<ChainJudge> chain_judge(const Words& prompt, ChainFormat format) const override;
  // Equal numbers, however the answer's rows are cut.
  std::optional<bool> grade(const Words& prompt, std::span<const std::string> answer) const final;

  virtual void append_steps(Words& words, const Numbers& numbers) const;  // none by default
  virtual size_t row_length() const { return list_row; }
  virtual size_t most_values() const { return SIZE_MAX; }    // of a list that is read
  virtual Numbers answer(const Numbers& numbers) const = 0;  // may throw ProblemError
  Words write(std::span<const int> numbers) const;
  Numbers read(const Words& prompt) const;  // throws ProblemError
};

}  // namespace giantrabbit::data
