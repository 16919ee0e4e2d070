// Time of sparse_mask_attention against LibTorch's scaled_dot_product_attention (fp32, one thread), forward
// and forward + backward. In, options: --rounds N, --only TEXT; out, a table of the minimum time of both and
// the median of the ratios of neighbouring runs. The two alternate in one process on the same inputs, and
// every problem is compared with the reference in double before it is timed; a mismatch ends the program with
// exit code 1.
#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include "ops/reference/sparse_mask_attention.h"
#include "ops/sparse_mask_attention.h"

namespace giantrabbit::ops {
namespace {

struct Shape {
  std::string name;
  int64_t batch;
  int64_t heads;
  int64_t queries;
  int64_t keys;
  int64_t width;
  bool causal;
  bool lengths;
};

struct Problem {
  Shape shape;
  std::vector<at::Tensor> inputs;  // query, key, value, requiring gradients
  at::Tensor grad;
  SparseMask mask;
  std::optional<at::Tensor> dense_mask;  // what LibTorch needs for key_lengths
};

Problem make_problem(const Shape& shape) {
  torch::manual_seed(7);
  // As a model has them: [batch, length, heads, width], seen transposed.
  const auto input = [&](int64_t length) {
    return torch::randn({shape.batch, length, shape.heads, shape.width})
        .transpose(1, 2)
        .set_requires_grad(true);
  };
  Problem problem{shape, {input(shape.queries), input(shape.keys), input(shape.keys)}, {}, {}, {}};
  problem.grad = torch::randn({shape.batch, shape.queries, shape.heads, shape.width}).transpose(1, 2);
  problem.mask.causal = shape.causal;
  if (shape.lengths) {
    problem.mask.key_lengths = torch::randint(shape.keys / 2, shape.keys + 1, {shape.batch}, torch::kLong);
    problem.dense_mask = problem.mask.dense(shape.batch, shape.heads, shape.queries, shape.keys);
  }
  return problem;
}

at::Tensor ours(const Problem& problem, const std::vector<at::Tensor>& inputs, Normalizer normalizer) {
  return sparse_mask_attention(inputs[0], inputs[1], inputs[2], problem.mask, normalizer);
}

at::Tensor theirs(const Problem& problem, const std::vector<at::Tensor>& inputs) {
  return at::scaled_dot_product_attention(inputs[0], inputs[1], inputs[2], problem.dense_mask, 0.0,
                                          problem.shape.causal);
}

// Largest difference from the reference in double, over the result and the three gradients. Scores differ by
// rounding only, so 1e-4 leaves room for sums over a thousand keys; a key at the threshold may change sides
// without notice.
bool validate(const Problem& problem, Normalizer normalizer) {
  std::vector<at::Tensor> wide;
  for (const at::Tensor& input : problem.inputs)
    wide.push_back(input.detach().to(torch::kDouble).set_requires_grad(true));
  const at::Tensor result = ours(problem, problem.inputs, normalizer);
  const at::Tensor expected =
      reference::sparse_mask_attention(wide[0], wide[1], wide[2], problem.mask, normalizer);
  double worst = (result - expected).abs().max().item<double>();
  const auto grads = torch::autograd::grad({result}, problem.inputs, {problem.grad});
  const auto expected_grads = torch::autograd::grad({expected}, wide, {problem.grad.to(torch::kDouble)});
  for (size_t i = 0; i < 3; ++i) {
    worst = std::max(worst, (grads[i] - expected_grads[i]).abs().quantile(0.9999).item<double>());
  }
  if (worst < 1e-4) return true;
  fmt::print(stderr, "attention_bench: {} with {} differs from the reference by {}\n", problem.shape.name,
             normalizer_name(normalizer), worst);
  return false;
}

// Processor time of this thread: other programs on the machine do not count.
double processor_time() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double seconds(const std::function<void()>& run) {
  const double start = processor_time();
  run();
  return processor_time() - start;
}

void compare(const std::string& label, const std::function<void()>& a, const std::function<void()>& b,
             int rounds) {
  for (int i = 0; i < 3; ++i) a(), b();
  std::vector<double> ratios;
  double best_a = 1e9;
  double best_b = 1e9;
  for (int i = 0; i < rounds; ++i) {
    const double time_a = seconds(a);
    const double time_b = seconds(b);
    best_a = std::min(best_a, time_a);
    best_b = std::min(best_b, time_b);
    ratios.push_back(time_b / time_a);
  }
  std::nth_element(ratios.begin(), ratios.begin() + rounds / 2, ratios.end());
  fmt::print("{:<44} {:9.3f} {:9.3f} {:8.2f} {:8.2f}\n", label, best_a * 1e3, best_b * 1e3, best_b / best_a,
             ratios[static_cast<size_t>(rounds / 2)]);
}

bool run(const Shape& shape, int rounds) {
  const Problem problem = make_problem(shape);
  for (const auto normalizer : {Normalizer::softmax, Normalizer::sparsemax, Normalizer::entmax15}) {
    if (!validate(problem, normalizer)) return false;
    const std::string label = fmt::format("{} {}", shape.name, normalizer_name(normalizer));
    {
      at::NoGradGuard no_grad;
      compare(
          label + " forward", [&] { ours(problem, problem.inputs, normalizer); },
          [&] { theirs(problem, problem.inputs); }, rounds);
    }
    const auto step = [&](const at::Tensor& result) {
      torch::autograd::grad({result}, problem.inputs, {problem.grad});
    };
    compare(
        label + " fwd+bwd", [&] { step(ours(problem, problem.inputs, normalizer)); },
        [&] { step(theirs(problem, problem.inputs)); }, rounds);
  }
  return true;
}

}  // namespace
}  // namespace giantrabbit::ops

int main(int argc, char** argv) {
  int rounds = 30;
  std::string only;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string(argv[i]) == "--rounds") rounds = std::max(1, std::atoi(argv[i + 1]));
    if (std::string(argv[i]) == "--only") only = argv[i + 1];
  }
  at::set_num_threads(1);
  const std::vector<giantrabbit::ops::Shape> shapes = {
      {"self 32x4x80x80x32 causal", 32, 4, 80, 80, 32, true, false},
      {"cross 32x4x80x16x32 lengths", 32, 4, 80, 16, 32, false, true},
      {"self 2x4x1024x1024x64", 2, 4, 1024, 1024, 64, false, false},
      {"self 2x4x1024x1024x64 causal", 2, 4, 1024, 1024, 64, true, false},
      {"decode 8x4x1x256x32", 8, 4, 1, 256, 32, false, false},
  };
  fmt::print("{:<44} {:>9} {:>9} {:>8} {:>8}\n", "problem", "ours ms", "SDPA ms", "min x", "median x");
  for (const auto& shape : shapes) {
    if (shape.name.find(only) == std::string::npos) continue;
    if (!giantrabbit::ops::run(shape, rounds)) return 1;
  }
  return 0;
}
