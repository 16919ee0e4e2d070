// A vocabulary of 22 words and the smallest sensible model for the tests of this room. Everything random is
// drawn from LibTorch's generator after manual_seed, so a failure repeats.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "model/giant_rabbit.h"

namespace giantrabbit::model::tiny {

inline const std::vector<std::string>& words() {
  static const std::vector<std::string> list = {"PAD", "BOS", "EOS", "ANS", "NL", ";",   ":", "SUB",
                                                "R1",  "R2",  "R3",  "0",   "1",  "2",   "3", "4",
                                                "-1",  "-7",  "/2",  "/3",  "=",  "RREF"};
  return list;
}

inline int64_t id(const std::string& word) {
  const auto found = std::find(words().begin(), words().end(), word);
  TORCH_CHECK(found != words().end(), "no such test word: ", word);
  return found - words().begin();
}

inline TokenTraits traits() {
  TokenTraits result;
  for (const std::string& word : words()) {
    TokenTraits::Token token;
    const bool digits = word.find_first_not_of("-0123456789") == std::string::npos;
    token.is_whole = digits;
    token.is_denominator = word[0] == '/';
    if (token.is_whole) token.value = std::stod(word);
    if (token.is_denominator) token.value = std::stod(word.substr(1));
    if (word.size() == 2 && word[0] == 'R') token.row_label = word[1] - '0';
    token.ends_line = word == "NL";
    token.ends_row = word == ";";
    token.starts_answer = word == "ANS";
    token.ends_group = word == "BOS" || word == "ANS" || word == "NL" || word == ";" || word == ":";
    result.tokens.push_back(token);
  }
  return result;
}

// "BOS SUB R2" -> [1, 3].
inline torch::Tensor ids(const std::string& text) {
  std::istringstream stream(text);
  std::vector<int64_t> row;
  for (std::string word; stream >> word;) row.push_back(id(word));
  return torch::tensor(row, torch::kInt64).unsqueeze(0);
}

inline torch::Tensor random_ids(int64_t batch, int64_t length) {
  return torch::randint(1, static_cast<int64_t>(words().size()), {batch, length}, torch::kInt64);
}

inline ModelConfig config() {
  ModelConfig result;
  result.width = 8;
  result.heads = 2;
  result.feed_forward = 16;
  result.encoder_layers = 1;
  result.decoder_layers = 2;
  result.thought_steps = 0;
  result.max_positions = 32;
  return result;
}

// Random weights everywhere: the zero starts would hide most paths.
inline GiantRabbit random_network(const ModelConfig& config, uint64_t seed) {
  torch::manual_seed(seed);
  GiantRabbit network(config, traits());
  const torch::NoGradGuard guard;
  for (torch::Tensor& parameter : network->parameters()) parameter.normal_(0, 0.5);
  return network;
}

// Three sequences whose prompts have the lengths 6, 4 and 1, padded behind with PAD, and 5 decoder tokens.
inline Inputs ragged_inputs() {
  const torch::Tensor lengths = torch::tensor({6, 4, 1}, torch::kInt64);
  const torch::Tensor padding = torch::arange(6).unsqueeze(0).ge(lengths.unsqueeze(1));
  return {random_ids(3, 6).masked_fill(padding, 0), lengths, random_ids(3, 5)};
}

}  // namespace giantrabbit::model::tiny
