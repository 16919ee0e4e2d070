// Packing, and products cut between threads by panels; see packed_matrix.h.
#include "ops/packed_matrix.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include "ops/cpu/packed_product.h"

namespace giantrabbit::ops {
namespace {

constexpr std::array<std::pair<std::string_view, WeightType>, 3> kWeightNames = {{
    {"float32", WeightType::float32},
    {"bfloat16", WeightType::bfloat16},
    {"int8", WeightType::int8},
}};

constexpr int64_t whole(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

// Multiply-adds that are worth waking a thread for.
constexpr int64_t kWorkPerThread = 1 << 19;

// Calls function(begin, end) for ranges of outputs that begin with a panel.
template <class Function>
void for_panels(int64_t rows, int64_t depth, int64_t outputs, const Function& function) {
  if (rows * depth * outputs < 2 * kWorkPerThread) return function(0, outputs);
  const int64_t panels = whole(outputs, cpu::kPanel) / cpu::kPanel;
  const int64_t grain = std::max<int64_t>(1, kWorkPerThread / (rows * depth * cpu::kPanel));
  at::parallel_for(0, panels, grain, [&](int64_t begin, int64_t end) {
    function(begin * cpu::kPanel, std::min(end * cpu::kPanel, outputs));
  });
}

}  // namespace

WeightType parse_weight_type(std::string_view text) {
  for (const auto& [name, type] : kWeightNames) {
    if (text == name) return type;
  }
  TORCH_CHECK(false, "weights: expected float32, bfloat16 or int8, got '", text, "'");
}

std::string_view weight_type_name(WeightType type) {
  for (const auto& [name, value] : kWeightNames) {
    if (value == type) return name;
  }
  TORCH_CHECK(false, "weights: expected 0, 1 or 2, got ", static_cast<int64_t>(type));
}

PackedMatrix::PackedMatrix(const at::Tensor& weight, WeightType type) : type_(type) {
  TORCH_CHECK(weight.dim() == 2 && weight.is_floating_point() && weight.is_cpu(),
              "PackedMatrix: expected a floating matrix on the CPU, got ", weight.sizes(), " in ",
              weight.scalar_type());
  const at::Tensor rows = weight.detach().to(at::kFloat).contiguous();
  outputs_ = rows.size(0);
  depth_ = rows.size(1);
  // Beyond it, integer sums of products could overflow.
  constexpr int64_t kDeepest = 1 << 16;
  TORCH_CHECK(type != WeightType::int8 || depth_ <= kDeepest, "PackedMatrix: expected at most ", kDeepest,
              " columns for int8, got ", depth_);
  TORCH_CHECK(type != WeightType::int8 || at::isfinite(rows).all().item<bool>(),
              "PackedMatrix: expected finite weights for int8");
  const float* numbers = rows.const_data_ptr<float>();
  switch (type) {
    case WeightType::float32:
      pack_floats(numbers);
      break;
    case WeightType::bfloat16:
      pack_bfloats(numbers);
      break;
    case WeightType::int8:
      pack_codes(numbers);
      break;
  }
}

void PackedMatrix::pack_floats(const float* weight) {
  panels_ = at::zeros({whole(outputs_, cpu::kPanel) * depth_}, at::kFloat);
  float* panels = panels_.mutable_data_ptr<float>();
  for (int64_t output = 0; output < outputs_; ++output) {
    float* column = panels + output / cpu::kPanel * cpu::kPanel * depth_ + output % cpu::kPanel;
    for (int64_t k = 0; k < depth_; ++k) column[k * cpu::kPanel] = weight[output * depth_ + k];
  }
}

void PackedMatrix::pack_bfloats(const float* weight) {
  panels_ = at::zeros({whole(outputs_, cpu::kPanel) * depth_}, at::kBFloat16);
  auto* panels = panels_.mutable_data_ptr<c10::BFloat16>();
  for (int64_t output = 0; output < outputs_; ++output) {
    const int64_t within = output % cpu::kPanel;
    const int64_t place = within / 32 * 32 + within % 16 * 2 + within % 32 / 16;
    c10::BFloat16* column = panels + output / cpu::kPanel * cpu::kPanel * depth_ + place;
    for (int64_t k = 0; k < depth_; ++k) column[k * cpu::kPanel] = weight[output * depth_ + k];
  }
}

void PackedMatrix::pack_codes(const float* weight) {
  const int64_t filled = whole(depth_, cpu::kQuad);
  panels_ = at::full({whole(outputs_, cpu::kPanel) * filled}, 128, at::kByte);
  scales_ = at::zeros({whole(outputs_, cpu::kPanel)}, at::kFloat);
  uint8_t* panels = panels_.mutable_data_ptr<uint8_t>();
  for (int64_t output = 0; output < outputs_; ++output) {
    const float* row = weight + output * depth_;
    float largest = 0;
    for (int64_t k = 0; k < depth_; ++k) largest = std::max(largest, std::abs(row[k]));
    const float scale = largest / 127;
    scales_.mutable_data_ptr<float>()[output] = scale;
    uint8_t* column =
        panels + output / cpu::kPanel * cpu::kPanel * filled + output % cpu::kPanel * cpu::kQuad;
    for (int64_t k = 0; k < depth_ && scale > 0; ++k) {
      const long exact = std::lround(static_cast<double>(row[k]) / static_cast<double>(scale));
      const long code = std::clamp(exact, -127L, 127L);
      column[k / cpu::kQuad * cpu::kPanel * cpu::kQuad + k % cpu::kQuad] = static_cast<uint8_t>(128 + code);
    }
  }
}

int64_t PackedMatrix::bytes() const {
  return static_cast<int64_t>((panels_.defined() ? panels_.nbytes() : 0) +
                              (scales_.defined() ? scales_.nbytes() : 0));
}

void PackedMatrix::multiply(const cpu::VectorRows& rows, cpu::Finish finish) const {
  if (rows.rows == 0) return;
  if (type_ == WeightType::int8) return multiply_codes(rows, finish);
  const cpu::PackedFunctions& functions = cpu::packed_functions();
  for_panels(rows.rows, depth_, outputs_, [&](int64_t begin, int64_t end) {
    if (type_ == WeightType::float32) {
      functions.product_float(panels_.const_data_ptr<float>(), depth_, begin, end, rows, finish);
    } else {
      functions.product_bfloat(reinterpret_cast<const uint16_t*>(panels_.const_data_ptr<c10::BFloat16>()),
                               depth_, begin, end, rows, finish);
    }
  });
}

void PackedMatrix::multiply_codes(const cpu::VectorRows& rows, cpu::Finish finish) const {
  const cpu::PackedFunctions& functions = cpu::packed_functions();
  const int64_t filled = whole(depth_, cpu::kQuad);
  thread_local std::vector<int8_t> numbers;  // kept: fresh memory would cost page faults
  thread_local std::vector<cpu::InputCode> codes;
  numbers.resize(static_cast<size_t>(2 * rows.rows * filled));
  codes.resize(static_cast<size_t>(rows.rows));
  for (int64_t row = 0; row < rows.rows; ++row) {
    int8_t* high = numbers.data() + 2 * row * filled;
    codes[static_cast<size_t>(row)] = {high, high + filled, 0.0F, 0, 0};
    functions.encode_input(rows.input + row * rows.input_row, depth_, &codes[static_cast<size_t>(row)]);
  }
  const cpu::InputCode* inputs = codes.data();  // the caller's, not each thread's own
  for_panels(rows.rows, depth_, outputs_, [&](int64_t begin, int64_t end) {
    functions.product_codes(panels_.const_data_ptr<uint8_t>(), scales_.const_data_ptr<float>(), depth_, begin,
                            end, inputs, rows, finish);
  });
}

}  // namespace giantrabbit::ops
