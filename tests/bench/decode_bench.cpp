// Time of one query per head over a key/value cache: our sparsemax and entmax-1.5 against our own dense
// softmax loop and against LibTorch's scaled_dot_product_attention (fp32). In, options: --rounds N, --threads
// N, --only TEXT, --layers N (caches taken in turns, as the layers of a model are: what one call leaves in
// the processor's caches is gone at the next); out, a table of ratios, of the bytes read and of the rate at
// which they came, beside the rate of a plain weighted sum over as many bytes. Every problem is compared with
// the reference in double before it is timed; a mismatch ends the program with exit code 1.
#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include <cxxopts.hpp>
#include <fmt/format.h>

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include "ops/cached_attention.h"
#include "ops/cpu/cached_attention.h"
#include "ops/reference/sparse_mask_attention.h"
#include "tests/bench/interleaved.h"

namespace giantrabbit::ops {
namespace {

struct Options {
  int rounds = 20;
  int threads = 1;
  int layers = 1;
  std::string only;
};

struct Problem {
  std::string name;
  at::Tensor query, key, value;
  KeyValueCache skippable, plain;
  double scale;
};

// Keys 64 apart wander around the same place (correlated) or are independent of one another.
at::Tensor make_keys(int64_t heads, int64_t keys, int64_t width, bool correlated) {
  const at::Tensor noise = torch::randn({1, heads, keys, width});
  if (!correlated) return noise;
  const at::Tensor topics = torch::randn({1, heads, (keys + 63) / 64, width});
  return topics.repeat_interleave(64, 2).narrow(2, 0, keys) + 0.3 * noise;
}

std::string name_of(int64_t width, int64_t keys, double spread, bool correlated) {
  return fmt::format("d {} n {:>5} spread {}{}", width, keys, spread, correlated ? " topics" : "");
}

std::string label_of(const std::string& problem, Normalizer normalizer) {
  return fmt::format("{} {}", problem, normalizer_name(normalizer));
}

constexpr Normalizer kTimed[] = {Normalizer::sparsemax, Normalizer::entmax15};

bool wanted(const std::string& problem, const Options& options) {
  return std::ranges::any_of(kTimed, [&](Normalizer normalizer) {
    return label_of(problem, normalizer).find(options.only) != std::string::npos;
  });
}

Problem make_problem(int64_t width, int64_t keys, double spread, bool correlated) {
  constexpr int64_t kHeads = 4;
  Problem problem{name_of(width, keys, spread, correlated),
                  torch::randn({1, kHeads, 1, width}),
                  make_keys(kHeads, keys, width, correlated),
                  torch::randn({1, kHeads, keys, width}),
                  KeyValueCache({1, kHeads, width, width}),
                  KeyValueCache({1, kHeads, width, width}, /*skippable=*/false),
                  spread / std::sqrt(static_cast<double>(width))};
  problem.skippable.append(problem.key, problem.value);
  problem.plain.append(problem.key, problem.value);
  return problem;
}

bool validate(const Problem& problem, Normalizer normalizer) {
  const auto wide = [](const at::Tensor& tensor) { return tensor.to(torch::kDouble); };
  const at::Tensor expected = reference::sparse_mask_attention(
      wide(problem.query), wide(problem.key), wide(problem.value), {}, normalizer, problem.scale);
  const at::Tensor result = cached_attention(problem.query, problem.skippable, normalizer, problem.scale);
  const double worst = (result - expected).abs().max().item<double>();
  if (worst < 2e-5) return true;
  fmt::print(stderr, "decode_bench: {} with {} differs from the reference by {}\n", problem.name,
             normalizer_name(normalizer), worst);
  return false;
}

double gigabytes_per_second(int64_t bytes, double seconds) {
  return static_cast<double>(bytes) / seconds * 1e-9;
}

// The rate at which a weighted sum of rows reads as many bytes, again and again.
double plain_rate(int64_t bytes, int threads) {
  constexpr int64_t kWidth = 64;
  const int64_t rows = std::max<int64_t>(threads, bytes / (4 * kWidth));
  const at::Tensor numbers = torch::ones({rows, kWidth});
  const at::Tensor weights = torch::ones({rows});
  const cpu::DecodeFunctions& functions = cpu::decode_functions(cpu::chosen_capability());
  const auto read = [&] {
    at::parallel_for(0, rows, (rows + threads - 1) / threads, [&](int64_t begin, int64_t end) {
      float sum[kWidth] = {};
      functions.add_rows(weights.const_data_ptr<float>() + begin, {numbers.const_data_ptr<float>(), kWidth},
                         begin, end - begin, sum);
    });
  };
  return gigabytes_per_second(rows * kWidth * 4, bench::compare(read, read, {5, 0.002}).wall.a.minimum);
}

CachedAttentionCounters count(const Problem& problem, const KeyValueCache& cache, Normalizer normalizer) {
  CachedAttentionCounters counters;
  cached_attention(problem.query, cache, normalizer, problem.scale, {}, &counters);
  return counters;
}

bool run(const std::vector<Problem>& layers, const Options& options) {
  const Problem& first = layers.front();
  size_t turn = 0;
  const auto next = [&]() -> const Problem& { return layers[turn++ % layers.size()]; };
  const auto softmax = [&] {
    const Problem& of = next();
    cached_attention(of.query, of.plain, Normalizer::softmax, of.scale);
  };
  const auto fused = [&] {
    const Problem& of = next();
    at::scaled_dot_product_attention(of.query, of.key, of.value, {}, 0.0, false, of.scale);
  };
  const bench::Plan plan{options.rounds, 0.002};
  if (!validate(first, Normalizer::softmax)) return false;
  const CachedAttentionCounters dense = count(first, first.plain, Normalizer::softmax);
  for (const Normalizer normalizer : kTimed) {
    const std::string label = label_of(first.name, normalizer);
    if (label.find(options.only) == std::string::npos) continue;
    if (!validate(first, normalizer)) return false;
    const auto ours = [&] {
      const Problem& of = next();
      cached_attention(of.query, of.skippable, normalizer, of.scale);
    };
    const CachedAttentionCounters counters = count(first, first.skippable, normalizer);
    const bench::Comparison against_softmax = bench::compare(ours, softmax, plan);
    const double rate = gigabytes_per_second(counters.bytes_read, against_softmax.wall.a.minimum);
    const double plain = plain_rate(counters.bytes_read, options.threads);
    bench::print_comparison(
        label, against_softmax,
        fmt::format(
            "{:5.3f} of the bytes at {:.0f} GB/s, {:.2f} of a plain sum's; softmax {:.0f} GB/s; support "
            "{}, in fp32 {}, pages skipped {}, dense rows {}",
            static_cast<double>(counters.bytes_read) / static_cast<double>(dense.bytes_read), rate,
            rate / plain, gigabytes_per_second(dense.bytes_read, against_softmax.wall.b.minimum),
            counters.support, counters.keys_scored, counters.pages_skipped, counters.dense_rows));
    bench::print_comparison("    against LibTorch's fused attention", bench::compare(ours, fused, plan));
  }
  return true;
}

bool run_all(const Options& options) {
  at::set_num_threads(options.threads);
  const torch::NoGradGuard no_grad;
  bench::print_heading("ours", "other", "reading");
  for (const int64_t width : {64, 32}) {
    for (const int64_t keys : {1024, 4096, 16384, 65536}) {
      for (const double spread : {1.0, 0.1, 0.3, 3.0}) {
        for (const bool correlated : {false, true}) {
          if (correlated && spread != 1.0) continue;
          if (!wanted(name_of(width, keys, spread, correlated), options)) {
            continue;
          }
          torch::manual_seed(7);
          std::vector<Problem> layers;
          for (int layer = 0; layer < options.layers; ++layer) {
            layers.push_back(make_problem(width, keys, spread, correlated));
          }
          if (!run(layers, options)) return false;
        }
      }
    }
  }
  return true;
}

}  // namespace
}  // namespace giantrabbit::ops

int main(int argc, char** argv) {
  cxxopts::Options description("decode_bench", "One query per head over a cache against dense softmax");
  description.add_options()("rounds", "of timing", cxxopts::value<int>()->default_value("20"))(
      "threads", "of both sides", cxxopts::value<int>()->default_value("1"))(
      "layers", "caches taken in turns", cxxopts::value<int>()->default_value("1"))(
      "only", "print the lines whose label holds this text",
      cxxopts::value<std::string>()->default_value(""))("help", "");
  try {
    const auto given = description.parse(argc, argv);
    if (given.count("help") != 0) {
      std::cout << description.help();
      return 0;
    }
    const auto at_least_one = [&](const char* name) { return std::max(1, given[name].as<int>()); };
    return giantrabbit::ops::run_all({at_least_one("rounds"), at_least_one("threads"), at_least_one("layers"),
                                      given["only"].as<std::string>()})
               ? 0
               : 1;
  } catch (const cxxopts::exceptions::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
}
