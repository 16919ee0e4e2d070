// The decoder's pass over one token per sequence; see prepared_decoder.h. It follows decoder.cpp,
// attention.cpp, feed_forward.cpp, embedding.cpp and output_head.h step for step.
#include "model/prepared_decoder.h"

#include <algorithm>

namespace giantrabbit::model {
namespace {

torch::Tensor plain(const torch::Tensor& tensor) {
  return tensor.defined() ? tensor.detach().to(torch::kFloat32).clone(at::MemoryFormat::Contiguous) : tensor;
}

// The parameters of one module by their names in weights files.
class Weights {
 public:
  Weights(const GiantRabbit& network, WeightType type)
      : parameters_(network->named_parameters()), type_(type) {}
  ops::PackedMatrix matrix(const std::string& name) const { return {parameters_[name], type_}; }
  ops::LayerNorm norm(const std::string& name) const {
    return {parameters_[name + ".gain"], parameters_[name + ".offset"]};
  }

 private:
  torch::OrderedDict<std::string, torch::Tensor> parameters_;
  WeightType type_;
};

// x[k] and x[k + half] are turned by angle k.
void rotate_pairs(float* x, const float* cosines, const float* sines, int64_t half) {
  for (int64_t k = 0; k < half; ++k) {
    const float first = x[k];
    const float second = x[k + half];
    x[k] = first * cosines[k] - second * sines[k];
    x[k + half] = first * sines[k] + second * cosines[k];
  }
}

void add(const float* row, int64_t width, float* to) {
  for (int64_t k = 0; k < width; ++k) to[k] += row[k];
}

}  // namespace

PreparedDecoder::PreparedDecoder(const GiantRabbit& network, WeightType type)
    : config_(network->config()), core_(config_), embedding_(network->embedding) {
  const torch::NoGradGuard no_grad;
  const Weights weights(network, type);
  const auto modules = network->named_modules();
  const bool with_memory = config_.encoder || config_.thought_steps > 0;
  for (int64_t i = 0; i < config_.decoder_layers; ++i) {
    const std::string name = "decoder.layers." + std::to_string(i) + ".";
    Layer& layer = layers_.emplace_back();
    layer.self_norm = weights.norm(name + "self_norm");
    if (is_shared_layer(config_, i)) {
      layer.shared =
          SharedAttention(std::dynamic_pointer_cast<SharedAttentionImpl>(modules[name + "shared_attention"]));
      layer.projection = weights.matrix(name + "shared_attention.query_value");
      layer.self_out = weights.matrix(name + "shared_attention.out");
    } else {
      layer.projection = {modules[name + "self_attention"]->as<SelfAttention>()->projection(), type};
      layer.self_out = weights.matrix(name + "self_attention.out");
    }
    if (with_memory) {
      layer.cross_norm = weights.norm(name + "cross_norm");
      layer.cross_query = weights.matrix(name + "cross_attention.query");
      layer.cross_out = weights.matrix(name + "cross_attention.out");
    }
    layer.feed_forward_norm = weights.norm(name + "feed_forward_norm");
    layer.into = weights.matrix(name + "feed_forward.into");
    layer.out_of = weights.matrix(name + "feed_forward.out_of");
  }
  head_norm_ = weights.norm("output_head.norm");
  head_ = ops::PackedMatrix(embedding_->table(), type);
  words_.rows = plain(embedding_->input_table());
  signpost_rows_.rows = plain(embedding_->signpost_rows());
  signpost_columns_.rows = plain(embedding_->signpost_columns());
  reach_position(config_.max_positions - 1);
}

int64_t PreparedDecoder::weight_bytes() const {
  int64_t bytes = head_.bytes();
  for (const Layer& layer : layers_) {
    for (const ops::PackedMatrix* matrix : {&layer.projection, &layer.self_out, &layer.cross_query,
                                            &layer.cross_out, &layer.into, &layer.out_of}) {
      bytes += matrix->bytes();
    }
  }
  return bytes;
}

PreparedDecoder::Sequences PreparedDecoder::start(Generation generation) const {
  Sequences sequences;
  sequences.layers = std::move(generation.layers);
  const torch::Tensor lengths = generation.lengths.contiguous();
  const int64_t* position = lengths.const_data_ptr<int64_t>();
  sequences.positions.assign(position, position + lengths.numel());
  sequences.signposts.resize(sequences.positions.size());
  if (embedding_->signpost().is_empty()) return sequences;
  for (int64_t b = 0; b < sequences.size(); ++b) {
    for (int64_t u = 0; u < generation.tokens.size(1); ++u) {
      embedding_->signpost()->decoder_next(sequences.signposts[static_cast<size_t>(b)],
                                           generation.tokens[b][u].item<int64_t>());
    }
  }
  return sequences;
}

void PreparedDecoder::keep_rows(Sequences& sequences, std::span<const int64_t> rows) {
  const torch::Tensor index = torch::tensor(std::vector<int64_t>(rows.begin(), rows.end()), torch::kInt64);
  for (LayerCache& layer : sequences.layers) layer.keep(index);
  std::vector<int64_t> positions;
  std::vector<SignpostCount> signposts;
  for (const int64_t row : rows) {
    positions.push_back(sequences.positions[static_cast<size_t>(row)]);
    signposts.push_back(sequences.signposts[static_cast<size_t>(row)]);
  }
  sequences.positions = std::move(positions);
  sequences.signposts = std::move(signposts);
}

void PreparedDecoder::check(const Sequences& sequences, std::span<const int64_t> tokens) {
  TORCH_CHECK(std::ssize(tokens) == sequences.size(), "decoder: expected one token for each of ",
              sequences.size(), " sequences, got ", tokens.size());
  for (const int64_t token : tokens) {
    TORCH_CHECK(token >= 0 && token < words_.size(), "decoder: expected tokens from 0 to ", words_.size() - 1,
                ", got ", token);
  }
  if (tokens.empty()) return;
  const int64_t last = *std::ranges::max_element(sequences.positions);
  reach_position(last);
  TORCH_CHECK(config_.position == "rotary" || last < positions_.size(), "decoder: position ", last,
              " is outside the table of ", positions_.size(),
              " learned positions; raise model.max_positions");
}

void PreparedDecoder::reach_position(int64_t position) {
  const bool rotary = config_.position == "rotary";
  const bool endless = rotary || config_.position == "sinusoidal";
  const int64_t size = rotary ? cosines_.size() : positions_.size();
  if (position < size || (size > 0 && !endless)) return;  // learned positions are all there from the start
  const int64_t count = std::max(position + 1, 2 * size);
  if (!rotary) {
    positions_.rows = plain(embedding_->position_table(count));
    return;
  }
  const torch::Tensor angles = rotary_angles(torch::arange(count), config_.width / config_.heads);
  cosines_.rows = angles.cos();
  sines_.rows = angles.sin();
}

void PreparedDecoder::reserve(int64_t batch) {
  const auto rows = static_cast<size_t>(batch);
  const auto width = static_cast<size_t>(config_.width);
  if (states_.size() >= rows * width) return;
  for (std::vector<float>* buffer : {&states_, &normed_, &heads_}) buffer->resize(rows * width);
  projected_.resize(rows * 3 * width);
  hidden_.resize(rows * static_cast<size_t>(config_.feed_forward));
  logits_.resize(rows * static_cast<size_t>(vocabulary_size()));
}

void PreparedDecoder::embed(Sequences& sequences, std::span<const int64_t> tokens) {
  const int64_t width = config_.width;
  for (size_t b = 0; b < tokens.size(); ++b) {
    float* state = states_.data() + static_cast<int64_t>(b) * width;
    std::copy_n(words_.row(tokens[b]), width, state);
    if (positions_.rows.defined()) add(positions_.row(sequences.positions[b]), width, state);
    if (embedding_->signpost().is_empty()) continue;
    const auto [row, column] = embedding_->signpost()->decoder_next(sequences.signposts[b], tokens[b]);
    add(signpost_rows_.row(row), width, state);
    add(signpost_columns_.row(column), width, state);
  }
}

// Queries and keys of projected_.
void PreparedDecoder::rotate(const Sequences& sequences) {
  const int64_t head_width = config_.width / config_.heads;
  for (int64_t b = 0; b < sequences.size(); ++b) {
    const int64_t position = sequences.positions[static_cast<size_t>(b)];
    for (int64_t head = 0; head < 2 * config_.heads; ++head) {
      rotate_pairs(projected_.data() + b * 3 * config_.width + head * head_width, cosines_.row(position),
                   sines_.row(position), head_width / 2);
    }
  }
}

void PreparedDecoder::attend_self(const Layer& layer, Sequences& sequences, size_t index) {
  const int64_t batch = sequences.size();
  const int64_t width = config_.width;
  layer.self_norm.apply(states_.data(), batch, normed_.data());
  const int64_t parts = layer.shared.is_empty() ? 3 : 2;
  layer.projection.multiply({batch, normed_.data(), width, projected_.data(), parts * width});
  if (!layer.shared.is_empty()) {
    attend_shared(layer, sequences, index);
  } else {
    if (config_.position == "rotary") rotate(sequences);
    ops::KeyValueCache& cache = sequences.layers[index].self;
    cache.append_token(projected_.data() + width, projected_.data() + 2 * width, 3 * width);
    core_.attend({projected_.data(), 3 * width, config_.heads, heads_.data(), width}, cache, config_.window,
                 sequences.self_counters);
  }
  layer.self_out.multiply({batch, heads_.data(), width, states_.data(), width},
                          ops::cpu::Finish::add_to_output);
}

void PreparedDecoder::attend_shared(const Layer& layer, Sequences& sequences, size_t index) {
  const torch::NoGradGuard no_grad;
  const int64_t head_width = config_.width / config_.heads;
  const auto rows = [&](std::vector<float>& buffer, int64_t first, int64_t step) {
    return torch::from_blob(buffer.data() + first, {sequences.size(), config_.heads, 1, head_width},
                            {step, head_width, step, 1}, torch::kFloat32);
  };
  const int64_t width = config_.width;
  rows(heads_, 0, width)
      .copy_(layer.shared->attend_step(rows(projected_, 0, 2 * width), rows(projected_, width, 2 * width),
                                       sequences.layers[index].shared));
}

void PreparedDecoder::attend_memory(const Layer& layer, Sequences& sequences, size_t index) {
  const int64_t batch = sequences.size();
  const int64_t width = config_.width;
  layer.cross_norm.apply(states_.data(), batch, normed_.data());
  layer.cross_query.multiply({batch, normed_.data(), width, projected_.data(), width});
  core_.attend({projected_.data(), width, config_.heads, heads_.data(), width}, sequences.layers[index].cross,
               /*window=*/0, sequences.cross_counters);
  layer.cross_out.multiply({batch, heads_.data(), width, states_.data(), width},
                           ops::cpu::Finish::add_to_output);
}

void PreparedDecoder::feed_forward(const Layer& layer, int64_t batch) {
  const int64_t width = config_.width;
  const int64_t hidden = config_.feed_forward;
  layer.feed_forward_norm.apply(states_.data(), batch, normed_.data());
  layer.into.multiply({batch, normed_.data(), width, hidden_.data(), hidden}, ops::cpu::Finish::squared_relu);
  layer.out_of.multiply({batch, hidden_.data(), hidden, states_.data(), width},
                        ops::cpu::Finish::add_to_output);
}

std::span<const float> PreparedDecoder::step(Sequences& sequences, std::span<const int64_t> tokens) {
  check(sequences, tokens);
  const int64_t batch = sequences.size();
  reserve(batch);
  embed(sequences, tokens);
  for (size_t i = 0; i < layers_.size(); ++i) {
    attend_self(layers_[i], sequences, i);
    if (layers_[i].cross_query.outputs() > 0) attend_memory(layers_[i], sequences, i);
    feed_forward(layers_[i], batch);
  }
  for (int64_t& position : sequences.positions) ++position;
  head_norm_.apply(states_.data(), batch, normed_.data());
  head_.multiply({batch, normed_.data(), config_.width, logits_.data(), vocabulary_size()});
  return {logits_.data(), static_cast<size_t>(batch * vocabulary_size())};
}

}  // namespace giantrabbit::model
