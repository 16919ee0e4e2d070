// Every path of the CUDA kernels once under ThreadSanitizer: it ends the program at a race between any two
// threads. Few rows, because it knows at most some thousand threads per launch.
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "ops/cuda/kernels.h"
#include "tests/cuda_emulator/launching.h"
#include "tests/ops_cuda/attention_cases.h"
#include "tests/ops_cuda/attention_pipeline.h"
#include "tests/ops_cuda/cached_cases.h"
#include "tests/ops_cuda/lsh_cases.h"
#include "tests/ops_cuda/lsh_runs.h"
#include "tests/ops_cuda/row_cases.h"

extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "halt_on_error=1"; }

namespace giantrabbit::ops::cuda {
namespace {

using cuda_emulator::DeviceBuffer;

// Rows that stay in one list, that overflow their lists, and that are wide; short and long.
TEST(KernelRacesTest, NoRowKernelHasARace) {
  std::mt19937_64 random(kRowSeed);
  std::normal_distribution<float> normal;
  cuda_emulator::set_schedule(cuda_emulator::kSchedules[2]);
  for (const int n : {45, 600, 2500}) {
    for (const float spread : {0.0F, 0.4F, 3.0F}) {
      std::vector<float> scores;
      for (int i = 0; i < 2 * n; ++i) scores.push_back(normal(random) * spread);
      const Rows rows{2, n};
      const DeviceBuffer<float> in(scores);
      const DeviceBuffer<float> weights(scores.size());
      const DeviceBuffer<float> grad(scores.size());
      const DeviceBuffer<int64_t> targets(std::vector<int64_t>{1, 44});
      const DeviceBuffer<float> losses(2);
      for (const Normalizer normalizer : {Normalizer::sparsemax, Normalizer::entmax15}) {
        launch_normalize_rows(normalizer, Dtype::float32, rows, in.get(), weights.get(), nullptr);
        launch_normalize_rows_backward(normalizer, Dtype::float32, rows, in.get(), weights.get(), grad.get(),
                                       nullptr);
        launch_row_losses(normalizer, Dtype::float32, rows, in.get(), targets.get(), losses.get(), nullptr);
        launch_row_losses_backward(Dtype::float32, rows, losses.get(), weights.get(), targets.get(),
                                   grad.get(), nullptr);
        const Row row = row_of(weights.values(), 0, static_cast<size_t>(n));
        EXPECT_NEAR(std::accumulate(row.begin(), row.end(), 0.0), 1.0, 1e-6);  // n weights, rounded once each
      }
    }
  }
}

// Usual rows and wide ones, two blocks each, from the result to all gradients.
TEST(KernelRacesTest, AttentionHasNoRace) {
  std::mt19937_64 random(kRowSeed);
  cuda_emulator::set_schedule(cuda_emulator::kSchedules[2]);
  const auto run = [&](const AttentionCase& attention, Normalizer normalizer) {
    AttentionPipeline<float> pipeline(AttentionInputs<float>(attention, random));
    pipeline.attend_and_keep(normalizer, 4, false);
    pipeline.differentiate(normalizer, {});
    // Every place was written.
    for (const float number : pipeline.result) EXPECT_FALSE(std::isnan(number));
    for (const float number : pipeline.query_grad) EXPECT_FALSE(std::isnan(number));
    for (const float number : pipeline.key_grad) EXPECT_FALSE(std::isnan(number));
    for (const float number : pipeline.value_grad) EXPECT_FALSE(std::isnan(number));
  };
  const AttentionCase usual{.name = "usual", .queries = 10, .keys = 10, .width = 66, .value_width = 3};
  run(usual, Normalizer::softmax);
  run(usual, Normalizer::entmax15);
  run({.name = "lists", .queries = 9, .keys = 12, .width = 2, .value_width = 2, .block_rows = 1},
      Normalizer::sparsemax);
  run({.name = "flat", .queries = 9, .keys = 9, .width = 2, .value_width = 2, .spread = 1e-3},
      Normalizer::sparsemax);
}

// More candidates than a list holds, in two blocks.
TEST(KernelRacesTest, AttentionOfWideRowsHasNoRace) {
  std::mt19937_64 random(kRowSeed);
  cuda_emulator::set_schedule(cuda_emulator::kSchedules[2]);
  const AttentionInputs<float> inputs(
      {.name = "wide", .queries = 9, .keys = 150, .width = 2, .value_width = 2, .spread = 1e-3}, random);
  for (const Normalizer normalizer : {Normalizer::sparsemax, Normalizer::entmax15}) {
    AttentionPipeline<float> pipeline(inputs);
    pipeline.attend_and_keep(normalizer, kMostKeptKeys, true);
    for (const float number : pipeline.result) EXPECT_FALSE(std::isnan(number));
  }
}

// Two blocks of a chunk, rows of several rounds of columns, two rounds that add to the same rows.
TEST(KernelRacesTest, LshAttentionHasNoRace) {
  std::mt19937_64 random(kRowSeed);
  cuda_emulator::set_schedule(cuda_emulator::kSchedules[2]);
  const LshInputsOf<float> inputs({.name = "usual", .length = 9, .rounds = 2, .chunk_length = 9, .width = 66},
                                  random);
  const LshRunner<float> runner(inputs);
  for (const Normalizer normalizer : {Normalizer::softmax, Normalizer::sparsemax}) {
    const LshRun<float> run = runner.run(normalizer);
    for (const std::vector<float>* numbers : run.all()) {
      for (const float number : *numbers) EXPECT_FALSE(std::isnan(number));
    }
  }
}

TEST(KernelRacesTest, LshBucketsHaveNoRace) {
  std::mt19937_64 random(kRowSeed);
  std::normal_distribution<float> normal;
  cuda_emulator::set_schedule(cuda_emulator::kSchedules[2]);
  const LshHashingProblem problem{1, 1, 40, 70, {0, 0, 70}, 2, true, 2, {34, 4}, nullptr};
  const auto random_numbers = [&](size_t count) {
    std::vector<float> numbers(count);
    for (float& number : numbers) number = normal(random);
    return numbers;
  };
  const DeviceBuffer<float> vectors(random_numbers(40 * 70));
  const DeviceBuffer<float> rotations(random_numbers(70 * 2 * 19));
  const DeviceBuffer<int64_t> buckets(2 * 40);
  launch_lsh_buckets(Dtype::float32, problem, vectors.get(), rotations.get(), buckets.get(), nullptr);
  for (size_t i = 0; i < 80; ++i) {
    EXPECT_GE(buckets.get()[i], i < 40 ? 0 : 136);
    EXPECT_LT(buckets.get()[i], i < 40 ? 136 : 272);
  }
}

// A page that is full and an open one, and more rows that share them than there are warps.
TEST(KernelRacesTest, CachedAttentionHasNoRace) {
  std::mt19937_64 random(kRowSeed);
  cuda_emulator::set_schedule(cuda_emulator::kSchedules[2]);
  const CachedTensors<float> tensors({.lengths = {70}, .heads = 9, .width = 6, .value_width = 4}, random);
  PagedCache<float> cache(tensors, random);
  cache.append_all(35);
  for (const Normalizer normalizer : {Normalizer::softmax, Normalizer::sparsemax}) {
    for (const float number : cache.attend(normalizer)) EXPECT_FALSE(std::isnan(number));
  }
}

}  // namespace
}  // namespace giantrabbit::ops::cuda
