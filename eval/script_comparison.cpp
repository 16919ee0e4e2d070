// See script_comparison.h.
#include "eval/script_comparison.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <ATen/CPUGeneratorImpl.h>

#include "eval/decode.h"
#include "eval/evaluator.h"

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

[[noreturn]] void refuse(int64_t row, int64_t place) {
  throw std::runtime_error(
      fmt::format("the script generates another word than the model for prompt {} of a batch, at word {}",
                  row + 1, place + 1));
}

}  // namespace

ScriptComparison::ScriptComparison(Run& run, std::span<const data::Problem> problems) : run_(run) {
  const torch::NoGradGuard no_grad;
  add_random_words();
  constexpr int64_t characters = 50;
  if (run.task.is_text()) add_generated({{}}, characters);  // texts have no prompts
  constexpr size_t group = 20;
  for (size_t first = 0; first < problems.size(); first += group) {
    add_problems(problems.subspan(first, std::min(group, problems.size() - first)));
  }
}

std::string ScriptComparison::expected() const {
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
  return document.dump();
}

ScriptAgreement ScriptComparison::with(torch::jit::Module script) const {
  const torch::NoGradGuard no_grad;
  ScriptAgreement agreement;
  for (const Logits& one : logits_) compare(one, script, agreement);
  for (const Generated& one : generated_) compare(one, script, agreement);
  return agreement;
}

void ScriptComparison::add_logits(bool is_random, const model::Inputs& inputs) {
  logits_.push_back({is_random, inputs, run_.network->forward(inputs)});
}

// Sequences b = 0, 1, .. of a batch have b words of padding.
void ScriptComparison::add_random_words() {
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
    add_logits(true,
               {words(batch, columns).masked_fill(padding, Vocabulary::pad), lengths, words(batch, tokens)});
  }
}

void ScriptComparison::add_problems(std::span<const data::Problem> problems) {
  std::vector<data::Words> prompts;
  int64_t limit = 0;
  for (const data::Problem& problem : problems) {
    prompts.push_back(problem.prompt);
    limit = std::max(limit, output_limit(problem, run_.format()));
  }
  add_generated(prompts, limit);
}

void ScriptComparison::add_generated(const std::vector<data::Words>& prompts, int64_t limit) {
  std::vector<std::vector<int64_t>> ids;
  std::vector<int64_t> lengths;
  for (const data::Words& prompt : prompts) {
    ids.push_back(run_.vocabulary.encode(prompt));
    lengths.push_back(std::ssize(prompt));
  }
  const Decoded decoded =
      decode_greedy(run_.network, run_.vocabulary, prompts, std::vector<int64_t>(prompts.size(), limit));
  std::vector<std::vector<int64_t>> outputs;
  for (const data::Words& output : decoded.outputs) outputs.push_back(run_.vocabulary.encode(output));
  const Generated generated{{padded(ids), torch::tensor(lengths, torch::kInt64), {}}, limit, padded(outputs)};
  generated_.push_back(generated);
  if (generated.expected.size(1) > 0) add_logits(false, fed(generated));
}

// BOS and what the model wrote, as its decoder read it.
model::Inputs ScriptComparison::fed(const Generated& generated) {
  model::Inputs inputs = generated.inputs;
  inputs.decoder_input = generated.expected.roll(1, 1);
  inputs.decoder_input.select(1, 0).fill_(Vocabulary::bos);
  return inputs;
}

void ScriptComparison::compare(const Logits& one, torch::jit::Module& script, ScriptAgreement& agreement) {
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
    throw std::runtime_error(
        fmt::format("the script's logits differ from the model's by {:.1e} of the largest one for {} prompts "
                    "of {} words and {} tokens, allowed are {:.0e}",
                    relative, one.inputs.prompt.size(0), one.inputs.prompt.size(1),
                    one.inputs.decoder_input.size(1), script_tolerance));
  }
  agreement.logits = std::max(agreement.logits, relative);
  agreement.absolute = std::max(agreement.absolute, difference);
}

void ScriptComparison::compare(const Generated& one, torch::jit::Module& script,
                               ScriptAgreement& agreement) const {
  const torch::Tensor actual = script.run_method("generate", one.inputs.prompt, one.max_tokens).toTensor();
  const int64_t columns = std::max(actual.size(1), one.expected.size(1));
  const auto widened = [columns](const torch::Tensor& tokens) {
    return torch::constant_pad_nd(tokens, {0, columns - tokens.size(1)}, Vocabulary::pad);
  };
  const torch::Tensor differs = widened(actual).ne(widened(one.expected));
  for (int64_t row = 0; row < one.expected.size(0); ++row) {
    ++agreement.prompts;
    const torch::Tensor places = differs[row].nonzero();
    if (places.numel() == 0) {
      ++agreement.equal;
    } else {
      check_tie(one, row, places[0].item<int64_t>(), actual);
    }
  }
}

// The word that the script wrote at `place` is as likely as the model's, within what rounding may change.
void ScriptComparison::check_tie(const Generated& one, int64_t row, int64_t place,
                                 const torch::Tensor& actual) const {
  if (place >= std::min(actual.size(1), one.expected.size(1))) refuse(row, place);
  const torch::Tensor logits = run_.network->forward(fed(one))[row][place];
  const auto of = [&](const torch::Tensor& tokens) {
    return logits[tokens[row][place].item<int64_t>()].item<double>();
  };
  const double allowed = 2 * script_tolerance * std::max(1.0, logits.abs().max().item<double>());
  if (!(std::abs(of(actual) - of(one.expected)) <= allowed)) refuse(row, place);
}

}  // namespace giantrabbit::eval
