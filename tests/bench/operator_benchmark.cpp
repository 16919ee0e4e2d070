// Times of single operators under Google Benchmark, for following one operator over changes of the code
// (--benchmark_filter, --benchmark_repetitions, --benchmark_out). One operator runs after the other here:
// for ratios between two of them use the programs that let them take turns (interleaved.h). One thread; every
// attention is compared with its definition in double first. pairs/s: scores of visible pairs.
#include <stdexcept>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include "ops/cached_attention.h"
#include "ops/sparsemax.h"
#include "tests/bench/attention_facts.h"

namespace giantrabbit::bench {
namespace {

using benchmark::State;
using ops::Normalizer;

constexpr int64_t kWidth = 64;
constexpr int64_t kHeads = 4;
constexpr Normalizer kNormalizers[] = {Normalizer::softmax, Normalizer::sparsemax, Normalizer::entmax15};

void count_pairs(State& state, double pairs) {
  state.counters["pairs/s"] =
      benchmark::Counter(pairs, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1000);
}

void attention(State& state, Normalizer normalizer, int64_t length, bool causal, bool training) {
  const Problem problem = make_problem({1, kHeads, length, length, kWidth, causal}, normalizer);
  try {
    examine(problem);
  } catch (const std::exception& error) {
    state.SkipWithError(error.what());
    return;
  }
  const std::function<void()> run = training ? training_of(problem, ours) : forward_of(problem, ours);
  for (auto _ : state) run();
  const auto n = static_cast<double>(length);
  count_pairs(state, kHeads * (causal ? n * (n + 1) / 2 : n * n));
}

void rows(State& state, at::Tensor& (*op)(at::Tensor&, const at::Tensor&, int64_t), int64_t count,
          int64_t length) {
  torch::manual_seed(7);
  const at::NoGradGuard no_grad;
  const at::Tensor scores = torch::randn({count, length});
  at::Tensor out = at::empty_like(scores);
  for (auto _ : state) op(out, scores, -1);
  state.SetBytesProcessed(state.iterations() * count * length * 8);  // read once, written once
}

void decoding(State& state, Normalizer normalizer, int64_t keys) {
  torch::manual_seed(7);
  const at::NoGradGuard no_grad;
  ops::KeyValueCache cache({1, kHeads, kWidth, kWidth}, normalizer != Normalizer::softmax);
  cache.append(torch::randn({1, kHeads, keys, kWidth}), torch::randn({1, kHeads, keys, kWidth}));
  const at::Tensor query = torch::randn({1, kHeads, 1, kWidth});
  for (auto _ : state) benchmark::DoNotOptimize(ops::cached_attention(query, cache, normalizer));
  count_pairs(state, static_cast<double>(kHeads * keys));
}

template <class Function, class... Arguments>
void add(const std::string& name, Function function, Arguments... arguments) {
  benchmark::RegisterBenchmark(name.c_str(), function, arguments...)->Unit(benchmark::kMillisecond);
}

void add_all() {
  for (const Normalizer normalizer : kNormalizers) {
    const std::string_view name = ops::normalizer_name(normalizer);
    for (const int64_t length : {256, 1024, 4096}) {
      for (const bool causal : {false, true}) {
        for (const bool training : {false, true}) {
          add(fmt::format("attention/{}/{}{}/{}", name, length, causal ? "/causal" : "",
                          training ? "training" : "forward"),
              attention, normalizer, length, causal, training);
        }
      }
    }
    for (const int64_t keys : {1024, 4096, 16384, 65536}) {
      add(fmt::format("decoding/{}/{}", name, keys), decoding, normalizer, keys);
    }
  }
  for (const auto& [count, length] :
       {std::pair<int64_t, int64_t>{4096, 128}, {4096, 1024}, {1024, 4096}, {256, 32768}}) {
    add(fmt::format("rows/sparsemax/{}x{}", count, length), rows, ops::sparsemax_out, count, length);
    add(fmt::format("rows/entmax15/{}x{}", count, length), rows, ops::entmax15_out, count, length);
  }
}

}  // namespace
}  // namespace giantrabbit::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  at::set_num_threads(1);
  giantrabbit::bench::add_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
