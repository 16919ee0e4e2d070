// Draws characters from the prepared decoder; see text_sample.h.
#include "eval/text_sample.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "data/counter_rng.h"
#include "eval/decode.h"
#include "model/prepared_decoder.h"

namespace giantrabbit::eval {
namespace {

// The number of a byte; `logits` are those of the 256 bytes.
size_t drawn(std::span<const float> logits, double temperature, data::CounterRng& rng) {
  const auto most_likely = std::ranges::max_element(logits);
  if (temperature == 0) return static_cast<size_t>(most_likely - logits.begin());
  std::vector<double> up_to;  // sums of weights
  double sum = 0;
  for (const float logit : logits) up_to.push_back(sum += std::exp((logit - *most_likely) / temperature));
  const auto at = std::ranges::upper_bound(up_to, rng.unit() * sum);
  return std::min(static_cast<size_t>(at - up_to.begin()), logits.size() - 1);
}

}  // namespace

int64_t longest_text(const Run& run) { return position_limit(run.config, 0); }

std::string write_text(const Run& run, const SampleOptions& options) {
  const torch::NoGradGuard no_grad;
  model::GiantRabbit network = run.network;
  model::PreparedDecoder decoder(network, run.weights);
  model::PreparedDecoder::Sequences sequence =
      decoder.start(network->start(torch::empty({1, 0}, torch::kInt64), torch::zeros({1}, torch::kInt64)));
  std::vector<int64_t> tokens = data::byte_ids(options.start);
  tokens.insert(tokens.begin(), data::Vocabulary::bos);
  std::span<const float> logits;
  for (const int64_t token : tokens) logits = decoder.step(sequence, std::span(&token, 1));

  data::CounterRng rng{options.seed};
  std::string text;
  while (std::ssize(text) < options.characters) {
    const std::span<const float> of_bytes = logits.subspan(static_cast<size_t>(data::byte_id('\0')), 256);
    text += static_cast<char>(drawn(of_bytes, options.temperature, rng));
    if (std::ssize(text) == options.characters) break;
    const int64_t token = data::byte_id(text.back());
    logits = decoder.step(sequence, std::span(&token, 1));
  }
  return text;
}

std::string visible(std::string_view text) {
  std::string shown;
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    const bool plain = (byte >= 0x20 && byte < 0x7f) || byte == '\n';
    shown += plain ? std::string(1, character) : fmt::format("\\x{:02x}", byte);
  }
  return shown;
}

}  // namespace giantrabbit::eval
