// Outside items: the three layouts, items that are refused with a reason, files that are no item files, and
// the built-in exam against its fixture.
#include "data/item_file.h"

#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "data/split.h"
#include "tests/data/text.h"
#include "tests/support/golden.h"

namespace giantrabbit::data {
namespace {

class ItemFileTest : public testing::Test {
 protected:
  ItemFileTest() { std::filesystem::create_directories(folder_); }
  ~ItemFileTest() override { std::filesystem::remove_all(folder_); }
  ItemFile read(const std::string& text) const {
    std::ofstream(file_) << text;
    return read_items(file_);
  }
  std::string failure(const std::string& text) const {
    try {
      (void)read(text);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "accepted";
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("giantrabbit_items_" + std::to_string(::getpid()));
  std::filesystem::path file_ = folder_ / "items.json";
};

const std::string item_a =
    R"({"id": "a", "family": "RREF", "given": {"A": [[1, 2], [3, "1/2"]]}, "answer": {}})";
const std::string item_b = R"({"id": 7, "family": "RREF", "given": {"A": [[0, 2]]}})";

TEST_F(ItemFileTest, ReadsAllLayouts) {
  for (const std::string& text :
       {"[" + item_a + ", " + item_b + "]", R"({"meta": {}, "items": [)" + item_a + "," + item_b + "]}",
        item_a + "\n" + item_b + "\n", item_a + "\r\n\n" + item_b}) {
    const ItemFile file = read(text);
    ASSERT_EQ(file.problems.size(), 2U) << text;
    EXPECT_TRUE(file.refused.empty());
    EXPECT_EQ(file.problems[0].id, "a");
    EXPECT_EQ(file.problems[0].prompt, words_of("RREF 1 2 ; 3 1 /2 ;"));
    EXPECT_EQ(file.problems[1].id, "7");
  }
  EXPECT_EQ(read(item_a).problems.size(), 1U);
  EXPECT_TRUE(read("[]").problems.empty());
}

TEST_F(ItemFileTest, ListsBadItemsAndKeepsTheGoodOnes) {
  const ItemFile file = read("[" + item_a + R"(, 3, {"id": "b"}, {"id": "c", "family": "NOPE", "given": {}},
      {"id": "d", "family": "RREF"}, {"id": "e", "family": "RREF", "given": {"A": [[1], [2, 3]]}},
      {"family": "RREF", "given": {"A": "x"}}, {"id": "g", "family": 5, "given": {}}])");
  EXPECT_EQ(file.problems.size(), 1U);
  ASSERT_EQ(file.refused.size(), 7U);
  EXPECT_EQ(file.refused[0].id, "item 2");
  EXPECT_EQ(file.refused[0].reason, "expected an object, got number");
  EXPECT_EQ(file.refused[1].reason, "\"family\" is missing");
  EXPECT_TRUE(file.refused[2].reason.starts_with("unknown family \"NOPE\"; known are RREF"));
  EXPECT_EQ(file.refused[3].reason, "\"given\" is missing");
  EXPECT_EQ(file.refused[4].reason, "given.A: matrix: row 2 has 2 entries, row 1 has 1");
  EXPECT_EQ(file.refused[5].id, "item 7");
  EXPECT_EQ(file.refused[5].reason, "given.A: expected a list of lists, got string");
  EXPECT_EQ(file.refused[6].reason, "\"family\" is missing");
}

TEST_F(ItemFileTest, ABadLineOfJsonLinesIsRefusedAlone) {
  const ItemFile file = read(item_a + "\n{\"id\": \"cut\n" + item_b);
  EXPECT_EQ(file.problems.size(), 2U);
  ASSERT_EQ(file.refused.size(), 1U);
  EXPECT_EQ(file.refused[0].id, "line 2");
}

// Writing a value of 200000 levels into a message would overflow the stack.
TEST_F(ItemFileTest, DeeplyNestedItemsAreRefused) {
  const std::string deep = std::string(200000, '[') + std::string(200000, ']');
  const std::string deep_objects = [] {
    std::string text;
    for (int i = 0; i < 200000; ++i) text += "{\"a\":";
    return text + "1" + std::string(200000, '}');
  }();
  for (const char* separator : {",", "\n"}) {
    const bool list = separator[0] == ',';
    std::string text = list ? "[" : "";
    for (const std::string& value : {deep, deep_objects}) {
      text += R"({"id": "A", "family": "RREF", "given": {"A": )" + value + "}}" + separator;
      text += R"({"id": "row", "family": "RREF", "given": {"A": [)" + value + "]}}" + separator;
      text += R"({"id": "value", "family": "RREF", "given": {"A": [[)" + value + "]]}}" + separator;
      text += R"({"id": "edge", "family": "PATH", "given": {"start": 1, "targets": [2, 3], "edges": [)" +
              value + "]}}" + separator;
      text += R"({"id": )" + value + R"(, "family": "RREF", "given": {"A": 1}})" + separator;
    }
    const ItemFile file = read(text + item_a + (list ? "]" : ""));
    EXPECT_EQ(file.refused.size(), 10U);
    ASSERT_EQ(file.problems.size(), 1U);
    EXPECT_EQ(file.problems[0].id, "a");
  }
  EXPECT_EQ(
      read(R"({"id": "a", "family": "RREF", "given": {"A": [[1]]}, "answer": )" + deep + "}").problems.size(),
      1U)
      << "fields that are not read may hold anything";
}

TEST_F(ItemFileTest, WholeNumbersBeyond64BitsDoNotWrap) {
  const ItemFile file = read(R"([{"id": "a", "family": "RREF", "given": {"A": [[18446744073709551615, 1]]}},
      {"id": "b", "family": "RREF", "given": {"A": [[9223372036854775808, 1]]}},
      {"id": "c", "family": "PATH",
       "given": {"start": 18446744073709551615, "targets": [2, 3], "edges": [[-1, 2]]}}])");
  EXPECT_TRUE(file.problems.empty());
  ASSERT_EQ(file.refused.size(), 3U);
  EXPECT_EQ(file.refused[0].reason,
            "given.A: expected whole numbers below 2^63 or \"p/q\" strings, got 18446744073709551615");
}

TEST_F(ItemFileTest, NamesFilesThatAreNoItemFiles) {
  const std::string name = file_.string();
  EXPECT_EQ(failure(""), name + ": the file is empty");
  EXPECT_EQ(failure("\n \n"), name + ": the file is empty");
  EXPECT_EQ(
      failure("hello"),
      name +
          ": neither JSON nor JSON lines nor lines of multiplication (\"question||chain #### answer\") or "
          "ListOps (label, tab, expression) (line 1)");
  EXPECT_EQ(
      failure("[" + item_a),
      name +
          ": neither JSON nor JSON lines nor lines of multiplication (\"question||chain #### answer\") or "
          "ListOps (label, tab, expression) (line 1)");
  EXPECT_EQ(failure("3"), name + ": expected a list of items, got number");
  EXPECT_THROW((void)read_items(folder_), std::runtime_error);
  try {
    (void)read_items(folder_ / "missing.json");
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(std::string(error.what()), (folder_ / "missing.json").string() + ": cannot be opened");
  }
}

TEST_F(ItemFileTest, TheBuiltInExamIsTheFixture) {
  const auto problems = exam_problems();
  const auto exam = test_support::load_golden("exam_18_06_2010_quiz1.json");
  ASSERT_EQ(problems.size(), exam["items"].size());
  const ItemFile from_file = read_items(std::filesystem::path(GR_FIXTURES) / "exam_18_06_2010_quiz1.json");
  EXPECT_TRUE(from_file.refused.empty());
  for (size_t i = 0; i < problems.size(); ++i) {
    const auto& item = exam["items"][i];
    EXPECT_EQ(problems[i].id, item["id"].get<std::string>());
    EXPECT_EQ(problems[i].prompt[0], item["family"].get<std::string>());
    EXPECT_EQ(problems[i].prompt, from_file.problems.at(i).prompt);
    const std::string text = find_family(problems[i].prompt[0]).canonical(problems[i].prompt);
    if (item.contains("canonical")) {
      EXPECT_EQ(text, item["canonical"].get<std::string>());
    }
    if (problems[i].prompt[0] != "MEMBER_RULE") {
      EXPECT_TRUE(is_exam_item(text)) << text;
    }
  }
}

}  // namespace
}  // namespace giantrabbit::data
