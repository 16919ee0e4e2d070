// A GiantRabbit model as a TorchScript module, for programs without this library's C++. In, a model and its
// words; out, a module whose parameters and buffers have the model's names and are its tensors, with the
// methods
//   forward(prompt [B, N], decoder_tokens [B, U]) -> logits [B, U, V]
//   encode(prompt) -> (states [B, K, D], lengths [B])
//   think(states, lengths) -> (all thought states R_0 .. R_T, their lengths)
//   memory(states, lengths) -> (states, lengths) that the decoder attends to
//   generate(prompt, max_tokens) -> greedy tokens [B, written], EOS included, the pad word behind it
// for any B, N and U, and the attributes words, pad, bos and eos. A prompt ends with its last word that is
// not the pad word. It behaves as the model in evaluation mode (the rotations of hashing are those of
// evaluation).
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include <torch/torch.h>

#include "model/giant_rabbit.h"

namespace giantrabbit::model {

struct ScriptOptions {
  std::vector<std::string> words;
  int64_t pad = 0, bos = 1, eos = 2;
  // LibTorch's own operators only, at a cost of queries times keys; else those of giantrabbit_ops, which a
  // program must load first.
  bool portable = false;
};

// Throws c10::Error for a model that scripts do not cover: random shared keys over more positions than their
// table can hold.
torch::jit::Module make_script_module(const GiantRabbit& network, const ScriptOptions& options);

// The file of a module and texts that it carries by name, and back; load_script reads the texts that `files`
// names.
using ScriptFiles = std::unordered_map<std::string, std::string>;
std::string save_script(const torch::jit::Module& module, const ScriptFiles& files = {});
torch::jit::Module load_script(const std::string& bytes, ScriptFiles* files = nullptr);

}  // namespace giantrabbit::model
