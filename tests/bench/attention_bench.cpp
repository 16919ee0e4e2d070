// Time of sparse_mask_attention against LibTorch's scaled_dot_product_attention (fp32), forward and forward +
// backward. In, options: --rounds N, --only TEXT (of a problem's name), --normalizer NAME, --scale X (of the
// scores; 0 makes them flat), --threads N; out, a table of the minimum time of both and the median of the
// ratios of neighbouring runs. The two alternate in one process on the same inputs, and every problem, cut to
// 1,024 tokens, is compared with the reference in double before it is timed; a mismatch ends the program
// with exit code 1.
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
  bool causal = false;
  bool lengths = false;
  int64_t window = 0;   // 0: none
  double listed = 0.0;  // share of the blocks of 64 x 64; 0: no lists
};

struct Options {
  int rounds = 30;
  std::string only;
  std::string normalizer;
  double scale = 1.0;
  int threads = 1;
};

struct Problem {
  Shape shape;
  std::vector<at::Tensor> inputs;  // query, key, value, requiring gradients
  at::Tensor grad;
  SparseMask mask;
  std::optional<at::Tensor> dense_mask;  // what LibTorch needs for key_lengths
};

Problem make_problem(const Shape& shape, double scale) {
  torch::manual_seed(7);
  // As a model has them: [batch, length, heads, width], seen transposed.
  const auto input = [&](int64_t length, double factor) {
    return (torch::randn({shape.batch, length, shape.heads, shape.width}) * factor)
        .transpose(1, 2)
        .set_requires_grad(true);
  };
  Problem problem{
      shape, {input(shape.queries, scale), input(shape.keys, 1), input(shape.keys, 1)}, {}, {}, {}};
  problem.grad = torch::randn({shape.batch, shape.queries, shape.heads, shape.width}).transpose(1, 2);
  problem.mask.causal = shape.causal;
  if (shape.window > 0) problem.mask.window = shape.window;
  if (shape.listed > 0) {
    problem.mask =
        SparseMask::from_dense(torch::rand({shape.queries / 64, shape.keys / 64}).lt(shape.listed));
    problem.mask.block_rows = problem.mask.block_columns = 64;
  }
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

// Largest difference from the reference in double, relative to the largest number of a tensor where that is
// above 1, over the result and the three gradients. Scores differ by rounding only, so 1e-4 leaves room for
// sums over a thousand keys; a key at the threshold may change sides without notice.
bool validate(const Problem& problem, Normalizer normalizer) {
  std::vector<at::Tensor> wide;
  for (const at::Tensor& input : problem.inputs)
    wide.push_back(input.detach().to(torch::kDouble).set_requires_grad(true));
  const at::Tensor result = ours(problem, problem.inputs, normalizer);
  const at::Tensor expected =
      reference::sparse_mask_attention(wide[0], wide[1], wide[2], problem.mask, normalizer);
  const auto difference = [](const at::Tensor& a, const at::Tensor& b, double quantile) {
    return ((a - b).abs().quantile(quantile) / b.abs().max().clamp_min(1.0)).item<double>();
  };
  double worst = difference(result, expected, 1.0);
  const auto grads = torch::autograd::grad({result}, problem.inputs, {problem.grad});
  const auto expected_grads = torch::autograd::grad({expected}, wide, {problem.grad.to(torch::kDouble)});
  for (size_t i = 0; i < 3; ++i) worst = std::max(worst, difference(grads[i], expected_grads[i], 0.9999));
  if (worst < 1e-4) return true;
  fmt::print(stderr, "attention_bench: {} with {} differs from the reference by {}\n", problem.shape.name,
             normalizer_name(normalizer), worst);
  return false;
}

// Processor time of this thread, so that other programs on the machine do not count; with several threads
// the time on the clock.
double time_now() {
  timespec now{};
  clock_gettime(at::get_num_threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double seconds(const std::function<void()>& run) {
  const double start = time_now();
  run();
  return time_now() - start;
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

bool run(const Shape& shape, const Options& options) {
  Shape small = shape;
  small.queries = std::min<int64_t>(shape.queries, 1024);
  small.keys = std::min<int64_t>(shape.keys, 1024);
  const Problem problem = make_problem(shape, options.scale);
  const int rounds = options.rounds;
  for (const auto normalizer : {Normalizer::softmax, Normalizer::sparsemax, Normalizer::entmax15}) {
    if (normalizer_name(normalizer).find(options.normalizer) == std::string::npos) continue;
    if (!validate(make_problem(small, options.scale), normalizer)) return false;
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
  using giantrabbit::ops::Shape;
  giantrabbit::ops::Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--rounds") options.rounds = std::max(1, std::atoi(argv[i + 1]));
    if (name == "--only") options.only = argv[i + 1];
    if (name == "--normalizer") options.normalizer = argv[i + 1];
    if (name == "--scale") options.scale = std::atof(argv[i + 1]);
    if (name == "--threads") options.threads = std::max(1, std::atoi(argv[i + 1]));
  }
  at::set_num_threads(options.threads);
  std::vector<Shape> shapes = {
      {"self 32x4x80x80x32 causal", 32, 4, 80, 80, 32, true},
      {"cross 32x4x80x16x32 lengths", 32, 4, 80, 16, 32, false, true},
      {"decode 8x4x1x256x32", 8, 4, 1, 256, 32},
      {"window 1x4x8192x64 causal 256", 1, 4, 8192, 8192, 64, true, false, 256},
      {"lists 1x4x8192x64 5%", 1, 4, 8192, 8192, 64, false, false, 0, 0.05},
  };
  for (const int64_t width : {64, 32}) {
    for (const int64_t n : {256, 512, 1024, 4096}) {
      for (const bool causal : {false, true}) {
        shapes.push_back({fmt::format("self 1x4x{}x{}{}", n, width, causal ? " causal" : " full"), 1, 4, n, n,
                          width, causal});
      }
    }
  }
  fmt::print("{:<44} {:>9} {:>9} {:>8} {:>8}\n", "problem", "ours ms", "SDPA ms", "min x", "median x");
  for (const Shape& shape : shapes) {
    if (shape.name.find(options.only) == std::string::npos) continue;
    if (!giantrabbit::ops::run(shape, options)) return 1;
  }
  return 0;
}
