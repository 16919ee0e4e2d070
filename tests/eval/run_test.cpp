// Reading run directories and configuration files: what was written comes back, and everything that is
// missing, truncated or foreign is refused with one sentence that names the file.
#include "eval/run.h"

#include <gtest/gtest.h>

#include <torch/torch.h>

#include "data/atomic_file.h"
#include "data/example_source.h"
#include "eval/config_file.h"
#include "eval/error_text.h"
#include "model/safetensors.h"
#include "tiny_run.h"

namespace giantrabbit::eval {
namespace {

namespace fs = std::filesystem;

// The text of the error that loading gives; empty when it loads.
std::string loading_error(const fs::path& directory) {
  try {
    load_run(directory);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

void expect_refused(const fs::path& directory, const std::string& file, const std::string& part) {
  const std::string error = loading_error(directory);
  EXPECT_NE(error.find(file), std::string::npos) << "got: " << error;
  EXPECT_NE(error.find(part), std::string::npos) << "got: " << error;
  EXPECT_EQ(error.find('\n'), std::string::npos) << "more than one line: " << error;
}

TEST(RunTest, ComesBackAsWritten) {
  model::ModelConfig config = tiny_config();
  config.attention = "sparsemax";
  config.keep_fraction = 0.5;
  const fs::path directory = write_tiny_run("run_round_trip", config, 11);
  eval::Run run = load_run(directory);
  EXPECT_EQ(run.name, "run_round_trip");
  EXPECT_EQ(load_run(directory / "").name, "run_round_trip");
  EXPECT_EQ(run.config.attention, "sparsemax");
  EXPECT_EQ(run.config.keep_fraction, 0.5);
  EXPECT_EQ(run.task.task, "row-reduction");
  EXPECT_EQ(run.format(), data::ChainFormat::prod);
  EXPECT_FALSE(run.network->is_training());

  model::GiantRabbit original = tiny_network(config, 11);
  const auto expected = original->named_parameters();
  const auto loaded = run.network->named_parameters();
  ASSERT_EQ(loaded.size(), expected.size());
  for (const auto& item : expected) EXPECT_TRUE(torch::equal(item.value(), loaded[item.key()])) << item.key();
}

TEST(RunTest, MissingParts) {
  EXPECT_NE(loading_error(fs::path(testing::TempDir()) / "no_such_run").find("no such run directory"),
            std::string::npos);
  for (const std::string file : {"config.toml", "vocabulary.json", "model.safetensors"}) {
    const fs::path directory = write_tiny_run("run_missing", tiny_config(), 1);
    fs::remove(directory / file);
    expect_refused(directory, file, "");
  }
}

TEST(RunTest, TruncatedWeights) {
  const fs::path directory = write_tiny_run("run_truncated", tiny_config(), 1);
  const std::string bytes = data::read_file(directory / "model.safetensors");
  for (const size_t kept :
       {size_t{0}, size_t{5}, size_t{8}, size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    data::write_file_atomically(directory / "model.safetensors", std::string_view(bytes).substr(0, kept));
    expect_refused(directory, "model.safetensors", "");
  }
}

TEST(RunTest, ForeignWeights) {
  const fs::path directory = write_tiny_run("run_foreign", tiny_config(), 1);
  data::write_file_atomically(directory / "model.safetensors", std::string(4096, '\x7f'));
  expect_refused(directory, "model.safetensors", "");
  data::write_file_atomically(directory / "model.safetensors",
                              model::to_safetensors({{"other.weight", torch::zeros({2, 2})}}, {}));
  expect_refused(directory, "model.safetensors", "");
}

TEST(RunTest, WeightsOfAnotherShape) {
  model::ModelConfig wider = tiny_config();
  wider.width = 32;
  const fs::path directory = write_tiny_run("run_shape", tiny_config(), 1);
  const fs::path other = write_tiny_run("run_shape_other", wider, 1);
  fs::copy_file(other / "model.safetensors", directory / "model.safetensors",
                fs::copy_options::overwrite_existing);
  expect_refused(directory, "model.safetensors", "");
}

TEST(RunTest, VocabularyThatDiffers) {
  const fs::path directory = write_tiny_run("run_vocabulary", tiny_config(), 1);
  std::string text = data::read_file(directory / "vocabulary.json");
  const size_t word = text.find("SUB");
  ASSERT_NE(word, std::string::npos);
  text.replace(word, 3, "BUS");
  data::write_file_atomically(directory / "vocabulary.json", text);
  expect_refused(directory, "vocabulary.json", "BUS");
  data::write_file_atomically(directory / "vocabulary.json", "[1, 2");
  expect_refused(directory, "vocabulary.json", "");
}

TEST(RunTest, TheVocabularyIsThatOfTheTask) {
  const fs::path directory = write_tiny_run("run_task_vocabulary", tiny_config(), 1);
  const eval::Run run = load_run(directory);
  EXPECT_EQ(run.vocabulary.words(), data::Vocabulary().words());
  const data::Problem foreign = data::parse_problem("GF2 1 0 ; 1 1");
  try {
    require_words(run, std::span(&foreign, 1));
    FAIL();
  } catch (const data::ProblemError& error) {
    EXPECT_EQ(std::string(error.what()),
              directory.string() +
                  " was trained on the task row-reduction, whose vocabulary has no word "
                  "\"GF2\"; the problem is GF2 1 0 ; 1 1 ;");
  }
  std::string config = data::read_file(directory / "config.toml");
  config.replace(config.find("\"row-reduction\""), 15, "\"gauss-jordan-gf2\"");
  data::write_file_atomically(directory / "config.toml", config);
  expect_refused(directory, "vocabulary.json", "177 words in the file and 202 in this program");
}

TEST(RunTest, ChangedOptions) {
  const fs::path directory = write_tiny_run("run_changed", tiny_config(), 1);
  const eval::Run plain = load_run(directory);
  const eval::Run changed = load_run(directory.string() + "@attention=sparsemax,score_scale=0.5");
  EXPECT_EQ(changed.name, "run_changed@attention=sparsemax,score_scale=0.5");
  EXPECT_EQ(changed.config.attention, "sparsemax");
  EXPECT_EQ(changed.config.score_scale, 0.5);
  EXPECT_EQ(changed.directory, plain.directory);
  for (const auto& item : plain.network->named_parameters()) {
    EXPECT_TRUE(torch::equal(item.value(), changed.network->named_parameters()[item.key()])) << item.key();
  }
  const auto refusal = [&](const std::string& changes) -> std::string {
    try {
      load_run(directory.string() + "@" + changes);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_NE(refusal("attention").find("key=value"), std::string::npos);
  EXPECT_NE(refusal("atention=softmax").find("nearest known"), std::string::npos);
  EXPECT_NE(refusal("attention=hard").find("softmax"), std::string::npos);
  EXPECT_NE(refusal("heads=3").find("run_changed@heads=3: model.heads: 3 does not divide"), std::string::npos)
      << refusal("heads=3");
  EXPECT_THROW(load_run(directory.string() + "@heads=3"), model::OptionError);
  EXPECT_NE(refusal("width=32").find("model.safetensors"), std::string::npos);
}

TEST(RunTest, WeightsOfOneRunBehindItsName) {
  const fs::path directory = write_tiny_run("run_weights", tiny_config(), 1);
  const eval::Run plain = load_run(directory);
  const eval::Run rounded = load_run(directory.string() + "@weights=int8");
  EXPECT_EQ(plain.weights, model::WeightType::float32);
  EXPECT_EQ(rounded.weights, model::WeightType::int8);
  EXPECT_NE(plain.configuration, rounded.configuration) << "they are no seeds of one variant";
  EXPECT_EQ(load_run(directory, model::WeightType::bfloat16).weights, model::WeightType::bfloat16);
  EXPECT_EQ(load_run(directory.string() + "@weights=float32", model::WeightType::int8).weights,
            model::WeightType::float32);
  EXPECT_THROW(load_run(directory.string() + "@weights=int4"), model::OptionError);
  const std::vector<eval::Run> both{plain, rounded};
  EXPECT_EQ(weights_text(both), "float32 and int8");
  data::write_file_atomically(directory / "config.toml", "[model]\nweights = \"int8\"\n");
  expect_refused(directory, "config.toml", "model.weights");
}

void expect_config_refused(const std::string& text, const std::string& part) {
  const fs::path directory = write_tiny_run("run_config", tiny_config(), 1);
  data::write_file_atomically(directory / "config.toml", text);
  expect_refused(directory, "config.toml", part);
}

TEST(RunTest, ConfigurationFaults) {
  expect_config_refused("[model]\nwidht = 16\n", "width");  // the nearest known key
  expect_config_refused("[model]\nwidth = \"wide\"\n", "line 2");
  expect_config_refused("[model]\nwidth = 16.5\n", "model.width");
  expect_config_refused("[model]\nwidth = -4\n", "model.width");
  expect_config_refused("[model]\nwidth = [16]\n", "model.width");
  expect_config_refused("[model]\nattention = \"maxsparse\"\n", "model.attention");
  expect_config_refused("[model]\nwidth = 16\nheads = 3\n", "heads");
  expect_config_refused("width = 16\n", "outside a table");
  expect_config_refused("[model\nwidth = 16\n", "not a TOML file");
  expect_config_refused("[nonsense]\nwidth = 16\n", "nonsense");
}

TEST(RunTest, HostileATaskThatBeginsLikeATask) {
  expect_config_refused("[data]\ntask = \"abc-sort-99x99\"\n", "data.task: unknown task");
}

// The largest model that options allow needs terabytes; its file has a few thousand weights.
TEST(RunTest, HostileAConfigurationLargerThanItsWeights) {
  const fs::path directory = write_tiny_run("run_large", tiny_config(), 1);
  for (const std::string large : {"", "feed_forward = 65536\ndecoder_layers = 64", "max_positions = 1048576",
                                  "max_positions = 1048576\nthought_steps = 64\nmask = \"random\"",
                                  "pause_tokens = 1024", "projection = \"gated\"\nprojection_rank = 4096"}) {
    data::write_file_atomically(directory / "config.toml", "[model]\nwidth = 4096\n" + large + "\n");
    expect_refused(directory, "model.safetensors", "the configuration asks for a model of at least");
  }
}

TEST(ErrorTextTest, HostileForeignBytesInMessages) {
  EXPECT_EQ(error_text(std::runtime_error("'a\nb' \xff")), "'a b' \xef\xbf\xbd");
}

TEST(ConfigFileTest, HostileControlCharactersInTexts) {
  TaskConfig task;
  task.text = "a\nb\t\x7f";
  model::OptionSet options;
  task.bind(options);
  const fs::path file = fs::path(testing::TempDir()) / "config_control.toml";
  data::write_file_atomically(file, write_config(options));
  TaskConfig read_task;
  model::OptionSet read;
  read_task.bind(read);
  read_config(file, read);
  EXPECT_EQ(read_task.text, task.text);
}

TEST(ConfigFileTest, WritesWhatItReads) {
  model::ModelConfig config;
  config.width = 96;
  config.heads = 3;
  config.encoder = false;
  config.score_scale = 0.125;
  config.mask = "dynamic";
  TaskConfig task;
  task.task = "exam";
  task.seed = 77;
  model::OptionSet options;
  config.bind(options);
  task.bind(options);
  const fs::path file = fs::path(testing::TempDir()) / "config_round_trip.toml";
  data::write_file_atomically(file, write_config(options) + "\n[train]\nminutes = 3\n");

  model::ModelConfig read_model;
  TaskConfig read_task;
  model::OptionSet read;
  read_model.bind(read);
  read_task.bind(read);
  read_config(file, read, {"train"});
  EXPECT_EQ(write_config(read), write_config(options));
  EXPECT_EQ(read_model.width, 96);
  EXPECT_FALSE(read_model.encoder);
  EXPECT_EQ(read_model.score_scale, 0.125);
  EXPECT_EQ(read_task.seed, 77);
  EXPECT_THROW(read_config(file, read), model::OptionError);  // [train] is not skipped now
}

TEST(TokenTraitsTest, KnowsTheWords) {
  const data::Vocabulary vocabulary = data::ExampleSource::task_vocabulary("gauss-jordan-gf3");
  const model::TokenTraits traits = token_traits(vocabulary);
  ASSERT_EQ(traits.size(), vocabulary.size());
  const auto of = [&](const std::string& word) {
    return traits.tokens[static_cast<size_t>(vocabulary.id(word))];
  };
  EXPECT_TRUE(of("-7").is_whole);
  EXPECT_EQ(of("-7").value, -7);
  EXPECT_TRUE(of("/3").is_denominator);
  EXPECT_EQ(of("/3").value, 3);
  EXPECT_FALSE(of("/3").is_whole);
  EXPECT_EQ(of("R4").row_label, 4);
  EXPECT_EQ(of("R32").row_label, 32);
  EXPECT_EQ(of("RREF").row_label, 0);
  EXPECT_EQ(of("GF3").row_label, 0);
  EXPECT_TRUE(of("NL").ends_line);
  EXPECT_TRUE(of("ANS").starts_answer);
  EXPECT_TRUE(of(";").ends_row);
  EXPECT_TRUE(of(":").ends_group);
}

}  // namespace
}  // namespace giantrabbit::eval
