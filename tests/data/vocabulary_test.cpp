// The vocabulary: ids and traits, values as words, and a saved list that must be the same when it is loaded.
#include "data/vocabulary.h"

#include <fstream>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "data/split.h"
#include "tests/data/text.h"

namespace giantrabbit::data {
namespace {

class TemporaryFolder {
 public:
  TemporaryFolder()
      : path_(std::filesystem::temp_directory_path() /
              ("giantrabbit_vocabulary_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::filesystem::path file(const char* name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

std::string failure_of_verify(const std::filesystem::path& file) {
  try {
    Vocabulary().verify(file);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(Vocabulary, HasFixedSpecialIdsAndNoWordTwice) {
  const Vocabulary vocabulary;
  EXPECT_EQ(vocabulary.id("PAD"), Vocabulary::pad);
  EXPECT_EQ(vocabulary.id("BOS"), Vocabulary::bos);
  EXPECT_EQ(vocabulary.id("EOS"), Vocabulary::eos);
  EXPECT_EQ(vocabulary.id("ANS"), Vocabulary::ans);
  EXPECT_EQ(std::set<std::string>(vocabulary.words().begin(), vocabulary.words().end()).size(),
            vocabulary.words().size());
  for (int64_t id = 0; id < vocabulary.size(); ++id) EXPECT_EQ(vocabulary.id(vocabulary.word(id)), id);
}

// Models trained on tasks of base words stand on this list: its size is a shape of their weights.
TEST(Vocabulary, TheBaseWordsAreFrozen) {
  EXPECT_EQ(Vocabulary().size(), 177);
  EXPECT_EQ(fnv1a64(join_words(Vocabulary().words())), 0x5ed184d903fbf2d4U);
}

TEST(Vocabulary, PutsExtraWordsBehindTheBaseWords) {
  const std::vector<ExtraWord> extra = {{"R9"}, {"+", true}, {"SUB"}, {"R9"}};
  const Vocabulary base;
  const Vocabulary vocabulary(extra);
  ASSERT_EQ(vocabulary.size(), base.size() + 2);
  for (int64_t id = 0; id < base.size(); ++id) EXPECT_EQ(vocabulary.word(id), base.word(id));
  EXPECT_EQ(vocabulary.id("R9"), base.size());
  EXPECT_FALSE(vocabulary.traits(vocabulary.id("R9")).ends_group);
  EXPECT_TRUE(vocabulary.traits(vocabulary.id("+")).ends_group);
  EXPECT_TRUE(vocabulary.contains("+"));
  EXPECT_FALSE(base.contains("+"));
}

TEST(Vocabulary, KnowsNumbersAndGroupEnds) {
  const Vocabulary vocabulary;
  const auto traits = [&](const char* word) { return vocabulary.traits(vocabulary.id(word)); };
  EXPECT_TRUE(traits("-60").is_whole);
  EXPECT_EQ(traits("-60").value, -60);
  EXPECT_EQ(traits("60").value, 60);
  EXPECT_TRUE(traits("/9").is_denominator);
  EXPECT_FALSE(traits("/9").is_whole);
  EXPECT_EQ(traits("/9").value, 9);
  for (const char* word : {"BOS", "ANS", "NL", ";", ":"}) EXPECT_TRUE(traits(word).ends_group) << word;
  for (const char* word : {"PAD", "EOS", "R1", "SUB", "0", "/2"})
    EXPECT_FALSE(traits(word).ends_group) << word;
  int rows = 0, wholes = 0;
  for (int64_t id = 0; id < vocabulary.size(); ++id) {
    rows += vocabulary.traits(id).ends_row ? 1 : 0;
    wholes += vocabulary.traits(id).is_whole ? 1 : 0;
  }
  EXPECT_EQ(rows, 1);
  EXPECT_EQ(wholes, 121);
}

TEST(Vocabulary, EncodesAndDecodes) {
  const Vocabulary vocabulary;
  const Words words = words_of("RREF 1 -2 ; 3 /2 60 ;");
  EXPECT_EQ(vocabulary.decode(vocabulary.encode(words)), words);
  for (const char* word : {"61", "-61", "/1", "/10", "R9", "rref", "", "+1", "-0"}) {
    EXPECT_THROW((void)vocabulary.id(word), ProblemError) << word;
  }
  EXPECT_THROW((void)vocabulary.word(vocabulary.size()), std::out_of_range);
  EXPECT_THROW((void)vocabulary.word(-1), std::out_of_range);
}

TEST(Vocabulary, WritesValuesInsideItsRangeOnly) {
  Words words;
  append_value(words, Rational(-7, 2));
  append_value(words, Rational(60));
  EXPECT_EQ(words, words_of("-7 /2 60"));
  for (const Rational& value : {Rational(61), Rational(-61), Rational(1, 10), Rational(61, 2)}) {
    EXPECT_FALSE(in_range(value));
    EXPECT_THROW(append_value(words, value), ProblemError);
  }
  EXPECT_EQ(words.size(), 3U);
}

TEST(Vocabulary, VerifiesWhatItSaved) {
  const TemporaryFolder folder;
  const auto file = folder.file("vocabulary.json");
  Vocabulary().save(file);
  EXPECT_NO_THROW(Vocabulary().verify(file));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(file.parent_path()), {}), 1);
}

TEST(Vocabulary, RefusesOtherAndBrokenFilesByName) {
  const TemporaryFolder folder;
  const auto file = folder.file("vocabulary.json");
  EXPECT_NE(failure_of_verify(file).find(file.string() + ": cannot be opened"), std::string::npos);
  Words words = Vocabulary().words();
  words[5] = "other";
  std::ofstream(file) << nlohmann::json{{"words", words}};
  EXPECT_EQ(failure_of_verify(file),
            file.string() + ": word 5 is \"other\" in the file and \";\" in this program");
  words = Vocabulary().words();
  words.pop_back();
  std::ofstream(file) << nlohmann::json{{"words", words}};
  EXPECT_NE(failure_of_verify(file).find(std::to_string(words.size()) + " words in the file"),
            std::string::npos);
  for (const char* text : {"", "{\"words\": [\"PAD\"", "[]", "{\"words\": 3}", "{}"}) {
    std::ofstream(file) << text;
    EXPECT_NE(failure_of_verify(file).find(file.string() + ": expected {\"words\": [..]}"), std::string::npos)
        << text;
  }
}

TEST(Vocabulary, SavingIntoAMissingFolderFailsByName) {
  const TemporaryFolder folder;
  const auto file = folder.file("missing") / "vocabulary.json";
  try {
    Vocabulary().save(file);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find(file.string()), std::string::npos);
  }
}

}  // namespace
}  // namespace giantrabbit::data
