// What enters and leaves the network: sign-posts against a plain loop, the embedding with its sparse form and
// four position codings, and the losses against their definitions.
#include "model/embedding.h"

#include <gtest/gtest.h>

#include "model/loss.h"
#include "model/output_head.h"
#include "ops/reference/sparsemax_loss.h"
#include "tests/model/tiny_model.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::model {
namespace {

using test_support::tensors_close;
using test_support::tensors_equal;

torch::Tensor row_of(std::vector<int64_t> values) {
  return torch::tensor(values, torch::kInt64).unsqueeze(0);
}

TEST(SignpostTest, PromptByHand) {
  const Signpost signpost(tiny::traits());
  const Signposts found = signpost->prompt(tiny::ids("RREF 1 2 /2 3 ; 4 -1 -7"));
  EXPECT_TRUE(tensors_equal(found.row, row_of({1, 1, 1, 1, 1, 2, 2, 2, 2})));
  EXPECT_TRUE(tensors_equal(found.column, row_of({0, 1, 2, 2, 3, 0, 1, 2, 3})));
}

// Without a column of their own the two labels of an operation could change places unseen.
TEST(SignpostTest, OperationsInAPromptKeepTheOrderOfTheirLabels) {
  const Signpost signpost(tiny::traits());
  const Signposts found = signpost->prompt(tiny::ids("RREF 1 2 ; SUB R3 R2 -1 ; SUB R2 R3 /2 4"));
  EXPECT_TRUE(tensors_equal(found.row, row_of({1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3})));
  EXPECT_TRUE(tensors_equal(found.column, row_of({0, 1, 2, 0, 0, 1, 2, 3, 0, 0, 1, 2, 2, 3})));
}

TEST(SignpostTest, ProdChainByHand) {
  const Signpost signpost(tiny::traits());
  const torch::Tensor chain = tiny::ids("BOS SUB R2 R1 3 : 3 0 1 NL SUB R3 R2 -1 : 4 NL ANS 1 0 ; 0 1 EOS");
  const Signposts found = signpost->decoder(chain);
  EXPECT_TRUE(tensors_equal(
      found.row, row_of({0, 0, 2, 2, 2, 2, 2, 2, 2, 0, 0, 3, 3, 3, 3, 3, 0, 1, 1, 1, 2, 2, 2, 2})));
  EXPECT_TRUE(tensors_equal(
      found.column, row_of({0, 0, 0, 0, 1, 0, 1, 2, 3, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 2, 0, 1, 2, 2})));
}

TEST(SignpostTest, DeltaChainByHand) {
  const Signpost signpost(tiny::traits());
  const Signposts found = signpost->decoder(tiny::ids("BOS R2 : 0 -7 /2 NL R1 : 1 NL ANS 1 ; 2"));
  EXPECT_TRUE(tensors_equal(found.row, row_of({0, 2, 2, 2, 2, 2, 0, 1, 1, 1, 0, 1, 1, 2, 2})));
  EXPECT_TRUE(tensors_equal(found.column, row_of({0, 0, 0, 1, 2, 2, 0, 0, 0, 1, 0, 0, 1, 0, 1})));
}

// The definition, token by token.
Signposts plain_signposts(const torch::Tensor& tokens, bool is_prompt) {
  const TokenTraits traits = tiny::traits();
  Signposts result{torch::zeros_like(tokens), torch::zeros_like(tokens)};
  for (int64_t b = 0; b < tokens.size(0); ++b) {
    int64_t column = 0, label = 0, answer_row = 0, prompt_row = 1;
    for (int64_t t = 0; t < tokens.size(1); ++t) {
      const auto& token = traits.tokens[static_cast<size_t>(tokens[b][t].item<int64_t>())];
      if (token.ends_group) column = 0;
      if (token.is_whole || (is_prompt && token.row_label > 0)) ++column;
      if (token.ends_row) ++prompt_row;
      if (token.ends_row && answer_row > 0) ++answer_row;
      if (token.ends_line) label = 0;
      if (token.starts_answer) answer_row = 1;
      if (label == 0) label = token.row_label;
      const int64_t row = is_prompt ? prompt_row : answer_row > 0 ? answer_row : label;
      result.row[b][t] = std::min(row, SignpostImpl::max_row);
      result.column[b][t] = std::min(column, SignpostImpl::max_column);
    }
  }
  return result;
}

TEST(SignpostTest, EqualsAPlainLoop) {
  const Signpost signpost(tiny::traits());
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    torch::manual_seed(seed);
    const torch::Tensor tokens = tiny::random_ids(3, 60);
    for (const bool is_prompt : {true, false}) {
      const Signposts found = is_prompt ? signpost->prompt(tokens) : signpost->decoder(tokens);
      const Signposts expected = plain_signposts(tokens, is_prompt);
      EXPECT_TRUE(tensors_equal(found.row, expected.row));
      EXPECT_TRUE(tensors_equal(found.column, expected.column));
    }
  }
}

TEST(SignpostTest, LongInputsStayInTheTables) {
  const Signpost signpost(tiny::traits());
  const Signposts found =
      signpost->prompt(torch::cat({tiny::ids("1").repeat({1, 50}), tiny::ids(";").repeat({1, 50})}, 1));
  EXPECT_EQ(found.column.max().item<int64_t>(), SignpostImpl::max_column);
  EXPECT_EQ(found.row.max().item<int64_t>(), SignpostImpl::max_row);
  EXPECT_EQ(signpost->decoder(torch::zeros({2, 0}, torch::kInt64)).row.numel(), 0);
}

TEST(KeepLargestTest, KeepsTheCeilingOfTheShare) {
  struct Share {
    int64_t above, below;
  };
  torch::manual_seed(1);
  for (const int64_t width : {1, 7, 20, 100, 128}) {
    for (const auto& [above, below] :
         std::vector<Share>{{1, 1000}, {7, 100}, {1, 10}, {3, 10}, {55, 100}, {1, 2}, {1, 1}}) {
      const torch::Tensor x = torch::randn({4, width});
      const torch::Tensor kept = keep_largest(x, static_cast<double>(above) / static_cast<double>(below));
      const int64_t expected = (above * width + below - 1) / below;  // exact, unlike the product in double
      EXPECT_TRUE(tensors_equal(kept.sum(-1), torch::full({4}, static_cast<float>(expected))))
          << above << "/" << below << " of " << width;
      const torch::Tensor least_kept = (x.abs() + 100 * (1 - kept)).amin(-1);
      const torch::Tensor most_dropped = (x.abs() * (1 - kept)).amax(-1);
      EXPECT_TRUE(least_kept.ge(most_dropped).all().item<bool>());
    }
  }
}

TEST(KeepLargestTest, EqualMagnitudesKeepTheCount) {
  EXPECT_EQ(keep_largest(torch::zeros({2, 8}), 0.5).sum().item<float>(), 8);
  EXPECT_EQ(keep_largest(torch::full({8}, -3.0), 0.25).sum().item<float>(), 2);
}

ModelConfig plain_config() {
  ModelConfig config = tiny::config();
  config.position = "rotary";  // positions act in attention only, so the vectors stay bare
  config.number_features = false;
  return config;
}

TEST(EmbeddingTest, SparseFormAndItsGradient) {
  ModelConfig config = plain_config();
  config.keep_fraction = 0.3;  // 3 of 8
  for (const std::string mask : {"magnitude", "random"}) {
    SCOPED_TRACE(mask);
    config.embedding_mask = mask;
    torch::manual_seed(2);
    Embedding embedding(config, tiny::traits());
    const torch::Tensor words = embedding->named_parameters()["words"];
    const torch::Tensor tokens = tiny::ids("RREF 1 2 ; 1");
    const torch::Tensor x = embedding->prompt(tokens);
    EXPECT_TRUE(tensors_equal(x.ne(0).sum(-1), torch::full({1, 5}, 3, torch::kInt64)));
    if (mask == "magnitude") {
      EXPECT_TRUE(
          tensors_equal(x.detach(), torch::embedding(words * keep_largest(words, 0.3), tokens).detach()));
    }
    EXPECT_TRUE(tensors_equal(embedding->prompt(tokens).detach(), x.detach()));  // the choice is fixed
    x.sum().backward();
    torch::Tensor expected = torch::zeros_like(words);
    for (int64_t t = 0; t < 5; ++t) expected[tokens[0][t]] += x[0][t].detach().ne(0).to(torch::kFloat32);
    EXPECT_TRUE(tensors_equal(words.grad(), expected));
  }
}

TEST(EmbeddingTest, RandomControlIsSavedWithTheModel) {
  ModelConfig config = plain_config();
  config.keep_fraction = 0.5;
  config.embedding_mask = "random";
  torch::manual_seed(3);
  const Embedding embedding(config, tiny::traits());
  const torch::Tensor kept = embedding->named_buffers()["random_keep"];
  EXPECT_TRUE(tensors_equal(kept.sum(-1), torch::full({kept.size(0)}, 4.0f)));
  EXPECT_GT(kept.std(0).sum().item<float>(), 0);  // words differ in what they keep
}

TEST(EmbeddingTest, NumberFeatures) {
  ModelConfig config = plain_config();
  config.number_features = true;
  torch::manual_seed(4);
  const Embedding embedding(config, tiny::traits());
  const torch::Tensor features = embedding->named_buffers()["number_features"];
  const auto of = [&](const std::string& word) { return features[tiny::id(word)]; };
  EXPECT_EQ(of("BOS").abs().sum().item<float>(), 0);
  const int64_t half = features.size(1) / 2;
  EXPECT_EQ(of("3").narrow(0, half, half).abs().sum().item<float>(), 0);  // no denominator
  EXPECT_EQ(of("/3").narrow(0, 0, half).abs().sum().item<float>(), 0);
  EXPECT_TRUE(tensors_equal(of("3").narrow(0, 0, half), of("/3").narrow(0, half, half)));
  EXPECT_FLOAT_EQ(of("1")[0].item<float>(), static_cast<float>(std::sin(M_PI)));  // period 2
  EXPECT_FLOAT_EQ(of("1")[1].item<float>(), -1);
  EXPECT_FLOAT_EQ(of("-7")[half - 1].item<float>(), -7.0f / 60);
  const torch::Tensor words = embedding->named_parameters()["words"];
  const torch::Tensor projection = embedding->named_parameters()["number_projection"];
  EXPECT_TRUE(
      tensors_close(embedding->table().detach(), (words + features.matmul(projection)).detach(), 1e-6));
}

// What the position coding adds to the bare word vectors.
torch::Tensor added(Embedding& embedding, const torch::Tensor& x, const torch::Tensor& tokens) {
  return (x - torch::embedding(embedding->table(), tokens)).detach();
}

TEST(EmbeddingTest, Positions) {
  const torch::Tensor tokens = tiny::ids("1 1 ; 1");
  const torch::Tensor first = torch::tensor({{5}}, torch::kInt64);
  for (const std::string position : {"signpost", "learned", "axial", "sinusoidal", "rotary"}) {
    SCOPED_TRACE(position);
    ModelConfig config = tiny::config();
    config.position = position;
    torch::manual_seed(5);
    Embedding embedding(config, tiny::traits());
    const auto parameters = embedding->named_parameters();
    torch::Tensor prompt = torch::zeros({4, 8}), decoder = torch::zeros({4, 8});
    if (position == "learned") {
      prompt = parameters["prompt_positions"].narrow(0, 0, 4);
      decoder = parameters["decoder_positions"].narrow(0, 5, 4);
    } else if (position == "signpost") {
      const torch::Tensor columns = parameters["columns"].index({torch::tensor({1, 2, 0, 1})});
      prompt = parameters["rows"].index({torch::tensor({1, 1, 2, 2})}) + columns;
      decoder = parameters["rows"][0] + columns + parameters["decoder_positions"].narrow(0, 5, 4);
    } else if (position == "axial") {
      const torch::Tensor columns = parameters["columns"];
      EXPECT_EQ(parameters["rows"].size(0), 1) << "32 positions fill one row of 32";
      prompt = parameters["rows"][0] + columns.narrow(0, 0, 4);
      decoder = parameters["rows"][0] + columns.narrow(0, 5, 4);
    } else if (position == "sinusoidal") {
      for (int64_t t = 0; t < 4; ++t) {
        for (int64_t i = 0; i < 8; ++i) {
          const double rate = std::pow(10000.0, -static_cast<double>(i / 2 * 2) / 8);
          const auto wave = [&](double at) { return i % 2 == 0 ? std::sin(at * rate) : std::cos(at * rate); };
          prompt[t][i] = wave(static_cast<double>(t));
          decoder[t][i] = wave(static_cast<double>(t + 5));
        }
      }
    }
    // One addition in fp32 of numbers below 2, then its undoing: a few units of 1e-7.
    EXPECT_TRUE(tensors_close(added(embedding, embedding->prompt(tokens), tokens)[0], prompt.detach(), 1e-6));
    EXPECT_TRUE(tensors_close(added(embedding, embedding->decoder(tokens, first), tokens)[0],
                              decoder.detach(), 1e-6));
  }
}

TEST(EmbeddingTest, WithoutAnEncoderLearnedPositionsAreOneTable) {
  ModelConfig config = tiny::config();
  config.position = "learned";
  config.encoder = false;
  Embedding embedding(config, tiny::traits());
  EXPECT_FALSE(embedding->named_parameters().contains("prompt_positions"));
  const torch::Tensor tokens = tiny::ids("1 2 3 4 0 1");
  const torch::Tensor first = torch::tensor({{4}}, torch::kInt64);
  const torch::Tensor parts = torch::cat(
      {embedding->prompt(tokens.narrow(1, 0, 4)), embedding->decoder(tokens.narrow(1, 4, 2), first)}, 1);
  EXPECT_TRUE(tensors_equal(parts.detach(), embedding->prompt(tokens).detach()));
}

TEST(EmbeddingTest, LastColumnIsTheDecodersLast) {
  for (const std::string position : {"signpost", "learned", "axial", "sinusoidal", "rotary"}) {
    ModelConfig config = tiny::config();
    config.position = position;
    torch::manual_seed(6);
    Embedding embedding(config, tiny::traits());
    const torch::Tensor tokens = tiny::random_ids(3, 9);
    const torch::Tensor first = torch::tensor({{0}, {7}, {20}}, torch::kInt64);
    EXPECT_TRUE(tensors_equal(embedding->decoder_last(tokens, first).detach(),
                              embedding->decoder(tokens, first).narrow(1, 8, 1).detach()))
        << position;
  }
}

TEST(EmbeddingTest, PositionsOutsideTheTable) {
  const torch::Tensor zero = torch::zeros({1, 1}, torch::kInt64);
  const torch::Tensor fits = tiny::ids("1").repeat({1, 32});
  const torch::Tensor longer = tiny::ids("1").repeat({1, 33});
  for (const std::string position : {"signpost", "learned", "axial", "sinusoidal", "rotary"}) {
    SCOPED_TRACE(position);
    ModelConfig config = tiny::config();
    config.position = position;
    Embedding embedding(config, tiny::traits());
    const bool decoder_table = position == "signpost" || position == "learned" || position == "axial";
    const bool prompt_table = position == "learned" || position == "axial";
    EXPECT_NO_THROW(embedding->prompt(fits));
    EXPECT_NO_THROW(embedding->decoder(fits, zero));
    if (prompt_table) {
      EXPECT_THROW(embedding->prompt(longer), c10::Error);
    } else {
      EXPECT_NO_THROW(embedding->prompt(longer));
    }
    if (!decoder_table) continue;
    EXPECT_THROW(embedding->decoder(fits, zero + 1), c10::Error);
    try {
      embedding->decoder(longer, zero);
      FAIL() << "a position behind the table was accepted";
    } catch (const c10::Error& error) {
      const std::string text = error.what_without_backtrace();
      EXPECT_NE(text.find("position 32 is outside the table of 32"), std::string::npos) << text;
      EXPECT_NE(text.find("model.max_positions"), std::string::npos) << text;
    }
  }
}

torch::Tensor defined_loss(const std::string& output, const torch::Tensor& logits,
                           const torch::Tensor& target) {
  if (output == "sparsemax") return ops::reference::sparsemax_loss(logits, target);
  if (output == "entmax15") return ops::reference::entmax15_loss(logits, target);
  return -logits.log_softmax(-1).gather(-1, target.unsqueeze(-1)).squeeze(-1);
}

TEST(LossTest, MatchesDefinitionsAndIgnoresPadding) {
  for (const std::string output : {"softmax", "sparsemax", "entmax15"}) {
    SCOPED_TRACE(output);
    torch::manual_seed(7);
    ModelConfig config = tiny::config();
    config.output = output;
    const torch::Tensor logits = (2 * torch::randn({2, 5, 11})).requires_grad_();
    torch::Tensor target = torch::randint(1, 11, {2, 5}, torch::kInt64);
    const torch::Tensor padding = torch::tensor({{0, 0, 0, 0, 0}, {0, 0, 1, 1, 1}}, torch::kBool);
    const torch::Tensor losses = defined_loss(output, logits.detach().to(torch::kFloat64), target);
    const torch::Tensor expected = losses.masked_select(padding.logical_not()).mean();
    target = target.masked_fill(padding, 0);
    const torch::Tensor loss = sequence_loss(config, logits, target, 0);
    EXPECT_EQ(loss.dim(), 0);
    // Seven numbers below 20 summed in fp32.
    EXPECT_TRUE(tensors_close(loss.detach().to(torch::kFloat64), expected, 2e-6));
    loss.backward();
    EXPECT_EQ(logits.grad().masked_select(padding.unsqueeze(-1)).abs().sum().item<float>(), 0);
    EXPECT_GT(logits.grad().abs().sum().item<float>(), 0);
    const torch::Tensor weights = output_weights(config, logits.detach());
    EXPECT_TRUE(tensors_close(weights.sum(-1), torch::ones({2, 5}), 1e-6));
    EXPECT_EQ(weights.eq(0).any().item<bool>(), output != "softmax");
  }
}

}  // namespace
}  // namespace giantrabbit::model
