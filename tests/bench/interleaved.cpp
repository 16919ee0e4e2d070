// Clocks, turns and medians of interleaved.h.
#include "tests/bench/interleaved.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <vector>

#include <fmt/format.h>

namespace giantrabbit::bench {
namespace {

struct Seconds {
  double wall;
  double cpu;
};

double clock_seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

Seconds turn(const std::function<void()>& function, int calls) {
  const Seconds start{clock_seconds(CLOCK_MONOTONIC), clock_seconds(CLOCK_THREAD_CPUTIME_ID)};
  for (int call = 0; call < calls; ++call) function();
  return {(clock_seconds(CLOCK_MONOTONIC) - start.wall) / calls,
          (clock_seconds(CLOCK_THREAD_CPUTIME_ID) - start.cpu) / calls};
}

// The second call is measured: the first one pays for page faults and lazy initialisation.
int calls_per_turn(const std::function<void()>& function, double turn_seconds) {
  turn(function, 1);
  const double once = std::max(turn(function, 1).wall, 1e-9);
  return static_cast<int>(std::clamp(std::ceil(turn_seconds / once), 1.0, 1e6));
}

Statistics statistics(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return {values.front(),
          values.size() % 2 == 1 ? values[middle] : 0.5 * (values[middle - 1] + values[middle])};
}

ClockResult summary(const std::vector<Seconds>& a, const std::vector<Seconds>& b, double Seconds::*clock) {
  std::vector<double> a_values;
  std::vector<double> b_values;
  std::vector<double> ratios;
  for (size_t round = 0; round < a.size(); ++round) {
    a_values.push_back(a[round].*clock);
    b_values.push_back(b[round].*clock);
    ratios.push_back(b_values.back() / a_values.back());
  }
  ClockResult result{statistics(a_values), statistics(b_values), {}, {}};
  result.ratio = {result.b.minimum / result.a.minimum, statistics(ratios).median};
  const auto [least, most] = std::ranges::minmax(ratios);
  result.ratio_range = {least, most};
  return result;
}

}  // namespace

Comparison compare(const std::function<void()>& a, const std::function<void()>& b, const Plan& plan) {
  const int a_calls = calls_per_turn(a, plan.turn_seconds);
  const int b_calls = calls_per_turn(b, plan.turn_seconds);
  std::vector<Seconds> a_turns;
  std::vector<Seconds> b_turns;
  for (int round = 0; round < std::max(1, plan.rounds); ++round) {
    if (round % 2 == 0) a_turns.push_back(turn(a, a_calls));
    b_turns.push_back(turn(b, b_calls));
    if (round % 2 == 1) a_turns.push_back(turn(a, a_calls));
  }
  return {summary(a_turns, b_turns, &Seconds::wall), summary(a_turns, b_turns, &Seconds::cpu)};
}

void print_heading(const std::string& a, const std::string& b, const std::string& more_heading) {
  fmt::print("{:<40} {:>10} {:>10} {:>17} {:>17}\n", "", a, b, "wall ratio", "cpu ratio");
  fmt::print("{:<40} {:>10} {:>10} {:>8} {:>8} {:>8} {:>8}  {}\n", "", "min ms", "min ms", "min", "median",
             "min", "median", more_heading);
}

void print_comparison(const std::string& label, const Comparison& comparison, const std::string& more) {
  const ClockResult& wall = comparison.wall;
  const ClockResult& cpu = comparison.cpu;
  fmt::print("{:<40} {:>10.4f} {:>10.4f} {:>8.2f} {:>8.2f} {:>8.2f} {:>8.2f}  {}\n", label,
             wall.a.minimum * 1e3, wall.b.minimum * 1e3, wall.ratio.minimum, wall.ratio.median,
             cpu.ratio.minimum, cpu.ratio.median, more);
}

}  // namespace giantrabbit::bench
