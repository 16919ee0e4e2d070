// Reads supports from traces. Every figure is a sum over queries divided once at the end.
#include "eval/attention_cost.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "data/batch.h"

namespace giantrabbit::eval {
namespace {

constexpr double bytes_per_number = 4;  // inference runs in fp32

// Pages touched by increasing key indices.
int64_t count_pages(std::span<const int64_t> keys) {
  int64_t pages = 0;
  int64_t last = -1;
  for (const int64_t key : keys) {
    if (key / keys_per_page != last) ++pages;
    last = key / keys_per_page;
  }
  return pages;
}

double ratio(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

HeadCost LayerCost::mean() const {
  HeadCost sum;
  for (const HeadCost& head : heads) {
    sum.keys_used += head.keys_used;
    sum.density += head.density;
    sum.page_density += head.page_density;
  }
  const double count = heads.empty() ? 1 : static_cast<double>(heads.size());
  return {sum.keys_used / count, sum.density / count, sum.page_density / count};
}

void CostCounter::add(const model::AttentionRecord& record, int64_t tokens) {
  const int64_t rows = record.support.row_offsets.numel() - 1;
  if (record.queries == 0) return;
  const int64_t heads = rows / record.queries;
  auto layer = std::ranges::find(sums_.layers, record.name, &LayerCost::name);
  if (layer == sums_.layers.end()) {
    layer = sums_.layers.insert(layer, LayerCost{record.name, 0, 0, 0, 0, std::vector<HeadCost>(heads)});
  }
  const at::Tensor offsets = record.support.row_offsets.contiguous();
  const at::Tensor indices = record.support.key_indices.contiguous();
  const at::Tensor visible_keys = record.visible.reshape(-1).contiguous();
  const int64_t* offset = offsets.const_data_ptr<int64_t>();
  const int64_t* index = indices.const_data_ptr<int64_t>();
  const bool written = record.name.starts_with("decoder.");
  std::vector<char> used(static_cast<size_t>(record.keys));
  // Without an encoder the prompt comes first among the decoder's queries; only written tokens are counted.
  const int64_t first = written ? std::max<int64_t>(0, record.queries - tokens) : 0;
  for (int64_t query = first; query < record.queries; ++query) {
    const int64_t visible = visible_keys.const_data_ptr<int64_t>()[query];
    std::ranges::fill(used, 0);
    for (int64_t head = 0; head < heads; ++head) {
      const int64_t row = head * record.queries + query;
      const std::span keys(index + offset[row], index + offset[row + 1]);
      for (const int64_t key : keys) used[static_cast<size_t>(key)] = 1;
      const int64_t pages = count_pages(keys);
      // A window may begin inside a page, so that more pages are touched than its keys would fill.
      const int64_t pages_visible = std::max(pages, (visible + keys_per_page - 1) / keys_per_page);
      HeadCost& cost = layer->heads[static_cast<size_t>(head)];
      const auto count = static_cast<int64_t>(keys.size());
      cost.keys_used += static_cast<double>(count);
      cost.density += ratio(count, visible);
      cost.page_density += ratio(pages, pages_visible);
      if (written) {
        sums_.keys_visible += static_cast<double>(visible);
        sums_.value_bytes += static_cast<double>(count * head_width_) * bytes_per_number;
      }
    }
    const int64_t in_union = std::ranges::count(used, 1);
    layer->keys_visible += static_cast<double>(visible);
    layer->keys_in_union += static_cast<double>(in_union);
    layer->union_density += ratio(in_union, visible);
  }
  layer->queries += record.queries - first;
}

void CostCounter::add(const model::Trace& trace, int64_t tokens) {
  for (const model::AttentionRecord& record : trace.attentions) {
    if (record.visible.size(0) != 1) {
      throw std::invalid_argument(fmt::format("CostCounter: records of one sequence are needed, got {} in {}",
                                              record.visible.size(0), record.name));
    }
    add(record, tokens);
  }
  sums_.tokens += tokens;
  ++sums_.items;
}

AttentionCost CostCounter::result() const {
  AttentionCost means = sums_;
  for (LayerCost& layer : means.layers) {
    const auto queries = static_cast<double>(std::max<int64_t>(1, layer.queries));
    layer.keys_visible /= queries;
    layer.keys_in_union /= queries;
    layer.union_density /= queries;
    for (HeadCost& head : layer.heads) {
      head.keys_used /= queries;
      head.density /= queries;
      head.page_density /= queries;
    }
  }
  const auto tokens = static_cast<double>(std::max<int64_t>(1, sums_.tokens));
  means.keys_visible /= tokens;
  means.value_bytes /= tokens;
  means.key_bytes = means.keys_visible * static_cast<double>(head_width_) * bytes_per_number;
  return means;
}

model::Trace trace_example(model::GiantRabbit& network, const data::Example& example, torch::Tensor* logits) {
  const torch::NoGradGuard no_grad;
  const data::Batch batch = data::make_batch(std::span(&example, 1));
  model::Trace trace;
  const torch::Tensor all =
      network->forward({batch.prompt, batch.prompt_lengths, batch.decoder_input}, &trace);
  if (logits != nullptr) *logits = all;
  return trace;
}

model::Trace trace_output(model::GiantRabbit& network, const data::Vocabulary& vocabulary,
                          const data::Words& prompt, const data::Words& output, torch::Tensor* logits) {
  return trace_example(network, {{}, vocabulary.encode(prompt), vocabulary.encode(output)}, logits);
}

AttentionCost measure_attention(model::GiantRabbit& network, const data::Vocabulary& vocabulary,
                                std::span<const ForcedItem> items, const ObserveTrace& observe) {
  CostCounter counter(network->config().width / network->config().heads);
  for (const ForcedItem& item : items) {
    const model::Trace trace = trace_output(network, vocabulary, item.prompt, item.output);
    counter.add(trace, static_cast<int64_t>(item.output.size()));
    if (observe) observe(item, trace);
  }
  return counter.result();
}

}  // namespace giantrabbit::eval
