// Learning-rate schedule, Muon, AdamW and their combination against plain definitions.
#include "train/optimizer.h"

#include <gtest/gtest.h>

#include "eval/run.h"
#include "tests/support/tensor_matchers.h"
#include "train/lr_schedule.h"

namespace giantrabbit::train {
namespace {

using test_support::tensors_close;
using test_support::tensors_equal;
using HiddenMatrix = model::GiantRabbitImpl::HiddenMatrix;

TEST(LrScheduleTest, WarmUpAndLinearDecay) {
  const LrSchedule schedule{"linear", 4, 0.1};
  EXPECT_DOUBLE_EQ(schedule.factor(0, 0), 0.25);
  EXPECT_DOUBLE_EQ(schedule.factor(1, 0), 0.5);
  EXPECT_DOUBLE_EQ(schedule.factor(3, 0), 1);
  EXPECT_DOUBLE_EQ(schedule.factor(4, 0), 1);
  EXPECT_DOUBLE_EQ(schedule.factor(50, 0.5), 0.55);
  EXPECT_DOUBLE_EQ(schedule.factor(100, 1), 0.1);
  EXPECT_DOUBLE_EQ(schedule.factor(100, 7), 0.1);  // a clock may overshoot the end
  EXPECT_DOUBLE_EQ(schedule.factor(1, 0.5), 0.275);
}

TEST(LrScheduleTest, Cosine) {
  const LrSchedule schedule{"cosine", 0, 0.2};
  EXPECT_DOUBLE_EQ(schedule.factor(0, 0), 1);
  EXPECT_NEAR(schedule.factor(9, 0.5), 0.6, 1e-12);
  EXPECT_NEAR(schedule.factor(9, 1.0 / 3), 0.8, 1e-12);
  EXPECT_NEAR(schedule.factor(9, 1), 0.2, 1e-12);
}

torch::Tensor singular_values(const torch::Tensor& x) {
  return torch::linalg_svdvals(x.to(torch::kFloat64), std::nullopt);
}

// Header: singular values of at least 0.5% of the Frobenius norm end within 0.9 .. 1.1, smaller ones below.
void expect_nearly_orthogonal(const torch::Tensor& x) {
  const torch::Tensor before = singular_values(x);
  const torch::Tensor share = before / before.square().sum(-1, true).sqrt();
  const torch::Tensor after = singular_values(orthogonalize(x));
  EXPECT_LE(after.max().item<double>(), 1.1);
  EXPECT_GE(after.masked_fill(share.lt(0.0052), 1).min().item<double>(), 0.9);  // 0.0052: fp32 at the edge
}

TEST(OrthogonalizeTest, RandomMatrices) {
  for (const auto& [rows, columns] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {1, 9}, {8, 8}, {16, 64}, {48, 48}}) {
    SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(columns));
    torch::manual_seed(1);
    for (const double size : {1e-4, 1.0, 1e4})
      expect_nearly_orthogonal(size * torch::randn({5, rows, columns}));
  }
}

TEST(OrthogonalizeTest, IllConditionedMatricesAndZeros) {
  torch::manual_seed(2);
  const auto basis = [](int64_t n) {
    return std::get<0>(torch::linalg_qr(torch::randn({n, n}, torch::kFloat64)));
  };
  for (const double smallest : {1e-1, 1e-2, 1e-4, 0.0}) {
    const torch::Tensor values = torch::linspace(0, 1, 12, torch::kFloat64) * (1 - smallest) + smallest;
    const torch::Tensor x =
        basis(12).matmul(values.diag()).matmul(basis(12)).to(torch::kFloat32).unsqueeze(0);
    expect_nearly_orthogonal(x);
  }
  EXPECT_EQ(orthogonalize(torch::zeros({2, 3, 4})).abs().sum().item<float>(), 0);
}

TEST(OrthogonalizeTest, InBfloat16) {
  torch::manual_seed(4);
  const torch::Tensor x = torch::randn({5, 48, 96});  // no singular value is far below the others
  const torch::Tensor after = singular_values(orthogonalize(x.to(torch::kBFloat16)).to(torch::kFloat32));
  // Rounding of 0.2% meets coefficients up to 24 in the first polynomial; the later ones pull back to 1.
  EXPECT_LE(after.max().item<double>(), 1.15);
  EXPECT_GE(after.min().item<double>(), 0.85);
}

TEST(OrthogonalizeTest, KeepsSingularVectors) {
  torch::manual_seed(3);
  const torch::Tensor x = torch::randn({6, 10}, torch::kFloat64);
  const auto [u, s, v] = torch::linalg_svd(x, false);
  const torch::Tensor aligned = u.t().matmul(orthogonalize(x.unsqueeze(0))[0]).matmul(v.t());
  const torch::Tensor outside = aligned - aligned.diagonal().diag();
  EXPECT_LT(outside.abs().max().item<double>(), 1e-10);  // a polynomial of x in double
}

// Matrices that get the same weights and the same gradients every time.
std::vector<torch::Tensor> leaves(const std::vector<std::vector<int64_t>>& shapes, uint64_t seed) {
  torch::manual_seed(seed);
  std::vector<torch::Tensor> result;
  for (const auto& shape : shapes) result.push_back(torch::randn(shape).requires_grad_());
  return result;
}

TEST(MuonTest, StackedPartsAreMatricesOfTheirOwn) {
  // Query, key and value stacked in [24, 8]; a tall [24, 8] that is one matrix; a wide one.
  const std::vector<torch::Tensor> stacked = leaves({{24, 8}, {24, 8}, {8, 24}}, 4);
  std::vector<torch::Tensor> apart;
  for (int64_t part = 0; part < 3; ++part)
    apart.push_back(stacked[0].detach().narrow(0, part * 8, 8).clone().requires_grad_());
  const torch::Tensor tall = stacked[1].detach().clone().requires_grad_();
  const torch::Tensor wide = stacked[2].detach().clone().requires_grad_();
  Muon together({{stacked[0], 3}, {stacked[1], 1}, {stacked[2], 1}}, 0.1);
  Muon alone({{apart[0], 1}, {apart[1], 1}, {apart[2], 1}, {tall, 1}, {wide, 1}}, 0.1);
  for (int step = 0; step < 5; ++step) {
    for (const torch::Tensor& parameter : stacked) parameter.mutable_grad() = torch::randn_like(parameter);
    for (int64_t part = 0; part < 3; ++part) {
      apart[static_cast<size_t>(part)].mutable_grad() = stacked[0].grad().narrow(0, part * 8, 8).clone();
    }
    tall.mutable_grad() = stacked[1].grad().clone();
    wide.mutable_grad() = stacked[2].grad().clone();
    together.step(0.05);
    alone.step(0.05);
  }
  // Batched products may order their sums by the number of matrices: rounding only.
  EXPECT_TRUE(tensors_close(stacked[0].detach(), torch::cat(apart).detach(), 1e-5));
  EXPECT_TRUE(tensors_close(stacked[1].detach(), tall.detach(), 1e-5));
  EXPECT_TRUE(tensors_close(stacked[2].detach(), wide.detach(), 1e-5));
}

TEST(MuonTest, OneStepByDefinition) {
  for (const auto& shape : std::vector<std::vector<int64_t>>{{6, 10}, {10, 6}}) {
    const torch::Tensor weight = leaves({shape}, 5)[0];
    const torch::Tensor before = weight.detach().clone();
    weight.mutable_grad() = torch::randn(shape);
    Muon({{weight, 1}}, 0.5).step(0.01);
    // Decay, then a step along the orthogonal factor: of size 0.2 sqrt(10) for every singular direction.
    const torch::Tensor update =
        (before * (1 - 0.01 * 0.5) - weight.detach()) / (0.01 * 0.2 * std::sqrt(10.0));
    const auto [u, s, v] = torch::linalg_svd(weight.grad(), false);
    // Singular values within 0.1 of 1 move an entry by at most that.
    EXPECT_TRUE(tensors_close(update, u.matmul(v), 0.1));
    EXPECT_LE(singular_values(update).max().item<double>(), 1.1);
  }
}

TEST(MuonTest, WithoutGradientOnlyDecay) {
  const torch::Tensor weight = leaves({{4, 4}}, 6)[0];
  const torch::Tensor before = weight.detach().clone();
  Muon({{weight, 1}}, 0.5).step(0.1);
  EXPECT_TRUE(tensors_close(weight.detach(), before * 0.95, 1e-6));
}

// Loshchilov and Hutter's update in double, beta 0.9 and 0.98.
struct PlainAdamW {
  torch::Tensor weight, first, second;
  double decay;
  int steps = 0;
  PlainAdamW(const torch::Tensor& start, double weight_decay)
      : weight(start.detach().to(torch::kFloat64)),
        first(torch::zeros_like(weight)),
        second(torch::zeros_like(weight)),
        decay(weight_decay) {}
  void step(const torch::Tensor& gradient, double rate) {
    ++steps;
    const torch::Tensor g = gradient.to(torch::kFloat64);
    first = 0.9 * first + 0.1 * g;
    second = 0.98 * second + 0.02 * g * g;
    const torch::Tensor corrected = first / (1 - std::pow(0.9, steps));
    const torch::Tensor scale = (second / (1 - std::pow(0.98, steps))).sqrt() + 1e-8;
    weight = weight * (1 - rate * decay) - rate * corrected / scale;
  }
};

TEST(FusedAdamWTest, MatchesThePlainDefinition) {
  for (const double decay : {0.0, 0.1}) {
    const std::vector<torch::Tensor> parameters = leaves({{7}, {3, 5}, {2, 2}}, 7);
    PlainAdamW first(parameters[0], decay), second(parameters[1], decay);
    const torch::Tensor unused = parameters[2].detach().clone();
    FusedAdamW optimizer(parameters, decay);
    for (int step = 0; step < 10; ++step) {
      const double rate = 0.01 * (step + 1);
      parameters[0].mutable_grad() = torch::randn({7});
      parameters[1].mutable_grad() = 100 * torch::randn({5, 3}).t();  // not contiguous
      first.step(parameters[0].grad(), rate);
      second.step(parameters[1].grad(), rate);
      optimizer.step(rate);
    }
    // Ten fp32 updates of numbers near 1: ten roundings of 1e-7 and the moments' own.
    EXPECT_TRUE(tensors_close(parameters[0].detach().to(torch::kFloat64), first.weight, 5e-6));
    EXPECT_TRUE(tensors_close(parameters[1].detach().to(torch::kFloat64), second.weight, 5e-6));
    EXPECT_TRUE(tensors_equal(parameters[2].detach(), unused));
    model::NamedTensors state;
    optimizer.save(state, "o");
    EXPECT_EQ(state.at("o.1.steps").item<float>(), 10);
    EXPECT_EQ(state.at("o.2.steps").item<float>(), 0);
  }
}

TEST(FusedAdamWTest, LoadChecksNamesAndShapes) {
  FusedAdamW optimizer(leaves({{3}}, 8), 0);
  model::NamedTensors state;
  const auto error = [&]() -> std::string {
    try {
      optimizer.load(state, "o");
    } catch (const std::runtime_error& what) {
      return what.what();
    }
    return "no error";
  };
  EXPECT_EQ(error(), "checkpoint: 'o.0.first' is missing");
  FusedAdamW(leaves({{4}}, 8), 0).save(state, "o");
  EXPECT_EQ(error(), "checkpoint: 'o.0.first' has another shape or type than this model needs");
  state.clear();
  FusedAdamW(leaves({{3}}, 8), 0).save(state, "o");
  EXPECT_EQ(error(), "no error");
}

model::GiantRabbit tiny_network() {
  model::ModelConfig config;
  config.width = 16;
  config.heads = 2;
  config.feed_forward = 32;
  config.decoder_layers = 1;
  config.thought_steps = 1;
  torch::manual_seed(9);
  return model::GiantRabbit(config, eval::token_traits(data::Vocabulary()));
}

double gradient_norm(model::GiantRabbit& network) {
  double sum = 0;
  for (const torch::Tensor& parameter : network->parameters())
    sum += parameter.grad().to(torch::kFloat64).square().sum().item<double>();
  return std::sqrt(sum);
}

TEST(OptimizerTest, ClipsTheGlobalNorm) {
  for (const double size : {10.0, 1e-3}) {
    model::GiantRabbit network = tiny_network();
    TrainConfig config;
    config.clip_norm = 0.5;
    Optimizer optimizer(network, config);
    for (torch::Tensor& parameter : network->parameters())
      parameter.mutable_grad() = torch::full_like(parameter, size);
    const double before = size * std::sqrt(static_cast<double>(network->parameter_count()));
    EXPECT_NEAR(optimizer.step(1), before, 1e-5 * before);  // fp32 sums of 1e4 equal squares
    EXPECT_NEAR(gradient_norm(network), std::min(before, 0.5), 1e-5);
    config.clip_norm = 0;
    Optimizer unclipped(network, config);
    for (torch::Tensor& parameter : network->parameters())
      parameter.mutable_grad() = torch::full_like(parameter, size);
    unclipped.step(1);
    EXPECT_NEAR(gradient_norm(network), before, 1e-5 * before);
    optimizer.zero_gradients();
    for (const torch::Tensor& parameter : network->parameters()) EXPECT_FALSE(parameter.grad().defined());
  }
}

TEST(OptimizerTest, AnInfiniteGradientChangesNoWeight) {
  model::GiantRabbit network = tiny_network();
  Optimizer optimizer(network, TrainConfig());
  for (torch::Tensor& parameter : network->parameters())
    parameter.mutable_grad() = torch::full_like(parameter, INFINITY);
  std::vector<torch::Tensor> before;
  for (const torch::Tensor& parameter : network->parameters()) before.push_back(parameter.detach().clone());
  EXPECT_FALSE(std::isfinite(optimizer.step(1)));
  for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(network->parameters()[i].equal(before[i]));
}

TEST(OptimizerTest, NormsNeverDecay) {
  for (const std::string kind : {"muon", "adamw"}) {
    SCOPED_TRACE(kind);
    model::GiantRabbit network = tiny_network();
    TrainConfig config;
    config.optimizer = kind;
    config.weight_decay = 1;
    Optimizer optimizer(network, config);
    const model::NamedTensors before = [&] {
      model::NamedTensors copies;
      for (const auto& [name, tensor] : model::state_of(*network)) copies[name] = tensor.clone();
      return copies;
    }();
    for (torch::Tensor& parameter : network->parameters())
      parameter.mutable_grad() = torch::zeros_like(parameter);
    optimizer.step(1);
    const double rate = kind == "muon" ? config.muon_learning_rate : config.learning_rate;
    for (const auto& item : network->named_parameters()) {
      const bool hidden = item.value().dim() == 2 && !item.key().starts_with("embedding.");
      if (hidden) {
        EXPECT_TRUE(tensors_close(item.value().detach(), before.at(item.key()) * (1 - rate), 1e-6))
            << item.key();
      } else if (item.value().dim() == 1) {
        EXPECT_TRUE(tensors_equal(item.value().detach(), before.at(item.key()))) << item.key();
      }
    }
  }
}

TEST(OptimizerTest, SavedStateContinuesExactly) {
  for (const std::string kind : {"muon", "adamw"}) {
    SCOPED_TRACE(kind);
    TrainConfig config;
    config.optimizer = kind;
    model::GiantRabbit first = tiny_network(), second = tiny_network();
    Optimizer one(first, config), two(second, config);
    const auto update = [](model::GiantRabbit& network, Optimizer& optimizer, uint64_t seed) {
      torch::manual_seed(seed);
      for (torch::Tensor& parameter : network->parameters())
        parameter.mutable_grad() = torch::randn_like(parameter);
      optimizer.step(1);
    };
    for (uint64_t step = 0; step < 3; ++step) update(first, one, step);
    model::NamedTensors state;
    one.save(state);
    model::load_state(*second, model::state_of(*first));
    two.load(state);
    for (uint64_t step = 3; step < 6; ++step) update(first, one, step);
    for (uint64_t step = 3; step < 6; ++step) update(second, two, step);
    const model::NamedTensors expected = model::state_of(*first);
    for (const auto& [name, tensor] : model::state_of(*second))
      EXPECT_TRUE(tensors_equal(tensor, expected.at(name))) << name;
    EXPECT_ANY_THROW(two.load({}));
  }
}

}  // namespace
}  // namespace giantrabbit::train
