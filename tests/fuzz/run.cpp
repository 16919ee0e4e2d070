// In: a run directory as giantrabbit-eval reads it: config.toml, vocabulary.json, the changes behind '@' and
// model.safetensors (or its header), divided by lines "%%"; what is missing or empty is that of the smallest
// run. Accepted: the network has the file's weights, and decodes or says in a sentence why it cannot.
#include "eval/run.h"

#include <array>

#include "data/example_source.h"
#include "eval/decode.h"
#include "model/safetensors.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tiny_run.h"

namespace giantrabbit::fuzz {
namespace {

constexpr std::string_view divider = "%%\n";

struct Parts {
  std::string_view config, vocabulary, changes, weights;
};

Parts parts_of(std::string_view bytes) {
  std::array<std::string_view, 4> parts;
  for (size_t part = 0; part < parts.size(); ++part) {
    const size_t end = part + 1 == parts.size() ? std::string_view::npos : bytes.find(divider);
    parts.at(part) = bytes.substr(0, end);
    bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + divider.size());
  }
  return {parts[0], parts[1], parts[2], parts[3]};
}

void decode(eval::Run& run) {
  constexpr int64_t few_words = 4;
  const data::ExampleSource source(run.task.task, run.format(), data::Split::train, 1);
  const data::Words prompt = source.example(0).problem.prompt;
  const eval::Decoded decoded = eval::decode_greedy(run.network, run.vocabulary, std::span(&prompt, 1),
                                                    std::span(&few_words, 1), 1, run.weights);
  require(std::ssize(decoded.outputs.at(0)) <= few_words, "no more words are written than asked for");
}

}  // namespace

void run(std::string_view bytes) {
  static const std::string config = tiny_config_text();
  static const std::string vocabulary = tiny_vocabulary_text();
  static const std::string weights = tiny_weights();
  static const std::string weights_data = data_of(weights);
  const Parts parts = parts_of(bytes);
  scratch_file("config.toml", parts.config.empty() ? config : parts.config);
  scratch_file("vocabulary.json", parts.vocabulary.empty() ? vocabulary : parts.vocabulary);
  const std::string file = parts.weights.empty() ? weights : with_header(parts.weights, weights_data);
  scratch_file("model.safetensors", file);
  std::string directory = scratch_folder().string();
  if (!parts.changes.empty()) directory.append("@").append(parts.changes);

  eval::Run run;
  if (!accepts([&] { run = eval::load_run(directory); })) return;
  require(model::to_safetensors(model::state_of(*run.network), {}) ==
              model::to_safetensors(model::from_safetensors(file), {}),
          "the network has the file's weights");
  require(!run.name.empty() && !run.configuration.empty(), "a run has a name and a configuration");
  if (!run.task.is_text()) accepts<std::exception>([&] { decode(run); });
}

}  // namespace giantrabbit::fuzz
