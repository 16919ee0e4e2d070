// Scaled queries and keys of attention as bf16 codes for the tensor cores, with what bounds their errors. In:
// an attention problem of any floating dtype but double. Out: codes, rows of kWidth columns, zeros where the
// problem has no row or column; of every query, and of every kStepKeys keys together, two lengths from which
// the distance of a coded score from the exact one follows.
//
// Note [Error of the coded scores]
// ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
// z is the score that the operator defines itself by: a chain of fused multiply-adds in fp32 over the d
// columns, times the scale, rounded. With s = scale * q (rounded), codes s' = bf16(s) and k' = bf16(k), and a
// the tensor cores' sum of s'_c k'_c:
//
//   |z - a| <= |s - s'| |k| + |s'| |k - k'|       codes: s.k - s'.k' = (s - s').k + s'.(k - k')
//            + (d + 3) u |s| |k|                  chain, scale, s; u = 2^-24 (Higham 2002, section 3.1)
//            + 17 (d / 16) 2 u |s'| |k'|          tensor cores: products of bf16 are exact in fp32; each of
//                                                 the 16 terms and the sum so far is cut to 24 bits below
//                                                 the largest of them (Fasi et al. 2021, "Numerical
//                                                 behavior of NVIDIA tensor cores", section 3)
//
// Both roundings together are below c |.| |.| with c = (d + 16) 2^-22, which leaves 19 * 2^-22 for the
// comparisons' own. With Q >= |s|, |s'| and N >= |k|, |k'|, R >= |k - k'| of all keys of the step:
//
//   e = A N + Q R,   A = |s - s'| + c Q.
//
// Lengths are summed in double and rounded up by 2^-12 of themselves; 1e-36 is added to |s - s'| and R for
// numbers that a device takes for zero. Where e is not below kMostError (NaN and infinite operands, sums that
// may overflow) nothing follows from the codes, and the row is computed from the operands themselves.
#pragma once

#include "ops/cuda/attention_sweep.cuh"

namespace giantrabbit::ops::cuda {

constexpr int kStepKeys = 32;       // keys that share a bound
constexpr int kCodedQueries = 128;  // rows of codes of a head: a multiple of it
constexpr int kCodedKeys = 128;
constexpr float kMostError = 1e32F;  // c >= 2^-18: Q N and all sums stay below 3e37

struct AttentionCodes {
  __nv_bfloat16* queries;  // [batch, heads, query_rows, kWidth]
  __nv_bfloat16* keys;     // [batch, key_heads, key_rows, kWidth]
  float2* query_bounds;    // [batch, heads, query_rows] A and Q
  float2* key_bounds;      // [batch, key_heads, key_rows / kStepKeys] N and R
  int64_t query_rows;
  int64_t key_rows;
};

// Squares of the lengths of a row and of what its code leaves out; each lane adds some.
struct CodedLengths {
  double row = 0.0;
  double rest = 0.0;

  __device__ __nv_bfloat16 add(float x) {
    const __nv_bfloat16 code = __float2bfloat16_rn(x);
    const double left = static_cast<double>(x) - static_cast<double>(__bfloat162float(code));
    row += static_cast<double>(x) * static_cast<double>(x);
    rest += left * left;
    return code;
  }

  // Bounds of the length of the row and of its code, and of what the code leaves out.
  __device__ float2 bounds() const {
    constexpr double kRoundedUp = 1.0 + 0x1p-12;
    constexpr double kFlushed = 1e-36;
    const double left_out = square_root(WarpGroup().sum(rest));
    const double length = square_root(WarpGroup().sum(row)) + left_out;
    return {static_cast<float>(length * kRoundedUp), static_cast<float>((left_out + kFlushed) * kRoundedUp)};
  }
};

// One row of codes by one warp; rows that do not exist are zeros.
template <int kWidth, class Stored>
__device__ float2 encode_row(const HeadRows<Stored>& rows, int64_t i, float factor, __nv_bfloat16* codes) {
  CodedLengths lengths;
#pragma unroll
  for (int column = lane_index(); column < kWidth; column += kWarp) {
    const bool exists = i < rows.count && column < rows.width;
    codes[column] = lengths.add(exists ? widened(rows.at(i)[column]) * factor : 0.0F);
  }
  return lengths.bounds();
}

// Of kStepKeys rows a block. Blocks of one head follow each other.
template <int kWidth, class Stored>
__global__ void __launch_bounds__(kBlockThreads)
    encode_queries(AttentionProblem problem, const Stored* query, AttentionCodes codes) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kStepKeys;  // of all heads' rows
  const int64_t head = first / codes.query_rows;
  const HeadRows<Stored> rows = head_rows<Stored>(query, problem.query, head / problem.heads,
                                                  head % problem.heads, problem.queries, problem.width);
  const double rounding = (kWidth + 16) * 0x1p-22;
  for (int row = warp_index(); row < kStepKeys; row += kBlockWarps) {
    const float2 bounds =
        encode_row<kWidth>(rows, first % codes.query_rows + row, static_cast<float>(problem.scale),
                           codes.queries + (first + row) * kWidth);
    if (lane_index() == 0) {
      codes.query_bounds[first + row] = {bounds.y + static_cast<float>(rounding * (1.0 + 0x1p-12)) * bounds.x,
                                         bounds.x};
    }
  }
}

// Keys behind their sequence's length are not read.
template <int kWidth, class Stored>
__global__ void __launch_bounds__(kBlockThreads)
    encode_keys(AttentionProblem problem, const Stored* key, AttentionCodes codes) {
  float2* const of_warps = reinterpret_cast<float2*>(dynamic_shared_memory());
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kStepKeys;
  const int64_t head = first / codes.key_rows;
  const int64_t b = head / problem.key_heads;
  int64_t count = problem.keys;
  if (problem.key_lengths != nullptr) count = clamped(problem.key_lengths[b], 0, count);
  const HeadRows<Stored> rows =
      head_rows<Stored>(key, problem.key, b, head % problem.key_heads, count, problem.width);
  float2 largest{0.0F, 0.0F};
  bool undefined = false;
  for (int row = warp_index(); row < kStepKeys; row += kBlockWarps) {
    const float2 bounds =
        encode_row<kWidth>(rows, first % codes.key_rows + row, 1.0F, codes.keys + (first + row) * kWidth);
    undefined |= !(bounds.x < kInfinity<float>);
    largest = {fmaxf(largest.x, bounds.x), fmaxf(largest.y, bounds.y)};
  }
  if (lane_index() == 0) of_warps[warp_index()] = {undefined ? kNan<float> : largest.x, largest.y};
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int warp = 0; warp < kBlockWarps; ++warp) {
    undefined |= !(of_warps[warp].x < kInfinity<float>);
    largest = {fmaxf(largest.x, of_warps[warp].x), fmaxf(largest.y, of_warps[warp].y)};
  }
  codes.key_bounds[first / kStepKeys] = {undefined ? kNan<float> : largest.x, largest.y};
}

}  // namespace giantrabbit::ops::cuda
