// In: words. Out: ids, words again, and what a model must know about each word. Kept invariant: the order of
// the list is part of every saved run, so base words are never added: what a domain needs are extra words.
#include "data/vocabulary.h"

#include <fstream>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/atomic_file.h"

namespace giantrabbit::data {
namespace {

constexpr int64_t max_rows = 8;

// Operations, the families' names, and the words of their chains and answers.
constexpr const char* plain_words[] = {
    "SUB",    "DIV",        "SW",          "PIV",         "FREE",   "ROW",         "COL",
    "EQ",     "INVERSE",    "RREF",        "SOLSET",      "UNDO",   "NULL",        "COLSP",
    "BLOCK",  "FACT_COUNT", "FACT_SPACES", "MEMBER_RULE", "MEMBER", "ALWAYS",      "SOMETIMES",
    "UNIQUE", "MANY",       "NONE",        "YES",         "NO",     "INDEPENDENT", "DEPENDENT",
    "POINT",  "LINE",       "PLANE",       "SPACE",       "WHOLE",
};

}  // namespace

Vocabulary::Vocabulary(std::span<const ExtraWord> extra, bool base) {
  add("PAD", {});
  add("BOS", {.ends_group = true});
  add("EOS", {});
  add("ANS", {.ends_group = true});
  add("NL", {.ends_group = true});
  add(";", {.ends_group = true, .ends_row = true});
  add(":", {.ends_group = true});
  if (base) add_base_words();
  for (const ExtraWord& word : extra) {
    if (!contains(word.text)) add(word.text, {.ends_group = word.ends_group, .ends_row = word.ends_row});
  }
}

void Vocabulary::add_base_words() {
  for (int64_t value = -max_whole; value <= max_whole; ++value) {
    add(std::to_string(value), {.is_whole = true, .value = static_cast<double>(value)});
  }
  for (int64_t value = 2; value <= max_denominator; ++value) {
    add(fmt::format("/{}", value), {.is_denominator = true, .value = static_cast<double>(value)});
  }
  for (int64_t row = 1; row <= max_rows; ++row) add(fmt::format("R{}", row), {});
  for (const char* word : plain_words) add(word, {});
}

void Vocabulary::add(std::string word, Traits traits) {
  ids_.emplace(word, size());
  words_.push_back(std::move(word));
  traits_.push_back(traits);
}

bool Vocabulary::contains(std::string_view word) const { return ids_.contains(std::string(word)); }

int64_t Vocabulary::id(std::string_view word) const {
  const auto found = ids_.find(std::string(word));
  if (found == ids_.end()) {
    throw ProblemError(
        fmt::format("\"{}\" is not a word of the vocabulary (whole numbers {}..{}, denominators /2../{}, "
                    "R1..R{}, \";\", capital words and the words of the task)",
                    word, -max_whole, max_whole, max_denominator, max_rows));
  }
  return found->second;
}

std::vector<int64_t> Vocabulary::encode(std::span<const std::string> words) const {
  std::vector<int64_t> ids;
  ids.reserve(words.size());
  for (const std::string& text : words) ids.push_back(id(text));
  return ids;
}

Words Vocabulary::decode(std::span<const int64_t> ids) const {
  Words words;
  words.reserve(ids.size());
  for (const int64_t id : ids) words.push_back(word(id));
  return words;
}

void Vocabulary::save(const std::filesystem::path& file) const {
  write_file_atomically(file, nlohmann::json{{"words", words_}}.dump(1) + "\n");
}

void Vocabulary::verify(const std::filesystem::path& file) const {
  std::ifstream stream(file);
  if (!stream) throw std::runtime_error(fmt::format("{}: cannot be opened", file.string()));
  Words stored;
  try {
    nlohmann::json::parse(stream).at("words").get_to(stored);
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(
        fmt::format("{}: expected {{\"words\": [..]}}: {}", file.string(), error.what()));
  }
  for (size_t i = 0; i < std::min(stored.size(), words_.size()); ++i) {
    if (stored[i] != words_[i]) {
      throw std::runtime_error(fmt::format("{}: word {} is \"{}\" in the file and \"{}\" in this program",
                                           file.string(), i, stored[i], words_[i]));
    }
  }
  if (stored.size() != words_.size()) {
    throw std::runtime_error(fmt::format("{}: {} words in the file and {} in this program", file.string(),
                                         stored.size(), words_.size()));
  }
}

bool in_range(const Rational& value) {
  return value.denominator() <= max_denominator && value.numerator() >= -max_whole &&
         value.numerator() <= max_whole;
}

void append_value(Words& words, const Rational& value) {
  if (!in_range(value)) {
    throw ProblemError(fmt::format("{} is outside the vocabulary (numerators {}..{}, denominators up to {})",
                                   value.text(), -max_whole, max_whole, max_denominator));
  }
  words.push_back(std::to_string(value.numerator()));
  if (!value.is_integer()) words.push_back(fmt::format("/{}", value.denominator()));
}

}  // namespace giantrabbit::data
