// Central differences. The numeric gradient of <f(x), v> is computed entry by entry of x; the same
// evaluations serve all incoming gradients v.
#include "tests/support/gradcheck.h"

#include <string>
#include <utility>

#include <fmt/format.h>

#include <torch/torch.h>

#include "tests/support/tensor_matchers.h"

namespace giantrabbit::test_support {
namespace {

struct Cotangent {
  std::string name;
  at::Tensor value;
};

std::vector<Cotangent> cotangents_like(const at::Tensor& output) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(20240607);
  const at::Tensor dense = at::randn(output.sizes(), generator, output.options());
  std::vector<int64_t> doubled = output.sizes().vec();
  doubled.push_back(2);
  const at::Tensor strided = at::randn(doubled, generator, output.options()).select(-1, 0);
  return {{"contiguous", dense},
          {"strided", strided},
          {"expanded", at::ones({}, output.options()).expand_as(output)}};
}

std::vector<at::Tensor> leaves(const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> copies;
  for (const at::Tensor& input : inputs) {
    copies.push_back(
        input.detach().clone(at::MemoryFormat::Preserve).set_requires_grad(input.requires_grad()));
  }
  return copies;
}

// Gradients of <f(inputs), cotangent> for the inputs that require one, zeros where none arrives.
std::vector<at::Tensor> gradients(const at::Tensor& output, const std::vector<at::Tensor>& inputs,
                                  const at::Tensor& cotangent, bool create_graph) {
  std::vector<at::Tensor> wanted;
  for (const at::Tensor& input : inputs) {
    if (input.requires_grad()) wanted.push_back(input);
  }
  if (!output.requires_grad()) {
    for (at::Tensor& input : wanted) input = at::zeros_like(input);
    return wanted;
  }
  auto found = torch::autograd::grad({output}, wanted, {cotangent}, /*retain_graph=*/true, create_graph,
                                     /*allow_unused=*/true);
  for (size_t i = 0; i < found.size(); ++i) {
    if (!found[i].defined()) found[i] = at::zeros_like(wanted[i]);
  }
  return found;
}

// Central differences of <f(inputs), v> with respect to inputs[which], one tensor per cotangent.
std::vector<at::Tensor> differences(const TensorFunction& function, const std::vector<at::Tensor>& inputs,
                                    size_t which, const std::vector<Cotangent>& cotangents, double step) {
  std::vector<at::Tensor> point = leaves(inputs);
  point[which] = point[which].contiguous().detach().set_requires_grad(true);
  std::vector<at::Tensor> result(cotangents.size());
  for (at::Tensor& tensor : result) tensor = at::zeros(point[which].sizes(), at::kDouble);
  for (int64_t i = 0; i < point[which].numel(); ++i) {
    double* entry = point[which].data_ptr<double>() + i;
    const double centre = *entry;
    *entry = centre + step;
    const at::Tensor above = function(point).detach().clone();
    *entry = centre - step;
    const at::Tensor below = function(point).detach().clone();
    *entry = centre;
    const at::Tensor slope = (above - below) / (2.0 * step);
    for (size_t c = 0; c < cotangents.size(); ++c) {
      result[c].data_ptr<double>()[i] = (slope * cotangents[c].value).sum().item<double>();
    }
  }
  return result;
}

}  // namespace

::testing::AssertionResult gradcheck(const TensorFunction& function, const std::vector<at::Tensor>& inputs,
                                     const GradcheckOptions& options) {
  const std::vector<at::Tensor> point = leaves(inputs);
  const at::Tensor output = function(point);
  if (output.scalar_type() != at::kDouble)
    return ::testing::AssertionFailure() << "gradcheck needs a double result";
  const std::vector<Cotangent> cotangents = cotangents_like(output);
  std::vector<std::vector<at::Tensor>> analytic;
  for (const Cotangent& cotangent : cotangents) {
    analytic.push_back(gradients(output, point, cotangent.value, /*create_graph=*/false));
  }
  size_t differentiable = 0;
  for (size_t which = 0; which < inputs.size(); ++which) {
    if (!inputs[which].requires_grad()) continue;
    const auto numeric = differences(function, inputs, which, cotangents, options.step);
    for (size_t c = 0; c < cotangents.size(); ++c) {
      const auto same =
          tensors_close(analytic[c][differentiable], numeric[c], options.tolerance, options.tolerance);
      if (same) continue;
      return ::testing::AssertionFailure()
             << fmt::format("gradient of input {} with a {} incoming gradient: {}", which, cotangents[c].name,
                            same.message());
    }
    ++differentiable;
  }
  if (differentiable == 0)
    return ::testing::AssertionFailure() << "gradcheck needs an input that requires a gradient";
  return ::testing::AssertionSuccess();
}

::testing::AssertionResult gradgradcheck(const TensorFunction& function,
                                         const std::vector<at::Tensor>& inputs,
                                         const GradcheckOptions& options) {
  const TensorFunction first_derivatives = [&](const std::vector<at::Tensor>& arguments) {
    const std::vector<at::Tensor> point(arguments.begin(), arguments.end() - 1);
    std::vector<at::Tensor> flat;
    for (const at::Tensor& grad :
         gradients(function(point), point, arguments.back(), /*create_graph=*/true)) {
      flat.push_back(grad.reshape({-1}));
    }
    return at::cat(flat);
  };
  std::vector<at::Tensor> arguments = inputs;
  const at::Tensor cotangent = cotangents_like(function(leaves(inputs)).detach()).front().value;
  arguments.push_back(cotangent.clone().set_requires_grad(true));
  return gradcheck(first_derivatives, arguments, options);
}

}  // namespace giantrabbit::test_support
