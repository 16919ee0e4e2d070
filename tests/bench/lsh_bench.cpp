// Time of attention by locality-sensitive hashing against LibTorch's exact softmax attention. In, --threads,
// --heads, --rounds; out, tables: shared queries and keys of width 64, causal, self excluded, 8 rounds of
// hashing, chunks of 64, forward and backward, the hashing inside the time. Both sides alternate in one
// process. Results and gradients are compared with ops/reference in double first; a mismatch ends the program
// with exit code 1.
#include <cmath>
#include <iostream>

#include <cxxopts.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ATen/Parallel.h>

#include "ops/cpu/capability.h"
#include "ops/reference/lsh_attention.h"
#include "tests/bench/attention_peaks.h"
#include "tests/bench/attention_problem.h"
#include "tests/bench/interleaved.h"
#include "tests/support/resident_memory.h"

namespace giantrabbit::bench {
namespace {

using ops::LshHashing;
using ops::LshPattern;
using ops::Normalizer;

constexpr int64_t kWidth = 64;
constexpr int64_t kHashRounds = 8;
constexpr int64_t kChunk = 64;
constexpr int64_t kWindow = 2;  // a chunk and the one before it

struct Settings {
  int threads;
  int64_t heads;
  int rounds;  // of timing
};

// As the Reformer picks them: 2 n / chunk, a power of two, so that a bucket is half a chunk. More than two
// chunk lengths of them are two factors: rotations then grow with the square root of the buckets, and hashing
// does not become the larger half of the work.
std::vector<int64_t> bucket_counts(int64_t length) {
  int64_t power = 1;
  while (int64_t{2} << power <= 2 * length / kChunk) ++power;
  if (int64_t{1} << power <= 2 * kChunk) return {int64_t{1} << power};
  return {int64_t{1} << power / 2, int64_t{1} << (power - power / 2)};
}

// One side of a comparison: causal self-attention over `length` positions.
struct LshProblem {
  LshProblem(const Settings& settings, int64_t length, Normalizer normalizer)
      : problem(make_problem({1, settings.heads, length, length, kWidth, true}, normalizer)),
        hashing(LshHashing::random(settings.heads, kWidth, kHashRounds, bucket_counts(length), 11)) {
    pattern.chunk_length = kChunk;
    pattern.causal = true;
  }

  int64_t length() const { return problem.shape.queries; }
  const at::Tensor& query() const { return problem.inputs[0]; }
  const at::Tensor& value() const { return problem.inputs[2]; }
  at::Tensor result() const {
    return ops::lsh_shared_attention(query(), value(), hashing, pattern, problem.normalizer);
  }
  void train() const { torch::autograd::grad({result()}, {query(), value()}, {problem.grad}); }

  // Operations at the fp32 peak: rotations, and per pair 2 d for its score. Softmax weighs every value, 2 d
  // more, and its backward is five such products; sparse weights need next to nothing beyond the scores.
  double operations() const {
    const auto positions = static_cast<double>(problem.shape.heads * length() * kHashRounds);
    const double hashed = 2.0 * kWidth * static_cast<double>(hashing.rotations.size(3));
    const double products = problem.normalizer == Normalizer::softmax ? 7.0 : 1.0;
    return positions * (hashed + products * 2.0 * kWidth * kWindow * kChunk);
  }

  Problem problem;
  LshHashing hashing;
  LshPattern pattern;
};

double largest_difference(const at::Tensor& actual, const at::Tensor& expected) {
  const double size = 1.0 + expected.abs().max().item<double>();
  const double difference = (actual.to(at::kDouble) - expected).abs().max().item<double>() / size;
  return std::isnan(difference) ? INFINITY : difference;
}

// Scores of size 6 in fp32 err by some 1e-6, so do weights, and a gradient sums up a few hundred of them. A
// key that changes sides at the threshold would show as 1e-2; one query in 1e5 has a key so near.
void validate(const Settings& settings, Normalizer normalizer) {
  constexpr int64_t kLength = 1024;
  constexpr double kTolerance = 1e-4;
  const LshProblem of(settings, kLength, normalizer);
  const at::Tensor result = of.result();
  const auto grads = torch::autograd::grad({result}, {of.query(), of.value()}, {of.problem.grad});
  const auto leaves = of.problem.leaves(at::kDouble);
  const at::Tensor expected =
      ops::reference::lsh_attention(leaves[0], ops::lsh_shared_keys(leaves[0]), leaves[2],
                                    ops::lsh_buckets(of.query(), of.hashing), of.pattern, normalizer);
  const auto expected_grads =
      torch::autograd::grad({expected}, {leaves[0], leaves[2]}, {of.problem.grad.to(at::kDouble)});
  const double worst = std::max({largest_difference(result.detach(), expected.detach()),
                                 largest_difference(grads[0], expected_grads[0]),
                                 largest_difference(grads[1], expected_grads[1])});
  fmt::print("{} of {} positions differs from its definition in double by {:.1e} at most\n",
             ops::normalizer_name(normalizer), kLength, worst);
  TORCH_CHECK(worst <= kTolerance, "lsh_bench: allowed are ", kTolerance);
}

std::string percent(double share) { return fmt::format("{:.0f}%", 100 * share); }

void line(const std::string& label, const Comparison& comparison, double share_of_peak) {
  print_comparison(label, comparison,
                   fmt::format("{:>6.2f} - {:<6.2f} {:>7}", comparison.cpu.ratio_range.minimum,
                               comparison.cpu.ratio_range.maximum, percent(share_of_peak)));
  std::fflush(stdout);
}

double share_of_peak(const LshProblem& of, const ClockResult& clock, const Settings& settings,
                     const Peaks& peaks) {
  return peaks.fp32 > 0 ? of.operations() / (clock.a.minimum * settings.threads * peaks.fp32) : 0;
}

void times(const Settings& settings, Normalizer normalizer, const Peaks& peaks) {
  const Plan plan{settings.rounds, 0};
  const LshProblem small(settings, 4096, normalizer);
  const LshProblem middle(settings, 16384, normalizer);
  const LshProblem large(settings, 65536, normalizer);
  const std::string name(ops::normalizer_name(normalizer));
  const auto clock = [&](const Comparison& comparison) {
    return settings.threads == 1 ? comparison.cpu : comparison.wall;
  };
  const auto fused = training_of(middle.problem, fused_softmax);
  for (const LshProblem* of : {&middle, &small}) {
    const Comparison comparison = compare([of] { of->train(); }, fused, plan);
    line(fmt::format("{} LSH {} : SDPA 16384", name, of->length()), comparison,
         share_of_peak(*of, clock(comparison), settings, peaks));
  }
  const Comparison growth = compare([&] { middle.train(); }, [&] { large.train(); }, plan);
  line(name + " LSH 16384 : LSH 65536", growth, share_of_peak(middle, clock(growth), settings, peaks));
}

void stages(const Settings& settings, Normalizer normalizer) {
  for (const int64_t length : {4096, 16384, 65536}) {
    const LshProblem of(settings, length, normalizer);
    const at::Tensor buckets = ops::lsh_buckets(of.query(), of.hashing);
    const auto forward = [&] {
      const at::NoGradGuard no_grad;
      of.result();
    };
    const auto hash = [&] { ops::lsh_buckets(of.query(), of.hashing); };
    const Plan plan{settings.rounds, 0};
    const double hashed = compare(hash, hash, plan).cpu.a.minimum;
    const Comparison both = compare(
        forward, [&] { of.train(); }, plan);
    const double whole = both.cpu.b.minimum;
    const auto megabytes = [](const std::function<void()>& call) {
      return static_cast<double>(test_support::resident_peak_of(call)) / 1e6;
    };
    const double lsh_peak = megabytes([&] { of.train(); });
    const double fused_peak = length > 16384 ? NAN : megabytes(training_of(of.problem, fused_softmax));
    fmt::print("{:<24} {:>10.2f} {:>8} {:>8} {:>9} {:>10.1f} {:>10.1f}   {}\n",
               fmt::format("{} {}", ops::normalizer_name(normalizer), length), whole * 1e3,
               percent(hashed / whole), percent((both.cpu.a.minimum - hashed) / whole),
               percent(1 - both.cpu.a.minimum / whole), lsh_peak, fused_peak,
               fmt::join(of.hashing.bucket_counts, " x "));
    std::fflush(stdout);
  }
}

int run(const Settings& settings) {
  at::set_num_threads(settings.threads);
  const Peaks peaks = measure_peaks();
  fmt::print("instruction set {}; {}\nthreads {}, heads {}, d {}, {} rounds of hashing, chunks of {}\n",
             ops::cpu::capability_name(ops::cpu::chosen_capability()), peaks.text(), settings.threads,
             settings.heads, kWidth, kHashRounds, kChunk);
  constexpr Normalizer kNormalizers[] = {Normalizer::softmax, Normalizer::sparsemax};
  for (const Normalizer normalizer : kNormalizers) validate(settings, normalizer);
  fmt::print("\nforward and backward; ratio: time of the right side / time of the left one\n");
  print_heading("left", "right", " cpu ratios' range  of peak");
  for (const Normalizer normalizer : kNormalizers) times(settings, normalizer, peaks);
  fmt::print(
      "\nshares of the calling thread's time; peak of resident memory in MB above the inputs\n{:<24} {:>10} "
      "{:>8} "
      "{:>8} {:>9} {:>10} {:>10}   {}\n",
      "", "cpu ms", "hashing", "forward", "backward", "LSH MB", "SDPA MB", "buckets");
  for (const Normalizer normalizer : kNormalizers) stages(settings, normalizer);
  return 0;
}

}  // namespace
}  // namespace giantrabbit::bench

int main(int argc, char** argv) {
  cxxopts::Options description("lsh_bench", "LSH attention against LibTorch's exact attention");
  description.add_options()("threads", "of both sides", cxxopts::value<int>()->default_value("1"))(
      "heads", "of every problem", cxxopts::value<int64_t>()->default_value("1"))(
      "rounds", "of timing", cxxopts::value<int>()->default_value("7"))("help", "");
  try {
    const auto given = description.parse(argc, argv);
    if (given.count("help") != 0) {
      std::cout << description.help();
      return 0;
    }
    return giantrabbit::bench::run(
        {given["threads"].as<int>(), given["heads"].as<int64_t>(), given["rounds"].as<int>()});
  } catch (const cxxopts::exceptions::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  } catch (const c10::Error& error) {
    std::cerr << error.what_without_backtrace() << '\n';
    return 1;
  }
}
