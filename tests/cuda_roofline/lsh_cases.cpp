// Causal LSH attention with two rounds of random buckets, chunks of 64 that see the one before, eight heads.
#include <algorithm>
#include <numeric>

#include "ops/cuda/lsh_kernels.h"
#include "tests/cuda_roofline/case_buffers.h"
#include "tests/cuda_roofline/cases.h"

namespace giantrabbit::roofline {
namespace {

constexpr int64_t kRounds = 2;
constexpr int64_t kChunk = 64;

// Positions of every head and round by (bucket, position).
std::vector<int64_t> random_order(int64_t heads, int64_t length) {
  std::mt19937_64 random(1806);
  std::vector<int64_t> order;
  for (int64_t part = 0; part < heads * kRounds; ++part) {
    std::vector<int64_t> buckets(static_cast<size_t>(length));
    for (int64_t& bucket : buckets) bucket = static_cast<int64_t>(random() % (length / kChunk * 2));
    std::vector<int64_t> positions(buckets.size());
    std::iota(positions.begin(), positions.end(), int64_t{0});
    std::stable_sort(positions.begin(), positions.end(), [&](int64_t a, int64_t b) {
      return buckets[static_cast<size_t>(a)] < buckets[static_cast<size_t>(b)];
    });
    order.insert(order.end(), positions.begin(), positions.end());
  }
  return order;
}

std::function<void()> prepare_lsh(Normalizer normalizer, int64_t length, int64_t heads) {
  const int64_t count = heads * length * kHeadWidth;
  const auto query = random_buffer<float>(count, kSpread);
  const auto key = random_buffer<float>(count, 1.0F);
  const auto value = random_buffer<float>(count, 1.0F);
  const auto order = std::make_shared<DeviceBuffer<int64_t>>(random_order(heads, length));
  const auto output = filled_buffer<float>(count, 0.0F);
  const ops::cuda::HeadsLayout layout{count, length * kHeadWidth, kHeadWidth};
  const ops::cuda::LshProblem problem{1,      heads,  length, kHeadWidth, kHeadWidth,  layout,
                                      layout, layout, 0.125,  kRounds,    kChunk,      1,
                                      0,      true,   true,   nullptr,    order->get()};
  const ops::cuda::LshInputs inputs{query->get(), key->get(), value->get()};
  if (normalizer == Normalizer::softmax) {
    const auto log_sums = filled_buffer<float>(heads * length, -std::numeric_limits<float>::infinity());
    return [=, owned = std::tuple(query, key, value, order)] {
      check(ops::cuda::launch_lsh_softmax(Dtype::float32, problem, inputs, output->get(), log_sums->get(),
                                          nullptr));
    };
  }
  const auto numbers = empty_buffer<int32_t>(heads * length * kRounds);
  const auto scores = empty_buffer<float>(heads * length * ops::cuda::lsh_row_length(problem));
  return [=, owned = std::tuple(query, key, value, order)] {
    const ops::cuda::LshHeads all{0, heads};
    check(ops::cuda::launch_lsh_chunk_numbers(problem, numbers->get(), nullptr));
    check(ops::cuda::launch_lsh_scores(Dtype::float32, problem, all, inputs, numbers->get(), scores->get(),
                                       nullptr));
    check(ops::cuda::launch_lsh_sparse_rows(normalizer, Dtype::float32, problem, all, inputs.value,
                                            numbers->get(), scores->get(), output->get(), {}, nullptr));
  };
}

int64_t eight_heads(int64_t) { return 8; }

}  // namespace

void add_lsh_cases(std::vector<Case>& cases) {
  const auto add = [&](const char* name, Normalizer normalizer) {
    cases.push_back({name,
                     Kind::attention,
                     sizeof(float),
                     1,
                     {256, 384, 512, 640},
                     1,
                     eight_heads,
                     [=](int64_t length, int64_t heads) { return prepare_lsh(normalizer, length, heads); }});
  };
  add("softmax LSH attention, float32", Normalizer::softmax);
  add("sparsemax LSH attention, float32", Normalizer::sparsemax);
}

}  // namespace giantrabbit::roofline
