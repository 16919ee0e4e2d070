// See attention_line.h.
#include "tests/bench/attention_line.h"

#include <algorithm>
#include <ctime>

#include <fmt/format.h>

#include <ATen/Parallel.h>

namespace giantrabbit::bench {
namespace {

double wall_seconds(const std::function<void()>& function) {
  timespec start{};
  timespec end{};
  clock_gettime(CLOCK_MONOTONIC, &start);
  function();
  clock_gettime(CLOCK_MONOTONIC, &end);
  return static_cast<double>(end.tv_sec - start.tv_sec) +
         1e-9 * static_cast<double>(end.tv_nsec - start.tv_nsec);
}

}  // namespace

void LinePrinter::heading() const {
  print_heading("ours", "SDPA",
                fmt::format("{:>9} {:>9} {:>8} {:>8} {:>6} {:>9} {:>8}", "cpu ours", "cpu SDPA", "support",
                            "refined", "dense", "of peak", "error"));
}

// Cost of softmax attention at 70 G/s: forward is one pass of 4 d operations a pair, backward another 2.5.
Plan LinePrinter::plan(const Problem& problem, double passes) const {
  const Shape& shape = problem.shape;
  const double pairs = static_cast<double>(shape.batch * shape.heads) * static_cast<double>(shape.queries) *
                       static_cast<double>(shape.keys) * (shape.causal ? 0.5 : 1.0);
  const double once = passes * pairs * 4.0 * static_cast<double>(shape.width) / 70e9;
  Plan result;
  result.rounds = static_cast<int>(std::clamp(seconds_ / std::max(once, result.turn_seconds), 3.0, 100.0));
  return result;
}

// Time that the counted operations take at the peak, of the time that it took.
std::string LinePrinter::share_of_peak(const Problem& problem, const Facts& facts, double seconds) const {
  const double width = static_cast<double>(problem.shape.width);
  const double int8_seconds = peaks_.int8 > 0 ? 2 * width * facts.coded_pairs / peaks_.int8 : 0;
  const double fp32_seconds = peaks_.fp32 > 0 ? 4 * width * facts.dense_pairs / peaks_.fp32 : 0;
  if (int8_seconds + fp32_seconds == 0) return "-";
  const char* which = fp32_seconds == 0 ? "int8" : int8_seconds == 0 ? "fp32" : "both";
  return fmt::format("{:.0f}% {}", 100 * (int8_seconds + fp32_seconds) / (seconds * threads_), which);
}

void LinePrinter::print(const std::string& label, const Comparison& comparison, const Problem& problem,
                        const Facts& facts, bool forward) const {
  // Other programs do not lengthen processor time, but it is known for the calling thread alone.
  const double seconds = threads_ == 1 ? comparison.cpu.a.minimum : comparison.wall.a.minimum;
  const std::string share = forward ? share_of_peak(problem, facts, seconds) : std::string("-");
  const std::string candidates = facts.candidates < 0 ? "-" : fmt::format("{:.1f}", facts.candidates);
  const std::string support = fmt::format("{:.1f}", facts.support);
  print_comparison(label, comparison,
                   fmt::format("{:>9.3f} {:>9.3f} {:>8} {:>8} {:>5.0f}% {:>9} {:>8.1e}",
                               comparison.cpu.a.minimum * 1e3, comparison.cpu.b.minimum * 1e3, support,
                               candidates, 100 * facts.dense_share, share, facts.error));
  std::fflush(stdout);
}

void LinePrinter::forward_and_training(const std::string& label, const Problem& problem) const {
  against(label, problem, problem);
}

void LinePrinter::against(const std::string& label, const Problem& problem, const Problem& theirs) const {
  if (left_out(label)) return;
  const Facts facts = examine(problem);
  print(label + " fwd",
        compare(forward_of(problem, ours), forward_of(theirs, fused_softmax), plan(problem, 1.0)), problem,
        facts, true);
  print(label + " fwd+bwd",
        compare(training_of(problem, ours), training_of(theirs, fused_softmax), plan(problem, 3.5)), problem,
        facts, false);
}

void LinePrinter::forward_once(const std::string& label, const Problem& problem) const {
  if (left_out(label)) return;
  const Facts facts = examine(problem);
  std::vector<double> times;
  for (int i = 0; i < 3; ++i) times.push_back(wall_seconds(forward_of(problem, ours)));
  std::sort(times.begin(), times.end());
  const double theirs = wall_seconds(forward_of(problem, fused_softmax));
  Comparison once{};
  once.wall = {{times[0], times[1]}, {theirs, theirs}, {theirs / times[0], theirs / times[1]}};
  once.cpu = once.wall;
  print(label + " fwd, once", once, problem, facts, true);
}

}  // namespace giantrabbit::bench
