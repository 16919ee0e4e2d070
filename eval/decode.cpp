// Greedy decoding, one group of prompts at a time: the model reads the prompts, its prepared decoder writes.
// All sequences of a group advance in step; a finished one leaves the batch.
#include "eval/decode.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include <fmt/format.h>

#include "eval/clock.h"
#include "eval/evaluation_mode.h"

namespace giantrabbit::eval {
namespace {

struct Prompts {
  torch::Tensor ids;      // [B, N], padded behind
  torch::Tensor lengths;  // [B]
};

Prompts pad_prompts(const std::vector<std::vector<int64_t>>& prompts, std::span<const size_t> group) {
  size_t longest = 0;
  for (const size_t index : group) longest = std::max(longest, prompts[index].size());
  const auto rows = static_cast<int64_t>(group.size());
  Prompts padded{torch::full({rows, static_cast<int64_t>(longest)}, data::Vocabulary::pad, torch::kInt64),
                 torch::empty({rows}, torch::kInt64)};
  int64_t* lengths = padded.lengths.data_ptr<int64_t>();
  for (size_t row = 0; row < group.size(); ++row) {
    const std::vector<int64_t>& prompt = prompts[group[row]];
    std::ranges::copy(prompt, padded.ids.data_ptr<int64_t>() + row * longest);
    lengths[row] = static_cast<int64_t>(prompt.size());
  }
  return padded;
}

class GreedyDecoder {
 public:
  GreedyDecoder(model::GiantRabbit& network, model::WeightType weights, std::vector<int64_t> limits,
                std::vector<std::vector<int64_t>>& outputs, Decoded& result)
      : network_(network),
        decoder_(network, weights),
        limits_(std::move(limits)),
        outputs_(outputs),
        result_(result) {}

  void decode(const Prompts& prompts, std::span<const size_t> group) {
    rows_.assign(group.begin(), group.end());
    done_.assign(rows_.size(), false);
    for (size_t row = 0; row < rows_.size(); ++row) done_[row] = limits_[rows_[row]] <= 0;
    sequences_ = start(prompts);
    const Clock::time_point begin = Clock::now();
    next_.assign(rows_.size(), data::Vocabulary::bos);
    drop_finished();
    while (!rows_.empty()) {
      const Clock::time_point step = Clock::now();
      read(decoder_.step(sequences_, next_));
      drop_finished();
      result_.step_seconds.push_back(seconds_since(step));
    }
    result_.seconds.decode += seconds_since(begin);
  }

 private:
  model::PreparedDecoder::Sequences start(const Prompts& prompts) {
    const Clock::time_point begin = Clock::now();
    const model::Memory encoded = network_->encode(prompts.ids, prompts.lengths);
    const Clock::time_point encode_end = Clock::now();
    const model::Memory memory = network_->think(encoded);
    const Clock::time_point think_end = Clock::now();
    model::PreparedDecoder::Sequences sequences = decoder_.start(network_->start(encoded, memory));
    result_.seconds.encode += std::chrono::duration<double>(encode_end - begin).count();
    result_.seconds.think += std::chrono::duration<double>(think_end - encode_end).count();
    // The decoder's caches for the memory, and for the prompt where there is no encoder.
    result_.seconds.decode += seconds_since(think_end);
    return sequences;
  }

  // The most likely word of every sequence; of equal ones the first.
  void read(std::span<const float> logits) {
    const auto words = static_cast<size_t>(decoder_.vocabulary_size());
    for (size_t row = 0; row < rows_.size(); ++row) {
      const std::span<const float> of_row = logits.subspan(row * words, words);
      next_[row] = std::ranges::max_element(of_row) - of_row.begin();
      std::vector<int64_t>& output = outputs_[rows_[row]];
      output.push_back(next_[row]);
      ++result_.tokens;
      done_[row] =
          next_[row] == data::Vocabulary::eos || static_cast<int64_t>(output.size()) >= limits_[rows_[row]];
    }
  }

  // Takes the finished sequences out of the batch.
  void drop_finished() {
    std::vector<int64_t> kept;
    for (size_t row = 0; row < rows_.size(); ++row) {
      if (!done_[row]) kept.push_back(static_cast<int64_t>(row));
    }
    if (kept.size() == rows_.size()) return;
    model::PreparedDecoder::keep_rows(sequences_, kept);
    for (size_t row = 0; row < kept.size(); ++row) {
      rows_[row] = rows_[static_cast<size_t>(kept[row])];
      next_[row] = next_[static_cast<size_t>(kept[row])];
    }
    rows_.resize(kept.size());
    next_.resize(kept.size());
    done_.assign(kept.size(), false);
  }

  model::GiantRabbit& network_;
  model::PreparedDecoder decoder_;
  std::vector<int64_t> limits_;
  std::vector<std::vector<int64_t>>& outputs_;
  Decoded& result_;
  model::PreparedDecoder::Sequences sequences_;
  std::vector<size_t> rows_;  // which prompt each row of the batch belongs to
  std::vector<int64_t> next_;
  std::vector<bool> done_;
};

}  // namespace

int64_t position_limit(const model::ModelConfig& config, int64_t prompt_words) {
  if (config.position != "learned" && config.position != "signpost") return INT64_MAX;
  const int64_t prefix = config.encoder ? 0 : prompt_words + config.pause_tokens;
  return std::max<int64_t>(0, config.max_positions - prefix);
}

Decoded decode_greedy(model::GiantRabbit& network, const data::Vocabulary& vocabulary,
                      std::span<const data::Words> prompts, std::span<const int64_t> limits,
                      int64_t batch_size, model::WeightType weights) {
  if (limits.size() != prompts.size() || batch_size < 1) {
    throw std::invalid_argument(fmt::format(
        "decode_greedy: one limit per prompt and a positive batch size are needed, got {} prompts, {} "
        "limits and batch size {}",
        prompts.size(), limits.size(), batch_size));
  }
  const torch::NoGradGuard no_grad;
  const EvaluationMode evaluation_mode(network);

  std::vector<std::vector<int64_t>> prompt_ids;
  size_t longest = 0;
  for (const data::Words& prompt : prompts) {
    prompt_ids.push_back(vocabulary.encode(prompt));
    longest = std::max(longest, prompt.size());
  }
  // The longest prompt bounds every output, so that no batch changes a result.
  const int64_t bound = position_limit(network->config(), static_cast<int64_t>(longest));
  std::vector<int64_t> bounded(limits.begin(), limits.end());
  for (int64_t& limit : bounded) limit = std::min(limit, bound);

  std::vector<size_t> order(prompts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t index) { return prompt_ids[index].size(); });

  Decoded result;
  std::vector<std::vector<int64_t>> outputs(prompts.size());
  GreedyDecoder decoder(network, weights, std::move(bounded), outputs, result);
  const auto group_size = static_cast<size_t>(batch_size);
  for (size_t begin = 0; begin < order.size(); begin += group_size) {
    const auto group = std::span(order).subspan(begin, std::min(group_size, order.size() - begin));
    decoder.decode(pad_prompts(prompt_ids, group), group);
  }
  for (const std::vector<int64_t>& output : outputs) result.outputs.push_back(vocabulary.decode(output));
  return result;
}

}  // namespace giantrabbit::eval
