// The weight-shared thought step and the masks between steps; see chain_of_thought.h.
#include "model/chain_of_thought.h"

#include <cmath>
#include <limits>

#include "model/embedding.h"

namespace giantrabbit::model {
namespace {

// Rows `index` [B, K] of states [B, N, D].
torch::Tensor take_rows(const torch::Tensor& states, const torch::Tensor& index) {
  return states.gather(1, index.unsqueeze(-1).expand({-1, -1, states.size(2)}));
}

// ceil(a n) of every length, by the rule that features follow.
torch::Tensor kept_lengths(const torch::Tensor& lengths, double keep_fraction) {
  torch::Tensor kept = torch::empty_like(lengths);
  for (int64_t b = 0; b < lengths.size(0); ++b) {
    kept[b] = kept_count(keep_fraction, lengths[b].item<int64_t>());
  }
  return kept;
}

}  // namespace

Memory concatenate(const Memory& first, const Memory& second) {
  const torch::Tensor lengths = first.lengths + second.lengths;
  const int64_t room = first.states.size(1) + second.states.size(1);
  const torch::Tensor slot = torch::arange(room).unsqueeze(0);
  const torch::Tensor from_first = slot.lt(first.lengths.unsqueeze(1));
  const torch::Tensor in_second =
      (slot - first.lengths.unsqueeze(1) + first.states.size(1)).clamp_max(room - 1);
  const torch::Tensor index = torch::where(from_first, slot, in_second);
  return {take_rows(torch::cat({first.states, second.states}, 1), index), lengths};
}

ThoughtStepImpl::ThoughtStepImpl(const ModelConfig& config)
    : window_(config.window),
      self_norm_(register_module("self_norm", Norm(config))),
      cross_norm_(register_module("cross_norm", Norm(config))),
      feed_forward_norm_(register_module("feed_forward_norm", Norm(config))),
      self_attention_(register_module("self_attention", SelfAttention(config))),
      cross_attention_(register_module("cross_attention", CrossAttention(config))),
      feed_forward_(register_module("feed_forward", FeedForward(config))) {}

ops::SparseMask ThoughtStepImpl::self_mask(const Memory& state) const {
  return with_window(state.mask(), window_);
}

torch::Tensor ThoughtStepImpl::forward(const Memory& state, const Memory& memory,
                                       const torch::Tensor& positions, Trace* trace,
                                       const std::string& name) {
  torch::Tensor x = state.states;
  x = x +
      self_attention_->forward(self_norm_->forward(x), self_mask(state), positions, trace, name + ".self");
  x = x + cross_attention_->forward(cross_norm_->forward(x), memory.states, memory.mask(), trace,
                                    name + ".cross");
  return x + feed_forward_->forward(feed_forward_norm_->forward(x));
}

torch::Tensor ThoughtStepImpl::received_mass(const Memory& state, const torch::Tensor& positions) {
  return self_attention_->received_mass(self_norm_->forward(state.states), self_mask(state), positions);
}

ChainOfThoughtImpl::ChainOfThoughtImpl(const ModelConfig& config)
    : steps_(config.thought_steps),
      keep_fraction_(config.keep_fraction),
      mask_(config.mask),
      granularity_(config.mask_granularity),
      step_(register_module("step", ThoughtStep(config))),
      norm_(register_module("norm", Norm(config))) {
  if (mask_ == "static" && granularity_ == "feature") {
    static_features_ =
        register_buffer("static_features", keep_largest(torch::rand({config.width}), keep_fraction_));
  }
  if (mask_ == "static" && granularity_ == "token") {
    static_importance_ = register_buffer("static_importance", torch::rand({config.max_positions}));
  }
  if (mask_ == "random" && granularity_ == "feature") {
    random_features_ = register_buffer(
        "random_features",
        keep_largest(torch::rand({steps_, config.max_positions, config.width}), keep_fraction_));
  }
  if (mask_ == "random" && granularity_ == "token") {
    random_importance_ = register_buffer("random_importance", torch::rand({steps_, config.max_positions}));
  }
}

torch::Tensor ChainOfThoughtImpl::of_positions(const torch::Tensor& table, int64_t tokens) const {
  TORCH_CHECK(tokens <= table.size(0), "chain_of_thought: a ", mask_, " ", granularity_, " mask knows ",
              table.size(0), " positions, got ", tokens, "; raise model.max_positions");
  return table.narrow(0, 0, tokens);
}

Memory ChainOfThoughtImpl::mask_features(const Memory& state, int64_t t, Trace* trace) const {
  torch::Tensor kept;
  if (mask_ == "static") kept = static_features_.expand_as(state.states);
  if (mask_ == "random")
    kept = of_positions(random_features_[t], state.states.size(1)).expand_as(state.states);
  if (mask_ == "dynamic") kept = keep_largest(state.states, keep_fraction_);
  if (trace != nullptr) trace->masks.push_back(kept);
  return {state.states * kept, state.lengths};
}

Memory ChainOfThoughtImpl::drop_tokens(const Memory& state, const torch::Tensor& mass, Trace* trace) const {
  const int64_t tokens = state.states.size(1);
  const torch::Tensor padding = torch::arange(tokens).unsqueeze(0).ge(state.lengths.unsqueeze(1));
  const torch::Tensor importance = mass.masked_fill(padding, -std::numeric_limits<double>::infinity());
  const torch::Tensor kept = kept_lengths(state.lengths, keep_fraction_);
  const int64_t room = kept.max().item<int64_t>();
  // The `kept` most important tokens of every sequence in their old order; slots behind them are padding.
  const torch::Tensor ranked =
      std::get<1>(importance.sort(/*stable=*/true, -1, /*descending=*/true)).narrow(1, 0, room);
  const torch::Tensor unused = torch::arange(room).unsqueeze(0).ge(kept.unsqueeze(1));
  const torch::Tensor in_order =
      std::get<0>(ranked.masked_fill(unused, tokens).sort(1)).clamp_max(tokens - 1);
  if (trace != nullptr) trace->masks.push_back(in_order);
  return {take_rows(state.states, in_order), kept};
}

Memory ChainOfThoughtImpl::mask_tokens(const Memory& state, int64_t t, const torch::Tensor& mass,
                                       Trace* trace) const {
  const int64_t tokens = state.states.size(1);
  const auto fixed = [&](const torch::Tensor& importance) {
    return drop_tokens(state, importance.expand({state.states.size(0), -1}), trace);
  };
  if (mask_ == "dynamic" && t > 0) return drop_tokens(state, mass, trace);
  if (mask_ == "recency" && t > 0) return fixed(torch::arange(tokens, torch::kFloat64));
  if (mask_ == "random" && t > 0) return fixed(of_positions(random_importance_[t], tokens));
  if (mask_ == "static" && t == 0) return fixed(of_positions(static_importance_, tokens));
  if (trace != nullptr) trace->masks.push_back(torch::arange(tokens).expand({state.states.size(0), -1}));
  return state;
}

Memory ChainOfThoughtImpl::forward(const Memory& memory, Trace* trace) {
  Memory state = memory;
  torch::Tensor mass;  // received in the previous step
  if (trace != nullptr) trace->thoughts.push_back(state.states);
  for (int64_t t = 0; t < steps_; ++t) {
    if (mask_ != "none" && granularity_ == "feature") state = mask_features(state, t, trace);
    if (mask_ != "none" && granularity_ == "token") state = mask_tokens(state, t, mass, trace);
    const torch::Tensor positions = torch::arange(state.states.size(1));
    if (mask_ == "dynamic" && granularity_ == "token") mass = step_->received_mass(state, positions);
    state.states = step_->forward(state, memory, positions, trace, "thought." + std::to_string(t));
    if (trace != nullptr) trace->thoughts.push_back(state.states);
  }
  state.states = norm_->forward(state.states);
  return state;
}

}  // namespace giantrabbit::model
