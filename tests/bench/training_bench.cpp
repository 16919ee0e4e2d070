// Whole training steps of the default model, driven line by line, so that another program can alternate them
// with the same steps in Python (tests/bench/pytorch_training). `write FILE` puts initial weights and the
// first batches of row reduction into one safetensors file; `serve FILE ATTENTION OPTIMIZER` starts from that
// file and answers each line "check N" with N lines of loss and gradient norm, each line "time N" with wall
// seconds, processor seconds and target tokens of N steps. Steps go round the batches in order, so equal
// commands mean equal work.
#include <chrono>
#include <ctime>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "data/batcher.h"
#include "data/example_source.h"
#include "eval/run.h"
#include "model/giant_rabbit.h"
#include "model/loss.h"
#include "model/safetensors.h"
#include "train/optimizer.h"

namespace giantrabbit::train {
namespace {

constexpr int64_t batch_count = 20;
// Small enough for the losses of two programs to stay together over the checked steps; time does not depend
// on it.
constexpr double rate_factor = 0.1;

data::ExampleSource training_source() {
  return {"row-reduction", data::parse_chain_format("prod"), data::Split::train, 1};
}

model::GiantRabbit make_network(const std::string& attention) {
  model::ModelConfig config;
  config.attention = attention;
  return model::GiantRabbit(config, eval::token_traits(training_source().vocabulary()));
}

void write(const std::string& file) {
  torch::manual_seed(1);
  model::GiantRabbit network = make_network("softmax");
  const torch::NoGradGuard guard;
  for (torch::Tensor& parameter : network->parameters()) {
    // Matrices that start at zero would hide every block behind them from the first losses.
    if (parameter.dim() == 2 && parameter.abs().max().item<double>() == 0) parameter.normal_(0, 0.03);
  }
  model::NamedTensors tensors;
  for (const auto& [name, tensor] : model::state_of(*network)) tensors["weights." + name] = tensor;
  const data::ExampleSource source = training_source();
  data::Batcher batcher(source, TrainConfig{}.batch_tokens, 1);
  for (int64_t i = 0; i < batch_count; ++i) {
    const data::Batch batch = batcher.next();
    const std::string prefix = "batch." + std::to_string(i) + ".";
    tensors[prefix + "prompt"] = batch.prompt;
    tensors[prefix + "prompt_lengths"] = batch.prompt_lengths;
    tensors[prefix + "decoder_input"] = batch.decoder_input;
    tensors[prefix + "target"] = batch.target;
  }
  std::ofstream stream(file, std::ios::binary);
  stream << model::to_safetensors(tensors, {});
  if (!stream.flush()) throw std::runtime_error("training_bench: cannot write " + file);
}

struct BenchBatch {
  model::Inputs inputs;
  torch::Tensor target;
  int64_t tokens = 0;
};

class Bench {
 public:
  Bench(const std::string& file, const std::string& attention, const std::string& optimizer)
      : network_(make_network(attention)) {
    std::ifstream stream(file, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
    const model::NamedTensors tensors = model::from_safetensors(bytes);
    model::NamedTensors weights;
    for (const auto& [name, tensor] : tensors) {
      if (name.starts_with("weights.")) weights[name.substr(8)] = tensor;
    }
    model::load_state(*network_, weights);
    for (int64_t i = 0; i < batch_count; ++i) {
      const auto part = [&](const char* name) {
        return tensors.at("batch." + std::to_string(i) + "." + name);
      };
      const torch::Tensor target = part("target");
      const int64_t tokens = target.ne(data::Vocabulary::pad).sum().item<int64_t>();
      batches_.push_back({{part("prompt"), part("prompt_lengths"), part("decoder_input")}, target, tokens});
    }
    TrainConfig config;
    config.optimizer = optimizer;
    optimizer_.emplace(network_, config);
  }

  void check(int64_t steps) {
    for (int64_t i = 0; i < steps; ++i) {
      const auto [loss, norm] = step();
      std::cout << loss << ' ' << norm << '\n';
    }
  }

  void time(int64_t steps) {
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t processor_start = std::clock();
    int64_t tokens = 0;
    for (int64_t i = 0; i < steps; ++i) {
      tokens += batches_[next_].tokens;
      step();
    }
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
    const double processor = static_cast<double>(std::clock() - processor_start) / CLOCKS_PER_SEC;
    std::cout << wall.count() << ' ' << processor << ' ' << tokens << '\n';
  }

 private:
  // What Trainer::step() does around a batch: loss and gradient norm.
  std::pair<double, double> step() {
    const BenchBatch& batch = batches_[next_];
    next_ = (next_ + 1) % batches_.size();
    optimizer_->zero_gradients();
    const torch::Tensor logits = network_->forward(batch.inputs);
    const torch::Tensor loss =
        model::sequence_loss(network_->config(), logits, batch.target, data::Vocabulary::pad);
    loss.backward();
    const double norm = optimizer_->step(rate_factor);
    return {loss.item<double>(), norm};
  }

  model::GiantRabbit network_;
  std::optional<Optimizer> optimizer_;
  std::vector<BenchBatch> batches_;
  size_t next_ = 0;
};

int run(const std::vector<std::string>& arguments) {
  at::set_num_threads(1);
  if (arguments.size() == 2 && arguments[0] == "write") {
    write(arguments[1]);
    return 0;
  }
  if (arguments.size() != 4 || arguments[0] != "serve") {
    std::cerr << "usage: training_bench write FILE | serve FILE ATTENTION OPTIMIZER\n";
    return 2;
  }
  Bench bench(arguments[1], arguments[2], arguments[3]);
  std::cout.precision(9);
  std::string command;
  int64_t steps = 0;
  while (std::cin >> command >> steps) {
    command == "check" ? bench.check(steps) : bench.time(steps);
    std::cout.flush();
  }
  return 0;
}

}  // namespace
}  // namespace giantrabbit::train

int main(int argc, char** argv) {
  try {
    return giantrabbit::train::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "training_bench: " << error.what() << '\n';
    return 1;
  }
}
