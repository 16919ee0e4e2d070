// Sums the gradients of a model over the processes of a group in flat buckets, while backward is still going
// on: a bucket leaves as soon as its last gradient is there. In: parameters. Out: the same sums, in the same
// bits, in every process. Kept invariant: buckets hold the parameters in the reverse of their order, about
// the order in which backward reaches them, and leave one behind the other, so in the same order everywhere.
#pragma once

#include <functional>
#include <vector>

#include <torch/torch.h>

#include "train/process_group.h"

namespace giantrabbit::train {

class GradientBuckets {
 public:
  // The group must outlive this. Parameters are of one type; they have one owner of this kind at a time.
  GradientBuckets(std::vector<torch::Tensor> parameters, const ProcessGroup& group,
                  int64_t bucket_bytes = 1 << 20);
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;
  ~GradientBuckets();

  // The next backward is the last one that adds to the gradients.
  void expect_last_backward();
  // Waits for the sums, which then are the gradients. A parameter that backward did not reach has gradient
  // zero.
  void finish();

 private:
  struct Bucket {
    std::vector<torch::Tensor> parameters;
    std::vector<torch::Tensor> views;  // of `flat`, one for each parameter
    torch::Tensor flat;
    size_t missing = 0;  // gradients that backward has not finished yet
    std::function<void()> wait;
  };
  void arrived(size_t bucket);
  void leave(Bucket& bucket);

  const ProcessGroup& group_;
  std::vector<torch::Tensor> parameters_;
  std::vector<Bucket> buckets_;  // none in a group of one
  size_t left_ = 0;              // buckets that are on their way
  bool last_backward_ = false;
};

}  // namespace giantrabbit::train
