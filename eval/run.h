// A run directory as giantrabbit-train writes it, read back for evaluation: config.toml, vocabulary.json,
// model.safetensors, summary.json. Anything missing, truncated or foreign throws std::runtime_error with one
// sentence that names the file and the reason.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/problem.h"
#include "data/text_source.h"
#include "data/vocabulary.h"
#include "model/config.h"
#include "model/giant_rabbit.h"
#include "model/prepared_decoder.h"

namespace giantrabbit::eval {

// What a run was trained on.
struct TaskConfig {
  std::string task = "row-reduction";
  std::string format = "prod";
  int64_t seed = 1;
  // For the task "text": the file, what it held when training began (data/text_source.h), and the characters
  // of one window.
  std::string text;
  std::string text_fingerprint;
  int64_t text_length = 512;

  void bind(model::OptionSet& options);  // "data.task", "data.format", ..
  // Throws model::OptionError for a task and a model that do not go together.
  void validate(const model::ModelConfig& model) const;
  bool is_text() const;
  data::Vocabulary vocabulary() const;
  // The text of the file, or of `elsewhere` unless that is empty. Throws std::runtime_error when it is not
  // what training began with.
  std::shared_ptr<const data::Text> open_text(const std::string& elsewhere = "") const;
};

struct Run {
  std::filesystem::path directory;
  std::string
      name;  // the directory's last part and what was changed, or more (make_names_distinct in variant.h)
  model::ModelConfig config;
  TaskConfig task;
  std::string configuration;  // everything it was trained with but the seed, in one spelling
  model::WeightType weights = model::WeightType::float32;  // what its decoder is rounded to when it decodes
  data::Vocabulary vocabulary;                             // the task's
  model::GiantRabbit network{nullptr};                     // in eval mode
  data::ChainFormat format() const { return data::parse_chain_format(task.format); }
};

// A directory, or "DIRECTORY@key=value,..": the same weights under changed options of the model, for example
// "runs/dense@attention=sparsemax,score_scale=0.5"; its name then ends with the change. The key "weights"
// says what the decoder is rounded to; without it that is `weights`. A bad change throws model::OptionError.
Run load_run(const std::filesystem::path& directory, model::WeightType weights = model::WeightType::float32);

// What the runs decode with: "float32", or "float32 and int8" where they differ; a run's name says which is
// its own.
std::string weights_text(std::span<const Run> runs);

// Throws data::ProblemError naming run and word when a prompt has a word that the run has never seen.
void require_words(const Run& run, std::span<const data::Problem> problems);

// The tables a model needs, from a run's vocabulary.
model::TokenTraits token_traits(const data::Vocabulary& vocabulary);

}  // namespace giantrabbit::eval
