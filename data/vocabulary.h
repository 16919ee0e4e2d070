// Words <-> ids, and what a model must know about each word to place it: is it a number, which one, does it
// end a group. The list is fixed: base words (about 180; tasks of letters have the first seven only), then
// the extra words of the task's families. It is saved with every run; a run refuses a vocabulary that
// differs.
//
// A value is one word ("-7") or two when it is a fraction ("-7", "/2"): whole numbers -60..60,
// denominators 2..9.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/problem.h"

namespace giantrabbit::data {

inline constexpr int64_t max_whole = 60;
inline constexpr int64_t max_denominator = 9;

class Vocabulary {
 public:
  // The base words, then `extra` in its order; words that are there already are left out. Without `base` only
  // the base words that frame prompts, chains and answers (PAD to ":") stand in front.
  explicit Vocabulary(std::span<const ExtraWord> extra = {}, bool base = true);

  int64_t size() const { return static_cast<int64_t>(words_.size()); }
  bool contains(std::string_view word) const;
  int64_t id(std::string_view word) const;  // throws ProblemError for a word outside the vocabulary
  const std::string& word(int64_t id) const { return words_.at(static_cast<size_t>(id)); }
  std::vector<int64_t> encode(std::span<const std::string> words) const;
  Words decode(std::span<const int64_t> ids) const;
  const Words& words() const { return words_; }

  static constexpr int64_t pad = 0, bos = 1, eos = 2, ans = 3;

  // Per word: the whole number it stands for (is_whole), its denominator, whether it ends a group of values
  // (BOS ANS NL ; :), whether it ends a row of the prompt (;). Model inputs are made from these.
  struct Traits {
    bool is_whole = false;
    bool is_denominator = false;
    double value = 0;  // the whole number or the denominator
    bool ends_group = false;
    bool ends_row = false;
  };
  const Traits& traits(int64_t id) const { return traits_.at(static_cast<size_t>(id)); }

  // Atomic write of vocabulary.json; verify() throws std::runtime_error naming the file and the first
  // difference.
  void save(const std::filesystem::path& file) const;
  void verify(const std::filesystem::path& file) const;

 private:
  void add(std::string word, Traits traits);
  void add_base_words();
  Words words_;
  std::vector<Traits> traits_;
  std::unordered_map<std::string, int64_t> ids_;
};

// The words of one value, and back; append_value throws ProblemError when the value is outside the
// vocabulary.
void append_value(Words& words, const Rational& value);
bool in_range(const Rational& value);

}  // namespace giantrabbit::data
