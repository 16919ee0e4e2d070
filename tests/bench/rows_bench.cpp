// Time of sparsemax and entmax15 over rows against LibTorch's softmax. In, options: --rounds N, --only TEXT;
// out, a table of the out= forms (against at::softmax_out) and of the allocating forms (against at::softmax),
// for 1 and 2 threads. `copy` is the time that Tensor::copy_ needs for the same memory divided by ours: 1 is
// the speed of memory. The losses stand against cross_entropy_loss. Every result is compared with the
// definition in double before it is timed; a mismatch ends the program with exit code 1.
#include <algorithm>
#include <array>
#include <iostream>
#include <string>

#include <cxxopts.hpp>
#include <fmt/format.h>

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include "ops/reference/sparsemax.h"
#include "ops/reference/sparsemax_loss.h"
#include "ops/sparsemax.h"
#include "ops/sparsemax_loss.h"
#include "tests/bench/interleaved.h"

namespace giantrabbit::bench {
namespace {

struct RowOperator {
  const char* name;
  at::Tensor (*op)(const at::Tensor&, int64_t);
  at::Tensor& (*out)(at::Tensor&, const at::Tensor&, int64_t);
  at::Tensor (*backward)(const at::Tensor&, const at::Tensor&, int64_t);
  at::Tensor (*reference)(const at::Tensor&, int64_t);
  at::Tensor (*loss)(const at::Tensor&, const at::Tensor&);
  at::Tensor (*loss_reference)(const at::Tensor&, const at::Tensor&);
};

const RowOperator kOperators[] = {
    {"sparsemax", ops::sparsemax, ops::sparsemax_out, ops::sparsemax_backward, ops::reference::sparsemax,
     ops::sparsemax_loss, ops::reference::sparsemax_loss},
    {"entmax15", ops::entmax15, ops::entmax15_out, ops::entmax15_backward, ops::reference::entmax15,
     ops::entmax15_loss, ops::reference::entmax15_loss},
};

struct Settings {
  Plan plan;
  std::string only;
};

struct Problem {
  std::string label;
  at::Tensor scores;
  at::Tensor grad;
  at::Tensor target;
  at::Tensor out;
  Statistics copy;  // seconds of out.copy_(scores)
};

bool agrees(const std::string& what, const at::Tensor& actual, const at::Tensor& expected, double tolerance) {
  const double worst = (actual.to(at::kDouble) - expected).abs().max().item<double>();
  if (worst <= tolerance) return true;
  fmt::print(stderr, "rows_bench: {} differs from the reference by {}\n", what, worst);
  return false;
}

// 2e-7 as in the operators' tests; losses are sums of differences of logits up to 20.
bool validate(const RowOperator& op, Problem& problem) {
  const at::Tensor wide = problem.scores.to(at::kDouble);
  const at::Tensor weights = op.reference(wide, -1);
  op.out(problem.out, problem.scores, -1);
  return agrees(problem.label, op.op(problem.scores, -1), weights, 2e-7) &&
         agrees(problem.label + " out=", problem.out, weights, 2e-7) &&
         agrees(problem.label + " loss", op.loss(problem.scores, problem.target),
                op.loss_reference(wide, problem.target), 2e-5);
}

void line(const Settings& settings, const Problem& problem, const std::string& what,
          const std::function<void()>& ours, const std::function<void()>& theirs, bool against_copy) {
  const std::string label = problem.label + " " + what;
  if (label.find(settings.only) == std::string::npos) return;
  const Comparison comparison = compare(ours, theirs, settings.plan);
  print_comparison(
      label, comparison,
      against_copy ? fmt::format("{:.2f}", problem.copy.minimum / comparison.wall.a.minimum) : "");
}

bool run(const Settings& settings, const RowOperator& op, Problem& problem) {
  if (!validate(op, problem)) return false;
  const at::Tensor& scores = problem.scores;
  at::Tensor softmax = at::empty_like(scores);
  line(
      settings, problem, "out=", [&] { op.out(problem.out, scores, -1); },
      [&] { at::softmax_out(softmax, scores, -1); }, true);
  line(
      settings, problem, "new", [&] { op.op(scores, -1); }, [&] { at::softmax(scores, -1); }, false);
  const at::Tensor weights = op.op(scores, -1);
  line(
      settings, problem, "backward", [&] { op.backward(problem.grad, weights, -1); },
      [&] { at::_softmax_backward_data(problem.grad, softmax, -1, at::kFloat); }, false);
  line(
      settings, problem, "loss", [&] { op.loss(scores, problem.target); },
      [&] { at::cross_entropy_loss(scores, problem.target, {}, at::Reduction::None); }, false);
  return true;
}

// Whether any line of a problem has the text that is asked for.
bool wanted(const Settings& settings, const std::string& label) {
  return std::ranges::any_of(std::array{" out=", " new", " backward", " loss"}, [&](const char* what) {
    return (label + what).find(settings.only) != std::string::npos;
  });
}

bool run_all(const Settings& settings) {
  constexpr int64_t kShapes[][2] = {{4096, 16}, {4096, 128}, {4096, 1024}, {1024, 4096}, {256, 32768}};
  for (const auto& [rows, n] : kShapes) {
    for (const double spread : {1.0, 3.0}) {
      torch::manual_seed(7);
      Problem problem;
      problem.scores = torch::randn({rows, n}) * spread;
      problem.grad = torch::randn({rows, n});
      problem.target = torch::randint(n, {rows}, at::kLong);
      problem.out = at::empty_like(problem.scores);
      for (const int threads : {1, 2}) {
        at::set_num_threads(threads);
        const auto copy = [&] { problem.out.copy_(problem.scores); };
        problem.copy = compare(copy, copy, settings.plan).wall.a;
        for (const RowOperator& op : kOperators) {
          problem.label = fmt::format("{} {}x{} std {} {}T", op.name, rows, n, spread, threads);
          if (wanted(settings, problem.label) && !run(settings, op, problem)) return false;
        }
      }
    }
  }
  return true;
}

}  // namespace
}  // namespace giantrabbit::bench

int main(int argc, char** argv) {
  using namespace giantrabbit::bench;
  Settings settings;
  cxxopts::Options description("rows_bench", "Rows of sparsemax and entmax15 against softmax");
  description.add_options()("rounds", "of timing",
                            cxxopts::value<int>()->default_value(std::to_string(settings.plan.rounds)))(
      "only", "print the lines whose label holds this text",
      cxxopts::value<std::string>()->default_value(""))("help", "");
  try {
    const auto given = description.parse(argc, argv);
    if (given.count("help") != 0) {
      std::cout << description.help();
      return 0;
    }
    settings.plan.rounds = std::max(1, given["rounds"].as<int>());
    settings.only = given["only"].as<std::string>();
  } catch (const cxxopts::exceptions::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
  const at::NoGradGuard no_grad;
  print_heading("ours", "softmax", "copy");
  return run_all(settings) ? 0 : 1;
}
