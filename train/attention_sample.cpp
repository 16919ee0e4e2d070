// See attention_sample.h.
#include "train/attention_sample.h"

#include "eval/attention_cost.h"
#include "eval/evaluation_mode.h"

namespace giantrabbit::train {
namespace {

constexpr int64_t least_side = 256;  // of a picture: smaller ones are magnified

// The mean over heads of the weights, [M, N].
torch::Tensor mean_weights(const model::AttentionRecord& record) {
  const torch::Tensor row = torch::repeat_interleave(record.support.row_offsets.diff());  // (head, query)
  const int64_t heads = (record.support.row_offsets.numel() - 1) / record.queries;
  const torch::Tensor weights = record.support.weights.to(torch::kFloat32);
  return torch::zeros({record.queries, record.keys})
      .index_put_({row.remainder(record.queries), record.support.key_indices},
                  weights / static_cast<double>(heads), /*accumulate=*/true);
}

torch::Tensor magnified(const torch::Tensor& pixels) {
  const int64_t factor = std::max<int64_t>(1, least_side / std::max(pixels.size(0), pixels.size(1)));
  return pixels.repeat_interleave(factor, 0).repeat_interleave(factor, 1);
}

}  // namespace

AttentionSample sample_attention(model::GiantRabbit& network, const data::Example& example) {
  AttentionSample sample;
  if (example.prompt.size() + example.target.size() > sampled_words) return sample;
  const eval::EvaluationMode evaluation_mode(network);
  const model::Trace trace = eval::trace_example(network, example);
  eval::CostCounter counter(network->config().width / network->config().heads);
  counter.add(trace, std::ssize(example.target));
  for (const eval::LayerCost& layer : counter.result().layers) {
    sample.densities.emplace_back(layer.name, layer.mean().density);
  }
  for (const model::AttentionRecord& record : trace.attentions) {
    if (!record.name.starts_with("decoder.") || !record.name.ends_with(".self")) continue;
    sample.name = record.name;
    sample.picture = 1 - magnified(mean_weights(record).sqrt());
  }
  return sample;
}

}  // namespace giantrabbit::train
