// Names of places, and the text of an inspected problem.
#include "eval/inspection.h"

#include <gtest/gtest.h>

#include "eval/attention_cost.h"
#include "eval/attention_picture.h"
#include "tiny_run.h"

namespace giantrabbit::eval {
namespace {

bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const data::Words with_fraction{"RREF", "2", "4", "6", ";", "4", "9", "1", "/2", ";"};

TEST(PlaceNamesTest, RowsColumnsAndLines) {
  const data::Words output{"DIV", "R1", "2", ":", "1", "2", "3", "NL", "ANS", "1"};
  const PlaceNames names(with_fraction, output);
  EXPECT_EQ(names({true, 0}), "RREF@p0");
  EXPECT_EQ(names({true, 3}), "6@R1.3");
  EXPECT_EQ(names({true, 4}), ";@p4");
  EXPECT_EQ(names({true, 6}), "9@R2.2");
  EXPECT_EQ(names({true, 8}), "/2@R2.3");
  EXPECT_EQ(names({false, 2}), "2@1:3");
  EXPECT_EQ(names({false, 9}), "1@2:2");
}

struct Inspected {
  model::ModelConfig config;
  model::Trace trace;
  Judged item;
};

// The reference of a problem, forced through a random model.
Inspected inspected(const model::ModelConfig& config) {
  Inspected result{config, {}, {{"", {"RREF", "2", "4", "6", ";", "4", "9", "8", ";"}}, {}, {}}};
  const data::Family& family = data::find_family("RREF");
  result.item.output = family.solve(result.item.problem.prompt, data::ChainFormat::prod);
  result.item.verdict = family.judge(result.item.problem.prompt, result.item.output, data::ChainFormat::prod);
  model::GiantRabbit network = tiny_network(config, 11);
  result.trace = trace_output(network, data::Vocabulary(), result.item.problem.prompt, result.item.output);
  return result;
}

TEST(InspectionTest, ShowsEveryThoughtStepAndEveryWrittenStep) {
  model::ModelConfig config = tiny_config();
  config.attention = "sparsemax";
  config.thought_steps = 2;
  const Inspected it = inspected(config);
  const std::string text = inspection_text(config, it.trace, it.item, data::ChainFormat::prod, {});
  EXPECT_TRUE(mentions(text, "thought step 2 of 2")) << text;
  EXPECT_TRUE(mentions(text, "thought.1.cross head 1")) << text;
  EXPECT_TRUE(mentions(text, "\u2713 SUB R2 R1 2 : 4 0 8 1 12 -4 NL")) << text;
  EXPECT_TRUE(mentions(text, "needed from before: 2@R1.1 4@R1.2 6@R1.3 4@R2.1 9@R2.2 8@R2.3")) << text;
  EXPECT_TRUE(mentions(text, "\u2713 ANS 1 0 11 ; 0 1 -4 ; EOS")) << text;
  EXPECT_TRUE(mentions(text, "decoder.1.self")) << text;
  EXPECT_FALSE(mentions(text, "writing ")) << text;
}

TEST(InspectionTest, EachWordByItself) {
  for (const bool encoder : {true, false}) {
    model::ModelConfig config = tiny_config();
    config.encoder = encoder;
    const Inspected it = inspected(config);
    const std::string text =
        inspection_text(config, it.trace, it.item, data::ChainFormat::prod, {default_support_mass, true});
    EXPECT_TRUE(mentions(text, "writing -4@1:11")) << text;
    EXPECT_TRUE(mentions(text, "needed from before: 8@R2.3 12@1:10")) << text;
    EXPECT_TRUE(mentions(text, "thought of 9@R2.2")) << text;
  }
}

TEST(AttentionPictureTest, CellsStayInsideAndTellTheNeededWords) {
  const Inspected it = inspected(tiny_config());
  const HeatMap map = attention_picture("run", it.config, it.trace, it.item.problem.prompt, it.item.output,
                                        data::ChainFormat::prod);
  const auto prompt_words = std::ssize(it.item.problem.prompt);
  ASSERT_EQ(std::ssize(map.columns), prompt_words + std::ssize(map.rows) - 1);
  bool marked = false;
  for (const HeatMap::Cell& cell : map.cells) {
    EXPECT_GE(cell.row, 0);
    EXPECT_LT(cell.row, std::ssize(map.rows));
    EXPECT_LT(cell.column, prompt_words + cell.row) << "a written word that is not there yet";
    EXPECT_LE(cell.weight, 1 + 1e-6);
    // Word 6 is the entry 4 - 4 of the first line: it needs the prompt's 4 (word 5) and the product (word 5).
    if (cell.row == 6 && cell.column == prompt_words + 5) marked = cell.needed;
  }
  EXPECT_TRUE(marked);
}

}  // namespace
}  // namespace giantrabbit::eval
