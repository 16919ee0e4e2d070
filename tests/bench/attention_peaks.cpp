// Loops of independent instructions on registers, as many chains as hide their latency; the best of several
// short runs by the thread's processor time.
#include "tests/bench/attention_peaks.h"

#include <algorithm>
#include <cstdint>
#include <ctime>

#include <fmt/format.h>

namespace giantrabbit::bench {
namespace {

constexpr int64_t kRounds = 100'000;

#if defined(__x86_64__)
#define GR_TWELVE(line) \
  line(0) line(1) line(2) line(3) line(4) line(5) line(6) line(7) line(8) line(9) line(10) line(11)
#define GR_CLEAR(i) "vxorps %%ymm" #i ", %%ymm" #i ", %%ymm" #i "\n\t"
#define GR_INT8(i) "vpdpbusd %%zmm14, %%zmm15, %%zmm" #i "\n\t"
#define GR_FP32_512(i) "vfmadd231ps %%zmm14, %%zmm15, %%zmm" #i "\n\t"
#define GR_FP32_256(i) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #i "\n\t"
#define GR_LOOP(instruction) \
  asm volatile(GR_TWELVE(GR_CLEAR) GR_CLEAR(14) GR_CLEAR(15) "1:\n\t" GR_TWELVE(instruction) "dec %0\n\t" \
               "jnz 1b\n\t"                                                                              \
               "vzeroupper\n\t"                                                                          \
               : "+r"(rounds)                                                                            \
               :                                                                                         \
               : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",   \
                 "xmm10", "xmm11", "xmm14", "xmm15")

void int8_loop(int64_t rounds) { GR_LOOP(GR_INT8); }
void fp32_loop_512(int64_t rounds) { GR_LOOP(GR_FP32_512); }
void fp32_loop_256(int64_t rounds) { GR_LOOP(GR_FP32_256); }

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double best_rate(void (*loop)(int64_t), double operations_per_round) {
  double best = 0;
  for (int run = 0; run < 50; ++run) {
    const double start = processor_seconds();
    loop(kRounds);
    best = std::max(best, operations_per_round * kRounds / (processor_seconds() - start));
  }
  return best;
}
#endif

}  // namespace

std::string Peaks::text() const {
  return fmt::format("measured peak of one core: int8 vpdpbusd {:.0f} G/s, fp32 FMA {:.0f} G/s", int8 * 1e-9,
                     fp32 * 1e-9);
}

Peaks measure_peaks() {
  Peaks peaks;
#if defined(__x86_64__)
  constexpr double kChains = 12;
  const bool wide = __builtin_cpu_supports("avx512f");
  if (wide && __builtin_cpu_supports("avx512vnni")) peaks.int8 = best_rate(int8_loop, kChains * 64 * 2);
  if (wide) peaks.fp32 = best_rate(fp32_loop_512, kChains * 16 * 2);
  if (!wide && __builtin_cpu_supports("fma")) peaks.fp32 = best_rate(fp32_loop_256, kChains * 8 * 2);
#endif
  return peaks;
}

}  // namespace giantrabbit::bench
