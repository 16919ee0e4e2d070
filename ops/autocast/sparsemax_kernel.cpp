// Mixed precision rule of sparsemax and entmax-1.5: 16-bit rows are computed, and returned, in fp32, as
// LibTorch does for softmax. Double stays double.
#include "ops/autocast/rules.h"
#include "ops/sparsemax.h"

namespace giantrabbit::ops {
namespace {

template <c10::DeviceType device>
struct RowRule {
  template <auto op>
  static at::Tensor forward(const at::Tensor& scores, int64_t dim) {
    const WithoutAutocast<device> guard;
    return op(in_fp32<device>(scores), dim);
  }

  template <auto op>
  static at::Tensor backward(const at::Tensor& grad, const at::Tensor& weights, int64_t dim) {
    const WithoutAutocast<device> guard;
    return op(in_fp32<device>(grad), in_fp32<device>(weights), dim);
  }
};

template <c10::DeviceType device>
void add_row_rules(torch::Library& library) {
  using Rule = RowRule<device>;
  library.impl("sparsemax", TORCH_FN(Rule::template forward<sparsemax>));
  library.impl("entmax15", TORCH_FN(Rule::template forward<entmax15>));
  library.impl("_sparsemax_backward", TORCH_FN(Rule::template backward<sparsemax_backward>));
  library.impl("_entmax15_backward", TORCH_FN(Rule::template backward<entmax15_backward>));
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, AutocastCPU, library) { add_row_rules<at::kCPU>(library); }
TORCH_LIBRARY_IMPL(giantrabbit, AutocastCUDA, library) { add_row_rules<at::kCUDA>(library); }

}  // namespace giantrabbit::ops
