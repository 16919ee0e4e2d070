// The loop as a whole: it learns a batch by heart, the kernels train like the plain definition, and a run
// that was interrupted ends with the bits of one that was not.
#include "train/trainer.h"

#include <gtest/gtest.h>

#include <ATen/autocast_mode.h>

#include "data/example_source.h"
#include "eval/decode.h"
#include "model/loss.h"
#include "ops/attention_call.h"
#include "ops/reference/sparse_mask_attention.h"
#include "tests/support/tensor_matchers.h"
#include "tests/train/tiny_run.h"
#include "train/lr_schedule.h"

namespace giantrabbit::train {
namespace {

namespace fs = std::filesystem;
using test_support::tensors_equal;

class Overfit : public ::testing::TestWithParam<std::string> {};

TEST_P(Overfit, OneBatchIsLearntByHeart) {
  const data::ExampleSource source("row-reduction", data::ChainFormat::prod, data::Split::train, 1);
  std::vector<data::Example> examples;
  for (uint64_t i = 0; examples.size() < 4; ++i) {
    data::Example example = source.example(i);
    if (example.target.size() <= 60) examples.push_back(std::move(example));
  }
  const data::Batch batch = data::make_batch(examples);
  RunConfig config = tiny::run_config();
  config.model.attention = GetParam();
  config.model.width = 32;
  config.model.feed_forward = 64;
  torch::manual_seed(1);
  model::GiantRabbit network(config.model, eval::token_traits(source.vocabulary()));
  config.train.learning_rate = config.train.muon_learning_rate = 1e-2;
  Optimizer optimizer(network, config.train);
  const LrSchedule schedule{"linear", 10, 0.01};
  double loss = 0;
  for (int step = 0; step < 150; ++step) {
    optimizer.zero_gradients();
    const torch::Tensor value = model::sequence_loss(
        config.model, network->forward({batch.prompt, batch.prompt_lengths, batch.decoder_input}),
        batch.target, data::Vocabulary::pad);
    value.backward();
    optimizer.step(schedule.factor(step, step / 150.0));
    loss = value.item<double>();
    if (step == 0) {
      EXPECT_GT(loss, 2);
    }
  }
  EXPECT_LT(loss, 0.05);
  std::vector<data::Words> prompts, targets;
  std::vector<int64_t> limits;
  for (const data::Example& example : examples) {
    prompts.push_back(source.vocabulary().decode(example.prompt));
    targets.push_back(source.vocabulary().decode(example.target));
    limits.push_back(static_cast<int64_t>(example.target.size()) + 5);
  }
  EXPECT_EQ(eval::decode_greedy(network, source.vocabulary(), prompts, limits).outputs, targets);
}

INSTANTIATE_TEST_SUITE_P(Attention, Overfit, ::testing::Values("softmax", "sparsemax"),
                         [](const auto& instance) { return instance.param; });

int64_t plain_calls = 0;

at::Tensor plain_attention(const ops::AttentionCall& call) {
  ++plain_calls;
  return ops::reference::sparse_mask_attention(call.query, call.key, call.value, call.mask, call.normalizer,
                                               call.scale, call.bias);
}

std::vector<double> losses_of_ten_steps(const std::string& name, const std::string& attention,
                                        const std::string& precision = "float32") {
  RunConfig config = tiny::run_config();
  config.model.attention = attention;
  config.train.precision = precision;
  Trainer trainer(config, tiny::fresh_directory(name), false);
  std::vector<double> losses;
  for (int step = 0; step < 10; ++step) losses.push_back(trainer.step());
  return losses;
}

TEST(TrainerTest, KernelsTrainLikeTheirDefinition) {
  for (const std::string attention : {"sparsemax", "entmax15", "softmax"}) {
    SCOPED_TRACE(attention);
    const std::vector<double> kernels = losses_of_ten_steps("kernels", attention);
    std::vector<double> plain;
    plain_calls = 0;
    {
      // A more specific key stands before the library's Autograd kernel while this lives; the reference is
      // differentiated by autograd itself.
      torch::Library library(torch::Library::IMPL, "giantrabbit", c10::DispatchKey::AutogradCPU, __FILE__,
                             __LINE__);
      library.impl("sparse_mask_attention", TORCH_FN(ops::ForwardArguments::kernel<plain_attention>));
      plain = losses_of_ten_steps("plain", attention);
    }
    const std::vector<double> other =
        losses_of_ten_steps("other", attention == "softmax" ? "sparsemax" : "softmax");
    for (size_t step = 0; step < 10; ++step) {
      // Adam and Muon divide by the gradient's own size, so rounding of small gradients moves weights by up
      // to a learning rate of 3e-3: losses near 5 then agree to about 1e-4. A wrong gradient shows at once.
      EXPECT_NEAR(kernels[step], plain[step], 1e-3) << "step " << step;
    }
    EXPECT_EQ(plain_calls, 10 * 5);                    // encoder 1, thought 2, decoder 2
    EXPECT_GT(std::abs(kernels[9] - other[9]), 2e-3);  // the comparison can tell normalisers apart
    EXPECT_LT(kernels[9], kernels[0]);
  }
}

TEST(TrainerTest, Bfloat16ProductsTrainLikeFloat32) {
  for (const std::string attention : {"sparsemax", "softmax"}) {
    SCOPED_TRACE(attention);
    const std::vector<double> exact = losses_of_ten_steps("float32", attention);
    const std::vector<double> rounded = losses_of_ten_steps("bfloat16", attention, "bfloat16");
    EXPECT_NE(rounded[0], exact[0]);
    // A logit near 1 is off by up to 1/256 after one rounding, at random; a mean over 128 tokens by far less.
    // Updates have the same size whatever the rounding, so ten of them drift apart by a share of what they
    // win.
    EXPECT_NEAR(rounded[0], exact[0], 2e-3);
    EXPECT_NEAR(rounded[9], exact[9], 0.1 * (exact[0] - exact[9]));
    EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
  }
}

constexpr std::sig_atomic_t keep_going = 0, stop_now = 1;

void expect_same_run(const fs::path& actual, const fs::path& expected) {
  EXPECT_EQ(tiny::timeless_metrics(actual), tiny::timeless_metrics(expected));
  EXPECT_TRUE(data::read_file(actual / "model.safetensors") ==
              data::read_file(expected / "model.safetensors"));
  model::Metadata actual_counters, expected_counters;
  const auto found =
      model::from_safetensors(data::read_file(actual / tiny::last_checkpoint), &actual_counters);
  const auto wanted =
      model::from_safetensors(data::read_file(expected / tiny::last_checkpoint), &expected_counters);
  ASSERT_EQ(found.size(), wanted.size());
  for (const auto& [name, tensor] : wanted) EXPECT_TRUE(tensors_equal(found.at(name), tensor)) << name;
  for (const char* clock : {"seconds", "processor_seconds", "interval_start"}) {
    actual_counters.erase(clock);
    expected_counters.erase(clock);
  }
  EXPECT_EQ(actual_counters, expected_counters);
}

fs::path whole_run(const std::string& name, RunConfig config) {
  const fs::path directory = tiny::fresh_directory(name);
  EXPECT_TRUE(Trainer(config, directory, false).run(&keep_going));
  return directory;
}

TEST(TrainerTest, ResumedRunIsBitwiseTheSame) {
  for (const auto& [optimizer, precision] : std::vector<std::pair<std::string, std::string>>{
           {"muon", "float32"}, {"adamw", "float32"}, {"muon", "bfloat16"}}) {
    SCOPED_TRACE(optimizer + " " + precision);
    RunConfig config = tiny::run_config();
    config.train.optimizer = optimizer;
    config.train.precision = precision;
    config.model.mask = "static";  // has a random buffer
    config.model.keep_fraction = 0.5;
    const fs::path whole = whole_run("whole", config), parts = tiny::fresh_directory("parts");
    {
      Trainer trainer(config, parts, false);
      for (int step = 0; step < 4; ++step) trainer.step();
      EXPECT_FALSE(trainer.run(&stop_now));  // the fifth step, then a checkpoint
      EXPECT_EQ(trainer.counters().step, 5);
    }
    EXPECT_FALSE(fs::exists(parts / "model.safetensors"));
    torch::rand({17});  // a new process would not share the random state either
    Trainer trainer(config, parts, true);
    EXPECT_EQ(trainer.counters().step, 5);
    EXPECT_TRUE(trainer.run(&keep_going));
    expect_same_run(parts, whole);
  }
}

TEST(TrainerTest, StoppingAtEveryStepChangesNothing) {
  RunConfig config = tiny::run_config();
  config.train.accumulate = 2;
  config.model.decoder_layers = 2;
  config.model.shared_attention = "lsh";  // draws its rotations anew for every micro-batch
  const fs::path whole = whole_run("whole", config), parts = tiny::fresh_directory("parts");
  bool finished = false;
  for (int start = 0; start < 13 && !finished; ++start)
    finished = Trainer(config, parts, start > 0).run(&stop_now);
  EXPECT_TRUE(finished);
  expect_same_run(parts, whole);
}

TEST(TrainerTest, AStoppedTextRunEndsWithTheSameBits) {
  RunConfig config = tiny::text_run_config();
  const fs::path whole = whole_run("whole_text", config), parts = tiny::fresh_directory("text_parts");
  bool finished = false;
  for (int start = 0; start < 13 && !finished; ++start) {
    RunConfig resumed = tiny::text_run_config();  // without the fingerprint: the run's own counts
    finished = Trainer(resumed, parts, start > 0).run(&stop_now);
  }
  EXPECT_TRUE(finished);
  expect_same_run(parts, whole);
}

TEST(TrainerTest, ATextRunIsValidatedInBitsPerCharacter) {
  RunConfig config = tiny::text_run_config();
  config.train.steps = 60;
  config.train.batch_tokens = 256;
  config.train.learning_rate = config.train.muon_learning_rate = 1e-2;
  const fs::path directory = whole_run("text_bits", config);
  std::vector<double> bits;
  for (const std::string& line : tiny::timeless_metrics(directory)) {
    const auto parsed = nlohmann::json::parse(line);
    EXPECT_FALSE(parsed.contains("validation_exact"));
    if (!parsed.contains("validation_bits_per_character")) continue;
    bits.push_back(parsed["validation_bits_per_character"]);
    // The first window counts its 32 characters, the other one its second half.
    EXPECT_EQ(parsed["validation_characters"], 32 + 16);
    EXPECT_EQ(parsed["validation_items"], 2);
  }
  ASSERT_EQ(bits.size(), 2U);
  EXPECT_LT(bits[1], bits[0]);
  EXPECT_LT(bits[1], 4) << "16 different characters: no more than 4 bits, of 263 words 8";
  const auto summary = nlohmann::json::parse(data::read_file(directory / "summary.json"));
  EXPECT_EQ(summary.at("validation_bits_per_character"), bits[1]);
  EXPECT_FALSE(summary.contains("validation_exact"));
}

TEST(TrainerTest, AChangedTextIsRefusedAndAMovedOneIsNot) {
  RunConfig config = tiny::text_run_config();
  const fs::path directory = tiny::fresh_directory("changed_text");
  EXPECT_FALSE(Trainer(config, directory, false).run(&stop_now));
  EXPECT_TRUE(data::read_file(directory / "config.toml").find(config.task.text_fingerprint) !=
              std::string::npos);
  const fs::path moved = config.task.text + ".moved";
  fs::rename(config.task.text, moved);
  EXPECT_NE(tiny::error_of([&] { Trainer(config, directory, true); }).find("No such file"),
            std::string::npos);
  const std::string text = data::read_file(moved);
  config.task.text = moved.string();
  EXPECT_FALSE(Trainer(config, directory, true).run(&stop_now));
  data::write_file_atomically(moved, text + "x");
  const std::string error = tiny::error_of([&] { Trainer(config, directory, true); });
  EXPECT_NE(error.find("not the text that training began with"), std::string::npos) << error;
  // A configuration that says nothing of the text it means is held against the run's.
  config.task.text_fingerprint.clear();
  const std::string other = tiny::error_of([&] { Trainer(config, directory, true); });
  EXPECT_NE(other.find("the run was started with data.text_fingerprint"), std::string::npos) << other;
}

TEST(TrainerTest, LinesBehindTheCheckpointAreWrittenAgain) {
  RunConfig config = tiny::run_config();
  const fs::path whole = whole_run("whole", config), parts = tiny::fresh_directory("parts");
  EXPECT_FALSE(Trainer(config, parts, false).run(&stop_now));
  fs::create_directories(parts / "saved");
  fs::copy(parts / "checkpoints", parts / "saved");
  EXPECT_TRUE(Trainer(config, parts, true).run(&keep_going));
  // As if the process had been killed before any later checkpoint, in the middle of a line.
  fs::remove_all(parts / "checkpoints");
  fs::rename(parts / "saved", parts / "checkpoints");
  fs::remove(parts / "model.safetensors");
  std::ofstream(parts / "metrics.jsonl", std::ios::app) << "{\"step\": 13, \"lo";
  EXPECT_TRUE(Trainer(config, parts, true).run(&keep_going));
  expect_same_run(parts, whole);
}

TEST(TrainerTest, ARunKilledBehindItsLastLinesRepeatsNone) {
  RunConfig config = tiny::run_config();
  const fs::path whole = whole_run("whole", config), parts = tiny::fresh_directory("last_lines");
  for (int step = 0; step < 12; ++step) EXPECT_FALSE(Trainer(config, parts, step > 0).run(&stop_now));
  // The newest checkpoint is of the last step, but older than the lines that end the run.
  fs::copy_file(whole / "metrics.jsonl", parts / "metrics.jsonl", fs::copy_options::overwrite_existing);
  EXPECT_TRUE(Trainer(config, parts, true).run(&keep_going));
  expect_same_run(parts, whole);
}

TEST(TrainerTest, MissedValidationsAreNotMadeUpFor) {
  RunConfig config = tiny::run_config();
  config.train.validation_interval = 0.3;
  const fs::path directory = tiny::fresh_directory("missed");
  Trainer trainer(config, directory, false);
  for (int step = 0; step < 9; ++step) trainer.step();  // as long as a slow validation: past 0.3 and 0.6
  EXPECT_TRUE(trainer.run(&keep_going));
  int validations = 0;
  for (const std::string& line : tiny::timeless_metrics(directory))
    validations += line.find("validation_exact") != std::string::npos;
  EXPECT_EQ(validations, 2) << "one after step 10, one at the end";
}

TEST(TrainerTest, FinishedRunStaysAsItIs) {
  RunConfig config = tiny::run_config();
  const fs::path directory = whole_run("finished", config), copy = tiny::fresh_directory("finished_copy");
  fs::copy(directory, copy, fs::copy_options::recursive);
  EXPECT_TRUE(Trainer(config, directory, true).run(&keep_going));
  expect_same_run(directory, copy);
  const auto summary = nlohmann::json::parse(data::read_file(directory / "summary.json"));
  EXPECT_EQ(summary.at("steps"), 12);
  EXPECT_GE(summary.at("validation_exact").get<double>(), 0);
}

TEST(TrainerTest, RaisedLimitContinues) {
  RunConfig config = tiny::run_config();
  const fs::path directory = whole_run("raised", config);
  config.train.steps = 15;
  Trainer trainer(config, directory, true);
  EXPECT_EQ(trainer.counters().step, 12);
  EXPECT_TRUE(trainer.run(&keep_going));
  EXPECT_EQ(trainer.counters().step, 15);
  EXPECT_NE(data::read_file(directory / "config.toml").find("steps = 15"), std::string::npos);
}

TEST(TrainerTest, ARaisedLimitValidatesOnTheWay) {
  RunConfig config = tiny::run_config();
  config.train.validation_interval = 0.3;
  const fs::path directory = whole_run("raised_validations", config);
  const size_t before = tiny::timeless_metrics(directory).size();
  config.train.steps = 36;
  EXPECT_TRUE(Trainer(config, directory, true).run(&keep_going));
  const std::vector<std::string> lines = tiny::timeless_metrics(directory);
  const auto validations = std::count_if(
      lines.begin() + static_cast<std::ptrdiff_t>(before), lines.end(),
      [](const std::string& line) { return line.find("validation_exact") != std::string::npos; });
  EXPECT_EQ(validations, 3) << "after steps 23 and 34 and at the end";
}

TEST(TrainerTest, TokenLimit) {
  RunConfig config = tiny::run_config();
  config.train.steps = 0;
  config.train.tokens = 300;
  config.train.validation_interval = 0;
  Trainer trainer(config, tiny::fresh_directory("tokens"), false);
  EXPECT_TRUE(trainer.run(&keep_going));
  EXPECT_GE(trainer.counters().tokens, 300);
  EXPECT_LT(trainer.counters().tokens, 300 + 512);  // one batch more: a long example is a batch of its own
}

TEST(TrainerTest, ATableAsLongAsTheLongestSequenceIsEnough) {
  RunConfig config = tiny::run_config();
  config.task.task = "copy-64";
  config.model.position = "learned";
  config.model.max_positions = 70;  // every prompt and target has so many words: no multiple of 8
  EXPECT_GT(Trainer(config, tiny::fresh_directory("table"), false).step(), 0);
  config.model.max_positions = 69;
  Trainer shorter(config, tiny::fresh_directory("table"), false);
  EXPECT_NE(tiny::error_of([&] { shorter.step(); }).find("outside the table of 69"), std::string::npos);
}

TEST(TrainerTest, InfiniteLossStopsTheRun) {
  RunConfig config = tiny::run_config();
  const fs::path directory = tiny::fresh_directory("infinite");
  Trainer trainer(config, directory, false);
  trainer.step();
  torch::Tensor weight = trainer.network()->parameters()[0];
  weight.data().fill_(std::nan(""));
  const torch::Tensor other = trainer.network()->parameters()[1].clone();
  EXPECT_TRUE(tiny::error_of([&] { trainer.step(); }).ends_with("nan at step 1"));  // no word of a checkpoint
  EXPECT_TRUE(tensors_equal(trainer.network()->parameters()[1], other)) << "no weight is touched";
}

TEST(TrainerTest, InfiniteWeightsAreNeverSaved) {
  RunConfig config = tiny::run_config();
  config.train.steps = 1;
  config.train.warmup_steps = 0;
  config.train.learning_rate = 1e39;
  const fs::path directory = tiny::fresh_directory("infinite_weights");
  Trainer trainer(config, directory, false);
  const std::string error = tiny::error_of([&] { trainer.run(&keep_going); });
  EXPECT_TRUE(error.starts_with("a weight became ")) << error;
  EXPECT_EQ(error.find("checkpoint is kept"), std::string::npos) << error;
  EXPECT_FALSE(fs::exists(directory / "checkpoints"));
  EXPECT_FALSE(fs::exists(directory / "model.safetensors"));
}

TEST(TrainerTest, AnErrorSaysThatTheCheckpointIsKeptWhereThereIsOne) {
  RunConfig config = tiny::run_config();
  Trainer trainer(config, tiny::fresh_directory("kept"), false);
  EXPECT_FALSE(trainer.run(&stop_now));
  trainer.network()->parameters()[0].data().fill_(std::nan(""));
  EXPECT_TRUE(
      tiny::error_of([&] { trainer.step(); }).ends_with("nan at step 1; the last checkpoint is kept"));
}

}  // namespace
}  // namespace giantrabbit::train
