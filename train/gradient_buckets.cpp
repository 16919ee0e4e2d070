// See gradient_buckets.h.
#include "train/gradient_buckets.h"

#include <memory>
#include <utility>

#include <ATen/ops/_foreach_copy.h>

namespace giantrabbit::train {
namespace {

// LibTorch calls it behind every change of a parameter's gradient in a backward.
class GradientHook : public torch::autograd::PostAccumulateGradHook {
 public:
  explicit GradientHook(std::function<void()> action) : action_(std::move(action)) {}
  void operator()(const torch::Tensor& /*parameter*/) override { action_(); }

 private:
  std::function<void()> action_;
};

}  // namespace

GradientBuckets::GradientBuckets(std::vector<torch::Tensor> parameters, const ProcessGroup& group,
                                 int64_t bucket_bytes)
    : group_(group), parameters_(std::move(parameters)) {
  if (group.size() == 1) return;
  int64_t bytes = bucket_bytes;
  for (auto parameter = parameters_.rbegin(); parameter != parameters_.rend(); ++parameter) {
    if (bytes >= bucket_bytes) {
      buckets_.emplace_back();
      bytes = 0;
    }
    buckets_.back().parameters.push_back(*parameter);
    bytes += static_cast<int64_t>(parameter->nbytes());
    torch::autograd::impl::set_post_acc_grad_hooks(
        *parameter,
        std::make_unique<GradientHook>([this, bucket = buckets_.size() - 1] { arrived(bucket); }));
  }
  for (Bucket& bucket : buckets_) {
    int64_t size = 0;
    for (const torch::Tensor& parameter : bucket.parameters) size += parameter.numel();
    bucket.flat = torch::empty({size}, bucket.parameters[0].options().requires_grad(false));
    for (int64_t begin = 0; const torch::Tensor& parameter : bucket.parameters) {
      bucket.views.push_back(bucket.flat.narrow(0, begin, parameter.numel()).view(parameter.sizes()));
      begin += parameter.numel();
    }
  }
}

GradientBuckets::~GradientBuckets() {
  for (const Bucket& bucket : buckets_) {
    for (const torch::Tensor& parameter : bucket.parameters) {
      torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
    }
  }
}

void GradientBuckets::expect_last_backward() {
  last_backward_ = true;
  left_ = 0;
  for (Bucket& bucket : buckets_) bucket.missing = bucket.parameters.size();
}

void GradientBuckets::arrived(size_t bucket) {
  if (!last_backward_) return;
  --buckets_[bucket].missing;
  while (left_ < buckets_.size() && buckets_[left_].missing == 0) leave(buckets_[left_++]);
}

void GradientBuckets::leave(Bucket& bucket) {
  const torch::NoGradGuard guard;
  std::vector<torch::Tensor> gradients, views;
  for (size_t i = 0; i < bucket.parameters.size(); ++i) {
    const torch::Tensor& gradient = bucket.parameters[i].grad();
    if (gradient.defined()) {
      gradients.push_back(gradient);
      views.push_back(bucket.views[i]);
    } else {
      bucket.views[i].zero_();
    }
  }
  if (!gradients.empty()) at::_foreach_copy_(views, gradients);
  bucket.wait = group_.start_sum(bucket.flat);
}

void GradientBuckets::finish() {
  last_backward_ = false;
  while (left_ < buckets_.size()) leave(buckets_[left_++]);
  for (Bucket& bucket : buckets_) {
    std::exchange(bucket.wait, nullptr)();
    for (size_t i = 0; i < bucket.parameters.size(); ++i) {
      bucket.parameters[i].mutable_grad() = bucket.views[i];
    }
  }
  for (torch::Tensor& parameter : parameters_) {
    if (!parameter.grad().defined()) parameter.mutable_grad() = torch::zeros_like(parameter);
  }
}

}  // namespace giantrabbit::train
