// In: numbers, words or items. Out: lists. Kept invariant: every number of a list is one word.
#include "data/families/lists.h"

#include <algorithm>
#include <bit>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "data/json_values.h"
#include "data/vocabulary.h"

namespace giantrabbit::data {

void append_list(Words& words, std::span<const int> numbers, size_t row_length) {
  for (size_t i = 0; i < numbers.size(); ++i) {
    words.push_back(std::to_string(numbers[i]));
    if ((i + 1) % row_length == 0 || i + 1 == numbers.size()) words.emplace_back(";");
  }
}

std::optional<Numbers> read_list(std::span<const std::string> words) {
  if (words.empty() || words.back() != ";") return std::nullopt;
  Numbers numbers;
  bool row_is_empty = true;
  for (const std::string& word : words) {
    const auto value = WordReader(std::span(&word, 1)).value();
    if (value) numbers.push_back(static_cast<int>(value->numerator()));
    if (!value && (word != ";" || row_is_empty)) return std::nullopt;
    row_is_empty = !value.has_value();
  }
  return numbers;
}

Numbers draw_numbers(CounterRng& rng, size_t count, int low, int high) {
  Numbers numbers(count);
  for (int& number : numbers) number = static_cast<int>(rng.uniform(low, high));
  return numbers;
}

Numbers json_numbers(const nlohmann::json& given, const char* field) {
  Numbers numbers;
  for (const Rational& value : json_vector(given, field)) {
    if (!value.is_integer() || !in_range(value)) {
      throw ProblemError(fmt::format("given.{}: expected whole numbers from {} to {}, got {}", field,
                                     -max_whole, max_whole, value.text()));
    }
    numbers.push_back(static_cast<int>(value.numerator()));
  }
  return numbers;
}

std::string numbers_text(std::span<const int> numbers) { return fmt::format("{}", fmt::join(numbers, ",")); }

std::string length_group(size_t length) { return fmt::format("up to {} values", std::bit_ceil(length)); }

StepVerdict NoChain::read(std::span<const std::string>, const OutputParts::Line& line) {
  StepVerdict verdict;
  verdict.begin = line.begin;
  verdict.end = line.end;
  refuse(verdict, ErrorClass::format, "no chain is asked for");
  return verdict;
}

Problem ListFamily::from_json(const nlohmann::json& given) const {
  return checked(write(json_numbers(given, "list")));
}

Words ListFamily::solve(const Words& prompt, ChainFormat format) const {
  const Numbers numbers = read(prompt);
  Words words;
  if (format != ChainFormat::answer_only) append_steps(words, numbers);
  words.emplace_back("ANS");
  append_list(words, answer(numbers), row_length());
  words.emplace_back("EOS");
  return words;
}

std::string ListFamily::canonical(const Words& prompt) const {
  return fmt::format("{}|{}", name(), numbers_text(read(prompt)));
}

std::string ListFamily::stratum(const Words& prompt) const { return length_group(read(prompt).size()); }

std::unique_ptr<ChainJudge> ListFamily::chain_judge(const Words&, ChainFormat) const {
  return std::make_unique<NoChain>();
}

std::optional<bool> ListFamily::grade(const Words& prompt, std::span<const std::string> said) const {
  const auto numbers = read_list(said);
  if (!numbers) return std::nullopt;
  return *numbers == answer(read(prompt));
}

void ListFamily::append_steps(Words&, const Numbers&) const {}

Words ListFamily::write(std::span<const int> numbers) const {
  Words prompt = {std::string(name())};
  append_list(prompt, numbers, row_length());
  return prompt;
}

Numbers ListFamily::read(const Words& prompt) const {
  const auto numbers = prompt.empty() ? std::nullopt : read_list(std::span(prompt).subspan(1));
  if (!numbers || prompt.front() != name()) {
    throw ProblemError(
        fmt::format("{}: expected a list of whole numbers from {} to {} (\"{} 3 1 4 ;\"), got \"{}\"", name(),
                    -max_whole, max_whole, name(), join_words(prompt)));
  }
  if (numbers->size() > most_values()) {
    throw ProblemError(
        fmt::format("{}: expected at most {} values, got {}", name(), most_values(), numbers->size()));
  }
  return *numbers;
}

}  // namespace giantrabbit::data
