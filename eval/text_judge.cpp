// Windows of a text through the modules, several at a time; see text_judge.h.
#include "eval/text_judge.h"

#include <algorithm>
#include <numeric>

#include "data/batch.h"
#include "data/text_source.h"
#include "eval/evaluation_mode.h"

namespace giantrabbit::eval {
namespace {

constexpr int64_t tokens_together = 8192;

// [B, U]: bits of every character.
torch::Tensor bits_of(model::GiantRabbit& network, const data::Batch& batch) {
  const torch::Tensor logits = network->forward({batch.prompt, batch.prompt_lengths, batch.decoder_input});
  const torch::Tensor chosen = logits.log_softmax(-1).gather(-1, batch.target.unsqueeze(-1)).squeeze(-1);
  return (chosen.to(torch::kFloat64) / -nats_per_bit).contiguous();
}

}  // namespace

std::vector<TextWindow> covering_windows(int64_t size, int64_t length, int64_t most) {
  std::vector<TextWindow> windows;
  const int64_t stride = length - length / 2;
  int64_t judged = 0;
  while (judged < size && std::ssize(windows) < most) {
    const int64_t begin = stride * std::ssize(windows);
    const int64_t end = std::min(begin + length, size);
    windows.push_back({begin, end - begin, end - judged});
    judged = end;
  }
  return windows;
}

std::vector<TextWindow> spread_windows(int64_t size, int64_t length, int64_t count) {
  const std::vector<TextWindow> all = covering_windows(size, length);
  const int64_t kept = std::min(count, std::ssize(all));
  std::vector<TextWindow> windows;
  for (int64_t i = 0; i < kept; ++i) windows.push_back(all[static_cast<size_t>(i * std::ssize(all) / kept)]);
  return windows;
}

std::vector<double> character_bits(model::GiantRabbit& network, std::string_view text,
                                   std::span<const TextWindow> windows) {
  const torch::NoGradGuard no_grad;
  const EvaluationMode evaluation_mode(network);
  std::vector<double> bits;
  while (!windows.empty()) {
    const int64_t together = std::max<int64_t>(1, tokens_together / windows.front().length);
    const auto group = windows.first(static_cast<size_t>(std::min(together, std::ssize(windows))));
    windows = windows.subspan(group.size());
    std::vector<data::Example> examples;
    for (const TextWindow& window : group) {
      examples.push_back({{},
                          {},
                          data::byte_ids(text.substr(static_cast<size_t>(window.begin),
                                                     static_cast<size_t>(window.length)))});
    }
    const torch::Tensor of_group = bits_of(network, data::make_batch(examples));
    for (int64_t row = 0; row < std::ssize(group); ++row) {
      const TextWindow& window = group[static_cast<size_t>(row)];
      const double* end = of_group.const_data_ptr<double>() + row * of_group.size(1) + window.length;
      bits.insert(bits.end(), end - window.counted, end);
    }
  }
  return bits;
}

double mean(std::span<const double> values) {
  if (values.empty()) return 0;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace giantrabbit::eval
