// How far back does a reader remember? Sequences of random symbols, asked for is the first one, at the last
// place: its distance is the length. An Elman network (Elman 1990: h_t = tanh(W x_t + U h_(t-1) + b), read
// from its last state) against one layer of softmax or sparsemax attention of the same width over the same
// embedding. Out, one line a distance: each reader's share of right answers with its 95% interval. Every
// reader is trained anew for every distance, by Adam at 0.01, and judged on fresh sequences.
#include <cstdio>

#include <cxxopts.hpp>
#include <fmt/format.h>

#include <torch/torch.h>

#include "eval/statistics.h"
#include "model/attention.h"
#include "model/embedding.h"
#include "model/feed_forward.h"

namespace {

namespace eval = giantrabbit::eval;
namespace model = giantrabbit::model;

constexpr int64_t symbols = 10;
constexpr int64_t batch = 64;
constexpr int64_t judged = 2000;

model::ModelConfig reader_config(const std::string& attention) {
  model::ModelConfig config;
  config.width = 20;
  config.heads = 2;
  config.attention = attention;
  config.position = "sinusoidal";
  config.number_features = false;
  return config;
}

model::TokenTraits symbol_traits() {
  model::TokenTraits traits;
  traits.tokens.resize(symbols);
  return traits;
}

// Tokens [B, T] -> logits [B, symbols]. `kind` is "elman" or the weights of the attention.
class Reader : public torch::nn::Module {
 public:
  explicit Reader(const std::string& kind)
      : config_(reader_config(kind == "elman" ? "softmax" : kind)),
        embedding_(register_module("embedding", model::Embedding(config_, symbol_traits()))),
        out_(register_module("out", torch::nn::Linear(config_.width, symbols))) {
    if (kind == "elman") {
      const auto options = torch::nn::RNNOptions(config_.width, config_.width).batch_first(true);
      elman_ = register_module("elman", torch::nn::RNN(options));
    } else {
      norm_ = register_module("norm", model::Norm(config_));
      attention_ = register_module("attention", model::SelfAttention(config_));
    }
  }

  torch::Tensor forward(const torch::Tensor& tokens) {
    torch::Tensor x = embedding_->prompt(tokens);
    if (attention_.is_empty()) return out_->forward(std::get<0>(elman_->forward(x)).select(1, -1));
    const torch::Tensor places = torch::arange(tokens.size(1));
    x = x + attention_->forward(norm_->forward(x), {}, places, nullptr, "");
    return out_->forward(x.select(1, -1));
  }

 private:
  model::ModelConfig config_;
  model::Embedding embedding_;
  torch::nn::Linear out_;
  torch::nn::RNN elman_{nullptr};
  model::Norm norm_{nullptr};
  model::SelfAttention attention_{nullptr};
};

// Right answers of `judged` after training.
int64_t recall(const std::string& kind, int64_t distance, int64_t steps, uint64_t seed) {
  torch::manual_seed(seed);
  Reader reader(kind);
  torch::optim::Adam adam(reader.parameters(), torch::optim::AdamOptions(0.01));
  for (int64_t step = 0; step < steps; ++step) {
    const torch::Tensor tokens = torch::randint(symbols, {batch, distance + 1}, torch::kInt64);
    adam.zero_grad();
    torch::cross_entropy_loss(reader.forward(tokens), tokens.select(1, 0)).backward();
    torch::nn::utils::clip_grad_norm_(reader.parameters(), 1);
    adam.step();
  }
  const torch::NoGradGuard no_grad;
  const torch::Tensor tokens = torch::randint(symbols, {judged, distance + 1}, torch::kInt64);
  return reader.forward(tokens).argmax(-1).eq(tokens.select(1, 0)).sum().item<int64_t>();
}

}  // namespace

int main(int argc, char** argv) {
  cxxopts::Options options("recall_distance", "Right answers against the distance of what is asked for.");
  options.add_options()("distances", "places back",
                        cxxopts::value<std::vector<int64_t>>()->default_value("5,10,20,50,100"))(
      "steps", "updates of every reader", cxxopts::value<int64_t>()->default_value("1000"))(
      "seed", "of weights and sequences", cxxopts::value<uint64_t>()->default_value("1"))("help",
                                                                                          "print this text");
  const auto parsed = options.parse(argc, argv);
  if (parsed.count("help") > 0) {
    fmt::print("{}", options.help());
    return 0;
  }
  const std::vector<std::string> kinds = {"elman", "softmax", "sparsemax"};
  fmt::print("Right answers in % of {}, chance is {}\n{:>8}", judged, 100 / symbols, "distance");
  for (const std::string& kind : kinds) fmt::print("  {:>22}", kind);
  fmt::print("\n");
  for (const int64_t distance : parsed["distances"].as<std::vector<int64_t>>()) {
    fmt::print("{:8}", distance);
    for (const std::string& kind : kinds) {
      const int64_t right =
          recall(kind, distance, parsed["steps"].as<int64_t>(), parsed["seed"].as<uint64_t>());
      const eval::Interval interval = eval::wilson(right, judged);
      fmt::print("  {:6.1f} [{:5.1f}, {:5.1f}]", 100.0 * static_cast<double>(right) / judged,
                 100 * interval.low, 100 * interval.high);
      std::fflush(stdout);
    }
    fmt::print("\n");
  }
  return 0;
}
