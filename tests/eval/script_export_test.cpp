// Exports of small runs: what the file holds, that it equals the run, and that a script of another model is
// refused.
#include "eval/script_export.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "data/atomic_file.h"
#include "model/script/script_module.h"
#include "tiny_run.h"

namespace giantrabbit::eval {
namespace {

std::filesystem::path exported(const std::string& name) {
  return std::filesystem::path(::testing::TempDir()) / (name + ".pt");
}

TEST(ScriptExportTest, FilesEqualTheirRuns) {
  const std::vector<data::Problem> problems = some_problems(6);
  for (const std::string change :
       {"", "@attention=sparsemax,score_scale=0.5", "@attention=entmax15,window=6"}) {
    for (const bool portable : {false, true}) {
      SCOPED_TRACE(change + (portable ? " portable" : ""));
      eval::Run run = load_run(write_tiny_run("exported", tiny_config(), 3).string() + change);
      const std::filesystem::path file = exported("model");
      const ScriptAgreement agreement = export_script(run, problems, portable, file);
      EXPECT_EQ(agreement.prompts, 6);
      EXPECT_GE(agreement.equal, 5);  // a tie is rare
      EXPECT_LE(agreement.logits, script_tolerance);
      model::ScriptFiles files{{"config.toml", ""}, {"verification.json", ""}};
      const torch::jit::Module script = model::load_script(data::read_file(file), &files);
      EXPECT_NE(files["config.toml"].find("attention = \"" + run.config.attention), std::string::npos);
      EXPECT_EQ(nlohmann::json::parse(files["verification.json"])["forward"].size(), 3u);
      EXPECT_EQ(script.attr("words").toListRef()[5].toStringRef(), run.vocabulary.word(5));
    }
  }
}

TEST(ScriptExportTest, ScriptsOfOtherModelsAreRefused) {
  const std::vector<data::Problem> problems = some_problems(2);
  eval::Run run = load_run(write_tiny_run("one", tiny_config(), 1));
  eval::Run other = load_run(write_tiny_run("other", tiny_config(), 2));
  const model::ScriptOptions options{run.vocabulary.words()};
  const ScriptComparison comparison(run, problems);
  EXPECT_EQ(comparison.with(model::make_script_module(run.network, options)).prompts, 2);
  try {
    comparison.with(model::make_script_module(other.network, options));
    ADD_FAILURE() << "another model's script was taken";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("the script's logits differ from the model's by"),
              std::string::npos)
        << error.what();
  }
}

TEST(ScriptExportTest, ShortTablesOfPositionsAreEnough) {
  model::ModelConfig config = tiny_config();
  config.max_positions = 3;
  config.position = "learned";
  config.encoder = false;
  eval::Run run = load_run(write_tiny_run("short", config, 4));
  EXPECT_LE(export_script(run, {}, true, exported("short")).logits, script_tolerance);
}

}  // namespace
}  // namespace giantrabbit::eval
