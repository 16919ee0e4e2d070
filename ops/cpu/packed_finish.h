// The end of a product of a packed matrix: its results on their way to memory. Internal to the object that
// includes it, like row_vectors.h.
#pragma once

#include "ops/cpu/packed_functions.h"
#include "ops/cpu/row_vectors.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

// The first `count` results of a vector, all of them if there are more, none if it is not positive.
inline void finish_vector(Vec<float> result, float* output, int64_t count, Finish finish) {
  constexpr int64_t kCount = Lanes<float>::count;
  if (count <= 0) return;
  const bool whole = count >= kCount;
  if (finish == Finish::add_to_output) {
    result += whole ? load(output) : load_part(output, count, 0.0F);
  } else if (finish == Finish::squared_relu) {
    const Vec<float> positive = result < 0.0F ? Vec<float>{} : result;  // NaN stays
    result = positive * positive;
  }
  if (whole) {
    store<float>(output, result);
  } else {
    store_part<float>(output, count, result);
  }
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
