// The table of operators; see cases.h.
#include "tests/cuda_roofline/cases.h"

#include <cmath>
#include <memory>
#include <random>
#include <stdexcept>

#include <cuda_bf16.h>

#include "ops/cuda/kernels.h"
#include "tests/cuda_emulator/device_buffer.h"

namespace giantrabbit::roofline {
namespace {

using cuda_emulator::DeviceBuffer;
using ops::Normalizer;
using ops::cuda::Dtype;

template <class Stored>
constexpr Dtype kDtype = Dtype::float32;
template <>
inline constexpr Dtype kDtype<__nv_bfloat16> = Dtype::bfloat16;

void check(int error) {
  if (error != 0) throw std::runtime_error("a launch failed with error " + std::to_string(error));
}

void put(float& to, float value) { to = value; }
void put(__nv_bfloat16& to, float value) { to = __float2bfloat16_rn(value); }

// A long buffer repeats itself: drawing numbers would take longer than the kernels.
template <class Stored>
std::shared_ptr<DeviceBuffer<Stored>> random_buffer(int64_t count, float spread) {
  constexpr size_t kDrawn = 999'983;  // a prime: no two rows begin alike
  static std::mt19937_64 random(1806);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<Stored> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    if (i < kDrawn) {
      put(values[i], normal(random));
    } else {
      values[i] = values[i - kDrawn];
    }
  }
  return std::make_shared<DeviceBuffer<Stored>>(values);
}

template <class Stored>
std::shared_ptr<DeviceBuffer<Stored>> empty_buffer(int64_t count) {
  return std::make_shared<DeviceBuffer<Stored>>(static_cast<size_t>(count));
}

constexpr float kSpread = 2.0F;

template <class Stored>
std::function<void()> prepare_rows(Normalizer normalizer, bool gradient, int64_t length, int64_t rows) {
  const int64_t count = length * rows;
  const auto scores = random_buffer<Stored>(count, kSpread);
  const auto weights = empty_buffer<Stored>(count);
  const std::function<void()> forward = [=] {
    check(ops::cuda::launch_normalize_rows(normalizer, kDtype<Stored>, {rows, length}, scores->get(),
                                           weights->get(), nullptr));
  };
  if (!gradient) return forward;
  forward();
  const auto result = empty_buffer<Stored>(count);
  return [=] {
    check(ops::cuda::launch_normalize_rows_backward(normalizer, kDtype<Stored>, {rows, length}, scores->get(),
                                                    weights->get(), result->get(), nullptr));
  };
}

template <class Stored>
std::function<void()> prepare_attention(Normalizer normalizer, int64_t length, int64_t heads) {
  const int64_t count = heads * length * kHeadWidth;
  const auto query = random_buffer<Stored>(count, kSpread);
  const auto key = random_buffer<Stored>(count, 1.0F);
  const auto value = random_buffer<Stored>(count, 1.0F);
  const auto result = empty_buffer<Stored>(count);
  ops::cuda::AttentionProblem problem{};
  problem.batch = 1;
  problem.heads = problem.key_heads = heads;
  problem.queries = problem.keys = length;
  problem.width = problem.value_width = kHeadWidth;
  const ops::cuda::HeadsLayout layout{count, length * kHeadWidth, kHeadWidth};
  problem.query = problem.key = problem.value = problem.result = layout;
  problem.scale = 1.0 / std::sqrt(static_cast<double>(kHeadWidth));
  problem.causal = true;
  return [=] {
    check(ops::cuda::launch_attention(normalizer, kDtype<Stored>, problem, query->get(), key->get(),
                                      value->get(), result->get(), nullptr));
  };
}

int64_t rows_of_a_tensor(int64_t length) { return (int64_t{1} << 27) / length; }
int64_t eight_heads(int64_t) { return 8; }

template <class Stored>
void add_cases(const std::string& dtype, std::vector<Case>& cases) {
  const auto add_rows = [&](const char* name, Normalizer normalizer, bool gradient) {
    cases.push_back({name + dtype,
                     Kind::rows,
                     sizeof(Stored),
                     1,
                     {2048, 4096, 6144, 8192},
                     8,
                     rows_of_a_tensor,
                     [=](int64_t length, int64_t units) {
                       return prepare_rows<Stored>(normalizer, gradient, length, units);
                     }});
  };
  const auto add_attention = [&](const char* name, Normalizer normalizer) {
    cases.push_back({name + dtype,
                     Kind::attention,
                     sizeof(Stored),
                     2,
                     {64, 128, 192, 256, 320},
                     1,
                     eight_heads,
                     [=](int64_t length, int64_t units) {
                       return prepare_attention<Stored>(normalizer, length, units);
                     }});
  };
  add_rows("sparsemax rows, ", Normalizer::sparsemax, false);
  add_rows("entmax15 rows, ", Normalizer::entmax15, false);
  add_rows("sparsemax rows backward, ", Normalizer::sparsemax, true);
  add_rows("entmax15 rows backward, ", Normalizer::entmax15, true);
  add_attention("softmax attention, ", Normalizer::softmax);
  add_attention("sparsemax attention, ", Normalizer::sparsemax);
  add_attention("entmax15 attention, ", Normalizer::entmax15);
}

}  // namespace

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  add_cases<float>("float32", cases);
  add_cases<__nv_bfloat16>("bfloat16", cases);
  return cases;
}

}  // namespace giantrabbit::roofline
