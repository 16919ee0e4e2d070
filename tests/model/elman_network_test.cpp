// LibTorch's Elman network, which recall_distance measures attention against, keeps the definition of the
// textbook's exercise: h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), h_0 = 0, read from the last state.
// Golden cases of chapter3_golden.json, computed from that definition in double.
#include <gtest/gtest.h>

#include <torch/torch.h>

#include "tests/support/golden.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::model {
namespace {

using nlohmann::json;
using test_support::golden_tensor;
using test_support::tensors_close;

// The file's own tolerance: rounding of the definition in double.
constexpr double kElmanTolerance = 1e-12;

std::vector<json> elman_cases() {
  std::vector<json> cases;
  const json file = test_support::load_golden("chapter3_golden.json");
  for (const json& item : file["cases"]) {
    if (item["exercise"] == 1 && item.contains("inputs")) cases.push_back(item);
  }
  return cases;
}

torch::nn::RNN golden_network(const json& params, const json& inputs) {
  auto options =
      torch::nn::RNNOptions(params["input_size"].get<int64_t>(), params["hidden_size"].get<int64_t>());
  torch::nn::RNN network(options.batch_first(true));
  network->to(torch::kDouble);
  const torch::NoGradGuard no_grad;
  const auto parameters = network->named_parameters();
  for (const auto& [ours, golden] : {std::pair("weight_ih_l0", "W_ih"), std::pair("weight_hh_l0", "W_hh"),
                                     std::pair("bias_ih_l0", "b_ih"), std::pair("bias_hh_l0", "b_hh")}) {
    parameters[ours].copy_(golden_tensor(inputs[golden]));
  }
  return network;
}

TEST(ElmanNetworkTest, StatesLogitsAndGradientsMatchGolden) {
  const std::vector<json> cases = elman_cases();
  EXPECT_EQ(cases.size(), 2U);
  for (const json& item : cases) {
    SCOPED_TRACE(item["id"].get<std::string>());
    const json& inputs = item["inputs"];
    const json& expected = item["expected"];
    torch::nn::RNN network = golden_network(item["params"], inputs);
    const torch::Tensor x = golden_tensor(inputs["x"]).requires_grad_();
    const torch::Tensor states = std::get<0>(network->forward(x));
    const torch::Tensor last = states.select(1, -1);
    const torch::Tensor logits =
        torch::linear(last, golden_tensor(inputs["W_fc"]), golden_tensor(inputs["b_fc"]));
    EXPECT_TRUE(tensors_close(last.detach(), golden_tensor(expected["last_hidden"]), kElmanTolerance));
    EXPECT_TRUE(tensors_close(logits.detach(), golden_tensor(expected["logits"]), kElmanTolerance));
    torch::binary_cross_entropy_with_logits(logits, golden_tensor(inputs["y"])).backward();
    EXPECT_TRUE(tensors_close(network->named_parameters()["weight_hh_l0"].grad(),
                              golden_tensor(expected["grad"]["W_hh"]), kElmanTolerance));
    if (!expected.contains("grad_x_first_step")) continue;
    // What 40 steps leave of the gradient is far below the tolerance itself: each of them rounds it once, so
    // that it is held to a relative error of 1e-12.
    EXPECT_TRUE(tensors_close(x.grad().select(1, 0), golden_tensor(expected["grad_x_first_step"]), 0, 1e-12));
  }
}

}  // namespace
}  // namespace giantrabbit::model
