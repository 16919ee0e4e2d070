// Makes, compares, writes; see script_export.h.
#include "eval/script_export.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <ATen/CPUGeneratorImpl.h>

#include "data/atomic_file.h"
#include "eval/config_file.h"
#include "eval/decode.h"
#include "eval/evaluator.h"
#include "model/script/script_module.h"

namespace giantrabbit::eval {
namespace {

using Json = nlohmann::ordered_json;
using data::Vocabulary;

// Nested lists of the numbers of a tensor.
template <typename Number>
Json nested(const torch::Tensor& tensor) {
  if (tensor.dim() == 0) return tensor.item<Number>();
  Json list = Json::array();
  for (const torch::Tensor& part : tensor.unbind(0)) list.push_back(nested<Number>(part));
  return list;
}

// Rows of ids behind which the pad word stands.
torch::Tensor padded(const std::vector<std::vector<int64_t>>& rows) {
  size_t longest = 0;
  for (const auto& row : rows) longest = std::max(longest, row.size());
  torch::Tensor result =
      torch::full({std::ssize(rows), static_cast<int64_t>(longest)}, Vocabulary::pad, torch::kInt64);
  for (size_t row = 0; row < rows.size(); ++row) {
    std::ranges::copy(rows[row], result.data_ptr<int64_t>() + row * longest);
  }
  return result;
}

class Comparison {
 public:
  Comparison(Run& run, std::span<const data::Problem> problems) : run_(run) {
    add_random_words();
    constexpr size_t group = 20;
    for (size_t first = 0; first < problems.size(); first += group) {
      add_problems(problems.subspan(first, std::min(group, problems.size() - first)));
    }
  }

  Json expected() const {
    Json document{{"forward", Json::array()}, {"generate", Json::array()}};
    for (const Logits& one : logits_) {
      if (!one.is_random) continue;  // those of problems would make the file long
      document["forward"].push_back({{"prompt", nested<int64_t>(one.inputs.prompt)},
                                     {"decoder_tokens", nested<int64_t>(one.inputs.decoder_input)},
                                     {"logits", nested<float>(one.expected)}});
    }
    for (const Generated& one : generated_) {
      document["generate"].push_back({{"prompt", nested<int64_t>(one.inputs.prompt)},
                                      {"max_tokens", one.max_tokens},
                                      {"tokens", nested<int64_t>(one.expected)}});
    }
    return document;
  }

  // Throws std::runtime_error where the script is not the model.
  ScriptAgreement with(torch::jit::Module script) const {
    ScriptAgreement agreement;
    for (const Logits& one : logits_) compare(one, script, agreement);
    for (const Generated& one : generated_) compare(one, script, agreement);
    return agreement;
  }

 private:
  struct Logits {
    bool is_random;
    model::Inputs inputs;
    torch::Tensor expected;
  };
  struct Generated {
    model::Inputs inputs;  // without decoder tokens
    int64_t max_tokens;
    torch::Tensor expected;
  };

  void add_logits(bool is_random, const model::Inputs& inputs) {
    logits_.push_back({is_random, inputs, run_.network->forward(inputs)});
  }

  // Sequences b = 0, 1, .. of a batch have b words of padding.
  void add_random_words() {
    const auto generator = at::make_generator<at::CPUGeneratorImpl>(uint64_t{1});
    const auto words = [&](int64_t rows, int64_t columns) {
      return torch::randint(1, run_.vocabulary.size(), {rows, columns}, generator, torch::kInt64);
    };
    struct Shape {
      int64_t batch, prompt, output;
    };
    const int64_t most = run_.config.max_positions - run_.config.pause_tokens;
    for (const auto& [batch, prompt, output] : {Shape{1, 7, 3}, {2, 5, 9}, {3, 11, 4}}) {
      const int64_t columns = std::min(prompt, most / 2);
      const torch::Tensor lengths = (columns - torch::arange(batch)).clamp_min(0);
      const torch::Tensor padding = torch::arange(columns).unsqueeze(0).ge(lengths.unsqueeze(1));
      const int64_t tokens = std::min(output, position_limit(run_.config, columns));
      add_logits(
          true, {words(batch, columns).masked_fill(padding, Vocabulary::pad), lengths, words(batch, tokens)});
    }
  }

  void add_problems(std::span<const data::Problem> problems) {
    std::vector<data::Words> prompts;
    std::vector<std::vector<int64_t>> ids;
    std::vector<int64_t> lengths;
    int64_t limit = 0;
    for (const data::Problem& problem : problems) {
      prompts.push_back(problem.prompt);
      ids.push_back(run_.vocabulary.encode(problem.prompt));
      lengths.push_back(std::ssize(ids.back()));
      limit = std::max(limit, output_limit(problem, run_.format()));
    }
    const Decoded decoded =
        decode_greedy(run_.network, run_.vocabulary, prompts, std::vector<int64_t>(prompts.size(), limit));
    std::vector<std::vector<int64_t>> outputs;
    for (const data::Words& output : decoded.outputs) outputs.push_back(run_.vocabulary.encode(output));
    const Generated generated{{padded(ids), torch::tensor(lengths), {}}, limit, padded(outputs)};
    generated_.push_back(generated);
    if (generated.expected.size(1) > 0) add_logits(false, fed(generated));
  }

  // BOS and what the model wrote, as its decoder read it.
  static model::Inputs fed(const Generated& generated) {
    model::Inputs inputs = generated.inputs;
    inputs.decoder_input = generated.expected.roll(1, 1);
    inputs.decoder_input.select(1, 0).fill_(Vocabulary::bos);
    return inputs;
  }

  void compare(const Logits& one, torch::jit::Module& script, ScriptAgreement& agreement) const {
    const torch::Tensor actual = script.forward({one.inputs.prompt, one.inputs.decoder_input}).toTensor();
    if (actual.sizes() != one.expected.sizes()) {
      throw std::runtime_error(
          fmt::format("the script's logits have another shape than the model's for {} prompts of {} words",
                      one.inputs.prompt.size(0), one.inputs.prompt.size(1)));
    }
    if (actual.numel() == 0) return;
    const double difference = (actual - one.expected).abs().max().item<double>();
    const double relative = difference / std::max(1.0, one.expected.abs().max().item<double>());
    if (!(relative <= script_tolerance)) {
      throw std::runtime_error(fmt::format(
          "the script's logits differ from the model's by {:.1e} of the largest one for {} prompts "
          "of {} words and {} tokens, allowed are {:.0e}",
          relative, one.inputs.prompt.size(0), one.inputs.prompt.size(1), one.inputs.decoder_input.size(1),
          script_tolerance));
    }
    agreement.logits = std::max(agreement.logits, relative);
    agreement.absolute = std::max(agreement.absolute, difference);
  }

  void compare(const Generated& one, torch::jit::Module& script, ScriptAgreement& agreement) const {
    const torch::Tensor actual = script.run_method("generate", one.inputs.prompt, one.max_tokens).toTensor();
    const int64_t columns = std::min(actual.size(1), one.expected.size(1));
    const auto common = [columns](const torch::Tensor& tokens) { return tokens.narrow(1, 0, columns); };
    for (int64_t row = 0; row < one.expected.size(0); ++row) {
      ++agreement.problems;
      const torch::Tensor differs = common(actual)[row].ne(common(one.expected)[row]).nonzero();
      if (differs.numel() > 0) {
        check_tie(one, row, differs[0].item<int64_t>(), actual);
      } else if (actual.size(1) == one.expected.size(1)) {
        ++agreement.equal;
      } else {
        // Longer ones of other rows only leave padding here.
        const torch::Tensor& longer = actual.size(1) > columns ? actual : one.expected;
        if (longer[row].slice(0, columns).ne(Vocabulary::pad).any().item<bool>()) refuse(row, columns);
        ++agreement.equal;
      }
    }
  }

  // The word that the script wrote at `place` is as likely as the model's, within what rounding may change.
  void check_tie(const Generated& one, int64_t row, int64_t place, const torch::Tensor& actual) const {
    const torch::Tensor logits = run_.network->forward(fed(one))[row][place];
    const auto of = [&](const torch::Tensor& tokens) {
      return logits[tokens[row][place].item<int64_t>()].item<double>();
    };
    const double allowed = 2 * script_tolerance * std::max(1.0, logits.abs().max().item<double>());
    if (!(std::abs(of(actual) - of(one.expected)) <= allowed)) refuse(row, place);
  }

  [[noreturn]] void refuse(int64_t row, int64_t place) const {
    throw std::runtime_error(
        fmt::format("the script generates another word than the model for prompt {} of a batch, at word {}",
                    row + 1, place + 1));
  }

  Run& run_;
  std::vector<Logits> logits_;
  std::vector<Generated> generated_;
};

std::string configuration(Run& run) {
  model::OptionSet options;
  run.config.bind(options);
  run.task.bind(options);
  return write_config(options);
}

}  // namespace

ScriptAgreement export_script(Run& run, std::span<const data::Problem> problems, bool portable,
                              const std::filesystem::path& file) {
  const torch::NoGradGuard no_grad;
  const Comparison comparison(run, problems);
  const model::ScriptOptions options{run.vocabulary.words(), Vocabulary::pad, Vocabulary::bos,
                                     Vocabulary::eos, portable};
  const std::string bytes = model::save_script(
      model::make_script_module(run.network, options),
      {{"config.toml", configuration(run)}, {"verification.json", comparison.expected().dump()}});
  const ScriptAgreement agreement = comparison.with(model::load_script(bytes));
  data::write_file_atomically(file, bytes);
  if (data::read_file(file) != bytes) {
    std::filesystem::remove(file);
    throw std::runtime_error(
        fmt::format("{}: the disk gave back other bytes than were written", file.string()));
  }
  return agreement;
}

}  // namespace giantrabbit::eval
