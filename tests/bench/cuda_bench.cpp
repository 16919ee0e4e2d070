// Time of the operators' CUDA kernels on a device against LibTorch's own: attention against
// scaled_dot_product_attention, rows against softmax, in the same dtype. In, options: --lengths, --heads,
// --sparse, --seconds; out, one table per group in milliseconds (the device's own clock, median). Results are
// compared with the CPU operators before anything is timed; a difference ends the program with exit code 1.
// Needs a LibTorch with CUDA and a device: without them one sentence and exit code 77.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <cxxopts.hpp>
#include <dlfcn.h>
#include <fmt/format.h>

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/torch.h>

#include "ops/cuda_kernels.h"
#include "ops/sparse_mask_attention.h"
#include "ops/sparsemax.h"

namespace giantrabbit::bench {
namespace {

constexpr int kSkipped = 77;
constexpr int64_t kWidth = 64;
constexpr double kSpread = 2;  // of the scores; tests/cuda_roofline predicts the same problems
constexpr int64_t kCheckedLength = 1000;
constexpr int64_t kRowEntries = int64_t{1} << 27;  // of a table of rows

struct Settings {
  std::span<const ops::Normalizer> normalizers;
  std::vector<int64_t> lengths;
  int64_t heads = 0;
  double seconds = 0;  // of the device, per figure
};

// Why nothing can be timed here; empty if it can.
std::string obstacle() {
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr)
    return fmt::format("this LibTorch has no CUDA ({})", dlerror());
  if (!torch::cuda::is_available()) return "LibTorch finds no CUDA device";
  if (const std::string reason = ops::load_cuda_kernels(); !reason.empty())
    return fmt::format("the library of CUDA kernels does not load ({})", reason);
  return {};
}

// Milliseconds that `work` keeps the device busy, the median of several turns; of slow work one.
double milliseconds(const std::function<void()>& work, double seconds) {
  const c10::impl::VirtualGuardImpl device(c10::kCUDA);
  const c10::Stream stream = device.getStream(c10::Device(c10::kCUDA, 0));
  const auto turn = [&](int64_t repeats) {
    c10::Event begin(c10::kCUDA, c10::EventFlag::BACKEND_DEFAULT);
    c10::Event end(c10::kCUDA, c10::EventFlag::BACKEND_DEFAULT);
    begin.record(stream);
    for (int64_t i = 0; i < repeats; ++i) work();
    end.record(stream);
    end.synchronize();
    return begin.elapsedTime(end) / static_cast<double>(repeats);
  };
  constexpr double kSlow = 2000;  // loading kernels and memory take a small part of it
  constexpr int kTurns = 5;
  if (const double first = turn(1); first >= kSlow) return first;
  const double once = turn(1);
  if (once >= seconds * 1000) return once;
  const auto repeats = static_cast<int64_t>(seconds * 1000 / kTurns / std::max(once, 1e-3));
  std::vector<double> times;
  for (int i = 0; i < kTurns; ++i) times.push_back(turn(std::clamp<int64_t>(repeats, 1, 1000)));
  std::ranges::sort(times);
  return times[kTurns / 2];
}

// The same, or nothing where an operator has no CUDA kernel for it.
std::optional<double> milliseconds_if_any(const std::function<void()>& work, double seconds) {
  try {
    return milliseconds(work, seconds);
  } catch (const c10::NotImplementedError&) {
    return std::nullopt;
  }
}

std::string figure(const std::optional<double>& time) { return time ? fmt::format("{:.3f}", *time) : "none"; }

std::string ratio(double theirs, const std::optional<double>& ours) {
  return ours ? fmt::format("{:.2f}", theirs / *ours) : "";
}

struct Heads {
  at::Tensor query;
  at::Tensor key;
  at::Tensor value;

  Heads(int64_t heads, int64_t length, at::ScalarType dtype) {
    torch::manual_seed(7);
    const auto options = at::device(at::kCUDA).dtype(dtype);
    query = torch::randn({1, heads, length, kWidth}, options).mul_(kSpread).requires_grad_();
    key = torch::randn({1, heads, length, kWidth}, options).requires_grad_();
    value = torch::randn({1, heads, length, kWidth}, options).requires_grad_();
  }
};

at::Tensor attend(const Heads& on, ops::Normalizer normalizer) {
  ops::SparseMask mask;
  mask.causal = true;
  return ops::sparse_mask_attention(on.query, on.key, on.value, mask, normalizer);
}

at::Tensor attend_by_libtorch(const Heads& on) {
  return at::scaled_dot_product_attention(on.query, on.key, on.value, {}, 0.0, true);
}

void with_gradients(const Heads& on, const at::Tensor& result) {
  torch::autograd::grad({result}, {on.query, on.key, on.value}, {at::ones_like(result)});
}

// Largest difference from the same operator on the CPU in float: of scores and sums in another order, and of
// results rounded to the dtype.
bool agrees(const std::string& what, const at::Tensor& actual, const at::Tensor& expected) {
  const double allowed = actual.scalar_type() == at::kFloat ? 1e-4 : 3e-2;
  const double worst = (actual.to(at::kCPU, at::kFloat) - expected).abs().max().item<double>();
  if (worst <= allowed) return true;
  fmt::print(stderr, "cuda_bench: {} differs from the CPU operator by {}\n", what, worst);
  return false;
}

constexpr ops::Normalizer kNormalizers[] = {ops::Normalizer::softmax, ops::Normalizer::sparsemax,
                                            ops::Normalizer::entmax15};
constexpr ops::Normalizer kSparseNormalizers[] = {ops::Normalizer::sparsemax, ops::Normalizer::entmax15};

bool validate() {
  const torch::NoGradGuard guard;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const Heads device(2, kCheckedLength, dtype);
    Heads host = device;
    for (at::Tensor* const tensor : {&host.query, &host.key, &host.value})
      *tensor = tensor->to(at::kCPU, at::kFloat);
    for (const ops::Normalizer normalizer : kNormalizers) {
      const std::string what = fmt::format("attention with {}", ops::normalizer_name(normalizer));
      if (!agrees(what, attend(device, normalizer), attend(host, normalizer))) return false;
    }
    const at::Tensor scores = device.query.reshape({-1, 2 * kCheckedLength});
    const at::Tensor on_host = host.query.reshape({-1, 2 * kCheckedLength});
    if (!agrees("sparsemax", ops::sparsemax(scores, -1), ops::sparsemax(on_host, -1))) return false;
    if (!agrees("entmax15", ops::entmax15(scores, -1), ops::entmax15(on_host, -1))) return false;
  }
  return true;
}

void attention_table(const Settings& settings, at::ScalarType dtype, bool gradients) {
  fmt::print(
      "\ncausal attention{}, {}, {} heads of width {}: milliseconds, and how many times as fast as "
      "LibTorch\n",
      gradients ? " with gradients" : "", c10::toString(dtype), settings.heads, kWidth);
  fmt::print("{:>7} {:>10}", "length", "LibTorch");
  for (const ops::Normalizer normalizer : settings.normalizers)
    fmt::print("{:>19}", ops::normalizer_name(normalizer));
  fmt::print("\n");
  for (const int64_t length : settings.lengths) {
    const Heads on(settings.heads, length, dtype);
    const auto timed = [&](const std::function<at::Tensor()>& forward) {
      return milliseconds_if_any(
          [&] {
            const at::AutoGradMode mode(gradients);
            const at::Tensor result = forward();
            if (gradients) with_gradients(on, result);
          },
          settings.seconds);
    };
    const double theirs = timed([&] { return attend_by_libtorch(on); }).value_or(0.0);
    std::string line = fmt::format("{:>7} {:>10.3f}", length, theirs);
    for (const ops::Normalizer normalizer : settings.normalizers) {
      const std::optional<double> ours = timed([&] { return attend(on, normalizer); });
      line += fmt::format(" {:>10} {:>7}", figure(ours), ratio(theirs, ours));
    }
    fmt::print("{}\n", line);
  }
}

void rows_table(const Settings& settings, at::ScalarType dtype) {
  fmt::print("\nrows, {}: milliseconds for {} numbers, and how many times as fast as LibTorch's softmax\n",
             c10::toString(dtype), kRowEntries);
  fmt::print("{:>7} {:>10} {:>10}{:>19}{:>19}\n", "length", "copy", "softmax", "sparsemax", "entmax15");
  const torch::NoGradGuard guard;
  for (const int64_t length : settings.lengths) {
    torch::manual_seed(7);
    const at::Tensor scores =
        torch::randn({kRowEntries / length, length}, at::device(at::kCUDA).dtype(dtype)).mul_(kSpread);
    at::Tensor copy = at::empty_like(scores);
    const auto timed = [&](const std::function<void()>& work) {
      return milliseconds(work, settings.seconds);
    };
    const double theirs = timed([&] { at::softmax(scores, -1); });
    std::string line =
        fmt::format("{:>7} {:>10.3f} {:>10.3f}", length, timed([&] { copy.copy_(scores); }), theirs);
    for (const auto op : {ops::sparsemax, ops::entmax15}) {
      const double ours = timed([&] { op(scores, -1); });
      line += fmt::format(" {:>10.3f} {:>7.2f}", ours, theirs / ours);
    }
    fmt::print("{}\n", line);
  }
}

int run(int count, char** arguments) {
  cxxopts::Options options("cuda_bench",
                           "Times the CUDA kernels against LibTorch's own on this machine's device.");
  options.add_options()(
      "lengths", "keys per query, and entries per row",
      cxxopts::value<std::vector<int64_t>>()->default_value("1024,2048,4096,8192,16384,32768,65536"))(
      "heads", "heads of attention", cxxopts::value<int64_t>()->default_value("8"))(
      "sparse", "no softmax, whose long rows take minutes", cxxopts::value<bool>())(
      "seconds", "of the device for every figure", cxxopts::value<double>()->default_value("0.2"))(
      "help", "this text");
  const cxxopts::ParseResult parsed = options.parse(count, arguments);
  if (parsed.count("help") != 0) {
    fmt::print("{}", options.help());
    return 0;
  }
  if (const std::string reason = obstacle(); !reason.empty()) {
    fmt::print("cuda_bench: needs a LibTorch with CUDA and a device: {}\n", reason);
    return kSkipped;
  }
  const Settings settings{parsed["sparse"].as<bool>() ? std::span<const ops::Normalizer>(kSparseNormalizers)
                                                      : std::span<const ops::Normalizer>(kNormalizers),
                          parsed["lengths"].as<std::vector<int64_t>>(), parsed["heads"].as<int64_t>(),
                          parsed["seconds"].as<double>()};
  if (!validate()) return 1;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    rows_table(settings, dtype);
    for (const bool gradients : {false, true}) attention_table(settings, dtype, gradients);
  }
  return 0;
}

}  // namespace
}  // namespace giantrabbit::bench

int main(int count, char** arguments) {
  try {
    return giantrabbit::bench::run(count, arguments);
  } catch (const std::exception& error) {
    fmt::print(stderr, "cuda_bench: {}\n", error.what());
    return 1;
  }
}
