// The autoregressive trace: the exact text of chapter3_golden.json for its sorter of letters, and what holds
// for the trace of any run; columns; the table of parameters.
#include "eval/generation_trace.h"

#include <numeric>

#include <gtest/gtest.h>

#include "eval/parameter_table.h"
#include "tests/model/golden_sorter.h"
#include "tests/support/golden.h"
#include "tiny_run.h"

namespace giantrabbit::eval {
namespace {

namespace golden = model::golden;

// The file's separator has no text.
const std::vector<std::string> golden_words = {"", "a", "b", "c"};

// Three words, each the most likely one of all four, written behind a prompt and the separator.
GenerationTrace golden_trace(const std::string& letters) {
  golden::Sorter sorter;
  std::vector<int64_t> ids;
  for (const char letter : letters) ids.push_back(letter - 'a' + 1);
  ids.push_back(0);
  GenerationTrace result{{}, sorter.config.heads, sorter.config.width / sorter.config.heads, {}};
  for (const int64_t id : ids) result.start.push_back(golden_words[static_cast<size_t>(id)]);
  for (int step = 0; step < 3; ++step) {
    model::Trace trace;
    const torch::Tensor logits = sorter.forward(torch::tensor(ids, torch::kInt64).unsqueeze(0), &trace);
    const torch::Tensor weights = logits[0][-1].softmax(-1);
    TracedWord& word = result.words.emplace_back();
    for (size_t id = 1; id < 4; ++id) {
      word.candidates.push_back({golden_words[id], weights[static_cast<int64_t>(id)].item<double>()});
    }
    const torch::Tensor attention = golden::dense_weights(trace.attentions.at(0));
    for (int64_t head = 0; head < attention.size(0); ++head) {
      word.heads.push_back({"head" + std::to_string(head), {}});
      for (size_t key = 0; key < ids.size(); ++key) {
        word.heads.back().seen.push_back({golden_words[static_cast<size_t>(ids[key])],
                                          attention[head][-1][static_cast<int64_t>(key)].item<double>()});
      }
    }
    ids.push_back(weights.argmax().item<int64_t>());
    word.word = golden_words[static_cast<size_t>(ids.back())];
  }
  return result;
}

TEST(GenerationTraceTest, TextMatchesGolden) {
  const auto fixture = test_support::load_golden("chapter3_golden.json")["abc_fixture"];
  for (const char* letters : {"caa", "bac", "ccb"}) {
    const GenerationTrace trace = golden_trace(letters);
    EXPECT_EQ(to_text(trace), fixture["traces"][letters].get<std::string>());
    std::string written;
    for (const TracedWord& word : trace.words) written += word.word;
    EXPECT_EQ(written, fixture["generated"][letters].get<std::string>());
  }
}

// Every head of every attention of the decoder, over all words that it sees, in the order of the sequence.
TEST(GenerationTraceTest, HoldsEveryVisibleWordOfEveryHead) {
  for (const bool encoder : {true, false}) {
    model::ModelConfig config = tiny_config();
    config.encoder = encoder;
    config.thought_steps = 0;
    config.attention = "sparsemax";
    constexpr uint64_t seed = 7;
    SCOPED_TRACE(encoder ? "encoder, seed 7" : "no encoder, seed 7");
    eval::Run run = load_run(write_tiny_run("generation_trace", config, seed));
    const data::Words prompt = some_problems(1).front().prompt;
    const data::Words output = data::find_family(prompt[0]).solve(prompt, data::ChainFormat::answer_only);
    const GenerationTrace trace = trace_generation(run, prompt, output);
    EXPECT_EQ(trace.start.size(), prompt.size() + 1);
    ASSERT_EQ(trace.words.size(), output.size());
    for (size_t index = 0; index < output.size(); ++index) {
      const TracedWord& word = trace.words[index];
      EXPECT_EQ(word.word, output[index]);
      ASSERT_EQ(word.candidates.size(), 3U);
      EXPECT_GE(word.candidates[0].weight, word.candidates[2].weight);
      ASSERT_EQ(word.heads.size(), encoder ? 8U : 4U);  // two layers, two heads, self and cross
      EXPECT_EQ(word.heads[0].name, "decoder.0.self head0");
      data::Words sequence = encoder ? data::Words{} : prompt;
      sequence.emplace_back("BOS");
      sequence.insert(sequence.end(), output.begin(), output.begin() + static_cast<int64_t>(index));
      for (const TracedWord::Head& head : word.heads) {
        const data::Words& expected = head.name.find("cross") == std::string::npos ? sequence : prompt;
        data::Words seen;
        double sum = 0;
        for (const WeightedWord& key : head.seen) {
          seen.push_back(key.word);
          sum += key.weight;
        }
        EXPECT_EQ(seen, expected) << head.name;
        EXPECT_NEAR(sum, 1, 1e-5) << head.name;  // some tens of fp32 weights
      }
    }
  }
}

TEST(GenerationTraceTest, ColumnsStandBesideEachOther) {
  const std::vector<std::string> texts = {"a\n\u2014b\n", "c\nd\ne\n"};
  EXPECT_EQ(side_by_side(texts), "a    c\n\u2014b   d\n     e\n");
  EXPECT_EQ(side_by_side(std::span(texts).first(1)), texts[0]);
}

TEST(ParameterTableTest, TheNumbersAddUp) {
  const model::GiantRabbit network(golden::sorter_config("gated"), golden::sorter_traits());
  const Table table = parameter_table("abc", network);
  int64_t sum = 0;
  for (size_t row = 0; row + 1 < table.rows.size(); ++row) sum += std::stoll(table.rows[row][2]);
  EXPECT_EQ(sum, 480);
  EXPECT_EQ(table.rows.back(), (std::vector<std::string>{"all", "", "480"}));
  EXPECT_EQ(table.rows[0], (std::vector<std::string>{"embedding.words", "4x6", "24"}));
}

}  // namespace
}  // namespace giantrabbit::eval
