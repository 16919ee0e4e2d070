// Word vectors, number features and the four position codings; see embedding.h.
#include "model/embedding.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace giantrabbit::model {
namespace {

// Small periods tell residues apart (what products and differences of whole numbers need), large ones
// magnitude.
constexpr std::array<double, 12> periods = {2, 3, 4, 5, 7, 10, 12, 16, 25, 50, 100, 240};

// [V, F]: features of whole numbers and, in columns of their own, of denominators; all 0 for other words.
torch::Tensor number_feature_table(const TokenTraits& traits) {
  constexpr int64_t per_kind = 2 * periods.size() + 1;
  torch::Tensor table = torch::zeros({traits.size(), 2 * per_kind});
  auto values = table.accessor<float, 2>();
  for (int64_t id = 0; id < traits.size(); ++id) {
    const TokenTraits::Token& token = traits.tokens[id];
    if (!token.is_whole && !token.is_denominator) continue;
    int64_t column = token.is_whole ? 0 : per_kind;
    for (const double period : periods) {
      const double angle = 2 * M_PI * token.value / period;
      values[id][column++] = static_cast<float>(std::sin(angle));
      values[id][column++] = static_cast<float>(std::cos(angle));
    }
    values[id][column] = static_cast<float>(token.value / 60);
  }
  return table;
}

// Sinusoidal positions [.., D] of integer positions [..].
torch::Tensor sinusoid(const torch::Tensor& positions, int64_t width) {
  const torch::Tensor rates =
      torch::exp(torch::arange(0, width, 2) * (-std::log(10000.0) / static_cast<double>(width)));
  const torch::Tensor angles = positions.to(torch::kFloat32).unsqueeze(-1) * rates;
  return torch::stack({angles.sin(), angles.cos()}, -1).flatten(-2).narrow(-1, 0, width);
}

}  // namespace

int64_t kept_count(double keep_fraction, int64_t count) {
  // The product may exceed a whole number by its rounding: 0.07 * 100 = 7.000000000000001 means 7.
  const double share = keep_fraction * static_cast<double>(count);
  return static_cast<int64_t>(std::ceil(share * (1 - 1e-12)));
}

torch::Tensor keep_largest(const torch::Tensor& x, double keep_fraction) {
  const torch::NoGradGuard guard;
  const int64_t kept = kept_count(keep_fraction, x.size(-1));
  const torch::Tensor largest = std::get<1>(x.abs().topk(kept, -1, true, false));
  return torch::zeros_like(x).scatter_(-1, largest, 1);
}

EmbeddingImpl::EmbeddingImpl(const ModelConfig& config, const TokenTraits& traits) : config_(config) {
  const int64_t width = config.width;
  const double spread = 1 / std::sqrt(static_cast<double>(width));
  words_ = register_parameter("words", torch::randn({traits.size(), width}) * spread);
  if (config.number_features) {
    number_features_ = register_buffer("number_features", number_feature_table(traits));
    number_projection_ = register_parameter("number_projection",
                                            torch::randn({number_features_.size(1), width}) * (0.3 * spread));
  }
  if (config.embedding_mask == "random" && config.keep_fraction < 1) {
    random_keep_ = register_buffer("random_keep",
                                   keep_largest(torch::rand({traits.size(), width}), config.keep_fraction));
  }
  const bool signposts = config.position == "signpost";
  if (signposts || config.position == "learned") {
    decoder_positions_ =
        register_parameter("decoder_positions", torch::randn({config.max_positions, width}) * (0.5 * spread));
  }
  if (config.position == "learned" && config.encoder) {
    prompt_positions_ =
        register_parameter("prompt_positions", torch::randn({config.max_positions, width}) * (0.5 * spread));
  }
  const bool axial = config.position == "axial";
  if (signposts) signpost_ = register_module("signpost", Signpost(traits));
  if (signposts || axial) {
    const int64_t rows =
        axial ? (config.max_positions + axial_columns - 1) / axial_columns : SignpostImpl::max_row + 1;
    const int64_t columns = axial ? axial_columns : SignpostImpl::max_column + 1;
    rows_ = register_parameter("rows", torch::randn({rows, width}) * (0.5 * spread));
    columns_ = register_parameter("columns", torch::randn({columns, width}) * (0.5 * spread));
  }
}

torch::Tensor EmbeddingImpl::table() const {
  return config_.number_features ? words_ + torch::mm(number_features_, number_projection_) : words_;
}

torch::Tensor EmbeddingImpl::input_table() const {
  const torch::Tensor vectors = table();
  if (config_.keep_fraction == 1) return vectors;
  const bool random = config_.embedding_mask == "random";
  return vectors * (random ? random_keep_ : keep_largest(vectors, config_.keep_fraction));
}

torch::Tensor EmbeddingImpl::position_table(int64_t count) const {
  if (config_.position == "rotary") return {};
  if (config_.position == "sinusoidal") return sinusoid(torch::arange(count), config_.width);
  return learned_positions(false).narrow(0, 0, std::min(count, config_.max_positions));
}

// [max_positions or more, D]; undefined where the prompt has none.
torch::Tensor EmbeddingImpl::learned_positions(bool is_prompt) const {
  if (config_.position == "axial") return (rows_.unsqueeze(1) + columns_).flatten(0, 1);
  // Without an encoder the prompt is the beginning of the decoder's sequence.
  const bool one_sequence = config_.position == "learned" && !config_.encoder;
  return is_prompt && !one_sequence ? prompt_positions_ : decoder_positions_;
}

torch::Tensor EmbeddingImpl::look_up(const torch::Tensor& tokens) const {
  return torch::embedding(input_table(), tokens);
}

torch::Tensor EmbeddingImpl::place(torch::Tensor x, const torch::Tensor& positions,
                                   const Signposts& signposts, bool is_prompt) {
  if (config_.position == "rotary") return x;  // rotary positions act inside self-attention
  if (config_.position == "sinusoidal") return x + sinusoid(positions, config_.width);
  const torch::Tensor table = learned_positions(is_prompt);
  if (table.defined()) {
    const int64_t last = positions.numel() == 0 ? -1 : positions.max().item<int64_t>();
    TORCH_CHECK(last < config_.max_positions, "embedding: position ", last, " is outside the table of ",
                config_.max_positions, " learned positions; raise model.max_positions");
    x = x + torch::embedding(table, positions);
  }
  if (config_.position == "signpost") {
    x = x + torch::embedding(rows_, signposts.row) + torch::embedding(columns_, signposts.column);
  }
  return x;
}

torch::Tensor EmbeddingImpl::prompt(const torch::Tensor& tokens) {
  const Signposts signposts = signpost_.is_empty() ? Signposts{} : signpost_->prompt(tokens);
  return place(look_up(tokens), torch::arange(tokens.size(1)), signposts, true);
}

torch::Tensor EmbeddingImpl::decoder(const torch::Tensor& tokens, const torch::Tensor& first) {
  const Signposts signposts = signpost_.is_empty() ? Signposts{} : signpost_->decoder(tokens);
  return place(look_up(tokens), first + torch::arange(tokens.size(1)), signposts, false);
}

torch::Tensor EmbeddingImpl::decoder_last(const torch::Tensor& history, const torch::Tensor& first) {
  const int64_t last = history.size(1) - 1;
  Signposts signposts;
  if (!signpost_.is_empty()) {
    signposts = signpost_->decoder(history);
    signposts.row = signposts.row.narrow(1, last, 1);
    signposts.column = signposts.column.narrow(1, last, 1);
  }
  return place(look_up(history.narrow(1, last, 1)), first + last, signposts, false);
}

}  // namespace giantrabbit::model
