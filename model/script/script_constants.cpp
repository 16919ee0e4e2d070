// See script_constants.h.
#include "model/script/script_constants.h"

#include <cmath>
#include <limits>

#include "model/attention_core.h"
#include "model/embedding.h"
#include "model/signpost.h"
#include "ops/normalizer.h"

namespace giantrabbit::model::script {
namespace {

void add_embedding(const ModelConfig& config, Constants& constants) {
  const std::string& position = config.position;
  const bool masked = config.keep_fraction < 1;
  constants.insert({
      {"number_features", config.number_features},
      {"random_keep", masked && config.embedding_mask == "random"},
      {"largest_keep", masked && config.embedding_mask == "magnitude"},
      {"kept_features", kept_count(config.keep_fraction, config.width)},
      {"signpost", position == "signpost"},
      {"axial", position == "axial"},
      {"sinusoidal", position == "sinusoidal"},
      {"rotary", position == "rotary"},
      {"endless", position == "sinusoidal" || position == "rotary"},
      {"learned_prompt", position == "learned" && config.encoder},
      {"learned_prefix", position == "learned" && !config.encoder},
      {"learned_decoder", position == "learned" || position == "signpost"},
      {"max_positions", config.max_positions},
      {"max_row", SignpostImpl::max_row},
      {"max_column", SignpostImpl::max_column},
      {"sinusoid_rate", -std::log(10000.0) / static_cast<double>(config.width)},
  });
}

void add_attention(const ModelConfig& config, Constants& constants) {
  const AttentionCore core(config);
  const int64_t head_width = config.width / config.heads;
  constants.insert({
      {"width", config.width},
      {"heads", config.heads},
      {"head_width", head_width},
      {"rotary_rate", -std::log(10000.0) / static_cast<double>(head_width / 2)},
      {"normalizer", std::string(ops::normalizer_name(core.normalizer()))},
      {"softmax", core.normalizer() == ops::Normalizer::softmax},
      {"sparsemax", core.normalizer() == ops::Normalizer::sparsemax},
      {"scale", core.scale()},
      {"window", config.window},
      {"plain_projection", config.projection == "plain"},
      {"gated", config.projection == "gated"},
      {"projection_temperature", config.projection_temperature},
      {"lsh", config.shared_attention == "lsh"},
      {"lsh_chunk", config.lsh_chunk},
      {"shared_random", config.shared_attention == "random"},
      {"shared_window",
       config.shared_attention == "window" ? config.lsh_rounds * config.lsh_chunk : int64_t{0}},
  });
}

void add_thoughts(const ModelConfig& config, Constants& constants) {
  const bool masked = config.mask != "none";
  const bool by_token = config.mask_granularity == "token";
  constants.insert({
      {"thoughts", config.thought_steps > 0},
      {"thought_steps", config.thought_steps},
      {"keep_fraction", config.keep_fraction},
      {"masked_features", masked && !by_token},
      {"masked_tokens", masked && by_token},
      {"masked_by_mass", config.mask == "dynamic" && by_token},
      {"static_features", config.mask == "static" && !by_token},
      {"random_features", config.mask == "random" && !by_token},
      {"static_tokens", config.mask == "static" && by_token},
      {"random_tokens", config.mask == "random" && by_token},
      {"recent_tokens", config.mask == "recency" && by_token},
  });
}

}  // namespace

Constants config_constants(const ModelConfig& config) {
  Constants constants{
      {"encoder", config.encoder},
      {"prefix", !config.encoder},
      {"memory", config.encoder || config.thought_steps > 0},
      {"pause", config.pause_tokens > 0},
  };
  add_embedding(config, constants);
  add_attention(config, constants);
  add_thoughts(config, constants);
  return constants;
}

Constants free_constants() {
  const auto type = [](at::ScalarType of) { return static_cast<int64_t>(of); };
  return {
      {"int64", type(at::kLong)},
      {"float32", type(at::kFloat)},
      {"float64", type(at::kDouble)},
      {"boolean", type(at::kBool)},
      {"infinity", std::numeric_limits<double>::infinity()},
      {"nan", std::numeric_limits<double>::quiet_NaN()},
  };
}

}  // namespace giantrabbit::model::script
