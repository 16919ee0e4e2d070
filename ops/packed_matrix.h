// A weight matrix made ready for products with few vectors at a time, as in generation: packed once in the
// order in which it is read, in fp32, bf16 or 8 bits. Plain memory in and out; no autograd, no dispatcher.
//
//   output[r] = W input[r],   W [outputs, depth]
//
// fp32: sums in the order of the depth. bf16: the weights are rounded, inputs and sums stay fp32. int8: one
// scale per output; inputs are rounded to 16 bits with one scale per row, sums are exact integers. Whatever
// the type, a row's result does not depend on the other rows or on the number of threads.
#pragma once

#include <cstdint>
#include <string_view>

#include <ATen/core/Tensor.h>

#include "ops/cpu/packed_functions.h"

namespace giantrabbit::ops {

enum class WeightType : int64_t { float32 = 0, bfloat16 = 1, int8 = 2 };

WeightType parse_weight_type(std::string_view text);  // throws c10::Error that lists the three
std::string_view weight_type_name(WeightType type);

class PackedMatrix {
 public:
  PackedMatrix() = default;
  // weight [outputs, depth] in any floating dtype, for int8 finite; it is copied.
  PackedMatrix(const at::Tensor& weight, WeightType type);

  int64_t outputs() const { return outputs_; }
  int64_t depth() const { return depth_; }
  int64_t bytes() const;  // read by a product with up to three rows

  // `rows` inputs, `input_row` numbers apart; outputs likewise. They must not overlap.
  void multiply(const cpu::VectorRows& rows, cpu::Finish finish = cpu::Finish::none) const;

 private:
  void pack_floats(const float* weight);
  void pack_bfloats(const float* weight);
  void pack_codes(const float* weight);
  void multiply_codes(const cpu::VectorRows& rows, cpu::Finish finish) const;

  int64_t outputs_ = 0;
  int64_t depth_ = 0;
  WeightType type_ = WeightType::float32;
  at::Tensor panels_;  // layout: ops/cpu/packed_functions.h
  at::Tensor scales_;  // int8: [outputs, filled up to whole panels]
};

}  // namespace giantrabbit::ops
