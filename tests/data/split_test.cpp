// The split rule against its published values: hashes, canonical texts and buckets of the exam file.
#include "data/split.h"

#include <array>
#include <stdexcept>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "data/json_values.h"
#include "tests/support/golden.h"

namespace giantrabbit::data {
namespace {

const nlohmann::json& exam_item(const nlohmann::json& exam, const std::string& id) {
  for (const auto& item : exam["items"]) {
    if (item["id"] == id) return item;
  }
  throw std::out_of_range(id);
}

TEST(Split, HashesAsPublished) {
  EXPECT_EQ(fnv1a64(""), 0xcbf29ce484222325U);
  EXPECT_EQ(fnv1a64("a"), 0xaf63dc4c8601ec8cU);
  const auto exam = test_support::load_golden("exam_18_06_2010_quiz1.json");
  int hashed = 0;
  for (const auto& item : exam["items"]) {
    if (!item.contains("canonical")) continue;
    const auto text = item["canonical"].get<std::string>();
    EXPECT_EQ(fmt::format("{:016x}", fnv1a64(text)), item["fnv1a64"].get<std::string>()) << text;
    EXPECT_EQ(fnv1a64(text) % 20, item["bucket"].get<uint64_t>()) << text;
    EXPECT_TRUE(is_exam_item(text)) << text;
    ++hashed;
  }
  EXPECT_EQ(hashed, 6);
}

TEST(Split, WritesTheCanonicalTextOfTheExamMatrices) {
  const auto exam = test_support::load_golden("exam_18_06_2010_quiz1.json");
  const auto& null_item = exam_item(exam, "2a");
  EXPECT_EQ(canonical_matrix(json_matrix(null_item["given"], "A")),
            null_item["canonical"].get<std::string>());
  const auto& member = exam_item(exam, "4b");
  const Matrix right = Matrix::from_rows({json_vector(member["given"], "b")}).transposed();
  EXPECT_EQ(canonical_matrix(json_matrix(member["given"], "A").beside(right)),
            member["canonical"].get<std::string>());
}

TEST(Split, CanonicalTextIgnoresRowOrderAndSigns) {
  const std::string text = "3x2|0,0;0,1/2;10,-9";
  EXPECT_EQ(canonical_matrix(Matrix::from_rows({{0, 0}, {0, Rational(1, 2)}, {10, -9}})), text);
  EXPECT_EQ(canonical_matrix(Matrix::from_rows({{-10, 9}, {0, 0}, {0, Rational(-1, 2)}})), text);
  // Numerical order, not the order of the letters: 2 before 10.
  EXPECT_EQ(canonical_matrix(Matrix::from_rows({{10, 0}, {2, 0}})), "2x2|2,0;10,0");
  EXPECT_NE(canonical_matrix(Matrix::from_rows({{1, 0}})), canonical_matrix(Matrix::from_rows({{1}, {0}})));
}

TEST(Split, EveryBucketHasItsSplit) {
  std::array<int, 3> counts{};
  constexpr int total = 20000;
  for (int i = 0; i < total; ++i) {
    const std::string text = "1x1|" + std::to_string(i);
    const uint64_t bucket = fnv1a64(text) % 20;
    const Split expected = bucket == 0 ? Split::test : bucket == 1 ? Split::validation : Split::train;
    ASSERT_EQ(split_of(text), expected);
    ++counts[static_cast<size_t>(expected)];
  }
  // 5% each; five standard deviations are 154.
  EXPECT_NEAR(counts[static_cast<size_t>(Split::test)], total / 20, 154);
  EXPECT_NEAR(counts[static_cast<size_t>(Split::validation)], total / 20, 154);
}

TEST(Split, OrdinaryProblemsAreNoExamItems) {
  EXPECT_FALSE(is_exam_item("3x4|0,0,4,2;0,1,2,2;0,3,8,8"));
  EXPECT_FALSE(is_exam_item(""));
}

}  // namespace
}  // namespace giantrabbit::data
