// In: examples. Out: padded int64 tensors. Kept invariant: entry [b, t] of decoder_input is what comes before
// entry [b, t] of target, and everything beyond a sequence's length is pad.
#include "data/batch.h"

#include <algorithm>
#include <stdexcept>

#include <ATen/core/grad_mode.h>

namespace giantrabbit::data {
namespace {

using Ids = std::vector<int64_t>;

void require_examples(std::span<const Example> examples) {
  if (examples.empty()) throw std::invalid_argument("batch: expected at least one example, got none");
}

torch::Tensor padded(std::span<const Example> examples, Ids Example::*member, int64_t multiple, int64_t most,
                     int64_t& total) {
  int64_t longest = 0;
  for (const Example& example : examples) longest = std::max(longest, std::ssize(example.*member));
  const int64_t rounded = rounded_up(longest, multiple);
  longest = longest > most ? rounded : std::min(rounded, most);
  torch::Tensor result = torch::full({std::ssize(examples), longest}, Vocabulary::pad, torch::kInt64);
  auto* row = result.data_ptr<int64_t>();
  total = 0;
  for (const Example& example : examples) {
    std::copy((example.*member).begin(), (example.*member).end(), row);
    total += static_cast<int64_t>((example.*member).size());
    row += longest;
  }
  return result;
}

torch::Tensor lengths(std::span<const Example> examples, Ids Example::*member) {
  torch::Tensor result = torch::empty({static_cast<int64_t>(examples.size())}, torch::kInt64);
  auto* length = result.data_ptr<int64_t>();
  for (const Example& example : examples) *length++ = static_cast<int64_t>((example.*member).size());
  return result;
}

torch::Tensor shifted(std::span<const Example> examples, const torch::Tensor& target) {
  torch::Tensor result = torch::full_like(target, Vocabulary::pad);
  auto* row = result.data_ptr<int64_t>();
  for (const Example& example : examples) {
    row[0] = Vocabulary::bos;
    std::copy(example.target.begin(), example.target.end() - 1, row + 1);
    row += target.size(1);
  }
  return result;
}

}  // namespace

int64_t rounded_up(int64_t length, int64_t multiple) { return (length + multiple - 1) / multiple * multiple; }

torch::Tensor one_sequence(std::span<const int64_t> ids) {
  return torch::tensor(at::ArrayRef<int64_t>(ids.data(), ids.size()), torch::kInt64).unsqueeze(0);
}

Batch make_prompt_batch(std::span<const Example> examples, int64_t multiple, int64_t most) {
  require_examples(examples);
  const at::NoGradGuard no_grad;
  Batch batch;
  int64_t total = 0;
  batch.prompt = padded(examples, &Example::prompt, multiple, most, total);
  batch.prompt_lengths = lengths(examples, &Example::prompt);
  return batch;
}

Batch make_batch(std::span<const Example> examples, int64_t multiple, int64_t most) {
  Batch batch = make_prompt_batch(examples, multiple, most);
  for (const Example& example : examples) {
    if (example.target.empty()) throw std::invalid_argument("batch: an example has an empty target");
  }
  const at::NoGradGuard no_grad;
  batch.target = padded(examples, &Example::target, multiple, most, batch.target_tokens);
  batch.target_lengths = lengths(examples, &Example::target);
  batch.decoder_input = shifted(examples, batch.target);
  return batch;
}

}  // namespace giantrabbit::data
