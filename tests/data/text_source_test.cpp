// A text file as training data: its parts, its characters, windows by index, and what is refused.
#include "data/text_source.h"

#include <filesystem>
#include <set>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "data/atomic_file.h"
#include "data/batcher.h"

namespace giantrabbit::data {
namespace {

std::filesystem::path write_text_file(const std::string& name, const std::string& bytes) {
  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / name;
  write_file_atomically(file, bytes);
  return file;
}

// Every place is known by its four characters: "000000010002 .."
std::string numbered(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += std::to_string(10000 + i).substr(1);
  return text;
}

std::string error_of_text(const std::filesystem::path& file, int64_t window) {
  try {
    const Text text(file, window);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "no error";
}

TEST(TextTest, ThePartsAreTheFileInItsOrder) {
  const std::string bytes = numbered(1000) + "xyz";
  const Text text(write_text_file("parts.txt", bytes), 100);
  EXPECT_EQ(text.part(Split::test), bytes.substr(4003 - 200));
  EXPECT_EQ(text.part(Split::validation), bytes.substr(4003 - 400, 200));
  EXPECT_EQ(text.part(Split::train), bytes.substr(0, 4003 - 400));
}

TEST(TextTest, WhatCannotBeReadIsNamed) {
  const std::filesystem::path folder = testing::TempDir();
  EXPECT_NE(error_of_text(folder / "none.txt", 4).find("none.txt: No such file"), std::string::npos);
  EXPECT_NE(error_of_text(folder, 4).find("Is a directory"), std::string::npos);
  const auto empty = write_text_file("empty.txt", "");
  EXPECT_NE(error_of_text(empty, 4).find("empty.txt: 0 characters are too few"), std::string::npos);
  const auto file = write_text_file("short.txt", numbered(500));
  EXPECT_EQ(error_of_text(file, 100), "no error");
  EXPECT_NE(error_of_text(file, 101).find("2000 characters are too few"), std::string::npos);
}

TEST(TextTest, TheFingerprintTellsTextsApart) {
  std::string bytes = numbered(100);
  const std::string first = Text(write_text_file("fingerprint.txt", bytes), 4).fingerprint();
  EXPECT_TRUE(first.starts_with("400-")) << first;
  bytes[7] = 'x';
  EXPECT_NE(Text(write_text_file("fingerprint.txt", bytes), 4).fingerprint(), first);
}

TEST(TextTest, EveryByteHasAWord) {
  const Vocabulary vocabulary = text_vocabulary();
  EXPECT_EQ(vocabulary.size(), 7 + 256);
  EXPECT_EQ(vocabulary.word(byte_id('A')), "byte-41");
  EXPECT_EQ(vocabulary.word(byte_id('\0')), "byte-00");
  EXPECT_EQ(vocabulary.word(byte_id('\xff')), "byte-ff");
  EXPECT_EQ(byte_ids("A\xff"), (std::vector<int64_t>{byte_id('A'), byte_id('\xff')}));
}

TEST(TextSourceTest, AWindowDependsOnSeedAndIndexAlone) {
  const auto text = std::make_shared<const Text>(write_text_file("windows.txt", numbered(1000)), 40);
  const TextSource source(text, 5), again(text, 5), other(text, 6);
  std::set<std::vector<int64_t>> seen;
  int differing = 0;
  for (uint64_t index = 50; index-- > 0;) {
    const Example example = source.example(index);
    EXPECT_EQ(again.example(index).target, example.target);
    differing += other.example(index).target != example.target;
    EXPECT_TRUE(example.prompt.empty());
    EXPECT_EQ(example.target.size(), 40U);
    seen.insert(example.target);
  }
  // 3561 places: two equal ones among 50 have a chance of about 0.3; three pairs have one of 0.5%.
  EXPECT_GT(seen.size(), 47U);
  EXPECT_GT(differing, 47);
}

TEST(TextSourceTest, WindowsStayInsideTheTrainingPartAndReachItsEnds) {
  // 86 places, 2000 draws: that one is missed has a chance of 86 exp(-2000 / 86), below 1e-8.
  const std::string bytes = numbered(25);
  const auto text = std::make_shared<const Text>(write_text_file("ends.txt", bytes), 5);
  const std::string part(text->part(Split::train));
  ASSERT_EQ(part.size(), 90U);
  const TextSource source(text, 1);
  std::set<std::vector<int64_t>> seen;
  for (uint64_t index = 0; index < 2000; ++index) seen.insert(source.example(index).target);
  std::set<std::vector<int64_t>> expected;
  for (size_t begin = 0; begin + 5 <= part.size(); ++begin) {
    expected.insert(byte_ids(std::string_view(part).substr(begin, 5)));
  }
  EXPECT_EQ(seen, expected);
}

TEST(TextSourceTest, BatchesHaveNoPromptAndContinueExactly) {
  const auto text = std::make_shared<const Text>(write_text_file("batches.txt", numbered(1000)), 16);
  const TextSource source(text, 1);
  Batcher batcher(source, 64, 1);
  const Batch first = batcher.next();
  EXPECT_EQ(first.prompt.sizes(), (std::vector<int64_t>{4, 0}));
  EXPECT_EQ(first.target.sizes(), (std::vector<int64_t>{4, 16}));
  EXPECT_TRUE(first.decoder_input.select(1, 0).eq(Vocabulary::bos).all().item<bool>());
  EXPECT_TRUE(first.decoder_input.slice(1, 1).equal(first.target.slice(1, 0, 15)));
  const Batcher::Position position = batcher.position();
  const Batch second = batcher.next();
  Batcher resumed(source, 64, 1);
  resumed.seek(position);
  EXPECT_TRUE(resumed.next().target.equal(second.target));
}

}  // namespace
}  // namespace giantrabbit::data
