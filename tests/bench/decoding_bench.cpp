// The C++ side of decoding_speed.sh: greedy decoding at batch 1 of a model with random weights. Reads
// requests from standard input, a line each, and answers each with a line of numbers:
//   decode ATTENTION WEIGHTS LENGTH   -> processor seconds of the call, its seconds by the clock, of these
//                                        reading the prompt; per token: bytes of weights, bytes of keys and
//                                        values, mean support of a self-attention
//   read BYTES                        -> bytes per second at which a plain sum reads so many, again and again
// The tokens fed are fixed random ones, the most likely word is searched all the same: with random weights a
// greedy chain would soon repeat itself, and the keys with it.
#include <algorithm>
#include <chrono>
#include <ctime>
#include <iostream>
#include <map>
#include <sstream>

#include <fmt/format.h>

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include "model/prepared_decoder.h"
#include "ops/cpu/cached_attention.h"

namespace giantrabbit {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kWords = 180;
constexpr int64_t kPrompt = 16;
constexpr int64_t kLongest = 1 << 17;

double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// 1.2M parameters without position vectors, which are computed.
model::GiantRabbit make_network(const std::string& attention) {
  model::ModelConfig config;
  config.encoder_layers = 2;
  config.decoder_layers = 3;
  config.thought_steps = 0;
  config.attention = attention;
  config.position = "sinusoidal";
  config.max_positions = kLongest;
  config.number_features = false;
  // Scores with a standard deviation near 1: supports of a few keys, as trained models have.
  config.score_scale = 1;
  model::TokenTraits traits;
  traits.tokens.resize(kWords);
  torch::manual_seed(1);
  model::GiantRabbit network(config, traits);
  for (torch::Tensor& parameter : network->parameters()) {
    if (parameter.dim() == 2) parameter.normal_(0, 1 / std::sqrt(static_cast<double>(parameter.size(1))));
  }
  network->eval();
  return network;
}

std::string decode(model::GiantRabbit& network, model::PreparedDecoder& decoder, int64_t length) {
  torch::manual_seed(2);
  const torch::Tensor prompt = torch::randint(3, kWords, {1, kPrompt}, torch::kInt64);
  const torch::Tensor tokens = torch::randint(3, kWords, {length}, torch::kInt64);
  const int64_t* token = tokens.const_data_ptr<int64_t>();
  const Clock::time_point begin = Clock::now();
  const double processor_begin = processor_seconds();
  model::PreparedDecoder::Sequences sequences =
      decoder.start(network->start(prompt, torch::full({1}, kPrompt, torch::kInt64)));
  const double prompt_seconds = seconds_since(begin);
  int64_t chosen = 0;  // keeps the search from being left out
  for (int64_t u = 0; u < length; ++u) {
    const std::span<const float> logits = decoder.step(sequences, std::span(token + u, 1));
    chosen += std::ranges::max_element(logits) - logits.begin();
  }
  const double processor = processor_seconds() - processor_begin;
  const double seconds = seconds_since(begin);
  TORCH_CHECK(chosen >= 0 && sequences.layers.front().self.length(0) == length,
              "decoding_bench: wrong length");
  const ops::CachedAttentionCounters& self = sequences.self_counters;
  const int64_t attention_bytes = self.bytes_read + sequences.cross_counters.bytes_read;
  return fmt::format("{} {} {} {} {} {}", processor, seconds, prompt_seconds, decoder.weight_bytes(),
                     static_cast<double>(attention_bytes) / static_cast<double>(length),
                     static_cast<double>(self.support) / static_cast<double>(self.rows));
}

std::string read(int64_t bytes) {
  constexpr int64_t kWidth = 64;
  const int64_t rows = std::max<int64_t>(1, bytes / (4 * kWidth));
  const torch::Tensor numbers = torch::ones({rows, kWidth});
  const torch::Tensor weights = torch::ones({rows});
  const ops::cpu::DecodeFunctions& functions = ops::cpu::decode_functions(ops::cpu::chosen_capability());
  double best = 1e9;
  for (int round = 0; round < 20; ++round) {
    float sum[kWidth] = {};
    const Clock::time_point begin = Clock::now();
    functions.add_rows(weights.const_data_ptr<float>(), {numbers.const_data_ptr<float>(), kWidth}, 0, rows,
                       sum);
    best = std::min(best, seconds_since(begin));
  }
  return fmt::format("{}", static_cast<double>(rows * kWidth * 4) / best);
}

class Server {
 public:
  std::string answer(const std::string& request) {
    std::istringstream words(request);
    std::string verb, attention, weights;
    int64_t number = 0;
    words >> verb;
    if (verb == "read" && words >> number) return read(number);
    TORCH_CHECK(verb == "decode" && words >> attention >> weights >> number && number > 0,
                "decoding_bench: expected 'decode ATTENTION WEIGHTS LENGTH' or 'read BYTES', got '", request,
                "'");
    auto network = networks_.find(attention);
    if (network == networks_.end()) network = networks_.emplace(attention, make_network(attention)).first;
    const std::string name = attention + " " + weights;
    auto decoder = decoders_.find(name);
    if (decoder == decoders_.end()) {
      decoder = decoders_.try_emplace(name, network->second, model::parse_weight_type(weights)).first;
    }
    return decode(network->second, decoder->second, number);
  }

 private:
  std::map<std::string, model::GiantRabbit> networks_;
  std::map<std::string, model::PreparedDecoder> decoders_;
};

}  // namespace
}  // namespace giantrabbit

int main() {
  at::set_num_threads(1);
  const torch::NoGradGuard no_grad;
  giantrabbit::Server server;
  try {
    for (std::string request; std::getline(std::cin, request);) {
      std::cout << server.answer(request) << std::endl;
    }
  } catch (const c10::Error& error) {
    std::cerr << error.what_without_backtrace() << '\n';
    return 1;
  }
  return 0;
}
