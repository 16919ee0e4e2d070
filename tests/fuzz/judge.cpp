// In: a model's output for a problem of any family: the first byte chooses the family, the second format and
// problem, the third how the rest is read: words (a byte is a word of the vocabulary, text between bytes 255
// a word of its own) or changes of the right solution, four bytes each. Never refused: the verdict is
// consistent, the same whatever stands behind EOS, and what words need lies before them.
#include <map>

#include "data/vocabulary.h"
#include "eval/need.h"
#include "tests/fuzz/fuzz.h"

namespace giantrabbit::fuzz {
namespace {

constexpr char raw_word_mark = '\xff';

struct Question {
  data::Words prompt;
  data::Vocabulary vocabulary;
};

const Question& question_of(const data::Family& family, uint64_t number) {
  static std::map<std::pair<const data::Family*, uint64_t>, Question> known;
  auto found = known.find({&family, number});
  if (found == known.end()) {
    data::CounterRng rng{data::fnv1a64(family.name()), number};
    Question question{family.generate(rng).prompt, data::Vocabulary(family.extra_words())};
    found = known.emplace(std::pair(&family, number), std::move(question)).first;
  }
  return found->second;
}

data::Words words_of(std::string_view bytes, const data::Vocabulary& vocabulary) {
  data::Words words;
  while (!bytes.empty()) {
    const char first = bytes.front();
    bytes.remove_prefix(1);
    if (first != raw_word_mark) {
      words.push_back(vocabulary.word(static_cast<unsigned char>(first) % vocabulary.size()));
      continue;
    }
    const std::string_view word = bytes.substr(0, bytes.find(raw_word_mark));
    words.emplace_back(word);
    bytes.remove_prefix(std::min(word.size() + 1, bytes.size()));
  }
  return words;
}

// Kind, place (two bytes), word.
void change(data::Words& words, std::string_view bytes, const data::Vocabulary& vocabulary) {
  for (; bytes.size() >= 4; bytes.remove_prefix(4)) {
    const auto byte = [&](size_t index) { return static_cast<unsigned char>(bytes[index]); };
    const auto place = static_cast<std::ptrdiff_t>((byte(1) * 256U + byte(2)) % (words.size() + 1));
    const std::string& word = vocabulary.word(byte(3) % vocabulary.size());
    const bool at_end = place == std::ssize(words);
    if (at_end || byte(0) % 8 < 2) {
      words.insert(words.begin() + place, word);
    } else if (byte(0) % 8 < 6) {
      words[static_cast<size_t>(place)] = word;
    } else if (byte(0) % 8 < 7) {
      words.erase(words.begin() + place);
    } else {
      words.resize(static_cast<size_t>(place));
    }
  }
}

void check_steps(const data::Verdict& verdict, size_t words) {
  int end = 0;
  for (const data::StepVerdict& step : verdict.steps) {
    require(step.begin == end && step.end > step.begin, "steps follow one another");
    require(step.valid == (step.error == data::ErrorClass::none), "an invalid step has an error");
    require(step.valid == step.reason.empty(), "an invalid step has a reason");
    end = step.end;
  }
  require(end == verdict.chain_words && static_cast<size_t>(end) <= words, "steps are the words before ANS");
}

void check_verdict(const data::Verdict& verdict) {
  require(verdict.chain_valid == (verdict.error == data::ErrorClass::none), "a wrong output has an error");
  require(!verdict.chain_valid || (verdict.finished && verdict.answer_right), "a valid chain ends right");
  for (const data::StepVerdict& step : verdict.steps) {
    require(!verdict.chain_valid || step.valid, "a valid chain has valid steps");
  }
}

bool equal(const data::Verdict& a, const data::Verdict& b) {
  return a.finished == b.finished && a.answer_right == b.answer_right && a.chain_valid == b.chain_valid &&
         a.error == b.error && a.steps.size() == b.steps.size() && a.chain_words == b.chain_words;
}

void check_needs(const Question& question, const data::Words& output, data::ChainFormat format) {
  const std::vector<eval::WordNeed> needs = eval::find_needs(question.prompt, output, format);
  require(needs.size() == output.size(), "every word has its need");
  for (size_t word = 0; word < needs.size(); ++word) {
    for (const eval::Places* places : {&needs[word].values, &needs[word].header}) {
      for (const eval::Place& place : *places) {
        const size_t end = place.in_prompt ? question.prompt.size() : word;
        require(place.index >= 0 && static_cast<size_t>(place.index) < end, "needed words come before");
      }
    }
  }
}

}  // namespace

void judge(std::string_view bytes) {
  if (bytes.size() < 3) return;
  const auto families = data::all_families();
  const data::Family& family = *families[static_cast<unsigned char>(bytes[0]) % families.size()];
  const auto choice = static_cast<unsigned char>(bytes[1]);
  const auto format = static_cast<data::ChainFormat>(choice % 3);
  const Question& question = question_of(family, choice / 3 % 8);
  const bool as_words = bytes[2] % 2 != 0;
  data::Words output =
      as_words ? words_of(bytes.substr(3), question.vocabulary) : family.solve(question.prompt, format);
  if (!as_words) change(output, bytes.substr(3), question.vocabulary);
  const data::Verdict verdict = family.judge(question.prompt, output, format);
  check_steps(verdict, output.size());
  check_verdict(verdict);
  check_needs(question, output, format);
  if (!verdict.finished) return;
  output.insert(output.end(), {"NL", "ANS", "EOS"});
  require(equal(verdict, family.judge(question.prompt, output, format)), "words behind EOS do not count");
}

}  // namespace giantrabbit::fuzz
