// The ABC sorter of chapter3_golden.json (4 words, sequences of 7, width 6, 2 heads) with the file's
// closed-form weights, in double, made of the model's own embedding, norms, attention and output head. Its
// feed-forward network has the file's ReLU; GiantRabbit squares it.
#pragma once

#include <string>
#include <vector>

#include <torch/torch.h>

#include "model/attention.h"
#include "model/embedding.h"
#include "model/output_head.h"

namespace giantrabbit::model::golden {

inline ModelConfig sorter_config(const std::string& projection) {
  ModelConfig config;
  config.width = config.feed_forward = 6;
  config.heads = 2;
  config.encoder = false;
  config.encoder_layers = config.thought_steps = 0;
  config.decoder_layers = 1;
  config.projection = projection;
  config.projection_rank = 3;
  config.position = "learned";
  config.max_positions = 7;
  config.number_features = false;
  return config;
}

inline TokenTraits sorter_traits() {
  TokenTraits traits;
  traits.tokens.resize(4);  // the separator, a, b, c
  return traits;
}

// Entry k, in row-major order, of tensor number i; see weights_rule in the file.
inline torch::Tensor closed_form(int64_t i, at::IntArrayRef sizes) {
  const torch::Tensor k = torch::arange(c10::multiply_integers(sizes), torch::kInt64);
  return ((37 * k + 11 * i).remainder(97) - 48).to(torch::kDouble).div(64).reshape(sizes);
}

struct Sorter {
  explicit Sorter(const std::string& projection = "gated") : config(sorter_config(projection)) {
    const torch::NoGradGuard no_grad;
    fill(*embedding, {{"words", 1}, {"decoder_positions", 2}});
    fill_norm(*attention_norm, "", 3);
    auto& deep = *attention->deep_qkv;
    attention->to(torch::kDouble);
    for (int64_t kind = 0; kind < 3; ++kind) {  // queries, keys, values
      deep.left[kind].copy_(closed_form(5 + 2 * kind, {2, 6, 3}));
      deep.right[kind].copy_(closed_form(6 + 2 * kind, {2, 3, 3}));
      if (deep.base.defined()) deep.base[kind].copy_(closed_form(11 + kind, {2, 6, 3}));
    }
    attention->out.copy_(closed_form(14, {6, 6}));
    fill_norm(*feed_forward_norm, "", 15);
    fill_norm(*head, "norm.", 19);
  }

  torch::Tensor attend(const torch::Tensor& x, Trace* trace = nullptr) {
    ops::SparseMask causal;
    causal.causal = true;
    return attention->forward(x, causal, torch::arange(x.size(1)), trace, "decoder.0.self");
  }

  // ids [1, T] -> logits [1, T, 4].
  torch::Tensor forward(const torch::Tensor& ids, Trace* trace = nullptr) {
    const torch::NoGradGuard no_grad;
    torch::Tensor x = embedding->prompt(ids);
    x = x + attend(attention_norm->forward(x), trace);
    const torch::Tensor hidden = torch::linear(feed_forward_norm->forward(x), closed_form(17, {6, 6})).relu();
    x = x + torch::linear(hidden, closed_form(18, {6, 6}));
    return head->forward(x, embedding->table());
  }

  ModelConfig config;
  Embedding embedding{config, sorter_traits()};
  Norm attention_norm{config}, feed_forward_norm{config};
  SelfAttention attention{config};
  OutputHead head{config};

 private:
  static void fill(torch::nn::Module& module, const std::vector<std::pair<std::string, int64_t>>& numbers) {
    module.to(torch::kDouble);
    auto parameters = module.named_parameters();
    for (const auto& [name, i] : numbers) parameters[name].copy_(closed_form(i, parameters[name].sizes()));
  }
  static void fill_norm(torch::nn::Module& module, const std::string& prefix, int64_t i) {
    module.to(torch::kDouble);
    auto parameters = module.named_parameters();
    parameters[prefix + "gain"].copy_(closed_form(i, {6}).div(4).add(1));
    parameters[prefix + "offset"].copy_(closed_form(i + 1, {6}).div(4));
  }
};

// The weights of a record of one sequence as [H, M, N].
inline torch::Tensor dense_weights(const AttentionRecord& record) {
  const torch::Tensor counts = record.support.row_offsets.diff();
  const torch::Tensor rows = torch::repeat_interleave(counts);
  torch::Tensor weights = torch::zeros({counts.size(0), record.keys}, record.support.weights.options());
  weights.index_put_({rows, record.support.key_indices}, record.support.weights);
  return weights.view({-1, record.queries, record.keys});
}

}  // namespace giantrabbit::model::golden
