// What the out= overloads of the row operators ask of their result: given the rows, `out` leaves with their
// shape, or the call is refused. Shared by the CPU and the Meta kernels.
#pragma once

#include <ATen/MemoryOverlap.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Resize.h>
#include <c10/util/Exception.h>

namespace giantrabbit::ops {

// As LibTorch does it: an `out` of another shape is resized (with a warning if it was not empty), one of
// another dtype or device is an error, and so is memory that overlaps the rows without being the same.
inline void prepare_result(const char* op, const at::Tensor& rows, const at::Tensor& out) {
  TORCH_CHECK(out.scalar_type() == rows.scalar_type(), op, ": expected out of dtype ", rows.scalar_type(),
              ", got ", out.scalar_type());
  TORCH_CHECK(out.device() == rows.device(), op, ": expected out on device ", rows.device(), ", got ",
              out.device());
  at::native::resize_output_symint(out, rows.sym_sizes());
  at::assert_no_internal_overlap(out);
  at::assert_no_partial_overlap(out, rows);
}

}  // namespace giantrabbit::ops
