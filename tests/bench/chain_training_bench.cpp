// Training steps with long chains: the sparse model against the dense one, which attends once by this
// library's softmax and once by LibTorch's fused attention (losses checked first); same shapes, same data,
// alternating in one process, one thread. In, --tokens LIST (lengths of the decoder's input) and --rounds N;
// out, a table of milliseconds per step, their ratio and tokens per second. Chains of row reduction follow
// each other until the length is reached. Queries start with scores of unit variance for both normalisers, as
// trained models have them: a sparse model's own start has equal scores, which no kernel can skip.
#include <cmath>
#include <iostream>
#include <sstream>

#include <cxxopts.hpp>
#include <fmt/format.h>

#include <torch/library.h>
#include <torch/torch.h>

#include "data/example_source.h"
#include "eval/run.h"
#include "model/giant_rabbit.h"
#include "model/loss.h"
#include "ops/attention_call.h"
#include "tests/bench/interleaved.h"
#include "train/optimizer.h"

namespace giantrabbit::train {
namespace {

struct Sequence {
  model::Inputs inputs;
  torch::Tensor target;
};

Sequence long_chain(const data::ExampleSource& source, int64_t batch, int64_t tokens) {
  std::vector<int64_t> words;
  std::vector<int64_t> prompt;
  for (uint64_t i = 0; static_cast<int64_t>(words.size()) <= batch * tokens; ++i) {
    const data::Example example = source.example(i);
    if (prompt.empty()) prompt = example.prompt;
    words.insert(words.end(), example.target.begin(), example.target.end());
  }
  const torch::Tensor ids = torch::tensor(words, torch::kInt64);
  const torch::Tensor prompts = torch::tensor(prompt, torch::kInt64).repeat({batch, 1});
  const torch::Tensor lengths = torch::full({batch}, static_cast<int64_t>(prompt.size()), torch::kInt64);
  return {{prompts, lengths, ids.narrow(0, 0, batch * tokens).view({batch, tokens})},
          ids.narrow(0, 1, batch * tokens).view({batch, tokens})};
}

// While it lives, sparse_mask_attention is LibTorch's fused attention: softmax over all keys, or causal. All
// prompts here have one length, so key_lengths hide nothing.
class FusedAttention {
 public:
  FusedAttention()
      : library_(torch::Library::IMPL, "giantrabbit", c10::DispatchKey::AutogradCPU, __FILE__, __LINE__) {
    library_.impl("sparse_mask_attention", TORCH_FN(ops::ForwardArguments::kernel<attend>));
  }

 private:
  static at::Tensor attend(const ops::AttentionCall& call) {
    TORCH_CHECK(call.normalizer == ops::Normalizer::softmax && !call.mask.window && !call.mask.row_offsets &&
                !call.bias);
    return at::scaled_dot_product_attention(call.query, call.key, call.value, {}, 0.0, call.mask.causal,
                                            call.scale);
  }
  torch::Library library_;
};

class ChainTraining {
 public:
  ChainTraining(const data::ExampleSource& source, const std::string& attention) {
    model::ModelConfig config;
    config.attention = attention;
    config.position = "sinusoidal";
    torch::manual_seed(1);
    network_ = model::GiantRabbit(config, eval::token_traits(source.vocabulary()));
    spread_scores(config, attention == "softmax" ? 1.0 : 0.25);
    TrainConfig train;
    optimizer_.emplace(network_, train);
  }

  double step(const Sequence& sequence) {
    optimizer_->zero_gradients();
    const torch::Tensor logits = network_->forward(sequence.inputs);
    const torch::Tensor loss =
        model::sequence_loss(network_->config(), logits, sequence.target, data::Vocabulary::pad);
    loss.backward();
    optimizer_->step(0);  // a rate of zero: every step does the same work
    return loss.item<double>();
  }

 private:
  // Inputs of a projection have unit variance: so do queries and keys, and the score scale's factor is
  // undone.
  void spread_scores(const model::ModelConfig& config, double factor) {
    const torch::NoGradGuard guard;
    const double deviation = 1 / std::sqrt(static_cast<double>(config.width));
    for (auto& parameter : network_->named_parameters()) {
      torch::Tensor weight = parameter.value();
      const bool self = parameter.key().ends_with(".qkv");
      if (!self && !parameter.key().ends_with("attention.query")) continue;
      if (self) weight.normal_(0, deviation);
      weight.narrow(0, 0, config.width).normal_(0, deviation / factor);
    }
  }

  model::GiantRabbit network_{nullptr};
  std::optional<Optimizer> optimizer_;
};

int run(int argc, char** argv) {
  cxxopts::Options options("chain_training_bench", "Training steps with long chains, sparse against dense");
  options.add_options()("tokens", "decoder tokens per sequence",
                        cxxopts::value<std::string>()->default_value("80,1024,4096"))(
      "rounds", "turns of each side", cxxopts::value<int>()->default_value("5"))("help", "this text");
  const auto arguments = options.parse(argc, argv);
  if (arguments.count("help") != 0) {
    std::cout << options.help();
    return 0;
  }
  at::set_num_threads(1);
  const data::ExampleSource source("row-reduction", data::parse_chain_format("prod"), data::Split::train, 1);
  ChainTraining sparse(source, "sparsemax");
  ChainTraining dense(source, "softmax");
  bench::print_heading("sparse", "dense", "sparse tokens/s");
  std::istringstream lengths(arguments["tokens"].as<std::string>());
  for (std::string length; std::getline(lengths, length, ',');) {
    const int64_t tokens = std::stoll(length);
    const int64_t batch = std::max<int64_t>(1, 2048 / tokens);
    const Sequence sequence = long_chain(source, batch, tokens);
    const auto fused_step = [&] {
      const FusedAttention fused;
      return dense.step(sequence);
    };
    // Softmax twice, in fp32: sums over the keys in another order.
    const double difference = std::abs(dense.step(sequence) - fused_step());
    TORCH_CHECK(difference < 1e-4, "the losses of the two dense models differ by ", difference);
    const bench::Plan plan{arguments["rounds"].as<int>(), 0};
    const auto print = [&](const std::string& other, const bench::Comparison& result) {
      bench::print_comparison(
          fmt::format("{} x {} tokens, {}", batch, tokens, other), result,
          fmt::format("{:.0f}", static_cast<double>(batch * tokens) / result.cpu.a.minimum));
    };
    print("dense, ours", bench::compare([&] { sparse.step(sequence); }, [&] { dense.step(sequence); }, plan));
    print("dense, LibTorch's", bench::compare([&] { sparse.step(sequence); }, fused_step, plan));
  }
  return 0;
}

}  // namespace
}  // namespace giantrabbit::train

int main(int argc, char** argv) {
  try {
    return giantrabbit::train::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "chain_training_bench: " << error.what() << '\n';
    return 1;
  }
}
