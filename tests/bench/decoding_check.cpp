// Whether the prepared decoder writes what the modules would: decoding_check RUN [COUNT]. Problems of the
// run's test split are decoded greedily; then the outputs are forced through the modules' forward pass and
// through the prepared decoder with every type of weights. Out: the largest difference of a logit, and the
// tokens that are not the modules' choice. Exit code 1 if fp32 weights give a logit that is off by more than
// 1e-4 or another token than the modules.
#include <algorithm>
#include <iostream>

#include <fmt/format.h>

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include "data/batch.h"
#include "eval/decode.h"
#include "eval/evaluator.h"
#include "eval/problem_set.h"
#include "eval/run.h"

namespace giantrabbit::eval {
namespace {

constexpr double kTolerance = 1e-4;
constexpr size_t kBatch = 64;

// What one type of weights does differently from the modules.
struct Differences {
  int64_t tokens = 0;
  int64_t other_tokens = 0;
  double largest = 0;      // of a logit
  double largest_gap = 0;  // between the modules' logits of their choice and of another one

  // Logits of one position, [B, V]; rows behind a sequence's end do not count.
  void add(const torch::Tensor& logits, const torch::Tensor& expected, const torch::Tensor& counts) {
    const torch::Tensor choice = logits.argmax(-1, true);
    const torch::Tensor best = std::get<0>(expected.max(-1, true));
    const torch::Tensor gap = (best - expected.gather(-1, choice)).squeeze(-1).masked_select(counts);
    const torch::Tensor other = expected.argmax(-1, true).ne(choice).squeeze(-1).masked_select(counts);
    tokens += gap.numel();
    other_tokens += other.sum().item<int64_t>();
    largest_gap = std::max(largest_gap, gap.max().item<double>());
    const torch::Tensor difference = (logits - expected).abs().amax(-1).masked_select(counts);
    largest = std::max(largest, difference.max().item<double>());
  }
};

void force(Run& run, const data::Batch& batch, model::WeightType type, Differences& differences) {
  const torch::Tensor expected =
      run.network->forward({batch.prompt, batch.prompt_lengths, batch.decoder_input});
  model::PreparedDecoder decoder(run.network, type);
  auto sequences = decoder.start(run.network->start(batch.prompt, batch.prompt_lengths));
  for (int64_t u = 0; u < batch.decoder_input.size(1); ++u) {
    const torch::Tensor token = batch.decoder_input.select(1, u).contiguous();
    const std::span<const float> logits =
        decoder.step(sequences, {token.const_data_ptr<int64_t>(), static_cast<size_t>(token.numel())});
    torch::Tensor row = torch::empty({token.size(0), decoder.vocabulary_size()});
    std::ranges::copy(logits, row.mutable_data_ptr<float>());
    differences.add(row, expected.select(1, u), batch.target.select(1, u).ne(data::Vocabulary::pad));
  }
}

std::vector<data::Example> decode(Run& run, int64_t count) {
  std::vector<data::Words> prompts;
  std::vector<int64_t> limits;
  for (const data::Problem& problem : draw_problems(run.task.task, "test", 1, count).problems) {
    prompts.push_back(problem.prompt);
    limits.push_back(output_limit(problem, run.format()));
  }
  const Decoded decoded = decode_greedy(run.network, run.vocabulary, prompts, limits);
  std::vector<data::Example> examples(prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    examples[i].prompt = run.vocabulary.encode(prompts[i]);
    examples[i].target = run.vocabulary.encode(decoded.outputs[i]);
  }
  return examples;
}

bool check(const std::string& directory, int64_t count) {
  Run run = load_run(directory);
  const std::vector<data::Example> examples = decode(run, count);
  bool equal = true;
  for (const auto type : {model::WeightType::float32, model::WeightType::bfloat16, model::WeightType::int8}) {
    Differences found;
    for (size_t begin = 0; begin < examples.size(); begin += kBatch) {
      const auto part = std::span(examples).subspan(begin, std::min(kBatch, examples.size() - begin));
      force(run, data::make_batch(part), type, found);
    }
    fmt::print(
        "{} {}: {} problems, {} tokens, {} of them another choice (gap up to {:.2g}); logits off by up to "
        "{:.2g}\n",
        run.name, model::weight_type_name(type), examples.size(), found.tokens, found.other_tokens,
        found.largest_gap, found.largest);
    if (type == model::WeightType::float32) equal = found.other_tokens == 0 && found.largest <= kTolerance;
  }
  return equal;
}

}  // namespace
}  // namespace giantrabbit::eval

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: decoding_check RUN [COUNT]\n";
    return 2;
  }
  at::set_num_threads(1);
  const torch::NoGradGuard no_grad;
  return giantrabbit::eval::check(argv[1], argc > 2 ? std::atoll(argv[2]) : 2000) ? 0 : 1;
}
