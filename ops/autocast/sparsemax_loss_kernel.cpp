// Mixed precision rule of the Fenchel-Young losses: 16-bit logits are computed in fp32, as LibTorch does for
// cross-entropy. Double stays double.
#include "ops/autocast/rules.h"
#include "ops/sparsemax_loss.h"

namespace giantrabbit::ops {
namespace {

template <c10::DeviceType device>
struct LossRule {
  template <auto op>
  static at::Tensor loss(const at::Tensor& logits, const at::Tensor& target) {
    const WithoutAutocast<device> guard;
    return op(in_fp32<device>(logits), target);
  }

  static at::Tensor backward(const at::Tensor& grad, const at::Tensor& weights, const at::Tensor& target) {
    const WithoutAutocast<device> guard;
    return sparsemax_loss_backward(in_fp32<device>(grad), in_fp32<device>(weights), target);
  }
};

template <c10::DeviceType device>
void add_loss_rules(torch::Library& library) {
  using Rule = LossRule<device>;
  library.impl("sparsemax_loss", TORCH_FN(Rule::template loss<sparsemax_loss>));
  library.impl("entmax15_loss", TORCH_FN(Rule::template loss<entmax15_loss>));
  library.impl("_sparsemax_loss_backward", TORCH_FN(Rule::backward));
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, AutocastCPU, library) { add_loss_rules<at::kCPU>(library); }
TORCH_LIBRARY_IMPL(giantrabbit, AutocastCUDA, library) { add_loss_rules<at::kCUDA>(library); }

}  // namespace giantrabbit::ops
